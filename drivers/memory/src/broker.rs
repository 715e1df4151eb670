//! Queues and their consumers, as a pure state machine: no clock, no lock, no future.
//!
//! It is instantiated once for requests and once for notifications. A message is pushed to a consumer as long as that
//! holds fewer than its prefetch, as RabbitMQ does it; the consumer then takes it, and settles it by its tag.

mod consuming;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use foldhash::{HashMap, HashMapExt};
use oxlo_transport::Deferral;
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

/// Names one queue in the broker. One that is gone and made again is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct QueueId(u64);

/// A message and what the broker has to know of it.
#[derive(Clone, Debug)]
pub(crate) struct Message<M> {
    pub(crate) content: M,
    /// The same for every copy that a publisher made of one message.
    pub(crate) unique_id: u128,
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
    /// When it is due, if it is not yet.
    pub(crate) not_before: Option<Instant>,
    /// Tells a second copy of one message in one queue from the copies of it in other queues.
    pub(crate) identity: u128,
}

/// The consumer was stopped, or its connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

#[derive(Debug)]
pub(crate) struct Broker<M> {
    names: HashMap<QueueName, QueueId>,
    queues: HashMap<QueueId, Queue<M>>,
    bindings: HashMap<Route, Vec<QueueId>>,
    /// The queues that go when nobody listens on them for a time.
    expiring: Vec<QueueId>,
    consumers: HashMap<ConsumerId, Consumer>,
    held: HashMap<Tag, Held<M>>,
    arrivals: u64,
    tags: u64,
    queue_numbers: u64,
}

#[derive(Debug)]
struct Queue<M> {
    name: QueueName,
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
    not_before: Option<Instant>,
    message: Message<M>,
}

#[derive(Debug)]
struct Consumer {
    connection: ConnectionId,
    queues: Vec<QueueId>,
    prefetch: usize,
    /// Everything pushed to it and not settled.
    holds: usize,
    /// What it has not taken yet.
    ready: VecDeque<Tag>,
    /// Its connection is down.
    suspended: bool,
    /// It found nothing when it looked last.
    idle: bool,
    wake: Arc<Notify>,
}

#[derive(Debug)]
struct Held<M> {
    consumer: ConsumerId,
    connection: ConnectionId,
    queue: QueueId,
    handed_out: bool,
    waiting: Waiting<M>,
}

impl<M> Default for Broker<M> {
    fn default() -> Self {
        Self {
            names: HashMap::new(),
            queues: HashMap::new(),
            bindings: HashMap::new(),
            expiring: Vec::new(),
            consumers: HashMap::new(),
            held: HashMap::new(),
            arrivals: 0,
            tags: 0,
            queue_numbers: 0,
        }
    }
}

impl<M: Clone> Broker<M> {
    /// Creates a queue if it is not there, and has it receive what is sent to `route`.
    pub(crate) fn declare(&mut self, name: &QueueName, route: &Route) {
        self.declared(name, route);
    }

    fn declared(&mut self, name: &QueueName, route: &Route) -> QueueId {
        let id = match self.names.get(name) {
            Some(id) => *id,
            None => self.create(name.clone()),
        };
        let bound = self.bindings.entry(route.clone()).or_default();
        if !bound.contains(&id) {
            bound.push(id);
        }
        id
    }

    fn create(&mut self, name: QueueName) -> QueueId {
        let id = QueueId(self.queue_numbers);
        self.queue_numbers += 1;
        self.names.insert(name.clone(), id);
        self.queues.insert(
            id,
            Queue { name, waiting: VecDeque::new(), turns: VecDeque::new(), expires: None, transient: false },
        );
        id
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
        if let Some(queue) = self.named(name) {
            let there = queue.expires.map(|(after, _)| after);
            if there != expires {
                return Err(there);
            }
        }
        let id = self.declared(name, route);
        if let (Some(queue), Some(after)) = (self.queues.get_mut(&id), expires) {
            queue.expires = Some((after, now));
            if !self.expiring.contains(&id) {
                self.expiring.push(id);
            }
        }
        Ok(())
    }

    /// Removes a queue; `Err` with its consumers and messages if it is used, or must be empty and is not.
    pub(crate) fn remove(&mut self, name: &QueueName, discard: bool) -> Result<(), (usize, usize)> {
        let Some(id) = self.names.get(name).copied() else { return Ok(()) };
        let Some(queue) = self.queues.get(&id) else { return Ok(()) };
        let (consumers, messages) = (queue.turns.len(), queue.waiting.len());
        if consumers > 0 || (messages > 0 && !discard) {
            return Err((consumers, messages));
        }
        self.forget(id);
        Ok(())
    }

    /// How many consume a queue, but for those whose connection is down.
    pub(crate) fn consumers(&self, name: &QueueName) -> usize {
        let queue = self.names.get(name).and_then(|id| self.queues.get(id));
        let up = |id: &&ConsumerId| self.consumers.get(id).is_some_and(|consumer| !consumer.suspended);
        queue.map_or(0, |queue| queue.turns.iter().filter(up).count())
    }

    /// Removes the queues whose time without a consumer is over.
    pub(crate) fn sweep(&mut self, now: Instant) {
        if self.expiring.is_empty() {
            return;
        }
        let over = |queue: &Queue<M>| {
            queue.turns.is_empty() && queue.expires.is_some_and(|(after, since)| now.duration_since(since) >= after)
        };
        let gone: Vec<QueueId> =
            self.expiring.iter().copied().filter(|id| self.queues.get(id).is_some_and(over)).collect();
        gone.into_iter().for_each(|id| self.forget(id));
    }

    fn forget(&mut self, id: QueueId) {
        if let Some(queue) = self.queues.remove(&id) {
            self.names.remove(&queue.name);
        }
        self.expiring.retain(|other| *other != id);
        self.bindings.retain(|_, bound| {
            bound.retain(|other| *other != id);
            !bound.is_empty()
        });
    }

    fn named(&self, name: &QueueName) -> Option<&Queue<M>> {
        self.names.get(name).and_then(|id| self.queues.get(id))
    }

    /// Has a queue go with its last consumer.
    pub(crate) fn make_transient(&mut self, name: &QueueName) {
        if let Some(queue) = self.names.get(name).and_then(|id| self.queues.get_mut(id)) {
            queue.transient = true;
        }
    }

    /// Puts a message into every queue that is bound to `route`. Without one it is gone, and this is `false`.
    pub(crate) fn publish(&mut self, route: &Route, message: Message<M>, now: Instant) -> bool {
        let Some(bound) = self.bindings.get(route) else { return false };
        if let [only] = **bound {
            self.enqueue(only, message, now);
        } else {
            bound.clone().into_iter().for_each(|queue| self.enqueue(queue, message.clone(), now));
        }
        true
    }

    fn enqueue(&mut self, id: QueueId, message: Message<M>, now: Instant) {
        let arrival = self.arrivals;
        self.arrivals += 1;
        if let Some(queue) = self.queues.get_mut(&id) {
            let waiting = Waiting { arrival, redelivered: false, redeliveries: 0, not_before: None, message };
            queue.waiting.push_back(waiting);
        }
        self.push(id, now);
    }

    /// How many messages wait in queues that nobody could take them from.
    pub(crate) fn waiting(&self) -> usize {
        self.queues.values().map(|queue| queue.waiting.len()).sum()
    }

    /// How many messages consumers hold.
    pub(crate) fn unsettled(&self) -> usize {
        self.held.len()
    }

    /// Puts a message behind the others, as one that arrives now. The consumer that did is the last to get it.
    fn defer(&mut self, held: Held<M>, Deferral { delay, counts }: Deferral, now: Instant) {
        let Some(queue) = self.queues.get_mut(&held.queue) else { return };
        let mut waiting = held.waiting;
        waiting.arrival = self.arrivals;
        self.arrivals += 1;
        waiting.redelivered = true;
        waiting.redeliveries += u32::from(counts);
        waiting.not_before = (!delay.is_zero()).then(|| now + delay.min(Deferral::LONGEST));
        queue.waiting.push_back(waiting);
        queue.make_last(held.consumer);
        self.push(held.queue, now);
    }

    /// Puts a message back where it stood. Of several consumers the one that gave it back is the last to get it.
    fn give_back(&mut self, held: Held<M>, now: Instant) {
        let Some(queue) = self.queues.get_mut(&held.queue) else { return };
        let mut waiting = held.waiting;
        waiting.redelivered |= held.handed_out;
        waiting.redeliveries += u32::from(held.handed_out);
        let place = queue.waiting.partition_point(|other| other.arrival < waiting.arrival);
        queue.waiting.insert(place, waiting);
        queue.make_last(held.consumer);
        self.push(held.queue, now);
    }

    /// Pushes what waits in a queue to the consumers that may have more, in turn.
    fn push(&mut self, id: QueueId, now: Instant) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
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
            let (Some(consumer_id), Some(waiting)) = (queue.turns.remove(turn), queue.waiting.pop_front()) else {
                return;
            };
            queue.turns.push_back(consumer_id);
            let Some(consumer) = self.consumers.get_mut(&consumer_id) else { return };
            let tag = Tag(self.tags);
            self.tags += 1;
            consumer.holds += 1;
            consumer.ready.push_back(tag);
            if std::mem::take(&mut consumer.idle) {
                consumer.wake.notify_one();
            }
            let connection = consumer.connection;
            self.held.insert(tag, Held { consumer: consumer_id, connection, queue: id, handed_out: false, waiting });
        }
    }
}

impl Consumer {
    fn may_have_more(&self) -> bool {
        !self.suspended && self.holds < self.prefetch
    }
}

impl<M> Queue<M> {
    /// Of several consumers this one is the last to get the next message.
    fn make_last(&mut self, consumer: ConsumerId) {
        if let Some(turn) = self.turns.iter().position(|id| *id == consumer)
            && let Some(id) = self.turns.remove(turn)
        {
            self.turns.push_back(id);
        }
    }
}

impl<M> Waiting<M> {
    fn expired(&self, now: Instant) -> bool {
        self.message.expires.is_some_and(|expires| expires <= now)
    }
}

impl<M> Held<M> {
    /// Unique ids are random or hashed, so that none of another queue is this far away by anything but chance.
    fn identity(&self) -> u128 {
        self.waiting.message.unique_id ^ u128::from(self.queue.0)
    }
}

#[cfg(test)]
#[path = "broker_tests.rs"]
mod tests;
