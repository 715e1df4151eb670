//! What consumers do: subscribe, take, settle, leave; and what becomes of it when their connection is lost.

use std::{collections::VecDeque, sync::Arc};

use oxlo_transport::Settlement;
use tokio::{sync::Notify, time::Instant};

use super::{Broker, ConnectionId, Consumer, ConsumerId, QueueId, Stopped, Tag, Taken};
use crate::names::QueueName;

impl<M: Clone> Broker<M> {
    /// Adds a consumer of `queues`, those of them that were declared. A prefetch of 0 counts as 1.
    pub(crate) fn subscribe(
        &mut self,
        id: ConsumerId,
        connection: ConnectionId,
        queues: &[QueueName],
        prefetch: u16,
        wake: Arc<Notify>,
        now: Instant,
    ) {
        let queues: Vec<QueueId> = queues.iter().filter_map(|name| self.names.get(name).copied()).collect();
        for queue in &queues {
            if let Some(queue) = self.queues.get_mut(queue) {
                queue.turns.push_back(id);
            }
        }
        let consumer = Consumer {
            connection,
            queues: queues.clone(),
            prefetch: usize::from(prefetch.max(1)),
            holds: 0,
            ready: VecDeque::new(),
            suspended: false,
            idle: false,
            wake,
        };
        self.consumers.insert(id, consumer);
        queues.into_iter().for_each(|queue| self.push(queue, now));
    }

    /// Hands the next message to a consumer. What has expired meanwhile is passed over.
    pub(crate) fn take(&mut self, id: ConsumerId, now: Instant) -> Result<Option<Taken<M>>, Stopped> {
        loop {
            let consumer = self.consumers.get_mut(&id).ok_or(Stopped)?;
            let Some(tag) = consumer.ready.pop_front() else {
                consumer.idle = true;
                return Ok(None);
            };
            let Some(held) = self.held.get_mut(&tag) else { continue };
            if held.waiting.expired(now) {
                self.settle(tag, Settlement::Reject, || now);
                continue;
            }
            held.handed_out = true;
            return Ok(Some(Taken {
                tag,
                content: held.waiting.message.content.clone(),
                redelivered: held.waiting.redelivered,
                redeliveries: held.waiting.redeliveries,
                not_before: held.waiting.not_before.filter(|due| *due > now),
                identity: held.identity(),
            }));
        }
    }

    /// Settles a message. `false` if nobody holds it under that tag: it went back when the connection was lost.
    /// The clock is only looked at if messages move.
    pub(crate) fn settle(&mut self, tag: Tag, settlement: Settlement, now: impl Fn() -> Instant) -> bool {
        let Some(held) = self.held.remove(&tag) else { return false };
        let id = held.consumer;
        let was_full = self.consumers.get_mut(&id).is_some_and(|consumer| {
            let was_full = !consumer.may_have_more();
            consumer.holds -= 1;
            if was_full && !consumer.queues.is_empty() {
                // So that a full queue cannot keep this consumer from its other queues.
                consumer.queues.rotate_left(1);
            }
            was_full
        });
        match settlement {
            Settlement::Requeue => self.give_back(held, now()),
            Settlement::Defer(deferral) => self.defer(held, deferral, now()),
            Settlement::Ack | Settlement::Reject => {}
        }
        if was_full {
            self.push_to(id, now());
        }
        true
    }

    /// Pushes what waits in the queues of a consumer that has got room. Where there was room before, nothing waits.
    fn push_to(&mut self, id: ConsumerId, now: Instant) {
        let queues = self.consumers.get(&id).map(|consumer| consumer.queues.clone());
        queues.into_iter().flatten().for_each(|queue| self.push(queue, now));
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

    /// Gives back all that a connection holds, the oldest first. Returns the identities of what was handed out.
    pub(crate) fn take_back(&mut self, connection: ConnectionId, now: Instant) -> Vec<u128> {
        let mut tags: Vec<Tag> =
            self.held.iter().filter(|(_, held)| held.connection == connection).map(|(tag, _)| *tag).collect();
        tags.sort_unstable();
        let mut handed_out = Vec::new();
        for tag in tags {
            let Some(held) = self.held.remove(&tag) else { continue };
            if let Some(consumer) = self.consumers.get_mut(&held.consumer) {
                consumer.holds -= 1;
            }
            if held.handed_out {
                handed_out.push(held.identity());
            }
            self.give_back(held, now);
        }
        handed_out
    }

    /// Gives messages to the consumers of a connection again.
    pub(crate) fn resume(&mut self, connection: ConnectionId, now: Instant) {
        let theirs = self.consumers_of(connection);
        for id in &theirs {
            if let Some(consumer) = self.consumers.get_mut(id) {
                consumer.suspended = false;
            }
        }
        theirs.into_iter().for_each(|id| self.push_to(id, now));
    }

    /// Removes the consumers of a connection that was closed, and gives back all that they hold.
    pub(crate) fn disband(&mut self, connection: ConnectionId, now: Instant) {
        for id in self.consumers_of(connection) {
            self.leave(id, now);
        }
        self.take_back(connection, now);
    }

    /// In the order in which they came.
    fn consumers_of(&self, connection: ConnectionId) -> Vec<ConsumerId> {
        let theirs = self.consumers.iter().filter(|(_, consumer)| consumer.connection == connection);
        let mut theirs: Vec<ConsumerId> = theirs.map(|(id, _)| *id).collect();
        theirs.sort_unstable();
        theirs
    }

    fn leave(&mut self, id: ConsumerId, now: Instant) -> Option<Consumer> {
        let consumer = self.consumers.remove(&id)?;
        for queue_id in &consumer.queues {
            let Some(queue) = self.queues.get_mut(queue_id) else { continue };
            queue.turns.retain(|other| *other != id);
            if let Some((_, unused_since)) = &mut queue.expires {
                *unused_since = now;
            }
            if matches!(queue.name, QueueName::Own(_)) || (queue.transient && queue.turns.is_empty()) {
                self.forget(*queue_id);
            }
        }
        consumer.wake.notify_one();
        Some(consumer)
    }
}
