//! Layers of a server.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use oxlo::{Call, CallError, Context, Endpoint, Extension, Failure, HandlerError, server::BoxError};
use serde_json::Value;
use tokio::sync::Semaphore;
use tower::{
    ServiceBuilder, buffer::BufferLayer, filter::FilterLayer, limit::ConcurrencyLimitLayer, load_shed::LoadShedLayer,
    timeout::TimeoutLayer, util::MapRequestLayer,
};

use super::{builder, bus, client, endless};

fn with_project(mut call: Call) -> Result<Call, BoxError> {
    match call.request.context.get_str("project_id").map(str::to_owned) {
        Some(project) => {
            call.extensions.insert(Project(project));
            Ok(call)
        }
        None => Err(Failure::builtin("PermissionError", "the context names no project_id").into()),
    }
}

#[derive(Clone)]
struct Project(String);

#[tokio::test]
async fn who_names_no_project_is_refused_and_handlers_know_who_does() {
    let transport = bus("auth").await;
    let endpoint =
        Endpoint::new("1.0").method("whose", async |Extension(Project(id)): Extension<Project>| Ok::<_, Failure>(id));
    let _server = builder(&transport).endpoint(endpoint).layer(FilterLayer::new(with_project)).start().await.unwrap();
    let client = client(&transport);
    let error = client.call::<String>(&Context::new(), "whose", ()).await.unwrap_err();
    assert_eq!(error.remote_failure().map(|it| it.class()), Some("PermissionError"), "{error}");
    let ctxt = Context::new().with("project_id", "p-1");
    assert_eq!(client.call::<String>(&ctxt, "whose", ()).await.unwrap(), "p-1");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_ends_a_method_and_its_caller_hears_of_it() {
    let transport = bus("timeout").await;
    let _server =
        builder(&transport).endpoint(endless()).layer(TimeoutLayer::new(Duration::from_secs(2))).start().await.unwrap();
    let error = client(&transport).call::<Value>(&Context::new(), "endless", ()).await.unwrap_err();
    let CallError::Remote { failure, .. } = &error else { panic!("{error:?}") };
    let wanted = ("TimedOut", "oxlo.exceptions", "endless() was given up: request timed out");
    assert_eq!((failure.class(), failure.module(), failure.message()), wanted);
    assert!(error.may_have_run() && error.is_retryable() && !error.is_overloaded());
    // A caller further up must not mistake it for a timeout of its own server.
    assert_eq!(error.to_failure().class, "RemoteError");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_while_a_request_waits_for_its_turn_says_that_it_did_not_run() {
    let transport = bus("turn").await;
    let layers = ServiceBuilder::new()
        .layer(TimeoutLayer::new(Duration::from_secs(2)))
        .layer(BufferLayer::new(8))
        .layer(ConcurrencyLimitLayer::new(1));
    let _server = builder(&transport).endpoint(endless()).layer(layers).start().await.unwrap();
    let client = client(&transport);
    let ctxt = Context::new();
    let (first, second) =
        tokio::join!(client.call::<Value>(&ctxt, "endless", ()), client.call::<Value>(&ctxt, "endless", ()),);
    let (first, second) = (first.unwrap_err(), second.unwrap_err());
    assert!(first.may_have_run() && !first.is_overloaded(), "{first}");
    assert!(!second.may_have_run() && second.is_overloaded() && second.is_retryable(), "{second}");
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_goes_under_a_buffer() {
    let transport = bus("rate").await;
    let endpoint = Endpoint::new("1.0").method("work", async || Ok::<_, Failure>(()));
    let layers = ServiceBuilder::new().buffer(64).rate_limit(2, Duration::from_secs(1));
    let _server = builder(&transport).endpoint(endpoint).layer(layers).start().await.unwrap();
    let client = client(&transport);
    let begun = tokio::time::Instant::now();
    for _ in 0..6 {
        client.call::<()>(&Context::new(), "work", ()).await.unwrap();
    }
    assert_eq!(begun.elapsed().as_secs(), 2, "two in each second");
}

#[tokio::test]
async fn what_is_too_much_is_shed_at_once() {
    let transport = bus("shed").await;
    let entered = Arc::new(Semaphore::new(0));
    let go = Arc::new(Semaphore::new(0));
    let (signal, gate) = (entered.clone(), go.clone());
    let endpoint = Endpoint::new("1.0").method("work", move || {
        let (signal, gate) = (signal.clone(), gate.clone());
        async move {
            signal.add_permits(1);
            gate.acquire().await.expect("open").forget();
            Ok::<_, Failure>("done")
        }
    });
    // From the outside in: requests above the limit are shed.
    let layers = ServiceBuilder::new().layer(LoadShedLayer::new()).layer(ConcurrencyLimitLayer::new(1));
    let _server = builder(&transport).endpoint(endpoint).layer(layers).start().await.unwrap();
    let client = client(&transport);
    let first = client.start::<String>(&Context::new(), "work", ()).await.unwrap();
    entered.acquire().await.unwrap().forget();
    let error = client.call::<String>(&Context::new(), "work", ()).await.unwrap_err();
    let CallError::Remote { failure, .. } = &error else { panic!("{error:?}") };
    let wanted = ("Overloaded", "oxlo.exceptions", "work() did not run: service overloaded");
    assert_eq!((failure.class(), failure.module(), failure.message()), wanted);
    assert!(error.is_overloaded() && error.is_retryable() && !error.may_have_run());
    assert_eq!(error.to_failure().class, "RemoteError");
    let passed_on: Failure = error.into();
    assert!(!passed_on.is_overloaded(), "this server's own method may well have run");
    go.add_permits(1);
    assert_eq!(first.await.unwrap(), "done");
    go.add_permits(1);
    assert_eq!(client.call::<String>(&Context::new(), "work", ()).await.unwrap(), "done");
}

#[tokio::test]
async fn the_last_added_sees_a_request_first() {
    let transport = bus("order").await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = |name: &'static str| {
        let seen = seen.clone();
        MapRequestLayer::new(move |call: Call| {
            seen.lock().unwrap().push(name);
            call
        })
    };
    let endpoint = Endpoint::new("1.0").method("work", async || Ok::<_, Failure>(()));
    let _server =
        builder(&transport).endpoint(endpoint).layer(note("inner")).layer(note("outer")).start().await.unwrap();
    client(&transport).call::<()>(&Context::new(), "work", ()).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), ["outer", "inner"]);
    // Nothing to run, nothing to wrap.
    let error = client(&transport).call::<()>(&Context::new(), "nosuch", ()).await.unwrap_err();
    assert!(error.is_no_such_method());
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn words_about_the_request_pass_layers_unchanged() {
    let transport = bus("ignore").await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let endpoint = Endpoint::new("1.0").method("ignored", move || {
        count.fetch_add(1, Ordering::Relaxed);
        async { Err::<(), _>(HandlerError::Ignore) }
    });
    let server =
        builder(&transport).endpoint(endpoint).layer(TimeoutLayer::new(Duration::from_secs(60))).start().await.unwrap();
    let client = client(&transport).timeout(Duration::from_millis(200));
    let error = client.call::<()>(&Context::new(), "ignored", ()).await.unwrap_err();
    assert!(
        matches!(error, oxlo::CallError::Transport { error: oxlo::TransportError::TimedOut { .. }, .. }),
        "{error}"
    );
    server.stop();
    assert_eq!(server.wait().await.unwrap().ignored, 1);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}
