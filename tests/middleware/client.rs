//! Layers of a client.

use std::{
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use oxlo::{CallError, CallRequest, Context, Endpoint, Failure, client::BoxError, transport::Reply};
use tower::{
    filter::FilterLayer,
    retry::{Policy, RetryLayer},
    timeout::TimeoutLayer,
    util::MapRequestLayer,
};

use crate::{Work, WorkClient, WorkEndpoint, builder, bus, client, endless};

/// Repeats what says that it may be repeated.
#[derive(Clone)]
struct Idempotent {
    left: u32,
}

impl Policy<CallRequest, Reply, BoxError> for Idempotent {
    type Future = Ready<()>;

    fn retry(&mut self, request: &mut CallRequest, result: &mut Result<Reply, BoxError>) -> Option<Ready<()>> {
        let again = result.is_err() && request.idempotent && self.left > 0;
        again.then(|| {
            self.left -= 1;
            ready(())
        })
    }

    fn clone_request(&mut self, request: &CallRequest) -> Option<CallRequest> {
        Some(request.clone())
    }
}

/// Never answers the first two requests of each method.
#[derive(Default)]
struct Slow {
    asked: AtomicU32,
}

impl Slow {
    async fn answer(&self) -> u32 {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        if asked <= 2 { std::future::pending().await } else { asked }
    }
}

impl Work for Arc<Slow> {
    async fn idempotent(&self, _ctxt: &Context) -> u32 {
        self.answer().await
    }

    async fn once(&self, _ctxt: &Context) -> u32 {
        self.answer().await
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_idempotent_is_repeated_and_what_is_not_is_not() {
    let transport = bus("retry").await;
    let slow = Arc::new(Slow::default());
    let _server = builder(&transport).endpoint(WorkEndpoint::new(slow.clone())).start().await.unwrap();
    // The timeout is that of one attempt: it lies within the retry, and the client's own covers all of them.
    let rpc = client(&transport)
        .timeout(Duration::from_secs(30))
        .layer(TimeoutLayer::new(Duration::from_secs(2)))
        .layer(RetryLayer::new(Idempotent { left: 3 }));
    let work = WorkClient::over(rpc);
    assert_eq!(work.idempotent(&Context::new()).await.unwrap(), 3);

    slow.asked.store(0, Ordering::Relaxed);
    let error = work.once(&Context::new()).await.unwrap_err();
    assert!(matches!(error, CallError::Middleware { sent: true, .. }), "{error:?}");
    assert!(error.may_have_run());
    assert_eq!(slow.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn the_clients_timeout_covers_its_layers() {
    let transport = bus("covers").await;
    let _server = builder(&transport).endpoint(endless()).start().await.unwrap();
    let rpc = client(&transport).timeout(Duration::from_secs(5)).layer(RetryLayer::new(Idempotent { left: 1000 }));
    let began = tokio::time::Instant::now();
    let error = rpc.idempotent(true).call::<()>(&Context::new(), "endless", ()).await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut { .. }), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_may_have_run_is_not_forgotten() {
    let transport = bus("forgotten").await;
    let _server = builder(&transport).endpoint(endless()).start().await.unwrap();
    // The second attempt goes where nobody listens, which alone would say that nothing ran.
    let attempts = Arc::new(AtomicU32::new(0));
    let elsewhere = MapRequestLayer::new(move |mut call: CallRequest| {
        if attempts.fetch_add(1, Ordering::Relaxed) > 0 {
            call.target.topic = Some("nobody".into());
        }
        call
    });
    let rpc = client(&transport)
        .idempotent(true)
        .layer(TimeoutLayer::new(Duration::from_secs(1)))
        .layer(elsewhere)
        .layer(RetryLayer::new(Idempotent { left: 1 }));
    let error = rpc.call::<()>(&Context::new(), "endless", ()).await.unwrap_err();
    assert!(matches!(error, CallError::Middleware { sent: true, .. }), "{error:?}");
    assert!(error.may_have_run());
}

#[tokio::test]
async fn a_refusing_layer_sends_nothing() {
    let transport = bus("refuse").await;
    let refuse = |_: CallRequest| Err::<CallRequest, BoxError>("not today".into());
    let rpc = client(&transport).layer(FilterLayer::new(refuse));
    let error = rpc.call::<()>(&Context::new(), "work", ()).await.unwrap_err();
    assert!(matches!(error, CallError::Middleware { sent: false, .. }), "{error:?}");
    assert!(!error.may_have_run());
    assert_eq!(error.to_string(), "call `work` on work: a layer refused it; nothing was sent");
    let error = rpc.cast(&Context::new(), "work", ()).await.unwrap_err();
    assert!(!error.may_have_run());
    let error = rpc.start::<()>(&Context::new(), "work", ()).await.unwrap_err();
    assert!(!error.may_have_run());
}

#[tokio::test]
async fn a_layer_sees_calls_casts_and_started_calls() {
    let transport = bus("sees").await;
    let endpoint = Endpoint::new("1.0").method("token", async |ctxt: Context| {
        Ok::<_, Failure>(ctxt.get_str("auth_token").unwrap_or("none").to_owned())
    });
    let _server = builder(&transport).endpoint(endpoint).start().await.unwrap();
    let seen = Arc::new(AtomicU32::new(0));
    let count = seen.clone();
    let rpc = client(&transport).layer(MapRequestLayer::new(move |mut call: CallRequest| {
        count.fetch_add(1, Ordering::Relaxed);
        call.request.context.insert("auth_token", "secret");
        call
    }));
    assert_eq!(rpc.call::<String>(&Context::new(), "token", ()).await.unwrap(), "secret");
    let pending = rpc.start::<String>(&Context::new(), "token", ()).await.unwrap();
    assert_eq!(pending.message_id().len(), 32);
    assert_eq!(pending.await.unwrap(), "secret");
    rpc.cast(&Context::new(), "token", ()).await.unwrap();
    assert_eq!(seen.load(Ordering::Relaxed), 3);
    // Failures of methods and errors of calls keep their kind.
    let error = rpc.call::<()>(&Context::new(), "nosuch", ()).await.unwrap_err();
    assert!(error.is_no_such_method());
    let error = rpc.prepare().topic("nobody").call::<()>(&Context::new(), "token", ()).await.unwrap_err();
    assert!(matches!(error, CallError::Undeliverable { .. }), "{error:?}");
}
