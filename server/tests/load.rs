//! Bounds and clocks: concurrency, prefetch, deadlines, heartbeats, slow replies.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod fake;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use fake::{Fake, Script, target};
use oxlo_server::{BuildError, Endpoint, RPCServer, ServeError, State};
use oxlo_transport::{Failure, Target, TransportError};
use serde_json::json;
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, sleep},
};

const SECOND: Duration = Duration::from_secs(1);

/// How many handlers run now, the most there were, and the gate that lets them end.
#[derive(Clone)]
struct Gate {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    entered: Arc<Notify>,
    open: Arc<Semaphore>,
}

impl Gate {
    fn new() -> Self {
        Self { now: Arc::default(), most: Arc::default(), entered: Arc::default(), open: Arc::new(Semaphore::new(0)) }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::new("1.0").with_state(self.clone()).method("wait", async |State(gate): State<Gate>| {
            let now = gate.now.fetch_add(1, Ordering::SeqCst) + 1;
            gate.most.fetch_max(now, Ordering::SeqCst);
            gate.entered.notify_one();
            gate.open.acquire().await.unwrap().forget();
            gate.now.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, Failure>(())
        })
    }

    async fn until_running(&self, count: usize) {
        while self.now.load(Ordering::SeqCst) < count {
            self.entered.notified().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_run_than_the_concurrency_and_no_more_are_taken() {
    let (fake, gate) = (Fake::new(), Gate::new());
    let server =
        RPCServer::builder(fake.clone(), target()).endpoint(gate.endpoint()).concurrency(3).start().await.unwrap();
    let calls: Vec<_> = (0..10).map(|_| fake.request("wait", json!({})).send()).collect();
    gate.until_running(3).await;
    // Time only moves on when every task waits, so whatever could have been taken has been.
    sleep(SECOND).await;
    assert_eq!(*fake.taken.lock().unwrap(), 3);
    for _ in 0..10 {
        gate.open.add_permits(1);
        sleep(SECOND).await;
        assert!(gate.now.load(Ordering::SeqCst) <= 3);
    }
    for call in &calls {
        call.reply().await;
    }
    assert_eq!(gate.most.load(Ordering::SeqCst), 3);
    server.stop();
    assert_eq!(server.wait().await.unwrap().handled, 10);
}

#[tokio::test(start_paused = true)]
async fn a_task_is_kept_for_the_next_request_and_let_go_when_there_is_none() {
    let (fake, gate) = (Fake::new(), Gate::new());
    let endpoint = gate.endpoint().method("which", async || Ok::<_, Failure>(tokio::task::id().to_string()));
    let server = RPCServer::builder(fake.clone(), target()).endpoint(endpoint).concurrency(1000).start().await.unwrap();
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    sleep(SECOND).await;
    let before = alive();

    let mut tasks = HashSet::new();
    for _ in 0..10 {
        tasks.insert(fake.request("which", json!({})).send().result::<String>().await);
    }
    // The next one may come when the task has answered and is not done yet.
    assert!(tasks.len() <= 2, "{tasks:?}");

    let calls: Vec<_> = (0..300).map(|_| fake.request("wait", json!({})).send()).collect();
    gate.until_running(300).await;
    assert_eq!(alive(), before + 300);
    gate.open.add_permits(300);
    for call in &calls {
        call.reply().await;
    }
    // The look for whether it is still subscribed comes at least every half second.
    sleep(SECOND).await;
    assert!(alive() <= before + 256, "{} more", alive() - before);
    sleep(10 * SECOND).await;
    assert_eq!(alive(), before);

    assert!(!tasks.contains(&fake.request("which", json!({})).send().result::<String>().await));
    server.stop();
    assert_eq!(server.wait().await.unwrap().handled, 311);
}

#[tokio::test]
async fn prefetch_follows_the_concurrency() {
    let fake = Fake::new();
    for (concurrency, expected) in [(1, 2), (10, 20), (50_000, u16::MAX)] {
        let builder = RPCServer::builder(fake.clone(), target()).ping(true).concurrency(concurrency);
        let _server = builder.start().await.unwrap();
        assert_eq!(*fake.prefetch.lock().unwrap(), Some(expected));
    }
    let _server = RPCServer::builder(fake.clone(), target()).ping(true).prefetch(7).start().await.unwrap();
    assert_eq!(*fake.prefetch.lock().unwrap(), Some(7));
}

#[tokio::test(start_paused = true)]
async fn requests_past_their_deadline_do_not_run() {
    let (fake, gate) = (Fake::new(), Gate::new());
    let server =
        RPCServer::builder(fake.clone(), target()).endpoint(gate.endpoint()).concurrency(1).start().await.unwrap();
    let first = fake.request("wait", json!({})).deadline(Instant::now() + 100 * SECOND).send();
    gate.until_running(1).await;
    let late = fake.request("wait", json!({})).deadline(Instant::now() + 5 * SECOND).send();
    let patient = fake.request("wait", json!({})).deadline(Instant::now() + 50 * SECOND).send();
    sleep(10 * SECOND).await;
    assert_eq!(late.story().settled, None, "it waits for a place");
    gate.open.add_permits(2);
    first.reply().await;
    patient.reply().await;
    let story = late.until("released", |story| story.released).await;
    assert_eq!((story.order, story.reply), (vec!["ack"], None));
    server.stop();
    let report = server.wait().await.unwrap();
    assert_eq!((report.handled, report.dropped_expired), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn slow_replies_hold_no_place_but_are_bounded() {
    let fake = Fake::new();
    let endpoint = Endpoint::new("1.0").method("quick", async || Ok::<_, Failure>(()));
    let server = RPCServer::builder(fake.clone(), target()).endpoint(endpoint).concurrency(2).start().await.unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let script = Script { gate: Some(gate.clone()), ..Script::default() };
    let calls: Vec<_> = (0..30).map(|_| fake.request("quick", json!({})).script(script.clone()).send()).collect();
    sleep(SECOND).await;
    let sending = calls.iter().filter(|call| call.story().order.contains(&"sending")).count();
    assert_eq!(sending, 8, "four times the concurrency");
    assert_eq!(*fake.taken.lock().unwrap(), 10, "those and the two whose handlers wait to reply");
    gate.add_permits(30);
    for call in &calls {
        call.reply().await;
    }
    server.stop();
    assert_eq!(server.wait().await.unwrap().handled, 30);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_go_on_while_the_handler_runs_and_end_with_it() {
    let (fake, gate) = (Fake::new(), Gate::new());
    let _server = RPCServer::builder(fake.clone(), target()).endpoint(gate.endpoint()).start().await.unwrap();
    let call = fake.request("wait", json!({})).monitor(2 * SECOND).send();
    let silent = fake.request("wait", json!({})).send();
    gate.until_running(2).await;
    sleep(Duration::from_millis(1900)).await;
    assert_eq!(call.story().heartbeats, 0, "the first comes after one interval");
    sleep(Duration::from_millis(5200)).await;
    assert_eq!(call.story().heartbeats, 3);
    gate.open.add_permits(2);
    call.reply().await;
    silent.reply().await;
    sleep(20 * SECOND).await;
    let story = call.story();
    assert_eq!(story.order, ["ack", "heartbeat", "heartbeat", "heartbeat", "reply"]);
    assert_eq!(silent.story().heartbeats, 0);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_end_when_the_handler_panics_or_is_not_there() {
    let fake = Fake::new();
    let endpoint = Endpoint::new("1.0").method("boom", async || -> Result<(), Failure> {
        sleep(5 * SECOND).await;
        panic!("boom")
    });
    let _server = RPCServer::builder(fake.clone(), target()).endpoint(endpoint).start().await.unwrap();
    let boom = fake.request("boom", json!({})).monitor(2 * SECOND).send();
    let nosuch = fake.request("nosuch", json!({})).monitor(2 * SECOND).send();
    let unsupported = fake.request("boom", json!({})).version("2.0").monitor(2 * SECOND).send();
    for call in [&boom, &nosuch, &unsupported] {
        call.failure().await;
    }
    sleep(60 * SECOND).await;
    assert_eq!(boom.story().heartbeats, 2);
    assert_eq!((nosuch.story().heartbeats, unsupported.story().heartbeats), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_fails_ends_heartbeats_only() {
    let (fake, gate) = (Fake::new(), Gate::new());
    let _server = RPCServer::builder(fake.clone(), target()).endpoint(gate.endpoint()).start().await.unwrap();
    let script = Script { heartbeat_error: Some(TransportError::Closed), ..Script::default() };
    let call = fake.request("wait", json!({})).monitor(SECOND).script(script).send();
    sleep(10 * SECOND).await;
    assert_eq!(call.story().heartbeats, 1);
    gate.open.add_permits(1);
    call.reply().await;
}

#[tokio::test]
async fn heartbeats_do_not_depend_on_a_handler_that_never_yields() {
    let fake = Fake::new();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Arc::new(std::sync::Mutex::new(held));
    let endpoint = Endpoint::new("1.0").method("stubborn", move || {
        let held = held.clone();
        async move {
            held.lock().unwrap().recv().unwrap();
            Ok::<_, Failure>(())
        }
    });
    // The test's own thread cannot run the server: the handler would block it.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let builder = RPCServer::builder(fake.clone(), target()).endpoint(endpoint);
    let server = runtime.spawn(builder.start()).await.unwrap().unwrap();
    let call = fake.request("stubborn", json!({})).monitor(Duration::from_millis(5)).send();
    call.until("beating", |story| story.heartbeats >= 3).await;
    release.send(()).unwrap();
    call.reply().await;
    drop(server);
    runtime.shutdown_background();
}

#[tokio::test]
async fn a_name_is_taken_for_as_long_as_its_server_serves() {
    let fake = Fake::new();
    let server = |target: Target| RPCServer::builder(fake.clone(), target).ping(true);
    let first = server(target()).start().await.unwrap();
    let second = server(target()).start().await.unwrap_err();
    assert!(matches!(&second, ServeError::Build(BuildError::NameTaken { .. })), "{second}");
    assert!(second.to_string().starts_with("another server of this process serves topic.server: "), "{second}");
    // What stops takes nothing more, so that its successor need not wait until it has drained.
    first.stop();
    let successor = server(target()).start().await.unwrap();
    first.wait().await.unwrap();
    assert!(server(target()).start().await.is_err(), "the end of the first frees only its own");
    successor.stop();
    successor.wait().await.unwrap();
    drop(server(target()).start().await.unwrap());
    drop(server(target()).start().await.unwrap());
}

#[tokio::test]
async fn what_cannot_be_built_or_subscribed_says_so() {
    let fake = Fake::new();
    let nameless = RPCServer::builder(fake.clone(), Target::topic("t")).ping(true).build().unwrap_err();
    assert!(matches!(nameless, BuildError::Target(TransportError::InvalidTarget { .. })));
    let topicless = RPCServer::builder(fake.clone(), Target::new().server("s")).ping(true).build().unwrap_err();
    assert!(matches!(topicless, BuildError::Target(TransportError::InvalidTarget { .. })));
    assert!(matches!(RPCServer::builder(fake.clone(), target()).build(), Err(BuildError::NoEndpoint)));
    for bad in [
        RPCServer::builder(fake.clone(), target()).ping(true).concurrency(0),
        RPCServer::builder(fake.clone(), target()).ping(true).prefetch(0),
    ] {
        assert!(matches!(bad.build(), Err(BuildError::Option { .. })));
    }
    let everywhere = RPCServer::builder(fake.clone(), target().fanout(true)).ping(true).build().unwrap_err();
    assert!(everywhere.to_string().contains("is a fanout target, which is for clients"), "{everywhere}");
    let unbuilt = RPCServer::builder(fake.clone(), target()).endpoint(Endpoint::new("one")).serve().await;
    assert!(matches!(unbuilt, Err(ServeError::Build(BuildError::Version { .. }))));
    fake.refuse.store(true, Ordering::Release);
    let refused = RPCServer::builder(fake.clone(), target()).ping(true).start().await.unwrap_err();
    assert!(matches!(&refused, ServeError::Listen { .. }));
    assert!(refused.to_string().starts_with("listening on topic.server failed: "), "{refused}");
    assert_eq!(format!("{refused:?}"), refused.to_string());
}
