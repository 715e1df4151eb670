//! Pausing, resetting, bounds, a second signal, liveness, limits: over `memory://`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use oxlo_driver_memory::{MemoryBus, MemoryDriver};
use oxlo_server::{
    AccessPolicy, AckPolicy, BuildError, Call, Endpoint, FromCall, HandlerError, Method, RPCServer, RPCServerBuilder,
    Redelivered, StopReason,
};
use oxlo_transport::{
    CallOptions, Failure, ListenScope, Payload, Registry, Reply, Request, RequestQueue, SendOptions, Target, Transport,
    TransportError,
};
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, sleep, timeout},
};

const SECOND: Duration = Duration::from_secs(1);

async fn connect(bus: &str) -> Arc<dyn Transport> {
    Registry::new().with(MemoryDriver).transport(format!("memory://{bus}")).connect().await.unwrap()
}

fn on() -> Target {
    Target::topic("t")
}

async fn cast(transport: &Arc<dyn Transport>, to: &Target, method: &str) {
    let request = Request::new(method, Payload::empty_object());
    transport.cast(to, request, &SendOptions::new()).await.unwrap();
}

async fn call(transport: &Arc<dyn Transport>, method: &str) -> Result<Reply, TransportError> {
    let request = Request::new(method, Payload::empty_object());
    transport.call(&on(), request, &CallOptions::new().with_timeout(10 * SECOND)).await
}

/// Counts what it runs, one at a time for each permit of its gate.
#[derive(Clone)]
struct Work {
    begun: Arc<AtomicUsize>,
    changed: Arc<Notify>,
    gate: Arc<Semaphore>,
}

impl Work {
    fn new(permits: usize) -> Self {
        Self { begun: Arc::default(), changed: Arc::default(), gate: Arc::new(Semaphore::new(permits)) }
    }

    fn endpoint(&self) -> Endpoint {
        let work = self.clone();
        Endpoint::new("1.0").method("work", move || {
            let work = work.clone();
            async move {
                work.begun.fetch_add(1, Ordering::SeqCst);
                work.changed.notify_waiters();
                work.gate.acquire().await.unwrap().forget();
                Ok::<_, Failure>("done")
            }
        })
    }

    async fn has_begun(&self, count: usize) {
        let reached = async {
            loop {
                let changed = self.changed.notified();
                if self.begun.load(Ordering::SeqCst) >= count {
                    return;
                }
                let _ = timeout(SECOND, changed).await;
            }
        };
        timeout(60 * SECOND, reached).await.expect("it never began");
    }
}

fn server(transport: &Arc<dyn Transport>, endpoint: Endpoint) -> RPCServerBuilder {
    RPCServer::builder(transport.clone(), on().server("s")).endpoint(endpoint)
}

#[tokio::test(start_paused = true)]
async fn it_ends_after_as_many_requests_as_it_may_take_and_the_rest_goes_back() {
    let (bus, work) = (MemoryBus::named("max"), Work::new(100));
    let transport = connect("max").await;
    // So that the queue is there.
    let listener = transport.listen(&on().server("s"), &oxlo_transport::ListenOptions::new()).await.unwrap();
    listener.close().await;
    for _ in 0..5 {
        cast(&transport, &on(), "work").await;
    }
    let report = server(&transport, work.endpoint()).max_requests(3).serve().await.unwrap();
    assert_eq!((report.reason, report.taken, report.handled), (StopReason::MaxRequests, 3, 3));
    assert_eq!((bus.load().waiting, bus.load().unsettled), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn it_ends_at_its_deadline_and_finishes_what_runs() {
    let work = Work::new(0);
    let transport = connect("until").await;
    let deadline = Instant::now() + 5 * SECOND;
    let running = server(&transport, work.endpoint()).until(deadline).max_requests(9).start().await.unwrap();
    let calling = tokio::spawn({
        let transport = transport.clone();
        async move { call(&transport, "work").await }
    });
    work.has_begun(1).await;
    sleep(6 * SECOND).await;
    work.gate.add_permits(1);
    let report = running.wait().await.unwrap();
    assert_eq!((report.reason, report.taken, report.handled), (StopReason::Deadline, 1, 1));
    assert!(matches!(calling.await.unwrap(), Ok(Reply::Result(_))));
}

#[tokio::test(start_paused = true)]
async fn a_paused_server_takes_nothing_finishes_what_runs_and_goes_on() {
    let (bus, work) = (MemoryBus::named("pause"), Work::new(0));
    let transport = connect("pause").await;
    let running = server(&transport, work.endpoint()).concurrency(1).start().await.unwrap();
    let mut ready = running.ready();
    for _ in 0..3 {
        cast(&transport, &on(), "work").await;
    }
    work.has_begun(1).await;
    running.pause().await;
    assert!(!*ready.borrow_and_update());
    assert_eq!(bus.load().waiting, 2, "what did not begin went back");
    work.gate.add_permits(10);
    sleep(10 * SECOND).await;
    assert_eq!(work.begun.load(Ordering::SeqCst), 1);
    running.pause().await;
    running.resume().await.unwrap();
    assert!(running.is_ready());
    work.has_begun(3).await;
    running.reset().await.unwrap();
    assert!(matches!(call(&transport, "work").await, Ok(Reply::Result(_))));
    running.stop();
    assert_eq!(running.wait().await.unwrap().handled, 4);
    assert_eq!(running.resume().await.unwrap_err().to_string(), TransportError::Closed.to_string());
}

#[tokio::test(start_paused = true)]
async fn a_reset_loses_nothing_that_runs() {
    let (bus, work) = (MemoryBus::named("reset"), Work::new(0));
    let transport = connect("reset").await;
    let running =
        server(&transport, work.endpoint()).ack_policy(AckPolicy::AfterReply).concurrency(1).start().await.unwrap();
    for _ in 0..4 {
        cast(&transport, &on(), "work").await;
    }
    work.has_begun(1).await;
    running.reset().await.unwrap();
    work.gate.add_permits(4);
    work.has_begun(4).await;
    running.stop();
    let report = running.wait().await.unwrap();
    assert_eq!((report.handled, work.begun.load(Ordering::SeqCst)), (4, 4));
    assert_eq!((bus.load().waiting, bus.load().unsettled), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_ends_at_once() {
    let work = Work::new(0);
    let transport = connect("force").await;
    cast(&transport, &on(), "nobody").await;
    let (first, second) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let serving = tokio::spawn({
        let (transport, work, first, second) = (transport.clone(), work.clone(), first.clone(), second.clone());
        let server = server(&transport, work.endpoint()).grace(3600 * SECOND).build().unwrap();
        async move { server.serve_until_forced(first.notified(), second.notified()).await }
    });
    let calling = tokio::spawn({
        let transport = transport.clone();
        async move {
            sleep(SECOND).await;
            call(&transport, "work").await
        }
    });
    work.has_begun(1).await;
    let begun = Instant::now();
    first.notify_one();
    sleep(SECOND).await;
    assert!(!serving.is_finished(), "the first one waits for what runs");
    second.notify_one();
    let report = serving.await.unwrap().unwrap();
    assert!(begun.elapsed() < 2 * SECOND);
    assert_eq!((report.reason, report.abandoned.len()), (StopReason::Stopped, 1));
    let Ok(Reply::Failure(failure)) = calling.await.unwrap() else { panic!("no failure") };
    assert!(failure.message.contains("was abandoned"), "{}", failure.message);
}

#[tokio::test(start_paused = true)]
async fn a_server_pings_itself_through_the_broker_and_knows_when_it_is_ready() {
    let bus = MemoryBus::named("ping");
    let transport = Registry::new().with(MemoryDriver).transport("memory://ping?name=s").connect().await.unwrap();
    let running = server(&transport, Work::new(0).endpoint()).start().await.unwrap();
    running.ping(SECOND).await.unwrap();
    let mut ready = running.ready();
    assert!(*ready.borrow_and_update());
    bus.faults().disconnect("s", "a test");
    timeout(SECOND, ready.wait_for(|ready| !ready)).await.unwrap().unwrap();
    assert!(matches!(running.ping(SECOND).await, Err(TransportError::Unreachable { .. })));
    bus.faults().reconnect("s");
    timeout(SECOND, ready.wait_for(|ready| *ready)).await.unwrap().unwrap();
    running.ping(SECOND).await.unwrap();
    running.pause().await;
    assert!(matches!(running.ping(SECOND).await, Err(TransportError::TimedOut { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_server_can_take_from_an_extra_queue_only() {
    let transport = connect("extra").await;
    let queue = RequestQueue::new("t", "gpu");
    transport.declare_queue(&queue).await.unwrap();
    cast(&transport, &queue.target(), "work").await;
    cast(&transport, &queue.target(), "work").await;
    let scope = ListenScope::Queue(queue.clone());
    let running = server(&transport, Work::new(9).endpoint()).scope(scope).max_requests(2).start().await.unwrap();
    running.ping(SECOND).await.unwrap_err();
    assert_eq!(running.wait().await.unwrap().handled, 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_back_too_often_is_given_up() {
    let (bus, transport) = (MemoryBus::named("limit"), connect("limit").await);
    let endpoint =
        Endpoint::new("1.0").method("refuse", async |Redelivered(_): Redelivered| Err::<(), _>(HandlerError::Requeue));
    let running =
        server(&transport, endpoint).ack_policy(AckPolicy::AfterReply).redelivery_limit(3).start().await.unwrap();
    let Ok(Reply::Failure(failure)) = call(&transport, "refuse").await else { panic!("no failure") };
    assert_eq!(failure.message, "refuse() was given up: its request was redelivered 4 times");
    running.stop();
    let report = running.wait().await.unwrap();
    assert_eq!((report.requeued, report.failed), (4, 1));
    assert_eq!((bus.load().waiting, bus.load().unsettled), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn dynamic_methods_and_expected_failures() {
    struct HowOften(u32);
    impl FromCall for HowOften {
        fn from_call(call: &Call) -> Result<Self, HandlerError> {
            Ok(Self(call.redeliveries))
        }
    }
    let transport = connect("dynamic").await;
    let endpoint = Endpoint::new("1.0")
        .expects("KeyError")
        .method("find", async || Err::<(), _>(Failure::builtin("KeyError", "none")))
        .dynamic(AccessPolicy::Public, async |Method(name): Method, HowOften(count): HowOften| {
            Ok::<_, Failure>(format!("{name} {count}"))
        });
    let _running = server(&transport, endpoint).start().await.unwrap();
    let Ok(Reply::Result(result)) = call(&transport, "anything").await else { panic!("no result") };
    assert_eq!(result.decode::<String>().unwrap(), "anything 0");
    for (method, class) in [("_private", "NoSuchMethod"), ("find", "KeyError")] {
        let Ok(Reply::Failure(failure)) = call(&transport, method).await else { panic!("no failure") };
        assert_eq!(failure.class, class);
    }
}

#[tokio::test]
async fn what_contradicts_itself_is_refused() {
    let transport = connect("refused").await;
    let refused = |builder: RPCServerBuilder| match builder.build() {
        Err(BuildError::Option { option, .. }) => option,
        other => panic!("{other:?}"),
    };
    let work = Work::new(0);
    assert_eq!(refused(server(&transport, work.endpoint()).max_requests(0)), "max_requests");
    assert_eq!(refused(server(&transport, work.endpoint()).redelivery_limit(2)), "redelivery_limit");
}
