//! Operations on a transport while its broker is unavailable.

use std::{error::Error, time::Duration};

use oxlo::{
    Payload, Target, TransportError,
    transport::{CallOptions, ListenOptions, Request, SendOptions},
};
use oxlo_test_support::{FaultProxy, Hangup, Mode, eventually};
use tokio::time::timeout;

use crate::{SECOND, SOON};

fn request() -> Request {
    Request::new("echo", Payload::empty_object())
}

async fn cut(proxy: &FaultProxy) {
    proxy.set(Mode::Refuse).await;
    proxy.hang_up(Hangup::Reset);
}

/// Row 53: a listener that is stopped while its connection is lost takes nothing after the reconnect, so that messages for
/// other listeners are not delivered to it and requeued again and again.
pub async fn a_stop_is_remembered(url: &str, port: u16) {
    const CASTS: usize = 20;
    let proxy = FaultProxy::start(port).await;
    let transport = oxlo::connect(proxy.url(url)).await.unwrap();
    let topic = Target::topic("stopping");
    let mut stopped = transport.listen(&topic.clone().server("one"), &ListenOptions::new()).await.unwrap();
    let witness = Target::topic("witness").server("one");
    let witness = transport.listen(&witness, &ListenOptions::new()).await.unwrap();
    cut(&proxy).await;
    let subscribed = async || (stopped.is_subscribed(), witness.is_subscribed());
    eventually(SOON, "both listeners notice", subscribed, |both| *both == (false, false)).await;
    timeout(SECOND, stopped.stop()).await.expect("to stop needs no broker");
    proxy.set(Mode::Pass).await;
    eventually(SOON, "the other listener is back", async || witness.is_subscribed(), |is| *is).await;
    assert!(!stopped.is_subscribed());

    let other = oxlo::connect(url).await.unwrap();
    for _ in 0..CASTS {
        other.cast(&topic, request(), &SendOptions::new()).await.unwrap();
    }
    let mut listener = other.listen(&topic.server("two"), &ListenOptions::new()).await.unwrap();
    for _ in 0..CASTS {
        let taken = timeout(SOON, listener.recv()).await.expect("a cast arrives").unwrap();
        assert!(!taken.redelivered, "it was delivered to the listener that was stopped");
        taken.settle.ack();
    }
    timeout(5 * SECOND, stopped.close()).await.expect("the stopped listener closes");
    witness.close().await;
    listener.close().await;
    transport.close().await;
    other.close().await;
}

/// Row 55: every operation that fails for lack of a connection reports why there is none.
pub async fn the_cause_is_kept(url: &str, port: u16) {
    let proxy = FaultProxy::start(port).await;
    let builder = oxlo::builder(proxy.url(url)).response_timeout(2 * SECOND);
    let transport = builder.connect().await.unwrap();
    // The reply queue exists before the fault on one transport, and not on the other.
    let fresh = oxlo::builder(proxy.url(url)).response_timeout(2 * SECOND).connect().await.unwrap();
    let to = Target::topic("nobody");
    let short = CallOptions::new().with_timeout(2 * SECOND);
    transport.call(&to, request(), &short.clone().with_timeout(SECOND / 2)).await.unwrap_err();
    cut(&proxy).await;
    eventually(SOON, "it is down", async || transport.state().borrow().to_string(), |s| s.starts_with("disconn")).await;
    eventually(SOON, "it is down", async || fresh.state().borrow().to_string(), |s| s.starts_with("disconn")).await;
    let send = SendOptions::new().with_timeout(2 * SECOND);
    for transport in [&transport, &fresh] {
        told("a call", transport.call(&to, request(), &short).await.map(drop));
        told("a started call", transport.start(&to, request(), &short).await.map(drop));
        told("a cast", transport.cast(&to, request(), &send).await);
        told("a listener", transport.listen(&to.clone().server("one"), &ListenOptions::new()).await.map(drop));
    }
    transport.close().await;
    fresh.close().await;
}

fn told(what: &str, ended: Result<(), TransportError>) {
    let error = ended.expect_err(what);
    assert!(matches!(error, TransportError::Unreachable { .. }), "{what}: {error:?}");
    let cause = error.source().unwrap_or_else(|| panic!("{what}: no cause: {error}")).to_string();
    assert!(cause.contains("cannot connect to 127.0.0.1:"), "{what}: {cause}");
}

/// Row 56: while only the consuming connection is down, the state says so, and casts succeed. `cut_consuming` ends that
/// connection at the broker.
pub async fn the_state_names_the_connection(url: &str, port: u16, cut_consuming: impl AsyncFnOnce()) {
    let proxy = FaultProxy::start(port).await;
    let transport = oxlo::connect(proxy.url(url)).await.unwrap();
    let on = Target::topic("state").server("one");
    let mut listener = transport.listen(&on, &ListenOptions::new()).await.unwrap();
    assert_eq!(transport.state().borrow().to_string(), "connected");
    // Open connections stay open, and new ones are refused.
    proxy.set(Mode::Refuse).await;
    cut_consuming().await;
    let down = |text: &String| text.starts_with("disconnected: the consuming connection: ");
    eventually(SOON, "the state says so", async || transport.state().borrow().to_string(), down).await;
    transport.cast(&on, request(), &SendOptions::new().with_timeout(5 * SECOND)).await.unwrap();
    proxy.set(Mode::Pass).await;
    eventually(SOON, "it is back", async || transport.state().borrow().to_string(), |s| s == "connected").await;
    let taken = timeout(SOON, listener.recv()).await.expect("the cast arrives").unwrap();
    taken.settle.ack();
    listener.close().await;
    transport.close().await;
}

/// Row 52: a connection limit is reached. An error at once by default, retried if configured; `lift` ends it.
pub async fn a_limit_of_connections(url: &str, port: u16, said: &str, lift: impl AsyncFnOnce()) {
    let error = oxlo::connect(url).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("refused the connection: too many connections are open") && text.contains(said), "{text}");
    assert!(error.is_retryable() && !error.may_have_run());
    let proxy = FaultProxy::start(port).await;
    let waiting = oxlo::builder(proxy.url(url)).connect_retry(oxlo::Retry::Forever);
    let waiting = tokio::spawn(async move { waiting.connect().await });
    eventually(SOON, "it is tried on", async || proxy.connections(), |count| *count >= 3).await;
    assert!(!waiting.is_finished());
    lift().await;
    let transport = timeout(SOON, waiting).await.expect("it connects").unwrap().unwrap();
    transport.cast(&Target::topic("t"), request(), &SendOptions::new()).await.unwrap();
    transport.close().await;
}

/// Limit for a wait that the broker's limit must not extend: connecting, five seconds, and the machine's lag.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
