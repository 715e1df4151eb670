//! Operations that are refused before anything is sent, and closing a transport.

use std::time::Duration;

use oxlo_transport::{
    error::TransportError,
    message::{Priority, Request},
    options::{ListenOptions, SendOptions},
    settings::Settings,
    target::Target,
    transport::ConnectionState,
};
use tokio::time::timeout;

use super::{
    Harness,
    fixture::{
        Server, TIMEOUT, call_options, connect, listen, nothing_comes, notification, number_of, payload, request,
        result, take, topic, value_of,
    },
};

/// Invalid targets fail as `InvalidTarget`: a target without topic, a listener without server, a call with fanout.
pub async fn unusable_targets_are_refused(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let refused = |error: Option<TransportError>| {
        assert!(matches!(error, Some(TransportError::InvalidTarget { .. })), "{error:?}");
    };
    for nowhere in [Target::new(), Target::topic(""), Target::new().server("server")] {
        refused(transport.cast(&nowhere, request(1), &SendOptions::new()).await.err());
        refused(transport.call(&nowhere, request(1), &call_options()).await.err());
        refused(transport.notify(&nowhere, notification(1, Priority::Info), &SendOptions::new()).await.err());
        refused(transport.listen(&nowhere, &ListenOptions::new()).await.err());
        let on = [(nowhere, Priority::Info)];
        refused(transport.listen_for_notifications(&on, None, &ListenOptions::new()).await.err());
    }
    refused(transport.listen(&to, &ListenOptions::new()).await.err());
    refused(transport.listen(&to.clone().server(""), &ListenOptions::new()).await.err());
    refused(transport.listen_for_notifications(&[], None, &ListenOptions::new()).await.err());
    let _server = Server::named(&*transport, &to, "server").await;
    refused(transport.call(&to.fanout(true), request(1), &call_options()).await.err());
}

/// A message above `max_message_size` fails as `TooLarge`, and the transport remains usable.
pub async fn a_message_that_is_too_large_is_not_sent(harness: &dyn Harness) {
    let mut settings = Settings::default();
    settings.max_message_size = 10_000;
    let (transport, to) = (harness.connect(settings).await, topic());
    let mut listener = listen(&to.clone().server("server"), &*transport).await;
    let large = || Request::new("method", payload(&serde_json::json!({"text": "x".repeat(10_000)})));
    let refused = |error: Option<TransportError>| {
        assert!(matches!(error, Some(TransportError::TooLarge { size, limit: 10_000 }) if size > 10_000), "{error:?}");
    };
    refused(transport.cast(&to, large(), &SendOptions::new()).await.err());
    refused(transport.call(&to, large(), &call_options()).await.err());
    let mut large = notification(1, Priority::Info);
    large.payload = payload(&"x".repeat(10_000));
    refused(transport.notify(&to, large, &SendOptions::new()).await.err());
    transport.cast(&to, request(7), &SendOptions::new()).await.unwrap();
    let got = take(&mut listener).await;
    assert_eq!(number_of(&got.message), 7);
    got.settle.ack();
}

/// The state of a transport is connected, and closed after its close.
pub async fn the_state_is_connected_then_closed(harness: &dyn Harness) {
    let transport = connect(harness).await;
    let mut state = transport.state();
    assert_eq!(*state.borrow_and_update(), ConnectionState::Connected);
    transport.close().await;
    timeout(TIMEOUT, state.wait_for(|state| *state == ConnectionState::Closed)).await.unwrap().unwrap();
    assert_eq!(*transport.state().borrow(), ConnectionState::Closed);
}

/// Pending calls fail as `ClosedWaiting` at once when their transport is closed.
pub async fn closing_ends_pending_calls(harness: &dyn Harness) {
    let (one, two, to) = (connect(harness).await, connect(harness).await, topic());
    let mut listener = listen(&to.clone().server("server"), &*two).await;
    let calls = [
        one.start(&to, request(1), &call_options()).await.unwrap(),
        one.start(&to, request(2), &call_options()).await.unwrap(),
    ];
    let taken = [take(&mut listener).await, take(&mut listener).await];
    one.close().await;
    for call in calls {
        let ended = timeout(Duration::from_secs(2), call).await.expect("a call outlived its transport");
        assert!(matches!(ended, Err(TransportError::ClosedWaiting)), "{ended:?}");
    }
    for delivery in taken {
        delivery.settle.ack();
    }
}

/// After close, every method fails as `Closed`, and so does `recv` on the transport's listeners.
pub async fn after_close_everything_is_refused(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let on = to.clone().server("server");
    let mut listener = listen(&on, &*transport).await;
    transport.close().await;
    let refused = |error: Option<TransportError>| {
        assert!(matches!(error, Some(TransportError::Closed)), "{error:?}");
    };
    refused(timeout(TIMEOUT, listener.recv()).await.expect("recv hangs after close").err());
    assert!(!listener.is_subscribed());
    refused(transport.cast(&to, request(1), &SendOptions::new()).await.err());
    refused(transport.call(&to, request(1), &call_options()).await.err());
    refused(transport.notify(&to, notification(1, Priority::Info), &SendOptions::new()).await.err());
    refused(transport.listen(&on, &ListenOptions::new()).await.err());
    let on = [(to, Priority::Info)];
    refused(transport.listen_for_notifications(&on, None, &ListenOptions::new()).await.err());
}

/// A pending `recv` fails as `Closed` when its transport is closed.
pub async fn closing_ends_a_waiting_recv(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut listener = listen(&to.server("server"), &*transport).await;
    let waiting = tokio::spawn(async move { listener.recv().await.map(|delivery| delivery.redelivered) });
    tokio::task::yield_now().await;
    transport.close().await;
    let ended = timeout(TIMEOUT, waiting).await.expect("recv outlived its transport").unwrap();
    assert!(matches!(ended, Err(TransportError::Closed)), "{ended:?}");
}

/// Closing a transport again, or concurrently, does nothing and returns.
pub async fn closing_twice_is_harmless(harness: &dyn Harness) {
    let transport = connect(harness).await;
    tokio::join!(transport.close(), transport.close());
    timeout(TIMEOUT, transport.close()).await.expect("the third close hangs");
}

/// Unsettled messages of a closed transport are delivered to another one, marked as redelivered.
pub async fn closing_gives_back_what_was_not_settled(harness: &dyn Harness) {
    let (one, two, to) = (connect(harness).await, connect(harness).await, topic());
    if !one.capabilities().redelivers {
        return;
    }
    let mut first = listen(&to.clone().server("first"), &*one).await;
    two.cast(&to, request(1), &SendOptions::new()).await.unwrap();
    let unsettled = take(&mut first).await;
    one.close().await;
    let mut second = listen(&to.server("second"), &*two).await;
    let got = take(&mut second).await;
    assert_eq!((number_of(&got.message), got.redelivered), (1, true));
    got.settle.ack();
    // Settling now has no effect.
    unsettled.settle.requeue();
    nothing_comes(&mut second).await;
}

/// Transports on one broker are independent: one can close while another calls and serves.
pub async fn closing_one_transport_spares_the_others(harness: &dyn Harness) {
    let (one, two, to) = (connect(harness).await, connect(harness).await, topic());
    let mut listener = listen(&to.clone().server("server"), &*two).await;
    let call = two.start(&to, request(1), &call_options()).await.unwrap();
    let got = take(&mut listener).await;
    one.close().await;
    got.settle.ack();
    got.replier.expect("a call has a replier").reply(result("alive")).await.unwrap();
    assert_eq!(value_of::<String>(call.await), "alive");
}

/// After the runtime of a transport has shut down, operations that need it fail as `Closed` at once, and nothing waits for
/// it.
pub async fn a_transport_that_outlives_its_runtime_keeps_nobody_waiting(harness: &dyn Harness) {
    let to = topic();
    let on = to.clone().server("server");
    let transport = std::thread::scope(|scope| {
        let connecting = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let transport = runtime.block_on(async {
                let transport = connect(harness).await;
                // Both connections are in use.
                let listener = listen(&on, &*transport).await;
                transport.cast(&to, request(1), &SendOptions::new()).await.unwrap();
                listener.close().await;
                transport
            });
            drop(runtime);
            transport
        });
        connecting.join().unwrap()
    });
    let is_closed = |error: Option<TransportError>| match error {
        // Drivers that need no runtime continue to work.
        None | Some(TransportError::Closed | TransportError::Undeliverable { .. }) => {}
        Some(other) => panic!("{other:?}"),
    };
    let soon = Duration::from_secs(2);
    let (listen, send, call) = (ListenOptions::new(), SendOptions::new(), call_options());
    let listening = transport.listen(&on, &listen);
    is_closed(timeout(soon, listening).await.unwrap_or_else(at_once("listening")).err());
    let notified = [(to.clone(), Priority::Info)];
    let listening = transport.listen_for_notifications(&notified, None, &listen);
    is_closed(timeout(soon, listening).await.unwrap_or_else(at_once("listening for notifications")).err());
    let casting = transport.cast(&to, request(1), &send);
    is_closed(timeout(soon, casting).await.unwrap_or_else(at_once("casting")).err());
    let notifying = transport.notify(&to, notification(1, Priority::Info), &send);
    is_closed(timeout(soon, notifying).await.unwrap_or_else(at_once("notifying")).err());
    let absent = topic();
    let calling = transport.start(&absent, request(1), &call);
    is_closed(timeout(soon, calling).await.unwrap_or_else(at_once("calling")).err());
    timeout(TIMEOUT, transport.close()).await.unwrap_or_else(at_once("closing"));
    assert_eq!(*transport.state().borrow(), ConnectionState::Closed);
}

fn at_once<T>(what: &'static str) -> impl FnOnce(tokio::time::error::Elapsed) -> T {
    move |_| panic!("{what} waits for a runtime that has shut down")
}
