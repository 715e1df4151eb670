//! A service for an orchestrator: it waits for its broker, logs, exposes Prometheus metrics, answers probes, and on SIGTERM
//! finishes the requests it has begun.
//!
//! ```text
//! cargo run --example graceful_service                  # calls itself, sends itself SIGTERM, and exits
//! ADMIN=127.0.0.1:9102 cargo run --example graceful_service -- rabbit://guest:guest@localhost:5672/
//! cargo run --example graceful_service -- rabbit://guest:guest@localhost:5672/ --demo
//! ```
//!
//! | path | response |
//! |---|---|
//! | `/live` | 200 as long as the process responds |
//! | `/ready` | 200 while the server takes requests; 503 while the connection is lost, and during shutdown |
//! | `/metrics` | metrics in the Prometheus format |

use std::{error::Error, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use oxlo::{Args, Context, Endpoint, Failure, RPCClient, RPCServer, Retry, Target, Transport};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tracing_subscriber::EnvFilter;

/// The orchestrator's limit (Kubernetes: `terminationGracePeriodSeconds`, 30 s) minus the 5 s for flushing replies.
const GRACE: Duration = Duration::from_secs(20);

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Render {
    pages: u32,
}

fn reports() -> Endpoint {
    Endpoint::new("1.0").method("render", async |Args(it): Args<Render>| {
        if it.pages == 0 {
            return Err(Failure::builtin("ValueError", "a report has pages"));
        }
        sleep(Duration::from_millis(100) * it.pages).await;
        Ok(format!("{} pages", it.pages))
    })
}

// ---- probes and metrics ----------------------------------------------------------------------------------------------

#[derive(Clone)]
struct Admin {
    ready: watch::Receiver<bool>,
    metrics: PrometheusHandle,
}

fn admin(state: Admin) -> Router {
    Router::new()
        // Independent of the broker: a restart would not bring the broker back, and the transport reconnects.
        .route("/live", get(async || "alive\n"))
        .route("/ready", get(ready))
        .route("/metrics", get(async |State(it): State<Admin>| it.metrics.render()))
        .with_state(state)
}

async fn ready(State(it): State<Admin>) -> (StatusCode, &'static str) {
    if *it.ready.borrow() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "taking no requests\n")
    }
}

/// Call before the server starts: it registers its metrics once.
fn install_metrics() -> Result<PrometheusHandle, Box<dyn Error + Send + Sync>> {
    const SECONDS: [f64; 8] = [0.001, 0.005, 0.025, 0.1, 0.5, 2.0, 10.0, 60.0];
    let metrics = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .install_recorder()?;
    let upkeep = metrics.clone();
    tokio::spawn(async move {
        loop {
            sleep(Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });
    Ok(metrics)
}

// ---- signals ---------------------------------------------------------------------------------------------------------

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Replaces the default action of the signals, which is to end the process.
    fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

// ---- the service -----------------------------------------------------------------------------------------------------

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next();
    let demo = url.is_none() || arguments.any(|it| it == "--demo");

    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let metrics = install_metrics()?;
    let mut signals = Signals::listen()?;

    // An orchestrator starts programs in any order: wait for the broker, or until a signal.
    let builder = oxlo::builder(url.unwrap_or_else(|| "memory://graceful".to_owned())).connect_retry(Retry::Forever);
    let transport = tokio::select! {
        transport = builder.connect() => transport?,
        () = signals.next() => return Ok(()),
    };
    let server = RPCServer::builder(transport.clone(), Target::topic("graceful").server("node-7"))
        .endpoint(reports())
        .ping(true)
        .grace(GRACE)
        .start()
        .await?;

    let address = std::env::var("ADMIN").unwrap_or_else(|_| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let state = Admin { ready: server.ready(), metrics: metrics.clone() };
    // Answers probes until the process exits, including while the server drains.
    tokio::spawn(axum::serve(listener, admin(state)).into_future());
    tracing::info!(%address, "serving");
    let mut caller = demo.then(|| tokio::spawn(show(transport.clone(), address)));

    tokio::select! {
        () = signals.next() => {}
        // The demonstration ends after the signal, unless it fails.
        ended = ended(&mut caller) => ended?,
    }
    tracing::info!("draining: running requests may finish, no new ones are taken");
    server.stop();
    let report = tokio::select! {
        report = server.wait() => report?,
        // A second signal stops at once.
        () = signals.next() => {
            server.stop_now();
            server.wait().await?
        }
    };
    for abandoned in &report.abandoned {
        tracing::warn!(method = &*abandoned.method, ran_for = ?abandoned.ran_for, "not finished");
    }
    tracing::info!(handled = report.handled, failed = report.failed, abandoned = report.abandoned.len(), "drained");
    if demo {
        ended(&mut caller).await?;
        println!("\n5. Metrics at the end:\n{}", nonzero(&metrics.render()));
    }
    transport.close().await;
    Ok(())
}

// ---- the demonstration -----------------------------------------------------------------------------------------------

type Shown = Result<(), Box<dyn Error + Send + Sync>>;

/// Waits for the demonstration; never completes if there is none.
async fn ended(caller: &mut Option<JoinHandle<Shown>>) -> Shown {
    match caller {
        Some(caller) => timeout(Duration::from_secs(60), caller).await??,
        None => std::future::pending().await,
    }
}

async fn show(transport: Arc<dyn Transport>, admin: SocketAddr) -> Shown {
    let target = Target::topic("graceful").server("node-7").version("1.0");
    let client = RPCClient::new(transport, target).timeout(Duration::from_secs(10));
    let ctxt = Context::new();
    println!("1. Probes: /live {}, /ready {}", get_path(admin, "/live").await?.0, get_path(admin, "/ready").await?.0);
    println!("2. Calls: {}", client.call::<String>(&ctxt, "render", json!({"pages": 1})).await?);
    if let Err(error) = client.call::<String>(&ctxt, "render", json!({"pages": 0})).await {
        println!("   {error}");
    }
    println!("3. Metrics:\n{}", nonzero(&get_path(admin, "/metrics").await?.1));

    println!("4. A call that takes a second, and SIGTERM while it runs:");
    let running = client.start::<String>(&ctxt, "render", json!({"pages": 10})).await?;
    // Wait until the server has taken the request: a request that was not begun is requeued for another server.
    let in_flight = |line: &str| line.starts_with("oxlo_server_requests_in_flight") && line.ends_with(" 1");
    while !get_path(admin, "/metrics").await?.1.lines().any(in_flight) {
        sleep(Duration::from_millis(10)).await;
    }
    let kill = std::process::Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status()?;
    if !kill.success() {
        return Err("kill failed".into());
    }
    while get_path(admin, "/ready").await?.0 == 200 {
        sleep(Duration::from_millis(10)).await;
    }
    println!("   /ready is {} now", get_path(admin, "/ready").await?.0);
    println!("   the call still completes: {}", running.await?);
    Ok(())
}

/// oxlo's metrics that are not zero.
fn nonzero(metrics: &str) -> String {
    let shown = metrics.lines().filter(|it| it.starts_with("oxlo_") && !it.ends_with(" 0") && !it.contains("_bucket"));
    shown.map(|it| format!("   {it}\n")).collect()
}

/// Sends a request and returns status and body.
async fn get_path(address: SocketAddr, path: &str) -> Result<(u16, String), Box<dyn Error + Send + Sync>> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP")?;
    Ok((head.split(' ').nth(1).ok_or("no status")?.parse()?, body.to_owned()))
}
