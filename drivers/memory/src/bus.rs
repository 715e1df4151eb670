//! A bus: the brokers for requests and notifications, and the transports that are connected to it.
//!
//! All of it is one pure state under one lock; what waits, waits in [`link`](crate::link).

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use oxlo_driver_kit::{dedup::Dedup, numbers::Numbers, pending::PendingCalls};
use oxlo_transport::{ConnectionState, Notification, Request, Settlement, TransportError};
use oxlo_wire::reply::ReplyPart;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use uuid::Uuid;

use crate::{
    broker::{Broker, ConnectionId, ConsumerId, Stopped, Tag, Taken},
    faults::Script,
    names::{QueueName, Route},
};

/// The buses of this process by name. Weak, so that a bus goes away with the last that uses it.
static BUSES: LazyLock<Mutex<HashMap<String, Weak<Bus>>>> = LazyLock::new(Mutex::default);

/// The reason of a transport that was told to send nothing.
const PAUSED: &str = "publishing is paused by this program";

#[derive(Debug)]
pub(crate) struct Bus {
    name: String,
    numbers: Numbers,
    state: Mutex<State>,
}

impl Bus {
    /// The bus of this name; a new one if nobody uses it at the moment.
    pub(crate) fn named(name: &str) -> Arc<Self> {
        let mut buses = lock(&BUSES);
        if let Some(bus) = buses.get(name).and_then(Weak::upgrade) {
            return bus;
        }
        buses.retain(|_, bus| bus.strong_count() > 0);
        let bus = Arc::new(Self { name: name.to_owned(), numbers: Numbers::default(), state: Mutex::default() });
        buses.insert(name.to_owned(), Arc::downgrade(&bus));
        bus
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The number of a unique id that a sender chose.
    pub(crate) fn number(&self, unique_id: &str) -> u128 {
        self.numbers.of(unique_id)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic under the lock is a defect of this driver; the others on the bus go on with what is there.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request on its way, and whom to answer.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    pub(crate) request: Request,
    pub(crate) answer: Option<Answer>,
}

/// Who waits for the answer to a request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) to: ConnectionId,
    pub(crate) call: Uuid,
    pub(crate) deadline: Instant,
    pub(crate) monitor_timeout: Option<Duration>,
}

/// What travels through a broker of this bus.
pub(crate) trait Carried: Clone + fmt::Debug + Send + 'static {
    fn broker(state: &mut State) -> &mut Broker<Self>;
}

impl Carried for Incoming {
    fn broker(state: &mut State) -> &mut Broker<Self> {
        &mut state.requests
    }
}

impl Carried for Notification {
    fn broker(state: &mut State) -> &mut Broker<Self> {
        &mut state.notifications
    }
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) requests: Broker<Incoming>,
    pub(crate) notifications: Broker<Notification>,
    pub(crate) script: Script,
    connections: BTreeMap<ConnectionId, Connection>,
    alarm: Option<Arc<str>>,
    ids: u64,
}

#[derive(Debug)]
struct Connection {
    name: Option<String>,
    state: watch::Sender<ConnectionState>,
    /// Whether its listeners are subscribed.
    up: watch::Sender<bool>,
    /// Why it is cut off.
    down: Option<Arc<str>>,
    /// It sends nothing because it was told so.
    paused: bool,
    pending: PendingCalls,
    /// Replies that came while it was cut off.
    replies: Vec<(Uuid, ReplyPart)>,
    /// What its listeners have taken lately.
    seen: Dedup,
}

/// Whether a transport may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    Disconnected(Arc<str>),
    Blocked(Arc<str>),
    Closed,
}

impl State {
    pub(crate) fn join(
        &mut self,
        name: Option<String>,
        pending: PendingCalls,
    ) -> (ConnectionId, watch::Receiver<ConnectionState>) {
        let id = ConnectionId(self.next_id());
        let (state, changes) = watch::channel(ConnectionState::Connected);
        let up = watch::Sender::new(true);
        let connection = Connection {
            name,
            state,
            up,
            down: None,
            paused: false,
            pending,
            replies: Vec::new(),
            seen: Dedup::default(),
        };
        connection.announce(self.alarm.as_ref());
        self.connections.insert(id, connection);
        (id, changes)
    }

    /// Ends a connection: its calls fail, its listeners end, what they hold goes back.
    pub(crate) fn leave(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.connections.remove(&id) else { return };
        self.requests.disband(id, now);
        self.notifications.disband(id, now);
        connection.state.send_replace(ConnectionState::Closed);
        connection.up.send_replace(false);
        connection.pending.close();
    }

    pub(crate) fn gate(&self, id: ConnectionId) -> Gate {
        match (self.connections.get(&id), &self.alarm) {
            (None, _) => Gate::Closed,
            (Some(Connection { down: Some(reason), .. }), _) => Gate::Disconnected(reason.clone()),
            (Some(_), Some(reason)) => Gate::Blocked(reason.clone()),
            (Some(Connection { paused: true, .. }), _) => Gate::Blocked(PAUSED.into()),
            (Some(_), None) => Gate::Open,
        }
    }

    pub(crate) fn pause_publishing(&mut self, id: ConnectionId, pause: bool) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.paused = pause;
            connection.announce(self.alarm.as_ref());
        }
    }

    /// Whether the listeners of a connection are subscribed, and every change of it.
    pub(crate) fn subscribed(&self, id: ConnectionId) -> watch::Receiver<bool> {
        match self.connections.get(&id) {
            Some(connection) => connection.up.subscribe(),
            None => watch::channel(false).1,
        }
    }

    /// Subscribes a listener to queues, which are declared and bound as needed.
    pub(crate) fn subscribe<M: Carried>(
        &mut self,
        connection: ConnectionId,
        prefetch: u16,
        wake: Arc<Notify>,
        topology: impl FnOnce(ConsumerId) -> Vec<(QueueName, Route)>,
    ) -> ConsumerId {
        let consumer = ConsumerId(self.next_id());
        let broker = M::broker(self);
        let mut queues = Vec::new();
        for (queue, route) in topology(consumer) {
            broker.declare(&queue, &route);
            if !queues.contains(&queue) {
                queues.push(queue);
            }
        }
        broker.subscribe(consumer, connection, &queues, prefetch, wake, Instant::now());
        consumer
    }

    /// The next message for a listener; copies of what this connection has taken before are dropped.
    pub(crate) fn take<M: Carried>(
        &mut self,
        connection: ConnectionId,
        consumer: ConsumerId,
        now: Instant,
    ) -> Result<Option<Taken<M>>, Stopped> {
        while let Some(taken) = M::broker(self).take(consumer, now)? {
            let first = self.connections.get_mut(&connection).ok_or(Stopped)?.seen.insert(taken.identity, now);
            if first {
                return Ok(Some(taken));
            }
            tracing::debug!("dropped a duplicate");
            M::broker(self).settle(taken.tag, Settlement::Ack, || now);
        }
        Ok(None)
    }

    pub(crate) fn settle<M: Carried>(
        &mut self,
        connection: ConnectionId,
        tag: Tag,
        identity: u128,
        settlement: Settlement,
    ) {
        let comes_again = matches!(settlement, Settlement::Requeue | Settlement::Defer(_));
        // Before the broker passes it on: the next listener may be one of this connection.
        if comes_again && let Some(connection) = self.connections.get_mut(&connection) {
            connection.seen.forget(identity);
        }
        let held = M::broker(self).settle(tag, settlement, Instant::now);
        // The message came back since, when the connection was lost. Then it is done all the same.
        if !held
            && !comes_again
            && let Some(connection) = self.connections.get_mut(&connection)
        {
            connection.seen.insert(identity, Instant::now());
        }
    }

    /// Passes a part of a reply to the transport that waits for it.
    pub(crate) fn reply(&mut self, answer: &Answer, part: ReplyPart) -> Result<(), TransportError> {
        let Some(connection) = self.connections.get_mut(&answer.to) else {
            return Err(TransportError::Undeliverable {
                exchange: String::new(),
                routing_key: format!("the replies of connection {}", answer.to.0),
            });
        };
        if connection.down.is_some() {
            connection.replies.push((answer.call, part));
        } else if !connection.pending.deliver_to(answer.call, part) {
            tracing::debug!(message_id = %answer.call.simple(), "dropped a reply that nobody waits for");
        }
        Ok(())
    }

    pub(crate) fn disconnect(&mut self, which: impl Fn(Option<&str>) -> bool, reason: &str) -> usize {
        let now = Instant::now();
        let reason: Arc<str> = reason.into();
        let which = self.select(which);
        for id in &which {
            if let Some(connection) = self.connections.get_mut(id) {
                connection.down = Some(reason.clone());
                connection.announce(self.alarm.as_ref());
            }
        }
        // Only when all of them are down, so that what one gives back does not pass through another.
        let mut held = Vec::new();
        for id in &which {
            self.requests.pause(*id);
            self.notifications.pause(*id);
        }
        for id in &which {
            held.push((*id, self.requests.take_back(*id, now)));
            held.push((*id, self.notifications.take_back(*id, now)));
        }
        for (id, identities) in held {
            if let Some(connection) = self.connections.get_mut(&id) {
                identities.into_iter().for_each(|identity| connection.seen.forget(identity));
            }
        }
        which.len()
    }

    pub(crate) fn reconnect(&mut self, which: impl Fn(Option<&str>) -> bool) -> usize {
        let now = Instant::now();
        let which = self.select(which);
        for id in &which {
            if let Some(connection) = self.connections.get_mut(id) {
                connection.down = None;
                connection.announce(self.alarm.as_ref());
                for (call, part) in std::mem::take(&mut connection.replies) {
                    connection.pending.deliver_to(call, part);
                }
            }
            self.requests.resume(*id, now);
            self.notifications.resume(*id, now);
        }
        which.len()
    }

    pub(crate) fn set_alarm(&mut self, reason: Option<Arc<str>>) {
        self.alarm = reason;
        for connection in self.connections.values() {
            connection.announce(self.alarm.as_ref());
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.len()
    }

    pub(crate) fn pending_calls(&self) -> usize {
        self.connections.values().map(|connection| connection.pending.len()).sum()
    }

    fn select(&self, which: impl Fn(Option<&str>) -> bool) -> Vec<ConnectionId> {
        self.connections.iter().filter(|(_, it)| which(it.name.as_deref())).map(|(id, _)| *id).collect()
    }

    fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }
}

impl Connection {
    fn announce(&self, alarm: Option<&Arc<str>>) {
        let up = self.down.is_none();
        self.up.send_if_modified(|was| std::mem::replace(was, up) != up);
        let state = match (&self.down, alarm) {
            (Some(reason), _) => ConnectionState::Disconnected(reason.clone()),
            (None, Some(reason)) => ConnectionState::Blocked(reason.clone()),
            (None, None) if self.paused => ConnectionState::Blocked(PAUSED.into()),
            (None, None) => ConnectionState::Connected,
        };
        self.state.send_if_modified(|current| {
            let changed = *current != state;
            *current = state;
            changed
        });
    }
}
