//! A web handler that submits work to a service: a cast that responds when the broker has confirmed it, a call with a short
//! timeout, and a status code for each kind of failure.
//!
//! ```text
//! cargo run --example axum_cast
//! cargo run --example axum_cast -- rabbit://guest:guest@localhost:5672/
//! ```
//!
//! It serves on a free port of the loopback interface, sends itself requests, and exits.

use std::{
    collections::HashMap,
    error::Error,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::put,
};
use oxlo::{AckPolicy, Args, CallError, Context, Endpoint, Failure, RPCClient, RPCServer, Target, TransportError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

/// How long a web request may wait for a service: less than the timeout of the proxy in front of it.
const TIMEOUT: Duration = Duration::from_millis(500);

// ---- the web side ----------------------------------------------------------------------------------------------------

/// The routes of one service. Topic and methods are fixed: web requests cannot choose them.
fn jobs(client: RPCClient) -> Router {
    Router::new().route("/{id}", put(submit).get(look)).with_state(client)
}

#[derive(Deserialize)]
struct Job {
    tenant: String,
}

/// 202 means that the broker has confirmed the job. A cast does not report whether it has run; use `GET` for that.
async fn submit(
    State(client): State<RPCClient>,
    Path(id): Path<String>,
    Json(job): Json<Job>,
) -> Result<(StatusCode, String), Failed> {
    let ctxt = Context::new().with("request_id", id.as_str());
    // The broker silently drops a cast that no queue takes, unless it is mandatory.
    client.prepare().mandatory(true).cast(&ctxt, "submit", json!({"id": id, "tenant": job.tenant})).await?;
    Ok((StatusCode::ACCEPTED, format!("job {id} is accepted")))
}

/// If the browser disconnects, axum drops this future, which abandons the call at once.
async fn look(State(client): State<RPCClient>, Path(id): Path<String>) -> Result<String, Failed> {
    let ctxt = Context::new().with("request_id", id.as_str());
    Ok(client.call(&ctxt, "look", json!({"id": id})).await?)
}

/// The HTTP response to a failed call or cast.
struct Failed(CallError);

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        // The error names topic and method, which belongs in the log; it contains no arguments and no passwords.
        println!("     log: {}", self.0);
        let (status, text) = match &self.0 {
            CallError::Remote { failure, .. } if failure.class() == "KeyError" => {
                (StatusCode::NOT_FOUND, "there is no such job")
            }
            CallError::Transport { error: TransportError::TooLarge { .. }, .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "the job is too large")
            }
            // No queue, no broker, a blocked broker: a retry is safe.
            error if error.is_retryable() && !error.may_have_run() => {
                let nothing_done = (StatusCode::SERVICE_UNAVAILABLE, "nothing was done; retry later");
                let later = [(RETRY_AFTER, HeaderValue::from_static("2"))];
                return (later, nothing_done.into_response()).into_response();
            }
            // No reply or no confirm: the job may have run. A repeated PUT is safe, because the id identifies copies.
            error if error.is_retryable() => {
                (StatusCode::GATEWAY_TIMEOUT, "no reply in time; the request may still have been processed")
            }
            CallError::Remote { .. } => (StatusCode::BAD_GATEWAY, "the service failed"),
            // A version above the cap, a reply of another type: a bug in this program.
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
        };
        (status, text).into_response()
    }
}

// ---- the service -----------------------------------------------------------------------------------------------------

#[derive(Clone, Default)]
struct Done(Arc<Mutex<HashMap<String, String>>>);

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Submit {
    id: String,
    tenant: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Look {
    id: String,
}

fn reports() -> Endpoint {
    Endpoint::new("1.0")
        .with_state(Done::default())
        .method("submit", async |Args(it): Args<Submit>, oxlo::State(Done(done)): oxlo::State<Done>| {
            // Keyed by id, so that a duplicate is the same job.
            done.lock().unwrap_or_else(PoisonError::into_inner).insert(it.id, format!("a report for {}", it.tenant));
            Ok::<_, Failure>(())
        })
        .method("look", async |Args(it): Args<Look>, oxlo::State(Done(done)): oxlo::State<Done>| {
            if it.id == "stuck" {
                tokio::time::sleep(Duration::from_secs(30)).await;
            }
            let found = done.lock().unwrap_or_else(PoisonError::into_inner).get(&it.id).cloned();
            found.ok_or_else(|| Failure::builtin("KeyError", "no such job"))
        })
}

// ---- both sides, and a browser ---------------------------------------------------------------------------------------

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory://axum".to_owned());
    let transport = oxlo::connect(url).await?;
    let service = RPCServer::builder(transport.clone(), Target::topic("reports").server("node-7"))
        .endpoint(reports())
        // A job answered with 202 must survive a worker that dies while running it. To survive a restart of the broker as
        // well, its queue must be durable: `?amqp_durable_queues=true` or `?rabbit_quorum_queue=true` in the URL.
        .ack_policy(AckPolicy::AfterReply)
        .grace(Duration::from_millis(200))
        .start()
        .await?;

    let client = RPCClient::new(transport.clone(), Target::new().version("1.0")).timeout(TIMEOUT);
    let web = Router::new()
        .nest("/reports", jobs(client.prepare().topic("reports")))
        .nest("/invoices", jobs(client.prepare().topic("axum-example-invoices")));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = axum::serve(listener, web).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let web = tokio::spawn(serving.into_future());
    println!("Web on http://{address}, service on topic `reports`.");

    println!("\n1. A job is submitted and runs.");
    ask(address, "PUT", "/reports/1", r#"{"tenant": "acme"}"#, 202).await?;
    let done = async {
        while ask(address, "GET", "/reports/1", "", 200).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), done).await?;
    println!("\n2. A missing service is reported at once; nothing was done.");
    ask(address, "PUT", "/invoices/1", r#"{"tenant": "acme"}"#, 503).await?;
    println!("\n3. The service returns an error.");
    ask(address, "GET", "/reports/2", "", 404).await?;
    println!("\n4. The service hangs: the call times out.");
    ask(address, "GET", "/reports/stuck", "", 504).await?;

    // Shut down from the outside in: the web server, then the service, then the connection.
    let _ = stop.send(());
    web.await??;
    service.stop();
    let report = service.wait().await?;
    println!("\nThe service handled {} requests and abandoned {}.", report.handled, report.abandoned.len());
    transport.close().await;
    Ok(())
}

/// Sends one request over a new connection. A response with another status is an error.
async fn ask(address: SocketAddr, method: &str, path: &str, body: &str, want: u16) -> Result<(), Box<dyn Error>> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP")?;
    let status: u16 = head.split(' ').nth(1).ok_or("no status")?.parse()?;
    println!("   {method} {path}: {status} {body}");
    if status == want { Ok(()) } else { Err(format!("{method} {path}: expected status {want}").into()) }
}
