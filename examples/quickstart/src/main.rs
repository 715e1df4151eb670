//! A service and its callers in one program: versions, fanout, remote errors, refusals.
//!
//! ```text
//! cargo run -p quickstart
//! cargo run -p quickstart --features rabbit -- rabbit://guest:guest@localhost:5672/
//! ```

use std::{error::Error, fmt, process::ExitCode, sync::Arc, time::Duration};

use oxlo::{
    Args, CallError, Context, Endpoint, Failure, RPCClient, RPCServer, RemoteError, RunningServer, State, Target,
    Transport,
};
use serde_json::json;

/// An error with a class and a module on the wire, which callers in any language can recognize.
#[derive(Debug)]
struct OutOfRange {
    limit: i64,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the sum exceeds {}", self.limit)
    }
}

impl Error for OutOfRange {}

impl RemoteError for OutOfRange {
    const MODULE: &'static str = "calculator.errors";
    const CLASSES: &'static [&'static str] = &["OutOfRange"];

    fn to_failure(&self) -> Failure {
        Failure::new(Self::MODULE, "OutOfRange", self.to_string()).with_kwarg("limit", self.limit)
    }

    fn from_failure(failure: &Failure) -> Option<Self> {
        Some(Self { limit: failure.kwargs.get("limit")?.as_i64()? })
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Add {
    a: i64,
    b: i64,
}

/// Starts one server of the topic `calculator`, which implements version 1.2.
async fn serve(transport: Arc<dyn Transport>, name: &'static str) -> Result<RunningServer, Box<dyn Error>> {
    let calculator = Endpoint::new("1.2")
        .with_state(name)
        .method("add", async |ctxt: Context, Args(it): Args<Add>, State(me): State<&'static str>| {
            println!("   {me}: add({}, {}) for {}", it.a, it.b, ctxt.get_str("user").unwrap_or("nobody"));
            match it.a.checked_add(it.b).filter(|sum| *sum <= 1000) {
                Some(sum) => Ok(sum),
                None => Err(OutOfRange { limit: 1000 }),
            }
        })
        .method("reload", async |State(me): State<&'static str>| {
            println!("   {me}: reloaded");
            Ok::<_, Failure>(())
        })
        .method("sleep", async || {
            tokio::time::sleep(Duration::from_secs(30)).await;
            Ok::<_, Failure>(())
        });
    let server = RPCServer::builder(transport, Target::topic("calculator").server(name))
        .endpoint(calculator)
        .grace(Duration::from_millis(500));
    Ok(server.start().await?)
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory://quickstart".to_owned());
    let transport = oxlo::builder(url).remote_error::<OutOfRange>().connect().await?;
    println!("Three servers on topic `calculator`, each implements version 1.2.");
    let mut servers = Vec::new();
    for name in ["node-1", "node-2", "node-3"] {
        servers.push(serve(transport.clone(), name).await?);
    }

    let client = RPCClient::new(transport.clone(), Target::topic("calculator").version("1.0"));
    let ctxt = Context::new().with("user", "alice");

    println!("\n1. A call goes to one of the servers and returns its result.");
    let sum: i64 = client.call(&ctxt, "add", json!({"a": 1, "b": 2})).await?;
    println!("   1 + 2 = {sum}");

    println!("\n2. A call can name its server.");
    let sum: i64 = client.prepare().server("node-3").call(&ctxt, "add", json!({"a": 40, "b": 2})).await?;
    println!("   40 + 2 = {sum}");

    println!("\n3. A cast returns when the broker has confirmed it; with fanout it reaches every server.");
    client.cast(&ctxt, "add", json!({"a": 3, "b": 4})).await?;
    client.prepare().fanout(true).cast(&ctxt, "reload", json!({})).await?;
    tokio::time::sleep(Duration::from_millis(300)).await;

    println!("\n4. The server's error arrives as the same type.");
    let failed = client.call::<i64>(&ctxt, "add", json!({"a": 999, "b": 2})).await;
    if let Err(error) = &failed {
        println!("   {error}");
        if let Some(out_of_range) = error.downcast_ref::<OutOfRange>() {
            println!("   as a Rust type: {out_of_range:?}");
        }
    }

    println!("\n5. A version that the server does not implement is refused by the server ...");
    report(client.prepare().version("2.0").call::<i64>(&ctxt, "add", json!({"a": 1, "b": 2})).await);
    println!("   ... and a version above the cap is refused by the client, before anything is sent.");
    report(client.prepare().version_cap("1.1").version("1.2").call::<i64>(&ctxt, "add", json!({"a": 1, "b": 2})).await);

    println!("\n6. A topic without a queue is reported at once, not after the timeout.");
    report(client.prepare().topic("abacus").call::<i64>(&ctxt, "add", json!({"a": 1, "b": 2})).await);

    println!("\n7. Every call ends within its timeout, and its error says whether the method may have run.");
    report(client.prepare().timeout(Duration::from_millis(300)).call::<()>(&ctxt, "sleep", json!({})).await);

    for server in &servers {
        server.stop();
    }
    println!("\n8. Servers stop in order and report the methods they abandoned after the grace period.");
    let (mut handled, mut abandoned) = (0, Vec::new());
    for server in servers {
        let report = server.wait().await?;
        handled += report.handled;
        abandoned.extend(report.abandoned.into_iter().map(|request| request.method));
    }
    transport.close().await;
    println!("   handled {handled} requests, abandoned {abandoned:?}");
    Ok(())
}

fn report<R: fmt::Debug>(outcome: Result<R, CallError>) {
    match outcome {
        Ok(result) => println!("   unexpected: {result:?}"),
        Err(error) => println!("   {error} (may have run: {})", error.may_have_run()),
    }
}
