//! Queues and their consumers, as a pure state machine: no clock, no lock, no future.
//!
//! It is instantiated once for requests and once for notifications. A message is pushed to a consumer as long as that
//! holds fewer than its prefetch, as RabbitMQ does it; the consumer then takes it, and settles it by its tag.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use oxlo_transport::Settlement;
use tokio::{sync::Notify, time::Instant};

use crate::names::{QueueName, Route};

/// Names one listener on a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConsumerId(pub(crate) u64);

/// Names one transport on a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// Names one message that a consumer holds. A tag is never used again, so a late settlement hits nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tag(u64);

/// A message and what the broker has to know of it.
#[derive(Clone, Debug)]
pub(crate) struct Message<M> {
    pub(crate) content: M,
    /// The same for every copy that a publisher made of one message.
    pub(crate) unique_id: Arc<str>,
    /// When it is of no use to anyone any more.
    pub(crate) expires: Option<Instant>,
}

/// A message that a consumer took.
#[derive(Debug)]
pub(crate) struct Taken<M> {
    pub(crate) tag: Tag,
    pub(crate) content: M,
    pub(crate) redelivered: bool,
    pub(crate) redeliveries: u32,
    /// Tells a second copy of one message in one queue from the copies of it in other queues.
    pub(crate) identity: String,
}

/// The consumer was stopped, or its connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

#[derive(Debug)]
pub(crate) struct Broker<M> {
    queues: HashMap<QueueName, Queue<M>>,
    bindings: HashMap<Route, Vec<QueueName>>,
    consumers: BTreeMap<ConsumerId, Consumer>,
    held: BTreeMap<Tag, Held<M>>,
    arrivals: u64,
    tags: u64,
    queue_numbers: u64,
}

#[derive(Debug)]
struct Queue<M> {
    number: u64,
    /// In order of arrival, also after something came back.
    waiting: VecDeque<Waiting<M>>,
    /// The next one to get a message stands first.
    turns: VecDeque<ConsumerId>,
    /// How long it stays without a consumer, and since when it has none.
    expires: Option<(Duration, Instant)>,
    /// It goes with its last consumer.
    transient: bool,
}

#[derive(Clone, Debug)]
struct Waiting<M> {
    arrival: u64,
    redelivered: bool,
    redeliveries: u32,
    message: Message<M>,
}

#[derive(Debug)]
struct Consumer {
    connection: ConnectionId,
    queues: Vec<QueueName>,
    prefetch: usize,
    /// Everything pushed to it and not settled.
    holds: usize,
    /// What it has not taken yet.
    ready: VecDeque<Tag>,
    /// Its connection is down.
    suspended: bool,
    wake: Arc<Notify>,
}

#[derive(Debug)]
struct Held<M> {
    consumer: ConsumerId,
    connection: ConnectionId,
    queue: QueueName,
    handed_out: bool,
    waiting: Waiting<M>,
}

impl<M> Default for Broker<M> {
    fn default() -> Self {
        Self {
            queues: HashMap::new(),
            bindings: HashMap::new(),
            consumers: BTreeMap::new(),
            held: BTreeMap::new(),
            arrivals: 0,
            tags: 0,
            queue_numbers: 0,
        }
    }
}

impl<M: Clone> Broker<M> {
    /// Creates a queue if it is not there, and has it receive what is sent to `route`.
    pub(crate) fn declare(&mut self, name: &QueueName, route: &Route) {
        if !self.queues.contains_key(name) {
            let number = self.queue_numbers;
            self.queue_numbers += 1;
            self.queues.insert(
                name.clone(),
                Queue { number, waiting: VecDeque::new(), turns: VecDeque::new(), expires: None, transient: false },
            );
        }
        let bound = self.bindings.entry(route.clone()).or_default();
        if !bound.contains(name) {
            bound.push(name.clone());
        }
    }

    /// Creates a queue as [`declare`](Self::declare) does, one that goes when nobody listens on it for a time. `Err` if
    /// it is there with another time.
    pub(crate) fn declare_expiring(
        &mut self,
        name: &QueueName,
        route: &Route,
        expires: Option<Duration>,
        now: Instant,
    ) -> Result<(), Option<Duration>> {
        self.sweep(now);
        if let Some(queue) = self.queues.get(name) {
            let there = queue.expires.map(|(after, _)| after);
            if there != expires {
                return Err(there);
            }
        }
        self.declare(name, route);
        if let (Some(queue), Some(after)) = (self.queues.get_mut(name), expires) {
            queue.expires = Some((after, now));
        }
        Ok(())
    }

    /// Removes a queue; `Err` with its consumers and messages if it is used, or must be empty and is not.
    pub(crate) fn remove(&mut self, name: &QueueName, discard: bool) -> Result<(), (usize, usize)> {
        let Some(queue) = self.queues.get(name) else { return Ok(()) };
        let (consumers, messages) = (queue.turns.len(), queue.waiting.len());
        if consumers > 0 || (messages > 0 && !discard) {
            return Err((consumers, messages));
        }
        self.forget(name);
        Ok(())
    }

    /// Removes the queues whose time without a consumer is over.
    pub(crate) fn sweep(&mut self, now: Instant) {
        let over = |queue: &Queue<M>| {
            queue.turns.is_empty() && queue.expires.is_some_and(|(after, since)| now.duration_since(since) >= after)
        };
        let gone: Vec<QueueName> =
            self.queues.iter().filter(|(_, queue)| over(queue)).map(|(name, _)| name.clone()).collect();
        gone.iter().for_each(|name| self.forget(name));
    }

    fn forget(&mut self, name: &QueueName) {
        self.queues.remove(name);
        self.bindings.retain(|_, bound| {
            bound.retain(|other| other != name);
            !bound.is_empty()
        });
    }

    /// Has a queue go with its last consumer.
    pub(crate) fn make_transient(&mut self, name: &QueueName) {
        if let Some(queue) = self.queues.get_mut(name) {
            queue.transient = true;
        }
    }

    /// Whether a message sent to `route` would reach any queue.
    pub(crate) fn is_routable(&self, route: &Route) -> bool {
        self.bindings.contains_key(route)
    }

    /// Puts a message into every queue that is bound to `route`; without one it is gone.
    pub(crate) fn publish(&mut self, route: &Route, message: &Message<M>, now: Instant) {
        let Some(bound) = self.bindings.get(route).cloned() else { return };
        for name in bound {
            let arrival = self.arrivals;
            self.arrivals += 1;
            if let Some(queue) = self.queues.get_mut(&name) {
                queue.waiting.push_back(Waiting {
                    arrival,
                    redelivered: false,
                    redeliveries: 0,
                    message: message.clone(),
                });
            }
            self.push(&name, now);
        }
    }

    /// Adds a consumer of `queues`, which must have been declared. A prefetch of 0 counts as 1.
    pub(crate) fn subscribe(
        &mut self,
        id: ConsumerId,
        connection: ConnectionId,
        queues: Vec<QueueName>,
        prefetch: u16,
        wake: Arc<Notify>,
        now: Instant,
    ) {
        let names = queues.clone();
        for name in &names {
            if let Some(queue) = self.queues.get_mut(name) {
                queue.turns.push_back(id);
            }
        }
        let prefetch = usize::from(prefetch.max(1));
        self.consumers.insert(
            id,
            Consumer { connection, queues, prefetch, holds: 0, ready: VecDeque::new(), suspended: false, wake },
        );
        for name in &names {
            self.push(name, now);
        }
    }

    /// Hands the next message to a consumer. What has expired meanwhile is passed over.
    pub(crate) fn take(&mut self, id: ConsumerId, now: Instant) -> Result<Option<Taken<M>>, Stopped> {
        loop {
            let consumer = self.consumers.get_mut(&id).ok_or(Stopped)?;
            let Some(tag) = consumer.ready.pop_front() else { return Ok(None) };
            let Some(held) = self.held.get_mut(&tag) else { continue };
            if held.waiting.expired(now) {
                self.settle(tag, Settlement::Reject, now);
                continue;
            }
            held.handed_out = true;
            let identity = identity(&self.queues, held);
            return Ok(Some(Taken {
                tag,
                content: held.waiting.message.content.clone(),
                redelivered: held.waiting.redelivered,
                redeliveries: held.waiting.redeliveries,
                identity,
            }));
        }
    }

    /// Settles a message. `false` if nobody holds it under that tag: it went back when the connection was lost.
    pub(crate) fn settle(&mut self, tag: Tag, settlement: Settlement, now: Instant) -> bool {
        let Some(held) = self.held.remove(&tag) else { return false };
        let mut freed = Vec::new();
        if let Some(consumer) = self.consumers.get_mut(&held.consumer) {
            consumer.holds -= 1;
            // So that a full queue cannot keep this consumer from its other queues.
            if !consumer.queues.is_empty() {
                consumer.queues.rotate_left(1);
            }
            freed.clone_from(&consumer.queues);
        }
        if settlement == Settlement::Requeue {
            self.give_back(held, now);
        }
        for name in &freed {
            self.push(name, now);
        }
        true
    }

    /// Ends a subscription. What the consumer did not take goes back; what it took can still be settled.
    pub(crate) fn unsubscribe(&mut self, id: ConsumerId, now: Instant) {
        let Some(consumer) = self.leave(id, now) else { return };
        for tag in consumer.ready {
            if let Some(held) = self.held.remove(&tag) {
                self.give_back(held, now);
            }
        }
    }

    /// Gives nothing more to the consumers of a connection that was lost, until [`resume`](Self::resume).
    pub(crate) fn pause(&mut self, connection: ConnectionId) {
        for consumer in self.consumers.values_mut().filter(|consumer| consumer.connection == connection) {
            consumer.suspended = true;
            consumer.ready.clear();
        }
    }

    /// Gives back all that a connection holds. Returns the identities of what was handed out.
    pub(crate) fn take_back(&mut self, connection: ConnectionId, now: Instant) -> Vec<String> {
        let tags: Vec<Tag> =
            self.held.iter().filter(|(_, held)| held.connection == connection).map(|(tag, _)| *tag).collect();
        let mut handed_out = Vec::new();
        for tag in tags {
            let Some(held) = self.held.remove(&tag) else { continue };
            if let Some(consumer) = self.consumers.get_mut(&held.consumer) {
                consumer.holds -= 1;
            }
            if held.handed_out {
                handed_out.push(identity(&self.queues, &held));
            }
            self.give_back(held, now);
        }
        handed_out
    }

    /// Gives messages to the consumers of a connection again.
    pub(crate) fn resume(&mut self, connection: ConnectionId, now: Instant) {
        let mut queues = Vec::new();
        for consumer in self.consumers.values_mut().filter(|consumer| consumer.connection == connection) {
            consumer.suspended = false;
            queues.extend(consumer.queues.iter().cloned());
        }
        for name in &queues {
            self.push(name, now);
        }
    }

    /// Removes the consumers of a connection that was closed, and gives back all that they hold.
    pub(crate) fn disband(&mut self, connection: ConnectionId, now: Instant) {
        let theirs: Vec<ConsumerId> =
            self.consumers.iter().filter(|(_, c)| c.connection == connection).map(|(id, _)| *id).collect();
        for id in theirs {
            self.leave(id, now);
        }
        self.take_back(connection, now);
    }

    /// How many messages wait in queues that nobody could take them from.
    pub(crate) fn waiting(&self) -> usize {
        self.queues.values().map(|queue| queue.waiting.len()).sum()
    }

    /// How many messages consumers hold.
    pub(crate) fn unsettled(&self) -> usize {
        self.held.len()
    }

    fn leave(&mut self, id: ConsumerId, now: Instant) -> Option<Consumer> {
        let consumer = self.consumers.remove(&id)?;
        for name in &consumer.queues {
            let Some(queue) = self.queues.get_mut(name) else { continue };
            queue.turns.retain(|other| *other != id);
            if let Some((_, unused_since)) = &mut queue.expires {
                *unused_since = now;
            }
            if matches!(name, QueueName::Own(_)) || (queue.transient && queue.turns.is_empty()) {
                self.forget(name);
            }
        }
        consumer.wake.notify_one();
        Some(consumer)
    }

    /// Puts a message back where it stood. Of several consumers the one that gave it back is the last to get it.
    fn give_back(&mut self, held: Held<M>, now: Instant) {
        let Some(queue) = self.queues.get_mut(&held.queue) else { return };
        let mut waiting = held.waiting;
        waiting.redelivered |= held.handed_out;
        waiting.redeliveries += u32::from(held.handed_out);
        let place = queue.waiting.partition_point(|other| other.arrival < waiting.arrival);
        queue.waiting.insert(place, waiting);
        if let Some(turn) = queue.turns.iter().position(|id| *id == held.consumer)
            && let Some(id) = queue.turns.remove(turn)
        {
            queue.turns.push_back(id);
        }
        self.push(&held.queue, now);
    }

    /// Pushes what waits in a queue to the consumers that may have more, in turn.
    fn push(&mut self, name: &QueueName, now: Instant) {
        let Some(queue) = self.queues.get_mut(name) else { return };
        loop {
            while queue.waiting.front().is_some_and(|first| first.expired(now)) {
                queue.waiting.pop_front();
            }
            if queue.waiting.is_empty() {
                return;
            }
            let consumers = &self.consumers;
            let free = |id: &ConsumerId| consumers.get(id).is_some_and(Consumer::may_have_more);
            let Some(turn) = queue.turns.iter().position(free) else { return };
            let (Some(id), Some(waiting)) = (queue.turns.remove(turn), queue.waiting.pop_front()) else { return };
            queue.turns.push_back(id);
            let Some(consumer) = self.consumers.get_mut(&id) else { return };
            let tag = Tag(self.tags);
            self.tags += 1;
            consumer.holds += 1;
            consumer.ready.push_back(tag);
            consumer.wake.notify_one();
            let connection = consumer.connection;
            self.held.insert(tag, Held { consumer: id, connection, queue: name.clone(), handed_out: false, waiting });
        }
    }
}

impl Consumer {
    fn may_have_more(&self) -> bool {
        !self.suspended && self.holds < self.prefetch
    }
}

impl<M> Waiting<M> {
    fn expired(&self, now: Instant) -> bool {
        self.message.expires.is_some_and(|expires| expires <= now)
    }
}

fn identity<M>(queues: &HashMap<QueueName, Queue<M>>, held: &Held<M>) -> String {
    let number = queues.get(&held.queue).map_or(u64::MAX, |queue| queue.number);
    format!("{}@{number}", held.waiting.message.unique_id)
}

#[cfg(test)]
#[path = "broker_tests.rs"]
mod tests;
