//! `retry`: how often connecting and publishing are tried, and that 0 comes back quickly.

use std::time::{Duration, Instant};

use oxlo::{CallError, ConnectionState, Context, Retry, TransportError};
use oxlo_test_support::{FaultProxy, Hangup, Mode, TestVhost};

use super::{client, connect};

#[tokio::test]
async fn retry_0_comes_back_quickly_and_the_next_send_works() {
    let vhost = TestVhost::new().await;
    let proxy = FaultProxy::start(vhost.port()).await;
    let transport = connect(&proxy.url(&vhost.url())).await;
    let (client, ctxt) = (client(&transport), Context::new());
    client.cast(&ctxt, "note", ()).await.unwrap();

    proxy.set(Mode::Refuse).await;
    proxy.hang_up(Hangup::Reset);
    let mut state = transport.state();
    state.wait_for(|state| matches!(state, ConnectionState::Disconnected(_))).await.unwrap();
    let begun = Instant::now();
    let cast = client.prepare().retry(Retry::Times(0)).cast(&ctxt, "note", ()).await.unwrap_err();
    assert!(
        matches!(cast, CallError::Transport { error: TransportError::Unreachable { .. }, .. }) && !cast.may_have_run(),
        "{cast:?}"
    );
    let call = client.prepare().retry(Retry::Times(0)).call::<()>(&ctxt, "note", ()).await.unwrap_err();
    assert!(!call.may_have_run(), "{call:?}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());

    let waiting = client.cast(&ctxt, "note", ());
    let (sent, ()) = tokio::join!(waiting, proxy.set(Mode::Pass));
    sent.expect("without a limit it is tried until the broker is back");
    // In oslo with kombu 5.7 the send after a retry of 0 gives up after 5 s.
    client.prepare().retry(Retry::Times(0)).cast(&ctxt, "note", ()).await.unwrap();
}

#[tokio::test]
async fn a_cast_that_must_be_delivered_says_at_once_that_nobody_listens() {
    let vhost = TestVhost::new().await;
    let client = client(&connect(&vhost.url()).await);
    let begun = Instant::now();
    let refused = client.prepare().mandatory(true).retry(Retry::Times(0)).cast(&Context::new(), "note", ()).await;
    assert!(
        matches!(refused, Err(CallError::Transport { error: TransportError::Undeliverable { .. }, .. })),
        "{refused:?}"
    );
    client.cast(&Context::new(), "note", ()).await.expect("unless it must, it is dropped");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn the_first_connection_is_tried_as_often_as_it_is_told() {
    let vhost = TestVhost::new().await;
    let proxy = FaultProxy::start(vhost.port()).await;
    proxy.set(Mode::Refuse).await;
    let begun = Instant::now();
    let refused = oxlo::connect(proxy.url(&vhost.url())).await.unwrap_err();
    assert!(matches!(refused, TransportError::Unreachable { .. }), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    let patient = oxlo::builder(proxy.url(&vhost.url())).connect_retry(Retry::Forever).connect();
    let (connected, ()) = tokio::join!(patient, proxy.set(Mode::Pass));
    connected.unwrap();
}
