//! Additional request queues, listener scopes, and pausing; only for drivers with these capabilities.

use std::time::Duration;

use oxlo_transport::{
    ConnectionState, ListenOptions, ListenScope, Listener, Removal, Request, RequestQueue, SendOptions, Target,
    Transport, TransportError,
};
use tokio::time::Instant;

use super::{
    Harness,
    fixture::{call_options, connect, nothing_comes, number_of, request, result, take, topic, value_of},
};

fn queue(of: &Target, name: &str) -> RequestQueue {
    RequestQueue::new(of.topic.clone().unwrap(), name)
}

async fn listen(transport: &dyn Transport, on: &Target, scope: ListenScope) -> Box<dyn Listener<Request>> {
    transport.listen(on, &ListenOptions::new().with_scope(scope)).await.unwrap()
}

async fn cast(transport: &dyn Transport, to: &Target, number: usize) -> Result<(), TransportError> {
    transport.cast(to, request(number), &SendOptions::new().with_mandatory(true)).await
}

fn is_undeliverable(outcome: &Result<(), TransportError>) -> bool {
    matches!(outcome, Err(TransportError::Undeliverable { .. }))
}

/// Requests sent to a queue's key reach its listener, and are answered.
pub async fn a_request_queue_is_reached_by_its_key(harness: &dyn Harness) {
    let (transport, on) = (connect(harness).await, topic());
    if !transport.capabilities().request_queues {
        return;
    }
    let extra = queue(&on, "gpu").routing_key("fast");
    let mut listener = listen(&*transport, &on, ListenScope::Queue(extra.clone())).await;
    let started = transport.start(&extra.target(), request(1), &call_options()).await.unwrap();
    let got = take(&mut listener).await;
    got.settle.ack();
    got.replier.unwrap().reply(result(&number_of(&got.message))).await.unwrap();
    assert_eq!(value_of::<usize>(started.await), 1);
}

/// A request to a key that no queue has fails at once.
pub async fn an_unknown_key_is_undeliverable_at_once(harness: &dyn Harness) {
    let (transport, on) = (connect(harness).await, topic());
    if !transport.capabilities().request_queues {
        return;
    }
    transport.declare_queue(&queue(&on, "one")).await.unwrap();
    let began = Instant::now();
    assert!(is_undeliverable(&cast(&*transport, &queue(&on, "two").target(), 1).await));
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// Requests wait in a declared queue until there is a listener. Declaring it again changes nothing.
pub async fn requests_wait_in_a_declared_queue(harness: &dyn Harness) {
    let (transport, on) = (connect(harness).await, topic());
    if !transport.capabilities().request_queues {
        return;
    }
    let extra = queue(&on, "later");
    transport.declare_queue(&extra).await.unwrap();
    cast(&*transport, &extra.target(), 7).await.unwrap();
    transport.declare_queue(&extra).await.unwrap();
    let mut listener = listen(&*transport, &on, ListenScope::Queue(extra)).await;
    let got = take(&mut listener).await;
    assert_eq!(number_of(&got.message), 7);
    got.settle.ack();
}

/// Declarations and removals take effect in order, and at the latest when they return.
pub async fn a_removed_queue_is_gone_and_can_come_back(harness: &dyn Harness) {
    let (transport, on) = (connect(harness).await, topic());
    if !transport.capabilities().request_queues {
        return;
    }
    let extra = queue(&on, "moody");
    transport.remove_queue(&extra, Removal::IfEmpty).await.unwrap();
    for _ in 0..3 {
        transport.declare_queue(&extra).await.unwrap();
        cast(&*transport, &extra.target(), 1).await.unwrap();
        transport.remove_queue(&extra, Removal::Discard).await.unwrap();
        assert!(is_undeliverable(&cast(&*transport, &extra.target(), 2).await));
    }
    let (removed, declared) =
        tokio::join!(transport.remove_queue(&extra, Removal::IfEmpty), transport.declare_queue(&extra));
    removed.and(declared).unwrap();
    cast(&*transport, &extra.target(), 3).await.unwrap();
}

/// A queue with another listener is not removed, and the error names it.
pub async fn a_queue_that_is_listened_on_is_not_removed(harness: &dyn Harness) {
    let (one, two, on) = (connect(harness).await, connect(harness).await, topic());
    if !one.capabilities().request_queues {
        return;
    }
    let extra = queue(&on, "busy");
    let mut listener = listen(&*one, &on, ListenScope::Queue(extra.clone())).await;
    let refused = two.remove_queue(&extra, Removal::Discard).await.unwrap_err();
    assert!(matches!(refused, TransportError::Topology { .. }) && refused.to_string().contains("busy"), "{refused}");
    cast(&*two, &extra.target(), 4).await.unwrap();
    take(&mut listener).await.settle.ack();
    listener.close().await;
    two.remove_queue(&extra, Removal::IfEmpty).await.unwrap();
}

/// A queue with requests in it is removed only with [`Removal::Discard`].
pub async fn a_queue_that_holds_requests_is_removed_only_when_told_so(harness: &dyn Harness) {
    let (transport, on) = (connect(harness).await, topic());
    if !transport.capabilities().request_queues {
        return;
    }
    let extra = queue(&on, "full");
    transport.declare_queue(&extra).await.unwrap();
    cast(&*transport, &extra.target(), 1).await.unwrap();
    let refused = transport.remove_queue(&extra, Removal::IfEmpty).await.unwrap_err();
    assert!(matches!(refused, TransportError::Topology { .. }) && refused.to_string().contains("full"), "{refused}");
    transport.remove_queue(&extra, Removal::Discard).await.unwrap();
}

/// Declaring a queue that exists with another expiry is refused, and the error names it.
pub async fn a_queue_declared_otherwise_is_refused(harness: &dyn Harness) {
    let (transport, on) = (connect(harness).await, topic());
    if !transport.capabilities().request_queues {
        return;
    }
    let extra = queue(&on, "settled");
    transport.declare_queue(&extra).await.unwrap();
    let refused = transport.declare_queue(&extra.expires(Duration::from_secs(60))).await.unwrap_err();
    assert!(matches!(refused, TransportError::Topology { .. }) && refused.to_string().contains("settled"), "{refused}");
}

/// A queue with an expiry is deleted after that time without a listener, and kept while there is one.
pub async fn an_unused_queue_expires(harness: &dyn Harness) {
    let (transport, on) = (connect(harness).await, topic());
    if !transport.capabilities().request_queues {
        return;
    }
    let extra = queue(&on, "brief").expires(Duration::from_millis(200));
    let listener = listen(&*transport, &on, ListenScope::Queue(extra.clone())).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    cast(&*transport, &extra.target(), 1).await.unwrap();
    listener.close().await;
    while !is_undeliverable(&cast(&*transport, &extra.target(), 2).await) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A queue without topic, name or key, or with a zero expiry, is refused.
pub async fn unusable_queues_are_refused(harness: &dyn Harness) {
    let (transport, on) = (connect(harness).await, topic());
    if !transport.capabilities().request_queues {
        return;
    }
    let unusable = [
        RequestQueue::new("", "name"),
        queue(&on, ""),
        queue(&on, "name").routing_key(""),
        queue(&on, "name").expires(Duration::from_micros(1)),
    ];
    for queue in unusable {
        let refused = transport.declare_queue(&queue).await.unwrap_err();
        assert!(matches!(refused, TransportError::InvalidTarget { .. }), "{refused}");
    }
}

/// A listener on the topic takes no requests for a server or for all; a listener on a name takes no others.
pub async fn a_scope_takes_nothing_else(harness: &dyn Harness) {
    let (transport, on) = (connect(harness).await, topic());
    if !transport.capabilities().request_queues {
        return;
    }
    let server = on.clone().server("server");
    let mut everything = listen(&*transport, &server, ListenScope::Server).await;
    everything.stop().await;
    let mut by_topic = listen(&*transport, &on, ListenScope::Topic).await;
    let mut by_name = listen(&*transport, &server, ListenScope::Named).await;
    cast(&*transport, &server, 1).await.unwrap();
    cast(&*transport, &on, 2).await.unwrap();
    transport.cast(&on.clone().fanout(true), request(3), &SendOptions::new()).await.unwrap();
    for (listener, expected) in [(&mut by_name, 1), (&mut by_topic, 2)] {
        let got = take(listener).await;
        assert_eq!(number_of(&got.message), expected);
        got.settle.ack();
        nothing_comes(listener).await;
    }
}

/// While publishing is paused, nothing is sent and nothing is lost; receiving continues.
pub async fn paused_publishing_loses_nothing(harness: &dyn Harness) {
    let (one, two, on) = (connect(harness).await, connect(harness).await, topic());
    if !one.capabilities().request_queues {
        return;
    }
    let mut listener = listen(&*one, &on.clone().server("server"), ListenScope::Server).await;
    one.pause_publishing(true).unwrap();
    let mut state = one.state();
    state.wait_for(|state| matches!(state, ConnectionState::Blocked(_))).await.unwrap();

    let short = SendOptions::new().with_timeout(Duration::from_millis(100));
    let refused = one.cast(&on, request(0), &short).await.unwrap_err();
    assert!(matches!(refused, TransportError::Blocked { .. }), "{refused}");

    let started = two.start(&on, request(1), &call_options()).await.unwrap();
    let got = take(&mut listener).await;
    got.settle.ack();
    let answering = tokio::spawn(got.replier.unwrap().reply(result(&number_of(&got.message))));
    let (sender, to) = (one.clone(), on.clone());
    let waiting = tokio::spawn(async move { sender.cast(&to, request(2), &SendOptions::new()).await });
    nothing_comes(&mut listener).await;
    assert!(!answering.is_finished() && !waiting.is_finished());

    one.pause_publishing(false).unwrap();
    waiting.await.unwrap().unwrap();
    answering.await.unwrap().unwrap();
    assert_eq!(value_of::<usize>(started.await), 1);
    let got = take(&mut listener).await;
    assert_eq!(number_of(&got.message), 2);
    got.settle.ack();
}
