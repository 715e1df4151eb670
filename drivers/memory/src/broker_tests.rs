#![allow(clippy::unwrap_used)]

use std::time::Duration;

use oxlo_transport::{Priority, Settlement};

use super::*;
use crate::names::Key;

const HERE: ConnectionId = ConnectionId(1);
const THERE: ConnectionId = ConnectionId(2);
const A: ConsumerId = ConsumerId(10);
const B: ConsumerId = ConsumerId(11);

/// Ids of senders are far from each other.
fn unique(number: u32) -> u128 {
    u128::from(number) << 64
}

/// A broker with one queue, and the clock that the test turns.
struct Table {
    broker: Broker<u32>,
    now: Instant,
    route: Route,
    queue: QueueName,
}

impl Table {
    fn new() -> Self {
        let route = Route { exchange: "x".into(), key: Key::Topic("t".into()) };
        let queue = QueueName::Shared(route.clone());
        let mut broker = Broker::default();
        broker.declare(&queue, &route);
        Self { broker, now: Instant::now(), route, queue }
    }

    fn subscribe(&mut self, id: ConsumerId, connection: ConnectionId, prefetch: u16) {
        let wake = Arc::new(Notify::new());
        self.broker.subscribe(id, connection, std::slice::from_ref(&self.queue), prefetch, wake, self.now);
    }

    fn publish(&mut self, numbers: impl IntoIterator<Item = u32>) {
        for number in numbers {
            let message = Message { content: number, unique_id: unique(number), expires: None };
            self.broker.publish(&self.route, message, self.now);
        }
    }

    fn publish_until(&mut self, number: u32, lives: Duration) {
        let message = Message { content: number, unique_id: unique(number), expires: Some(self.now + lives) };
        self.broker.publish(&self.route, message, self.now);
    }

    fn take(&mut self, id: ConsumerId) -> Option<Taken<u32>> {
        self.broker.take(id, self.now).unwrap()
    }

    fn settle(&mut self, tag: Tag, settlement: Settlement) -> bool {
        self.broker.settle(tag, settlement, || self.now)
    }

    /// Takes and acknowledges everything.
    fn drain(&mut self, id: ConsumerId) -> Vec<(u32, bool)> {
        let mut got = Vec::new();
        while let Some(taken) = self.take(id) {
            assert!(self.settle(taken.tag, Settlement::Ack));
            got.push((taken.content, taken.redelivered));
        }
        got
    }
}

#[test]
fn a_message_without_a_queue_is_gone() {
    let mut table = Table::new();
    let nowhere = Route { exchange: "y".into(), key: Key::Topic("t".into()) };
    let message = Message { content: 1, unique_id: unique(1), expires: None };
    assert!(!table.broker.publish(&nowhere, message, table.now));
    assert_eq!((table.broker.waiting(), table.broker.unsettled()), (0, 0));
}

#[test]
fn consumers_take_turns() {
    let mut table = Table::new();
    table.subscribe(A, HERE, 10);
    table.subscribe(B, THERE, 10);
    table.publish(0..6);
    assert_eq!(table.drain(A), [(0, false), (2, false), (4, false)]);
    assert_eq!(table.drain(B), [(1, false), (3, false), (5, false)]);
}

#[test]
fn a_full_consumer_is_passed_over_and_gets_more_when_it_settles() {
    let mut table = Table::new();
    table.subscribe(A, HERE, 1);
    table.publish(0..3);
    assert_eq!((table.broker.waiting(), table.broker.unsettled()), (2, 1));
    let first = table.take(A).unwrap();
    assert!(table.take(A).is_none(), "its prefetch is used up");
    for settlement in [Settlement::Ack, Settlement::Reject] {
        assert_eq!(table.broker.unsettled(), 1);
        if settlement == Settlement::Ack {
            assert!(table.settle(first.tag, settlement));
        } else {
            let second = table.take(A).unwrap();
            assert!(table.settle(second.tag, settlement));
        }
    }
    assert_eq!(table.drain(A), [(2, false)]);
}

#[test]
fn a_prefetch_of_zero_counts_as_one() {
    let mut table = Table::new();
    table.subscribe(A, HERE, 0);
    table.publish(0..1000);
    assert_eq!((table.broker.waiting(), table.broker.unsettled()), (999, 1));
}

#[test]
fn a_requeued_message_goes_to_its_place_and_to_another() {
    let mut table = Table::new();
    table.subscribe(A, HERE, 2);
    table.publish(0..4);
    let (first, second) = (table.take(A).unwrap(), table.take(A).unwrap());
    table.subscribe(B, THERE, 1);
    assert_eq!(table.drain(B), [(2, false), (3, false)]);
    assert!(table.settle(second.tag, Settlement::Requeue));
    let again = table.take(B).unwrap();
    assert_eq!((again.content, again.redelivered), (1, true), "B has room and A had it already");
    assert!(table.settle(first.tag, Settlement::Requeue));
    assert_eq!(table.drain(A), [(0, true)], "B is full, so A gets it again");
}

#[test]
fn what_comes_back_stands_before_what_came_later() {
    let mut table = Table::new();
    table.subscribe(A, HERE, 3);
    table.publish(0..5);
    let taken: Vec<_> = (0..3).map(|_| table.take(A).unwrap().tag).collect();
    table.broker.unsubscribe(A, table.now);
    for tag in [taken[2], taken[0], taken[1]] {
        assert!(table.settle(tag, Settlement::Requeue));
    }
    table.subscribe(B, HERE, 10);
    assert_eq!(table.drain(B), [(0, true), (1, true), (2, true), (3, false), (4, false)]);
}

#[test]
fn stopping_gives_back_what_was_not_taken() {
    let mut table = Table::new();
    table.subscribe(A, HERE, 10);
    table.publish(0..3);
    let kept = table.take(A).unwrap();
    table.broker.unsubscribe(A, table.now);
    assert_eq!(table.broker.take(A, table.now).unwrap_err(), Stopped);
    assert_eq!((table.broker.waiting(), table.broker.unsettled()), (2, 1));
    assert!(table.settle(kept.tag, Settlement::Ack), "what was taken can still be settled");
    assert!(!table.settle(kept.tag, Settlement::Requeue), "but once");
    assert_eq!((table.broker.waiting(), table.broker.unsettled()), (2, 0));
}

#[test]
fn expired_messages_are_passed_over_in_the_queue_and_at_the_consumer() {
    let mut table = Table::new();
    let second = Duration::from_secs(1);
    table.subscribe(A, HERE, 1);
    table.publish_until(0, second);
    table.publish_until(1, second);
    table.publish_until(2, 3 * second);
    table.now += second;
    assert_eq!(table.drain(A), [(2, false)]);
    assert_eq!((table.broker.waiting(), table.broker.unsettled()), (0, 0));
}

#[test]
fn a_message_that_was_taken_does_not_expire() {
    let mut table = Table::new();
    table.subscribe(A, HERE, 1);
    table.publish_until(0, Duration::from_secs(1));
    let taken = table.take(A).unwrap();
    table.now += Duration::from_secs(9);
    assert!(table.settle(taken.tag, Settlement::Ack));
}

#[test]
fn a_lost_connection_gives_everything_back_and_gets_it_again_later() {
    let mut table = Table::new();
    table.subscribe(A, HERE, 2);
    table.publish(0..3);
    let taken = table.take(A).unwrap();
    table.broker.pause(HERE);
    assert_eq!(table.broker.take_back(HERE, table.now), [taken.identity]);
    assert!(table.take(A).is_none());
    assert_eq!((table.broker.waiting(), table.broker.unsettled()), (3, 0));
    assert!(!table.settle(taken.tag, Settlement::Ack), "too late");
    table.broker.resume(HERE, table.now);
    assert_eq!(table.drain(A), [(0, true), (1, false), (2, false)]);
}

#[test]
fn a_closed_connection_gives_everything_to_the_others() {
    let mut table = Table::new();
    table.subscribe(A, HERE, 2);
    table.publish(0..3);
    let taken = table.take(A).unwrap();
    table.broker.disband(HERE, table.now);
    assert_eq!(table.broker.take(A, table.now).unwrap_err(), Stopped);
    assert!(!table.settle(taken.tag, Settlement::Requeue));
    table.subscribe(B, THERE, 5);
    assert_eq!(table.drain(B), [(0, true), (1, false), (2, false)]);
}

#[test]
fn a_full_queue_does_not_starve_the_consumers_other_queue() {
    let mut table = Table::new();
    let direct = Route { exchange: "x".into(), key: Key::Server("t".into(), "s".into()) };
    let direct_queue = QueueName::Shared(direct.clone());
    table.broker.declare(&direct_queue, &direct);
    let queues = vec![table.queue.clone(), direct_queue];
    table.broker.subscribe(A, HERE, &queues, 1, Arc::new(Notify::new()), table.now);
    table.publish(0..100);
    let message = Message { content: 777, unique_id: unique(777), expires: None };
    table.broker.publish(&direct, message, table.now);
    let place = table.drain(A).iter().position(|(number, _)| *number == 777).unwrap();
    assert!(place <= 2, "it came only after {place} others");
}

#[test]
fn a_queue_of_its_own_goes_with_its_consumer() {
    let mut table = Table::new();
    let fanout = Route { exchange: "x".into(), key: Key::Fanout("t".into()) };
    for (id, connection) in [(A, HERE), (B, THERE)] {
        let own = QueueName::Own(id);
        table.broker.declare(&own, &fanout);
        table.broker.subscribe(id, connection, &[own], 1, Arc::new(Notify::new()), table.now);
    }
    for number in 0..2 {
        let message = Message { content: number, unique_id: unique(number), expires: None };
        table.broker.publish(&fanout, message, table.now);
    }
    let (here, there) = (table.take(A).unwrap(), table.take(B).unwrap());
    assert_eq!((here.content, there.content), (0, 0));
    assert_ne!(here.identity, there.identity, "copies in different queues are no duplicates of each other");
    table.broker.unsubscribe(A, table.now);
    assert!(table.settle(here.tag, Settlement::Requeue), "into a queue that is gone");
    assert_eq!((table.broker.waiting(), table.broker.unsettled()), (1, 1));
    table.broker.unsubscribe(B, table.now);
    assert!(!table.broker.bindings.contains_key(&fanout));
    assert!(table.settle(there.tag, Settlement::Ack));
    assert_eq!((table.broker.waiting(), table.broker.unsettled()), (0, 0));
}

#[test]
fn keys_read_as_routing_keys_do() {
    let keys = [
        (Key::Topic("t".into()), "t"),
        (Key::Server("t".into(), "s".into()), "t.s"),
        (Key::Fanout("t".into()), "t_fanout"),
        (Key::Notifications("t".into(), Priority::Info), "t.info"),
    ];
    for (key, text) in keys {
        assert_eq!(key.to_string(), text);
    }
}
