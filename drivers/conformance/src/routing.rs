//! Which listeners receive a message, and what happens without one.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use oxlo_transport::{CallOptions, SendOptions, Target, TransportError};
use tokio::time::{sleep, timeout};

use super::{
    Harness,
    fixture::{
        Server, TIMEOUT, call_options, connect, listen, nothing_comes, number_of, request, result, take, topic,
        value_of,
    },
};

/// How soon a missing listener must be reported, with a much longer timeout.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A cast arrives once and has no replier.
pub async fn a_cast_runs_once_and_is_not_answered(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut listener = listen(&to.clone().server("server"), &*transport).await;
    transport.cast(&to, request(1), &SendOptions::new()).await.unwrap();
    let got = take(&mut listener).await;
    assert_eq!(number_of(&got.message), 1);
    assert!(got.replier.is_none(), "a cast has no replier");
    assert!(!got.redelivered, "this is the first delivery");
    got.settle.ack();
    nothing_comes(&mut listener).await;
}

/// A fanout reaches every server of the topic once, including several on one transport.
pub async fn fanout_reaches_every_server(harness: &dyn Harness) {
    let (one, two, to) = (connect(harness).await, connect(harness).await, topic());
    let mut servers = [
        Server::named(&*one, &to, "first").await,
        Server::named(&*one, &to, "second").await,
        Server::named(&*two, &to, "third").await,
    ];
    for number in 0..3 {
        one.cast(&to.clone().fanout(true), request(number), &SendOptions::new()).await.unwrap();
    }
    for server in &mut servers {
        server.saw(3).await;
    }
    tokio::time::sleep(super::fixture::QUIET_PERIOD).await;
    for server in &servers {
        let numbers: Vec<usize> = server.seen.borrow().iter().map(number_of).collect();
        assert_eq!(numbers, [0, 1, 2]);
    }
}

/// A target with fanout and a server addresses every server, as in oslo.
pub async fn fanout_wins_over_server(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut first = Server::named(&*transport, &to, "first").await;
    let mut second = Server::named(&*transport, &to, "second").await;
    let everyone = to.server("first").fanout(true);
    transport.cast(&everyone, request(1), &SendOptions::new()).await.unwrap();
    first.saw(1).await;
    second.saw(1).await;
}

/// A fanout without servers is not an error, not even with mandatory delivery.
pub async fn fanout_to_nobody_is_no_error(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic().fanout(true));
    transport.cast(&to, request(1), &SendOptions::new()).await.unwrap();
    transport.cast(&to, request(1), &SendOptions::new().with_mandatory(true)).await.unwrap();
}

/// A call and a cast to one server of a topic reach that server and no other.
pub async fn a_server_is_reached_by_its_name(harness: &dyn Harness) {
    let (one, two, to) = (connect(harness).await, connect(harness).await, topic());
    let first = Server::named(&*one, &to, "first").await;
    let mut second = Server::named(&*two, &to, "second").await;
    let third = Server::named(&*two, &to, "third").await;
    let only = to.server("second");
    for number in 0..10 {
        assert_eq!(value_of::<String>(one.call(&only, request(number), &call_options()).await), "second");
    }
    one.cast(&only, request(10), &SendOptions::new()).await.unwrap();
    second.saw(11).await;
    assert_eq!((first.count(), second.count(), third.count()), (0, 11, 0));
}

/// Each of three servers receives some of the calls to the topic.
pub async fn a_topic_is_served_in_turn(harness: &dyn Harness) {
    let (one, two, to) = (connect(harness).await, connect(harness).await, topic());
    let _servers = [
        Server::named(&*one, &to, "first").await,
        Server::named(&*two, &to, "second").await,
        Server::named(&*connect(harness).await, &to, "third").await,
    ];
    let mut answered = BTreeMap::new();
    for number in 0..30 {
        let who: String = value_of(one.call(&to, request(number), &call_options()).await);
        *answered.entry(who).or_insert(0) += 1;
    }
    assert_eq!(answered.len(), 3, "{answered:?}");
    assert!(answered.values().all(|count| *count >= 5), "{answered:?}");
}

/// Several servers of one topic on one transport share its requests, as servers on different transports do.
pub async fn servers_on_one_transport_share_a_topic(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let first = Server::named(&*transport, &to, "first").await;
    let second = Server::named(&*transport, &to, "second").await;
    for number in 0..20 {
        let _: String = value_of(transport.call(&to, request(number), &call_options()).await);
    }
    assert_eq!(first.count() + second.count(), 20);
    assert!(first.count() >= 5 && second.count() >= 5, "{} and {}", first.count(), second.count());
}

/// A call to a topic or a server that never had a listener fails at once, and the error has its address.
pub async fn a_call_to_nobody_fails_at_once(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    if !transport.capabilities().detects_undeliverable {
        return;
    }
    let _server = Server::named(&*transport, &to, "present").await;
    for nowhere in [topic(), to.server("absent")] {
        let begun = Instant::now();
        let ended = transport.call(&nowhere, request(1), &call_options()).await;
        let name = nowhere.topic.as_deref().unwrap();
        assert!(
            matches!(&ended, Err(TransportError::Undeliverable { routing_key, .. }) if routing_key.contains(name)),
            "{ended:?}"
        );
        assert!(begun.elapsed() < AT_ONCE, "took {:?}", begun.elapsed());
    }
    // Without mandatory delivery, the call times out.
    let relaxed = CallOptions::new().with_timeout(Duration::from_millis(200)).with_mandatory(false);
    let ended = transport.call(&topic(), request(1), &relaxed).await;
    assert!(matches!(ended, Err(TransportError::TimedOut { .. })), "{ended:?}");
}

/// A mandatory cast without a listener fails at once.
pub async fn a_mandatory_cast_to_nobody_fails_at_once(harness: &dyn Harness) {
    let transport = connect(harness).await;
    if !transport.capabilities().detects_undeliverable {
        return;
    }
    let begun = Instant::now();
    let ended = transport.cast(&topic(), request(1), &SendOptions::new().with_mandatory(true)).await;
    assert!(matches!(ended, Err(TransportError::Undeliverable { .. })), "{ended:?}");
    assert!(begun.elapsed() < AT_ONCE, "took {:?}", begun.elapsed());
}

/// A cast without mandatory delivery succeeds without a listener, as in oslo.
pub async fn a_cast_to_nobody_is_no_error(harness: &dyn Harness) {
    let transport = connect(harness).await;
    transport.cast(&topic(), request(1), &SendOptions::new()).await.unwrap();
}

/// The queue of a topic outlives its servers: requests sent in between wait for the next server.
pub async fn messages_wait_for_the_next_server(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let on = to.clone().server("server");
    listen(&on, &*transport).await.close().await;
    let options = SendOptions::new().with_mandatory(true);
    transport.cast(&to, request(1), &options).await.unwrap();
    let call = transport.start(&on, request(2), &call_options()).await.unwrap();
    let mut listener = listen(&on, &*transport).await;
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let got = take(&mut listener).await;
        numbers.push(number_of(&got.message));
        got.settle.ack();
        if let Some(replier) = got.replier {
            replier.reply(result("back")).await.unwrap();
        }
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);
    assert_eq!(value_of::<String>(call.await), "back");
}

/// The exchange of a target is used instead of the control exchange; in another exchange there is no listener.
pub async fn a_named_exchange_is_used(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let exchange = format!("{}-exchange", to.topic.as_deref().unwrap());
    let there = to.clone().exchange(exchange);
    let _server = Server::named(&*transport, &there, "server").await;
    assert_eq!(value_of::<String>(transport.call(&there, request(1), &call_options()).await), "server");
    if transport.capabilities().detects_undeliverable {
        let ended = transport.call(&to, request(1), &call_options()).await;
        assert!(matches!(ended, Err(TransportError::Undeliverable { .. })), "{ended:?}");
    }
}

/// With `isolates_exchanges`, one topic in two exchanges is two topics, for calls and for fanout.
pub async fn exchanges_are_kept_apart_where_promised(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    if !transport.capabilities().isolates_exchanges {
        return;
    }
    let (here, there) = (to.clone().exchange("here"), to.exchange("there"));
    let mut near = Server::named(&*transport, &here, "near").await;
    let far = Server::named(&*transport, &there, "far").await;
    for number in 0..10 {
        assert_eq!(value_of::<String>(transport.call(&here, request(number), &call_options()).await), "near");
    }
    transport.cast(&here.fanout(true), request(10), &SendOptions::new()).await.unwrap();
    near.saw(11).await;
    tokio::time::sleep(super::fixture::QUIET_PERIOD).await;
    assert_eq!(far.count(), 0);
}

/// Without `isolates_exchanges`, servers of one topic in two exchanges share its requests, and a fanout reaches both.
pub async fn exchanges_share_a_topic_where_they_are_not_kept_apart(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    if transport.capabilities().isolates_exchanges {
        return;
    }
    let (here, there) = (to.clone().exchange("here"), to.exchange("there"));
    let mut near = Server::named(&*transport, &here, "near").await;
    let mut far = Server::named(&*transport, &there, "far").await;
    let mut answers = std::collections::BTreeSet::new();
    for number in 0..10 {
        answers.insert(value_of::<String>(transport.call(&here, request(number), &call_options()).await));
    }
    assert_eq!(answers.into_iter().collect::<Vec<_>>(), ["far", "near"]);
    let (before, beyond) = (near.count(), far.count());
    transport.cast(&here.fanout(true), request(10), &SendOptions::new()).await.unwrap();
    near.saw(before + 1).await;
    far.saw(beyond + 1).await;
}

/// `listeners` counts the listeners of a topic and of a server: zero where there was none, and zero after they closed,
/// although the queue may still exist. A driver that cannot count returns `Unsupported`.
pub async fn listeners_are_counted(harness: &dyn Harness) {
    let (transport, other, to) = (connect(harness).await, connect(harness).await, topic());
    let node = to.clone().server("node-1");
    let count = async |on: &Target| transport.listeners(on, TIMEOUT).await;
    if !transport.capabilities().counts_listeners {
        assert!(matches!(count(&to).await, Err(TransportError::Unsupported { .. })));
        return;
    }
    assert_eq!((count(&to).await.unwrap(), count(&node).await.unwrap()), (0, 0));
    let one = listen(&node, &*other).await;
    let two = listen(&to.clone().server("node-2"), &*other).await;
    // A broker may count a consumer shortly after confirming it.
    let becomes = async |on: &Target, wanted: u32| {
        let counted = async {
            while count(on).await.unwrap() != wanted {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(TIMEOUT, counted).await.unwrap_or_else(|_| panic!("{on} never had {wanted} listeners"));
    };
    becomes(&to, 2).await;
    becomes(&node, 1).await;
    one.close().await;
    becomes(&to, 1).await;
    becomes(&node, 0).await;
    two.close().await;
    becomes(&to, 0).await;
    let refused = transport.listeners(&to.clone().fanout(true), TIMEOUT).await;
    assert!(matches!(refused, Err(TransportError::InvalidTarget { .. })), "{refused:?}");
    let nowhere = transport.listeners(&Target::new(), TIMEOUT).await;
    assert!(matches!(nowhere, Err(TransportError::InvalidTarget { .. })), "{nowhere:?}");
}
