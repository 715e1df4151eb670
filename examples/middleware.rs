//! Stock tower layers on both sides: authorization by context, timeout, limit, load shedding, retry.
//!
//! ```text
//! cargo run --example middleware
//! cargo run --example middleware -- rabbit://guest:guest@localhost:5672/
//! ```
//!
//! # Order
//!
//! In a `ServiceBuilder` the first layer sees a request first; with `.layer(..)` on a builder or a client, the last added
//! layer does. The order matters:
//!
//! | right | wrong |
//! |---|---|
//! | client: retry outside timeout: each attempt has its own timeout, and the client's timeout bounds all of them | timeout outside retry: the first slow attempt uses up all the time, and nothing is retried |
//! | server: load shedding outside limit: requests above the limit are refused at once | limit outside load shedding: requests wait at the limit, and none is shed |
//! | server: authorization outermost: unauthorized requests take no slot | limit outside authorization: unauthorized requests can use up the limit |

use std::{
    error::Error,
    future::{Ready, ready},
    time::Duration,
};

use oxlo::{
    Call, Context, Endpoint, Extension, Failure, RPCClient, RPCServer, Target, client::CallRequest, transport::Reply,
};
use tower::{
    ServiceBuilder,
    filter::FilterLayer,
    limit::ConcurrencyLimitLayer,
    load_shed::LoadShedLayer,
    retry::{Policy, RetryLayer},
    timeout::TimeoutLayer,
};

type BoxError = Box<dyn Error + Send + Sync>;

#[derive(Clone)]
struct Project(String);

/// Refuses a request whose context has no project; handlers take the project as an extension.
fn authorize(mut call: Call) -> Result<Call, BoxError> {
    let Some(project) = call.request.context.get_str("project_id").map(str::to_owned) else {
        return Err(Failure::builtin("PermissionError", "the context has no project_id").into());
    };
    call.extensions.insert(Project(project));
    Ok(call)
}

/// Retries idempotent requests, a given number of times.
#[derive(Clone)]
struct RetryIdempotent(u32);

impl Policy<CallRequest, Reply, BoxError> for RetryIdempotent {
    type Future = Ready<()>;

    fn retry(&mut self, request: &mut CallRequest, result: &mut Result<Reply, BoxError>) -> Option<Ready<()>> {
        if result.is_ok() || !request.idempotent || self.0 == 0 {
            return None;
        }
        self.0 -= 1;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &CallRequest) -> Option<CallRequest> {
        Some(request.clone())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory://middleware".to_owned());
    let transport = oxlo::connect(url).await?;

    let endpoint = Endpoint::new("1.0")
        .method("whose", async |Extension(Project(project)): Extension<Project>| Ok::<_, Failure>(project))
        .method("slow", async || {
            tokio::time::sleep(Duration::from_secs(30)).await;
            Ok::<_, Failure>(())
        });
    let server = RPCServer::builder(transport.clone(), Target::topic("projects").server("node-7"))
        .endpoint(endpoint)
        .layer(
            ServiceBuilder::new()
                .layer(FilterLayer::new(authorize))
                .layer(LoadShedLayer::new())
                .layer(ConcurrencyLimitLayer::new(32))
                .layer(TimeoutLayer::new(Duration::from_millis(300))),
        )
        .start()
        .await?;

    let client = RPCClient::new(transport.clone(), Target::topic("projects")).timeout(Duration::from_secs(10)).layer(
        ServiceBuilder::new()
            .layer(RetryLayer::new(RetryIdempotent(2)))
            .layer(TimeoutLayer::new(Duration::from_secs(2))),
    );

    println!("1. A context without a project is refused before any handler runs.");
    if let Err(error) = client.call::<String>(&Context::new(), "whose", ()).await {
        println!("   {error}");
    }
    println!("2. With a project, the handler receives it as an extension.");
    let ctxt = Context::new().with("project_id", "p-1");
    println!("   {}", client.prepare().idempotent(true).call::<String>(&ctxt, "whose", ()).await?);
    println!("3. A method that takes too long is cancelled, and its caller gets an error.");
    if let Err(error) = client.call::<()>(&ctxt, "slow", ()).await {
        println!("   {error}");
    }

    server.stop();
    server.wait().await?;
    transport.close().await;
    Ok(())
}
