//! Settlement of messages: acknowledged, requeued, rejected, or dropped unsettled.

use std::{collections::VecDeque, time::Duration};

use oxlo_transport::{
    Deferral, Delivery, ListenOptions, Listener, Request, SendOptions, Settings, Settle, Settlement, Target, Transport,
    TransportError,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    Harness,
    fixture::{
        QUIET_PERIOD, TIMEOUT, call_options, connect, listen, nothing_comes, number_of, payload, request, result, take,
        topic, value_of,
    },
};

async fn cast(transport: &dyn Transport, to: &Target, numbers: std::ops::Range<usize>) {
    for number in numbers {
        transport.cast(to, request(number), &SendOptions::new()).await.unwrap();
    }
}

fn number(delivery: &Delivery<Request>) -> usize {
    number_of(&delivery.message)
}

/// A requeued message is delivered to another listener, marked as redelivered.
pub async fn a_requeued_message_goes_to_another_listener(harness: &dyn Harness) {
    let (one, two, to) = (connect(harness).await, connect(harness).await, topic());
    if !one.capabilities().requeues_to_anyone {
        return;
    }
    let mut unwilling = listen(&to.clone().server("unwilling"), &*one).await;
    let mut willing = listen(&to.clone().server("willing"), &*two).await;
    cast(&*one, &to, 0..4).await;
    let mut done = Vec::new();
    let everything = async {
        while done.len() < 4 {
            tokio::select! {
                got = unwilling.recv() => got.unwrap().settle.requeue(),
                got = willing.recv() => {
                    let got = got.unwrap();
                    done.push((number(&got), got.redelivered));
                    got.settle.ack();
                }
            }
        }
    };
    timeout(TIMEOUT, everything).await.expect("the requeued messages did not reach the other listener");
    assert!(done.iter().any(|(_, redelivered)| *redelivered), "no message is marked as redelivered: {done:?}");
    let mut numbers: Vec<usize> = done.into_iter().map(|(number, _)| number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2, 3]);
}

/// A message requeued to the same listener any number of times is not dropped as a duplicate.
pub async fn a_requeued_message_is_no_duplicate(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut listener = listen(&to.clone().server("server"), &*transport).await;
    cast(&*transport, &to, 0..1).await;
    let first = take(&mut listener).await;
    assert!(!first.redelivered);
    first.settle.requeue();
    for _ in 0..3 {
        let again = take(&mut listener).await;
        assert_eq!((number(&again), again.redelivered), (0, true));
        again.settle.requeue();
    }
    take(&mut listener).await.settle.ack();
}

/// Redeliveries are counted, if requested.
pub async fn redeliveries_are_counted(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    if !transport.capabilities().counts_redeliveries {
        return;
    }
    let options = ListenOptions::new().with_count_redeliveries(true);
    let mut listener = transport.listen(&to.clone().server("server"), &options).await.unwrap();
    cast(&*transport, &to, 0..1).await;
    for count in 0..4 {
        let again = take(&mut listener).await;
        assert_eq!((number(&again), again.redelivered, again.redeliveries), (0, count > 0, count));
        again.settle.requeue();
    }
    take(&mut listener).await.settle.ack();
    nothing_comes(&mut listener).await;
}

async fn listen_deferrable(on: &Target, transport: &dyn Transport) -> Box<dyn Listener<Request>> {
    transport.listen(on, &ListenOptions::new().with_deferrable(true)).await.unwrap()
}

/// A deferred message is delivered after those behind it, with its count, and is not dropped as a duplicate.
pub async fn a_deferred_message_goes_behind_the_others(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let options = ListenOptions::new().with_deferrable(true).with_prefetch(1);
    let mut listener = transport.listen(&to.clone().server("server"), &options).await.unwrap();
    cast(&*transport, &to, 0..4).await;
    let mut came = Vec::new();
    for _ in 0..9 {
        let got = take(&mut listener).await;
        came.push((number(&got), got.redeliveries));
        assert_eq!(got.redelivered, got.redeliveries > 0);
        assert_eq!(got.not_before, None);
        if number(&got).is_multiple_of(2) && got.redeliveries < 3 {
            got.settle.defer(Duration::ZERO);
        } else {
            got.settle.ack();
        }
    }
    assert_eq!(came[0], (0, 0));
    let place = |wanted| came.iter().position(|it| *it == wanted).unwrap_or_else(|| panic!("{wanted:?} in {came:?}"));
    assert!(place((1, 0)) < place((0, 1)) && place((0, 1)) < place((0, 2)), "{came:?}");
    assert_eq!((came.iter().filter(|it| it.0 == 1).count(), came.iter().filter(|it| it.0 == 3).count()), (1, 1));
    take(&mut listener).await.settle.ack();
    nothing_comes(&mut listener).await;
    listener.close().await;
}

/// A deferred message tells every receiver when it is due, and its contents are unchanged.
pub async fn a_deferred_message_says_when_it_is_due(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut listener = listen_deferrable(&to.clone().server("server"), &*transport).await;
    cast(&*transport, &to, 0..1).await;
    take(&mut listener).await.settle.defer(Duration::from_secs(60));
    for _ in 0..2 {
        let early = take(&mut listener).await;
        let left = early.not_before.expect("the message has no due time").saturating_duration_since(Instant::now());
        assert!(left <= Duration::from_secs(61) && left > Duration::from_secs(30), "{left:?}");
        assert_eq!(early.redeliveries, 1);
        // Defers once more, which does not count.
        early.settle.settle(Settlement::Defer(Deferral { delay: left, counts: false }));
    }
    take(&mut listener).await.settle.ack();
    nothing_comes(&mut listener).await;
}

/// A deferred call can be answered, and its deadline is unchanged.
pub async fn a_deferred_call_can_be_answered(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut listener = listen_deferrable(&to.clone().server("server"), &*transport).await;
    let call = transport.start(&to, request(1), &call_options()).await.unwrap();
    for _ in 0..2 {
        let got = take(&mut listener).await;
        assert!(got.replier.is_some());
        got.settle.defer(Duration::ZERO);
    }
    let got = take(&mut listener).await;
    if transport.capabilities().expires_requests {
        let left = got.deadline.expect("a call has a deadline").saturating_duration_since(Instant::now());
        assert!(left <= TIMEOUT, "{left:?}");
    }
    got.replier.expect("a call has a replier").reply(result("at last")).await.unwrap();
    got.settle.ack();
    assert_eq!(value_of::<String>(call.await), "at last");
}

/// A rejected message is dropped: no other listener receives it, now or later.
pub async fn a_rejected_message_is_never_seen_again(harness: &dyn Harness) {
    is_never_seen_again(harness, Settlement::Reject).await;
}

/// An acknowledged message is done: no other listener receives it, now or later.
pub async fn an_acknowledged_message_is_never_seen_again(harness: &dyn Harness) {
    is_never_seen_again(harness, Settlement::Ack).await;
}

async fn is_never_seen_again(harness: &dyn Harness, settlement: Settlement) {
    let (one, two, to) = (connect(harness).await, connect(harness).await, topic());
    let mut first = listen(&to.clone().server("first"), &*one).await;
    cast(&*one, &to, 0..2).await;
    let (early, late) = (take(&mut first).await, take(&mut first).await);
    early.settle.settle(settlement);
    first.stop().await;
    // On another transport, whose duplicate filter has not seen the messages.
    let mut second = listen(&to.server("second"), &*two).await;
    late.settle.settle(settlement);
    nothing_comes(&mut second).await;
    first.close().await;
    one.close().await;
    nothing_comes(&mut second).await;
}

/// Dropping the settle handle of a message requeues it, so a panic loses nothing.
pub async fn an_unsettled_message_goes_back_when_dropped(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut listener = listen(&to.clone().server("server"), &*transport).await;
    cast(&*transport, &to, 0..1).await;
    drop(take(&mut listener).await);
    let again = take(&mut listener).await;
    assert_eq!((number(&again), again.redelivered), (0, true));
    again.settle.ack();
}

/// A dropped listener requeues the messages it did not yield; messages it yielded stay unsettled until they are settled.
pub async fn a_dropped_listener_gives_back_what_it_held(harness: &dyn Harness) {
    let (one, two, to) = (connect(harness).await, connect(harness).await, topic());
    if !one.capabilities().requeues_to_anyone {
        return;
    }
    let mut first = listen(&to.clone().server("first"), &*one).await;
    cast(&*one, &to, 0..5).await;
    let kept = take(&mut first).await;
    assert_eq!(number(&kept), 0);
    drop(first);
    let mut second = listen(&to.server("second"), &*two).await;
    let mut numbers = Vec::new();
    for _ in 0..4 {
        let got = take(&mut second).await;
        numbers.push(number(&got));
        got.settle.ack();
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4]);
    drop(kept);
    let last = take(&mut second).await;
    assert_eq!((number(&last), last.redelivered), (0, true));
    last.settle.ack();
}

/// A listener yields no more unsettled messages than its prefetch, and the next one when one is settled.
pub async fn prefetch_bounds_what_is_handed_out(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let options = ListenOptions::new().with_prefetch(2);
    let mut listener = transport.listen(&to.clone().server("server"), &options).await.unwrap();
    cast(&*transport, &to, 0..4).await;
    let (first, second) = (take(&mut listener).await, take(&mut listener).await);
    nothing_comes(&mut listener).await;
    first.settle.ack();
    let third = take(&mut listener).await;
    assert_eq!(number(&third), 2);
    nothing_comes(&mut listener).await;
    second.settle.ack();
    third.settle.ack();
    take(&mut listener).await.settle.ack();
}

/// A listener exceeds its memory budget by at most one message; acknowledged messages count until they are done.
pub async fn memory_bounds_what_is_handed_out(harness: &dyn Harness) {
    const ALL: usize = 6;
    let mut settings = Settings::default();
    settings.max_in_flight_bytes = 10_000;
    let (transport, to) = (harness.connect(settings).await, topic());
    let mut listener = listen(&to.clone().server("server"), &*transport).await;
    for number in 0..ALL {
        let args = payload(&serde_json::json!({"number": number, "text": "x".repeat(6_000)}));
        transport.cast(&to, Request::new("method", args), &SendOptions::new()).await.unwrap();
    }
    let first = take(&mut listener).await;
    // A driver that decompresses nothing has nothing to count.
    if first.permit.is_none() {
        return;
    }
    let second = take(&mut listener).await;
    let mut numbers = vec![number(&first), number(&second)];
    nothing_comes(&mut listener).await;
    first.settle.ack();
    nothing_comes(&mut listener).await;
    drop(first.permit);
    let mut held = second;
    while numbers.len() < ALL {
        let next = take(&mut listener).await;
        numbers.push(number(&next));
        std::mem::replace(&mut held, next).settle.ack();
    }
    held.settle.ack();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..ALL).collect::<Vec<_>>());
}

/// Messages that are settled one by one while others arrive are each yielded once, in any order of messages and credit.
pub async fn two_hundred_messages_are_each_handed_out_once(harness: &dyn Harness) {
    const ALL: usize = 200;
    let (transport, to) = (connect(harness).await, topic());
    let options = ListenOptions::new().with_prefetch(16);
    let mut listener = transport.listen(&to.clone().server("server"), &options).await.unwrap();
    let casting = async {
        let mut casts = JoinSet::new();
        for number in 0..ALL {
            let (transport, to) = (transport.clone(), to.clone());
            casts.spawn(async move { cast(&*transport, &to, number..number + 1).await });
        }
        casts.join_all().await;
        // Arrives after any message that would be redelivered.
        cast(&*transport, &to, ALL..ALL + 1).await;
    };
    let taking = async {
        let (mut numbers, mut held) = (Vec::new(), VecDeque::new());
        while !numbers.contains(&ALL) || numbers.len() <= ALL {
            let got = take(&mut listener).await;
            numbers.push(number(&got));
            held.push_back(got.settle);
            if held.len() > 4 {
                held.pop_front().unwrap().ack();
            }
        }
        held.into_iter().for_each(Settle::ack);
        numbers
    };
    let ((), mut numbers) = tokio::join!(casting, taking);
    numbers.sort_unstable();
    assert_eq!(numbers, (0..=ALL).collect::<Vec<_>>());
}

/// `stop` ends the subscription: waiting messages are requeued, and `recv` fails as `Closed`.
pub async fn after_stop_nothing_more_is_taken(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let on = to.clone().server("server");
    let mut listener = listen(&on, &*transport).await;
    assert!(listener.is_subscribed());
    cast(&*transport, &to, 0..3).await;
    take(&mut listener).await.settle.ack();
    listener.stop().await;
    assert!(!listener.is_subscribed());
    cast(&*transport, &to, 3..4).await;
    let ended = timeout(TIMEOUT, listener.recv()).await.expect("recv hangs after stop");
    assert!(matches!(ended, Err(TransportError::Closed)), "{ended:?}");
    let mut next = listen(&on, &*transport).await;
    let mut numbers = Vec::new();
    for _ in 0..3 {
        let got = take(&mut next).await;
        numbers.push(number(&got));
        got.settle.ack();
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3]);
}

/// Messages yielded before `stop` can still be answered and settled.
pub async fn what_was_handed_out_can_be_answered_after_stop(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let on = to.clone().server("server");
    let mut listener = listen(&on, &*transport).await;
    let call = transport.start(&to, request(1), &call_options()).await.unwrap();
    let got = take(&mut listener).await;
    listener.stop().await;
    got.replier.expect("a call has a replier").reply(result("late")).await.unwrap();
    got.settle.ack();
    assert_eq!(value_of::<String>(call.await), "late");
    listener.close().await;
    let mut listener = listen(&on, &*transport).await;
    nothing_comes(&mut listener).await;
}

/// Dropping the future of `recv` loses no message.
pub async fn a_dropped_recv_loses_nothing(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut listener: Box<dyn Listener<Request>> = listen(&to.clone().server("server"), &*transport).await;
    let sender = {
        let (transport, to) = (transport.clone(), to.clone());
        tokio::spawn(async move {
            for number in 0..50 {
                cast(&*transport, &to, number..number + 1).await;
                sleep(Duration::from_micros(100)).await;
            }
        })
    };
    let mut numbers = Vec::new();
    let everything = async {
        while numbers.len() < 50 {
            // Short enough that many of these futures are dropped while a message is in flight.
            if let Ok(got) = timeout(Duration::from_micros(200), listener.recv()).await {
                let got = got.unwrap();
                numbers.push(number(&got));
                got.settle.ack();
            }
        }
    };
    timeout(TIMEOUT + QUIET_PERIOD, everything).await.expect("messages were lost");
    sender.await.unwrap();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());
}
