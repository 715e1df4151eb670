//! The whole way over `memory://`: calls and casts through a broker to one or many servers.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use oxlo_driver_memory::MemoryBus;
use oxlo_server::{AckPolicy, Endpoint, HandlerError, RPCServer, RPCServerBuilder, Redelivered, RunningServer, State};
use oxlo_transport::{
    CallOptions, Failure, Payload, Reply, Request, SendOptions, Settings, Target, Transport, TransportError,
};
use serde_json::json;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

fn connect(bus: &str) -> Arc<dyn Transport> {
    Arc::new(MemoryBus::named(bus).connect(None, Settings::default()))
}

fn request(method: &str) -> Request {
    Request::new(method, Payload::empty_object())
}

/// Where requests ran.
#[derive(Clone, Default)]
struct Ran(Arc<Mutex<BTreeMap<&'static str, usize>>>);

impl Ran {
    fn here(&self, server: &'static str) {
        *self.0.lock().unwrap().entry(server).or_default() += 1;
    }

    fn seen(&self) -> Vec<(&'static str, usize)> {
        self.0.lock().unwrap().iter().map(|(server, count)| (*server, *count)).collect()
    }

    fn endpoint(&self, server: &'static str) -> Endpoint {
        Endpoint::new("1.0")
            .with_state(self.clone())
            .with_state(server)
            .method("who", async |State(ran): State<Ran>, State(server): State<&'static str>| {
                ran.here(server);
                Ok::<_, Failure>(server)
            })
            .method("slowly", async |State(ran): State<Ran>, State(server): State<&'static str>| {
                sleep(3 * SECOND).await;
                ran.here(server);
                Ok::<_, Failure>(server)
            })
            .method("again", async |Redelivered(again): Redelivered| {
                if !again {
                    sleep(1000 * SECOND).await;
                }
                Ok::<_, Failure>(again)
            })
            .method("only_b", async |State(server): State<&'static str>| match server {
                "b" => Ok(server),
                _ => Err(HandlerError::Requeue),
            })
    }
}

fn server(transport: &Arc<dyn Transport>, topic: &str, ran: &Ran, name: &'static str) -> RPCServerBuilder {
    RPCServer::builder(transport.clone(), Target::topic(topic).server(name)).endpoint(ran.endpoint(name))
}

async fn call(client: &Arc<dyn Transport>, to: &Target, method: &str) -> Result<Reply, TransportError> {
    client.call(to, request(method), &CallOptions::new()).await
}

fn text(reply: Result<Reply, TransportError>) -> String {
    match reply.unwrap() {
        Reply::Result(payload) => payload.decode().unwrap(),
        Reply::Failure(failure) => panic!("failed: {failure}"),
    }
}

async fn stop(servers: impl IntoIterator<Item = RunningServer>) -> u64 {
    let mut handled = 0;
    for server in servers {
        server.stop();
        let report = server.wait().await.unwrap();
        assert_eq!(report.abandoned, []);
        handled += report.handled;
    }
    handled
}

#[tokio::test(start_paused = true)]
async fn many_servers_and_topics_share_a_transport() {
    let (client, shared) = (connect("many"), connect("many"));
    let ran = Ran::default();
    let mut servers = Vec::new();
    for name in ["a", "b", "c"] {
        servers.push(server(&shared, "letters", &ran, name).start().await.unwrap());
    }
    servers.push(server(&shared, "digits", &ran, "1").start().await.unwrap());
    assert!(servers.iter().all(RunningServer::is_ready));

    let letters = Target::topic("letters");
    join_all((0..9).map(|_| call(&client, &letters, "who"))).await.into_iter().for_each(|reply| drop(text(reply)));
    assert_eq!(ran.seen(), [("a", 3), ("b", 3), ("c", 3)]);
    assert_eq!(text(call(&client, &letters.clone().server("b"), "who").await), "b");
    assert_eq!(text(call(&client, &Target::topic("digits"), "who").await), "1");
    client.cast(&letters.clone().fanout(true), request("who"), &SendOptions::new()).await.unwrap();
    client.cast(&letters, request("who"), &SendOptions::new()).await.unwrap();
    let nobody = call(&client, &Target::topic("nobody"), "who").await;
    assert!(matches!(nobody, Err(TransportError::Undeliverable { .. })));
    sleep(SECOND).await;
    assert_eq!(stop(servers).await, 9 + 2 + 3 + 1);
    assert_eq!(ran.seen().iter().map(|(_, count)| count).sum::<usize>(), 15);
}

#[tokio::test(start_paused = true)]
async fn a_monitored_call_lives_as_long_as_its_server() {
    let client = connect("monitored");
    let shared = connect("monitored");
    let slow = Endpoint::new("1.0").method("slow", async || {
        sleep(30 * SECOND).await;
        Ok::<_, Failure>(())
    });
    let built = RPCServer::builder(shared, Target::topic("t").server("s")).endpoint(slow).build().unwrap();
    let options = CallOptions::new().with_monitor_timeout(Some(2 * SECOND));
    let to = Target::topic("t");
    let serving = tokio::spawn({
        let built = built.clone();
        async move { built.serve().await }
    });
    sleep(SECOND).await;
    let before = Instant::now();
    assert_eq!(client.call(&to, request("slow"), &options).await.unwrap(), Reply::Result(Payload::null()));
    assert_eq!(before.elapsed().as_secs(), 30);

    let call = client.start(&to, request("slow"), &options).await.unwrap();
    sleep(5 * SECOND).await;
    serving.abort();
    let before = Instant::now();
    assert!(matches!(call.await, Err(TransportError::ServerSilent { .. })));
    assert!(before.elapsed() <= 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn after_reply_the_requests_of_a_dead_server_run_elsewhere() {
    let (client, shared) = (connect("dead"), connect("dead"));
    let ran = Ran::default();
    let doomed = server(&shared, "t", &ran, "a").ack_policy(AckPolicy::AfterReply).build().unwrap();
    let doomed = tokio::spawn(async move { doomed.serve().await });
    sleep(SECOND).await;
    let call = client.start(&Target::topic("t"), request("again"), &CallOptions::new()).await.unwrap();
    sleep(SECOND).await;
    let heir = server(&shared, "t", &ran, "b").ack_policy(AckPolicy::AfterReply).start().await.unwrap();
    doomed.abort();
    assert_eq!(call.await.unwrap(), Reply::Result(Payload::encode(&true).unwrap()));
    assert_eq!(stop([heir]).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_goes_to_another_server() {
    let (client, shared) = (connect("refused"), connect("refused"));
    let ran = Ran::default();
    let mut servers = Vec::new();
    for name in ["a", "b"] {
        servers.push(server(&shared, "t", &ran, name).ack_policy(AckPolicy::AfterReply).start().await.unwrap());
    }
    for _ in 0..4 {
        assert_eq!(text(call(&client, &Target::topic("t"), "only_b").await), "b");
    }
    assert_eq!(stop(servers).await, 4);
}

#[tokio::test(start_paused = true)]
async fn a_rolling_restart_loses_no_call() {
    let (client, shared) = (connect("rolling"), connect("rolling"));
    let ran = Ran::default();
    let done = Arc::new(AtomicUsize::new(0));
    let first = server(&shared, "t", &ran, "a").concurrency(2).start().await.unwrap();
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let (client, done) = (client.clone(), done.clone());
            tokio::spawn(async move {
                let options = CallOptions::new().with_timeout(100 * SECOND);
                let reply = client.call(&Target::topic("t"), request("slowly"), &options).await;
                done.fetch_add(1, Ordering::SeqCst);
                text(reply)
            })
        })
        .collect();
    sleep(4 * SECOND).await;
    assert_eq!(done.load(Ordering::SeqCst), 2);
    first.stop();
    let second = server(&shared, "t", &ran, "b").concurrency(4).start().await.unwrap();
    let report = first.wait().await.unwrap();
    assert_eq!((report.handled, report.abandoned.len()), (4, 0));
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(ran.seen(), [("a", 4), ("b", 16)]);
    assert_eq!(stop([second]).await, 16);
}

#[tokio::test(start_paused = true)]
async fn closing_the_transport_ends_its_servers() {
    let shared = connect("closed");
    let ran = Ran::default();
    let running = server(&shared, "t", &ran, "a").start().await.unwrap();
    shared.close().await;
    assert_eq!(running.wait().await.unwrap().handled, 0);
    let refused = server(&shared, "t", &ran, "a").start().await.unwrap_err();
    assert_eq!(refused.to_string(), "listening on t.a failed: the transport is closed");
}

#[tokio::test(start_paused = true)]
async fn arguments_travel() {
    let (client, shared) = (connect("arguments"), connect("arguments"));
    let echo = Endpoint::new("1.0").method("echo", async |args: Payload| Ok::<_, Failure>(args.len()));
    let _running = RPCServer::builder(shared, Target::topic("t").server("s")).endpoint(echo).start().await.unwrap();
    let args = Payload::encode(&json!({"text": "x".repeat(1 << 20)})).unwrap();
    let size = args.len();
    let reply = client.call(&Target::topic("t"), Request::new("echo", args), &CallOptions::new()).await.unwrap();
    assert_eq!(reply, Reply::Result(Payload::encode(&size).unwrap()));
}
