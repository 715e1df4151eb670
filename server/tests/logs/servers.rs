//! A server's life, and the requests that fail.

use std::time::Duration;

use oxlo_server::{Endpoint, RPCServer, RemoteError};
use oxlo_test_support::{CapturedLog, own_process};
use oxlo_transport::{CallOptions, Context, Failure, ListenScope, Payload, Request, Target, Transport};
use tracing::Level;

use crate::bus;

#[derive(Debug, thiserror::Error, RemoteError)]
#[remote(module = "shop.errors")]
enum ShopError {
    #[error("sold out")]
    SoldOut,
}

#[oxlo_server::contract(version = "1.3")]
trait Shop {
    async fn declared(&self, ctxt: &Context) -> Result<(), ShopError>;
    async fn undeclared(&self, ctxt: &Context) -> Result<(), Failure>;
    async fn works(&self, ctxt: &Context) -> u32;
    async fn panics(&self, ctxt: &Context) -> u32;
}

struct Counter;

impl Shop for Counter {
    async fn declared(&self, _: &Context) -> Result<(), ShopError> {
        Err(ShopError::SoldOut)
    }

    async fn undeclared(&self, _: &Context) -> Result<(), Failure> {
        Err(Failure::builtin("ValueError", "a secret"))
    }

    async fn works(&self, _: &Context) -> u32 {
        1
    }

    async fn panics(&self, _: &Context) -> u32 {
        panic!("as told")
    }
}

async fn ask(transport: &dyn Transport, method: &str, options: &CallOptions) {
    let mut request = Request::new(method, Payload::empty_object());
    request.context = Context::new().with("request_id", "req-7").with("auth_token", "a secret");
    transport.call(&Target::topic("inventory"), request, options).await.expect("an answer");
}

#[tokio::test(start_paused = true)]
async fn a_server_says_what_it_serves_and_how_it_ended() {
    own_process!(a_server_says_what_it_serves_and_how_it_ended);
    let log = CapturedLog::start();
    let transport = bus().await;
    let old = Endpoint::new("1.0").namespace("old").method("one", async || Ok::<_, Failure>(()));
    let server = RPCServer::builder(transport.clone(), Target::topic("inventory").server("inventory-1"))
        .endpoint(ShopEndpoint::new(Counter))
        .endpoint(old)
        .build()
        .unwrap();
    let running = server.start().await.unwrap();
    for _ in 0..50 {
        ask(&*transport, "works", &CallOptions::new()).await;
        ask(&*transport, "declared", &CallOptions::new()).await;
    }
    running.stop();
    running.wait().await.unwrap();
    let told: Vec<_> = log.lines().into_iter().map(|line| (line.level, line.message)).collect();
    let wanted = [
        (Level::INFO, "serving inventory as inventory-1: 1.3, 4 methods; old 1.0, 1 method".to_owned()),
        (Level::INFO, "inventory as inventory-1 ended: stopped; 100 requests taken, 100 handled, 50 failed".to_owned()),
    ];
    assert_eq!(told, wanted, "nothing is logged at info for each message, and declared errors are expected");

    // Also where the server's future is dropped, and for other scopes.
    let scoped = RPCServer::builder(transport, Target::topic("inventory"))
        .endpoint(ShopEndpoint::new(Counter))
        .scope(ListenScope::Topic)
        .build()
        .unwrap();
    let serving = scoped.serve();
    tokio::select! {
        _ = serving => panic!("it serves"),
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
    let told = log.messages(Level::INFO);
    assert_eq!(told[2..], ["serving inventory: 1.3, 4 methods", "inventory ended: dropped while it served"]);
}

#[tokio::test(start_paused = true)]
async fn failures_name_topic_method_request_and_caller() {
    own_process!(failures_name_topic_method_request_and_caller);
    let log = CapturedLog::start();
    let transport = bus().await;
    let server = RPCServer::builder(transport.clone(), Target::topic("inventory").server("one"))
        .endpoint(ShopEndpoint::new(Counter))
        .start()
        .await
        .unwrap();
    let monitored = CallOptions::new().with_monitor_timeout(Some(Duration::from_secs(2)));
    for options in [CallOptions::new(), monitored] {
        for (method, level) in [("undeclared", Level::WARN), ("nosuch", Level::WARN), ("panics", Level::ERROR)] {
            let failures = || log.lines().into_iter().filter(|line| line.level != Level::INFO).collect::<Vec<_>>();
            let before = failures().len();
            ask(&*transport, method, &options).await;
            let told = failures().split_off(before);
            let [line] = &told[..] else { panic!("one line for {method}: {told:?}") };
            assert_eq!(line.level, level, "{line:?}");
            assert_eq!((line.field("topic"), line.field("method")), ("inventory", method), "{line:?}");
            assert_eq!(line.field("request_id"), "req-7", "{line:?}");
            assert!(line.field("caller").starts_with("connection "), "{line:?}");
            assert_eq!(line.field("call").len(), 32, "{line:?}");
            assert!(!format!("{line:?}").contains("secret"), "{line:?}");
        }
    }
    server.stop();
    server.wait().await.unwrap();
}
