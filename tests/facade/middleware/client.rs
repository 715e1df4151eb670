//! Layers of a client.

use std::{
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use oxlo::{
    Args, CallError, Context, Endpoint, Failure, MethodError, RPCClient, RPCServer, State, Target, TransportError,
    client::{BoxError, CallRequest},
    transport::Reply,
};
use tower::{
    ServiceBuilder,
    filter::FilterLayer,
    limit::ConcurrencyLimitLayer,
    load_shed::LoadShedLayer,
    retry::{Policy, RetryLayer},
    timeout::TimeoutLayer,
    util::MapRequestLayer,
};

use super::{Work, WorkClient, WorkEndpoint, builder, bus, client, endless};

/// Retries errors that are retryable.
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
    assert!(matches!(error, CallError::Transport { error: TransportError::TimedOut { .. }, .. }), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_may_have_run_is_not_forgotten() {
    let transport = bus("forgotten").await;
    let _server = builder(&transport).endpoint(endless()).start().await.unwrap();
    // The second attempt is undeliverable, which alone would mean that nothing ran.
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
    assert!(matches!(error, CallError::Transport { error: TransportError::Undeliverable { .. }, .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_a_layer_and_load_shedding_say_what_they_are() {
    let transport = bus("own").await;
    let _server = builder(&transport).endpoint(endless()).start().await.unwrap();
    let timed = client(&transport).layer(TimeoutLayer::new(Duration::from_secs(2)));
    let error = timed.call::<()>(&Context::new(), "endless", ()).await.unwrap_err();
    assert!(matches!(error, CallError::Middleware { sent: true, .. }), "{error:?}");
    assert!(error.may_have_run() && error.is_retryable() && !error.is_overloaded());

    let one = ServiceBuilder::new().layer(LoadShedLayer::new()).layer(ConcurrencyLimitLayer::new(1));
    let ctxt = Context::new();
    let shedding = client(&transport).timeout(Duration::from_secs(2)).layer(one);
    let (first, second) =
        tokio::join!(shedding.call::<()>(&ctxt, "endless", ()), shedding.call::<()>(&ctxt, "endless", ()),);
    assert!(matches!(first, Err(CallError::Transport { error: TransportError::TimedOut { .. }, .. })), "{first:?}");
    let error = second.unwrap_err();
    assert!(error.is_overloaded() && error.is_retryable() && !error.may_have_run(), "{error:?}");

    let held = client(&transport).timeout(Duration::from_secs(2)).layer(ConcurrencyLimitLayer::new(1));
    let (_, second) = tokio::join!(held.call::<()>(&ctxt, "endless", ()), held.call::<()>(&ctxt, "endless", ()),);
    let error = second.unwrap_err();
    assert!(error.is_overloaded() && error.is_retryable() && !error.may_have_run(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_contract_names_overload_and_timeout_as_errors_of_the_call() {
    let transport = bus("contract").await;
    let shed = ServiceBuilder::new().layer(LoadShedLayer::new()).layer(ConcurrencyLimitLayer::new(1));
    let _server = builder(&transport).endpoint(AnyEndpoint::new(Hangs)).layer(shed).start().await.unwrap();
    let any = AnyClient::over(client(&transport).timeout(Duration::from_secs(2)));
    let ctxt = Context::new();
    let (first, second) = tokio::join!(any.hang(&ctxt), any.hang(&ctxt));
    assert!(
        matches!(first, Err(MethodError::Call(CallError::Transport { error: TransportError::TimedOut { .. }, .. }))),
        "{first:?}"
    );
    let error = second.unwrap_err();
    assert!(matches!(error, MethodError::Call(_)), "{error:?}");
    assert!(error.is_overloaded() && error.is_retryable() && !error.may_have_run());
}

/// Accepts any failure.
#[oxlo::contract(version = "1.0")]
pub trait Any {
    async fn hang(&self, ctxt: &Context) -> Result<u32, Failure>;
}

struct Hangs;

impl Any for Hangs {
    async fn hang(&self, _ctxt: &Context) -> Result<u32, Failure> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_goes_under_a_buffer() {
    let transport = bus("client-rate").await;
    let endpoint = Endpoint::new("1.0").method("work", async || Ok::<_, Failure>(()));
    let _server = builder(&transport).endpoint(endpoint).start().await.unwrap();
    let limited = client(&transport).layer(ServiceBuilder::new().buffer(64).rate_limit(2, Duration::from_secs(1)));
    let begun = tokio::time::Instant::now();
    for _ in 0..6 {
        limited.call::<()>(&Context::new(), "work", ()).await.unwrap();
    }
    assert_eq!(begun.elapsed().as_secs(), 2, "two in each second");
}

#[tokio::test]
async fn a_route_holds_in_either_order_with_layers() {
    #[derive(serde::Deserialize)]
    struct Which {
        node: String,
    }
    let transport = bus("routed").await;
    let mut servers = Vec::new();
    for node in ["node-1", "node-2"] {
        let endpoint = Endpoint::new("1.0")
            .with_state(node)
            .method("who", async |State(node): State<&'static str>, _: Args<serde_json::Value>| {
                Ok::<_, Failure>(node.to_owned())
            });
        let target = Target::topic("routed").server(node);
        servers.push(RPCServer::builder(transport.clone(), target).endpoint(endpoint).start().await.unwrap());
    }
    let plain = RPCClient::new(transport, Target::topic("routed"));
    let layer = || MapRequestLayer::new(|call: CallRequest| call);
    let route = |which: Which| Some(which.node);
    let both = [
        ("layer, route", plain.prepare().layer(layer()).route_by("who", route)),
        ("route, layer", plain.prepare().route_by("who", route).layer(layer())),
    ];
    for (order, client) in both {
        for node in ["node-1", "node-2", "node-1", "node-1", "node-2", "node-2"] {
            let args = serde_json::json!({ "node": node });
            let called: String = client.call(&Context::new(), "who", &args).await.unwrap();
            let started: String = client.start(&Context::new(), "who", &args).await.unwrap().await.unwrap();
            assert_eq!((called.as_str(), started.as_str()), (node, node), "{order}");
        }
        let nowhere = client.cast(&Context::new(), "who", serde_json::json!({"node": "nobody"})).await.unwrap_err();
        assert!(
            matches!(nowhere, CallError::Transport { error: TransportError::Undeliverable { .. }, .. }),
            "{order}: {nowhere:?}"
        );
    }
}
