//! The client on `memory://`, with servers that are bare listeners.

use std::{sync::Arc, time::Duration};

use oxlo_client::{CallError, PendingCall, RPCClient};
use oxlo_driver_memory::MemoryBus;
use oxlo_transport::{Failure, ListenOptions, Reply, Request, Settings, Target, Transport, TransportError};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::fake::ctxt;

/// Servers of the topic `calculator`, which record each request in `seen` with the server's name.
struct Service {
    bus: MemoryBus,
    seen: mpsc::UnboundedReceiver<(String, Request)>,
    _servers: JoinSet<()>,
}

impl Service {
    async fn start(bus: &str, names: &[&str], handle: fn(&Request) -> Option<Reply>) -> Self {
        let bus = MemoryBus::named(bus);
        let (tell, seen) = mpsc::unbounded_channel();
        let mut servers = JoinSet::new();
        for name in names {
            let transport = bus.connect(None, Settings::default());
            let on = Target::topic("calculator").server(*name);
            let mut listener = transport.listen(&on, &ListenOptions::new()).await.unwrap();
            let (name, tell) = ((*name).to_owned(), tell.clone());
            servers.spawn(async move {
                while let Ok(delivery) = listener.recv().await {
                    delivery.settle.ack();
                    let reply = handle(&delivery.message);
                    let _ = tell.send((name.clone(), delivery.message));
                    if let (Some(replier), Some(reply)) = (delivery.replier, reply) {
                        let _ = replier.reply(reply).await;
                    }
                }
            });
        }
        Self { bus, seen, _servers: servers }
    }

    fn client(&self) -> RPCClient {
        let transport = Arc::new(self.bus.connect(None, Settings::default()));
        RPCClient::new(transport, Target::topic("calculator"))
    }

    async fn next(&mut self) -> (String, Request) {
        timeout(Duration::from_secs(10), self.seen.recv()).await.expect("a request").expect("servers run")
    }
}

fn echo(request: &Request) -> Option<Reply> {
    Some(Reply::Result(request.args.clone()))
}

fn fail(_: &Request) -> Option<Reply> {
    Some(Reply::Failure(Box::new(Failure::builtin("ValueError", "bad"))))
}

fn silent(_: &Request) -> Option<Reply> {
    None
}

#[tokio::test]
async fn call_cast_server_and_fanout() {
    let mut service = Service::start("client-kinds", &["a", "b", "c"], echo).await;
    let client = service.client();
    let result: Value = client.call(&ctxt(), "echo", json!({"x": 1})).await.unwrap();
    assert_eq!(result, json!({"x": 1}));
    let (_, request) = service.next().await;
    assert_eq!((&*request.method, &request.context), ("echo", &ctxt()));

    client.prepare().server("b").cast(&ctxt(), "reload", ()).await.unwrap();
    assert_eq!(service.next().await.0, "b");

    client.prepare().fanout(true).cast(&ctxt(), "reload", ()).await.unwrap();
    let mut reached = [service.next().await.0, service.next().await.0, service.next().await.0];
    reached.sort();
    assert_eq!(reached, ["a", "b", "c"]);
    assert_eq!(service.bus.load().calls, 0);
}

#[tokio::test]
async fn many_calls_in_flight() {
    let service = Service::start("client-many", &["a", "b", "c"], echo).await;
    let client = service.client();
    let mut calls: Vec<PendingCall<Value>> = Vec::new();
    for n in 0..1000 {
        calls.push(client.start(&ctxt(), "echo", json!({"n": n})).await.unwrap());
    }
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap(), json!({"n": n}));
    }

    let mut tasks = JoinSet::new();
    for n in 0..200 {
        let client = client.clone();
        tasks.spawn(async move { (n, client.call::<Value>(&ctxt(), "echo", json!({"n": n})).await.unwrap()) });
    }
    while let Some(done) = tasks.join_next().await {
        let (n, result) = done.unwrap();
        assert_eq!(result, json!({"n": n}));
    }
    assert_eq!(service.bus.load().calls, 0);
}

#[tokio::test]
async fn dropped_calls_leak_nothing() {
    let mut service = Service::start("client-dropped", &["a"], silent).await;
    let client = service.client();
    let mut started = Vec::new();
    for _ in 0..10 {
        started.push(client.start::<Value>(&ctxt(), "hang", ()).await.unwrap());
        service.next().await;
    }
    assert_eq!(service.bus.load().calls, 10);
    started.truncate(3);
    assert_eq!(service.bus.load().calls, 3);
    drop(started);

    let task = tokio::spawn({
        let client = client.clone();
        async move { client.call::<Value>(&ctxt(), "hang", ()).await }
    });
    service.next().await;
    assert_eq!(service.bus.load().calls, 1);
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(service.bus.load().calls, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_in_time() {
    let service = Service::start("client-timeout", &["a"], silent).await;
    let client = service.client();
    let begun = Instant::now();
    let error = client.call::<Value>(&ctxt(), "hang", ()).await.unwrap_err();
    assert_eq!(error.to_string(), "call `hang` on calculator: no reply within 60s");
    assert_eq!(begun.elapsed().as_secs(), 60);

    let begun = Instant::now();
    let monitored = client.prepare().call_monitor_timeout(Duration::from_secs(4));
    let error = monitored.call::<Value>(&ctxt(), "hang", ()).await.unwrap_err();
    assert!(matches!(error, CallError::Transport { error: TransportError::ServerSilent { .. }, .. }), "{error:?}");
    assert_eq!(begun.elapsed().as_secs(), 4);
    assert_eq!(service.bus.load().calls, 0);
}

#[tokio::test]
async fn a_request_without_listeners_is_undeliverable() {
    let bus = MemoryBus::named("client-nobody");
    let client = RPCClient::new(Arc::new(bus.connect(None, Settings::default())), Target::topic("nobody"));
    let error = client.call::<Value>(&ctxt(), "add", ()).await.unwrap_err();
    assert!(matches!(error, CallError::Transport { error: TransportError::Undeliverable { .. }, .. }), "{error:?}");
    assert!(!error.may_have_run() && error.is_retryable());
    assert_eq!(error.to_string(), "call `add` on nobody: nobody listens on nobody (exchange `openstack`)");

    client.cast(&ctxt(), "add", ()).await.expect("a cast is dropped in silence");
    let error = client.prepare().mandatory(true).cast(&ctxt(), "add", ()).await.unwrap_err();
    assert!(matches!(error, CallError::Transport { error: TransportError::Undeliverable { .. }, .. }), "{error:?}");
    assert_eq!(bus.load().calls, 0);
}

#[tokio::test]
async fn a_remote_failure_and_a_close() {
    let service = Service::start("client-fail", &["a"], fail).await;
    let client = service.client();
    let error = client.call::<Value>(&ctxt(), "add", ()).await.unwrap_err();
    assert_eq!(error.to_string(), "call `add` on calculator: ValueError_Remote: bad");

    let transport: Arc<dyn Transport> = Arc::new(service.bus.connect(None, Settings::default()));
    let client = RPCClient::new(transport.clone(), Target::topic("calculator"));
    transport.close().await;
    let error = client.cast(&ctxt(), "add", ()).await.unwrap_err();
    assert_eq!(error.to_string(), "cast `add` on calculator: the transport is closed");
}

#[tokio::test]
async fn a_message_above_the_limit_is_refused() {
    let service = Service::start("client-large", &["a"], echo).await;
    let mut settings = Settings::default();
    settings.max_message_size = 1000;
    let client = RPCClient::new(Arc::new(service.bus.connect(None, settings)), Target::topic("calculator"));
    let error = client.call::<Value>(&ctxt(), "echo", json!({"text": "x".repeat(1000)})).await.unwrap_err();
    assert!(
        matches!(error, CallError::Transport { error: TransportError::TooLarge { limit: 1000, .. }, .. }),
        "{error:?}"
    );
}
