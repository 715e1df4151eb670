//! Publishing: a gate that opens when the broker takes messages, and bounded room for what is on its way.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use foldhash::HashSet;
use lapin::{BasicProperties, Channel};
use oxlo_driver_net::{patience::Patience, room::Room};
use oxlo_transport::{
    Removal, Retry, TransportError,
    parts::{backoff::Backoff, telemetry::Destination},
};
use tokio::{
    sync::{Mutex, Notify, OwnedSemaphorePermit, oneshot, watch},
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::debug;

use crate::{
    config::Config,
    confirms::{Completion, ConfirmingChannel, Message, Unsent},
    connection::{Down, Link, LinkState, Session, unreachable_after},
    declare::{DeclareError, declare_all, delete_unused},
    lateness, properties,
    topology::{Declare, Route, fits},
};

/// How often channels are opened anew at most because the broker refuses messages.
const RENEWAL: Duration = Duration::from_millis(500);
const NO_ROOM: &str = "too many messages wait for the broker's confirm";
/// How long closing waits for what is on its way.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// A message before it is known which connection takes it.
pub(crate) struct Outgoing<'a> {
    pub(crate) route: &'a Arc<Route>,
    pub(crate) body: &'a [u8],
    pub(crate) mandatory: bool,
    /// Whether the broker drops it when the deadline is over.
    pub(crate) expires: bool,
    /// The properties of a message that came and is sent once more, body as it is.
    pub(crate) again: Option<BasicProperties>,
}

impl<'a> Outgoing<'a> {
    /// As spans tell it.
    pub(crate) fn destination(&self) -> Destination<'a> {
        let Route { exchange, routing_key, .. } = self.route.as_ref();
        Destination { system: "rabbitmq", exchange, key: routing_key, size: self.body.len() }
    }
}

/// Whether the broker takes messages.
#[derive(Clone)]
pub(crate) enum Gate {
    Open(Arc<Lane>),
    Blocked(Arc<str>),
    Down(Down),
    Closed,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open(_) => "Open",
            Self::Blocked(_) => "Blocked",
            Self::Down(_) => "Down",
            Self::Closed => "Closed",
        })
    }
}

/// The publishing channels of one incarnation of the connection.
pub(crate) struct Lane {
    session: Arc<Session>,
    steady: ConfirmingChannel,
    /// For exchanges that may vanish at any moment: publishing to a missing exchange ends the channel.
    fragile: ConfirmingChannel,
    declared: RwLock<HashSet<String>>,
    declarer: Mutex<Option<Channel>>,
}

impl Lane {
    async fn open(session: Arc<Session>) -> lapin::Result<Self> {
        let steady = ConfirmingChannel::open(&session).await?;
        let fragile = ConfirmingChannel::open(&session).await?;
        Ok(Self { session, steady, fragile, declared: RwLock::default(), declarer: Mutex::new(None) })
    }

    async fn ended(&self) {
        tokio::select! {
            () = self.session.ended() => {}
            () = self.steady.gone() => {}
            () = self.fragile.gone() => {}
        }
    }

    async fn idle(&self) {
        self.steady.idle().await;
        self.fragile.idle().await;
    }

    /// Whether everything that a route needs was declared here.
    fn has(&self, route: &Route) -> bool {
        let declared = |name| self.declared.read().unwrap_or_else(PoisonError::into_inner).contains(name);
        route.declares.is_empty() || route.declared_as.as_ref().is_some_and(declared)
    }

    async fn declare(&self, route: &Route) -> Result<(), DeclareError> {
        if self.has(route) {
            return Ok(());
        }
        let mut kept = self.declarer.lock().await;
        *kept = Some(self.session.meanwhile(declare_all(&self.session, kept.take(), &route.declares)).await?);
        if let Some(name) = &route.declared_as {
            self.declared.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        }
        Ok(())
    }
}

/// Publishes for any number of tasks over one connection.
#[derive(Debug)]
pub(crate) struct Publisher {
    config: Arc<Config>,
    gate: watch::Receiver<Gate>,
    room: Room,
    /// Whether nothing is to be sent because the program said so.
    paused: watch::Sender<bool>,
    /// The broker answered a message with `basic.nack`.
    refused: Arc<Notify>,
    // Held, so that replies can be sent after the handle of the transport was dropped.
    _link: Arc<Link>,
}

impl Publisher {
    /// Publishes over a link.
    pub(crate) fn spawn(config: Arc<Config>, link: Arc<Link>) -> Self {
        let (sender, gate) = watch::channel(Gate::Down(Down { attempts: 0, cause: None, gave_up: false }));
        let paused = watch::Sender::new(false);
        let refused = Arc::new(Notify::new());
        tokio::spawn(keep(link.state(), ClosedWhenDropped(sender), paused.subscribe(), refused.clone()));
        Self { config, gate, paused, refused, room: Room::default(), _link: link }
    }

    /// Whether the broker takes messages, and every change of that.
    pub(crate) fn gate(&self) -> watch::Receiver<Gate> {
        self.gate.clone()
    }

    /// Sends nothing, or goes on.
    pub(crate) fn pause(&self, pause: bool) {
        self.paused.send_replace(pause);
    }

    /// Says that a message was refused, whatever the reason.
    ///
    /// A RabbitMQ channel that publishes to a quorum queue in the moment of a leader's death may refuse everything to that
    /// queue from then on, long after there is a new leader (seen in 3.10). A new channel is not so.
    pub(crate) fn refused(&self) {
        self.refused.notify_one();
    }

    /// Declares objects, in the order in which it is called.
    ///
    /// # Errors
    ///
    /// `Topology` if the broker refuses, `Unreachable`, `Blocked`, `Closed`.
    pub(crate) async fn declare(&self, declares: &[Declare], patience: &Patience) -> Result<(), TransportError> {
        loop {
            let lane = self.open_lane(patience).await?;
            let declared = async {
                let mut kept = lane.declarer.lock().await;
                *kept = Some(declare_all(&lane.session, kept.take(), declares).await?);
                Ok(())
            };
            match timeout_at(patience.deadline, declared).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(DeclareError::Refused(error))) => return Err(error),
                Ok(Err(DeclareError::Lost(_))) => drop(timeout(Duration::from_millis(100), lane.ended()).await),
                Err(_) => return Err(unreachable_after(&self.config, patience.begun, None)),
            }
        }
    }

    /// Deletes a queue that nobody consumes, in the order in which it is called.
    ///
    /// # Errors
    ///
    /// `Topology` if it has consumers, or must be empty and is not; `Unreachable`, `Blocked`, `Closed`.
    pub(crate) async fn delete(
        &self,
        queue: &str,
        removal: Removal,
        patience: &Patience,
    ) -> Result<(), TransportError> {
        loop {
            let lane = self.open_lane(patience).await?;
            let deleted = async {
                let mut kept = lane.declarer.lock().await;
                let channel = declare_all(&lane.session, kept.take(), &[]).await?;
                let result = delete_unused(&channel, queue, removal).await;
                *kept = Some(channel);
                result
            };
            match timeout_at(patience.deadline, deleted).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(DeclareError::Refused(error))) => return Err(error),
                Ok(Err(DeclareError::Lost(_))) => drop(timeout(Duration::from_millis(100), lane.ended()).await),
                Err(_) => return Err(unreachable_after(&self.config, patience.begun, None)),
            }
        }
    }

    /// Hands a message to the broker. When this returns it is on its way, and `completion` will learn what became of it.
    ///
    /// # Errors
    ///
    /// `Unreachable` or `Blocked` if the broker did not take messages in time, `Topology` if it refuses the exchange,
    /// `Closed`. Nothing was sent then.
    pub(crate) async fn publish(
        &self,
        outgoing: Outgoing<'_>,
        patience: &Patience,
        completion: Completion,
    ) -> Result<(), TransportError> {
        fits(&outgoing.route.exchange)?;
        fits(&outgoing.route.routing_key)?;
        let packed = match self.config.compress {
            Some(packing) if outgoing.again.is_none() => Cow::Owned(properties::compress(outgoing.body, packing)),
            _ => Cow::Borrowed(outgoing.body),
        };
        let outgoing = Outgoing { body: &packed, ..outgoing };
        let unsent = match self.room.try_enter(outgoing.body.len()) {
            Some(weight) => match self.open_now().filter(|lane| lane.has(outgoing.route)) {
                Some(lane) => match self.hand_over(&lane, &outgoing, patience, completion, weight)? {
                    Ok(()) => return Ok(()),
                    Err(unsent) => (unsent.0, Some(unsent.1)),
                },
                None => (completion, Some(weight)),
            },
            None => (completion, None),
        };
        // Boxed, because every layer around a future moves and stores it once more, and waiting is rare.
        Box::pin(self.publish_when_possible(outgoing, patience, unsent)).await
    }

    async fn publish_when_possible(
        &self,
        outgoing: Outgoing<'_>,
        patience: &Patience,
        (mut completion, weight): (Completion, Option<OwnedSemaphorePermit>),
    ) -> Result<(), TransportError> {
        let mut weight = match weight {
            Some(weight) => weight,
            None => self.room.enter(outgoing.body.len(), patience, NO_ROOM).await?,
        };
        loop {
            let lane = self.open_lane(patience).await?;
            match timeout_at(patience.deadline, lane.declare(outgoing.route)).await {
                Ok(Ok(())) => {}
                Ok(Err(DeclareError::Refused(error))) => return Err(error),
                Ok(Err(DeclareError::Lost(error))) => {
                    debug!(%error, "the channel for declarations was lost");
                    // The keeper notices a lost connection by itself; this only keeps the loop from spinning until then.
                    let _ = timeout(Duration::from_millis(100), lane.ended()).await;
                    continue;
                }
                Err(_) => return Err(unreachable_after(&self.config, patience.begun, None)),
            }
            match self.hand_over(&lane, &outgoing, patience, completion, weight)? {
                Ok(()) => return Ok(()),
                Err(unsent) => {
                    (completion, weight) = *unsent;
                    lane.ended().await;
                    // Until the keeper has closed the gate this lane would be found again.
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Hands a message to a channel, unless its time is over.
    fn hand_over(
        &self,
        lane: &Lane,
        outgoing: &Outgoing<'_>,
        patience: &Patience,
        completion: Completion,
        weight: OwnedSemaphorePermit,
    ) -> Result<Result<(), Unsent>, TransportError> {
        let Outgoing { route, body, mandatory, expires, ref again } = *outgoing;
        let left = patience.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(unreachable_after(&self.config, patience.begun, None));
        }
        // Made at the last moment: receivers tell a request's age by it.
        let id = lateness::stamped_id();
        let properties = match again {
            Some(as_it_came) => {
                properties::as_they_came(&as_it_came.clone().with_message_id(id.simple().to_string().into()))?
            }
            None => properties::outgoing(id, expires.then_some(left), self.config.compress),
        };
        let message = Message { route, mandatory, properties: &properties, body, id };
        let channel = if route.declared_as.is_some() { &lane.steady } else { &lane.fragile };
        Ok(channel.publish(message, completion, weight))
    }

    /// Publishes and waits for the broker's confirm.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish), and `Undeliverable`, `Rejected`, `ConnectionLost`, `Unconfirmed`.
    pub(crate) async fn publish_confirmed(
        &self,
        outgoing: Outgoing<'_>,
        patience: &Patience,
    ) -> Result<(), TransportError> {
        let (teller, told) = oneshot::channel();
        self.publish(outgoing, patience, Completion::Told(teller)).await?;
        match timeout_at(patience.deadline, told).await {
            Ok(outcome) => {
                let outcome = outcome.unwrap_or(Err(TransportError::ConnectionLost { source: None }));
                if matches!(outcome, Err(TransportError::Rejected { .. })) {
                    self.refused();
                }
                outcome
            }
            Err(_) => Err(TransportError::Unconfirmed { waited: patience.begun.elapsed() }),
        }
    }

    /// Waits until nothing is on its way, or a few seconds.
    pub(crate) async fn flush(&self) {
        let Gate::Open(lane) = self.gate.borrow().clone() else { return };
        let _ = timeout(FLUSH_LIMIT, lane.idle()).await;
    }

    fn open_now(&self) -> Option<Arc<Lane>> {
        match &*self.gate.borrow() {
            Gate::Open(lane) => Some(lane.clone()),
            _ => None,
        }
    }

    async fn open_lane(&self, patience: &Patience) -> Result<Arc<Lane>, TransportError> {
        if let Some(lane) = self.open_now() {
            return Ok(lane);
        }
        let mut gate = self.gate.clone();
        loop {
            let in_time = match &*gate.borrow_and_update() {
                Gate::Open(lane) => return Ok(lane.clone()),
                Gate::Closed => return Err(TransportError::Closed),
                Gate::Blocked(reason) => TransportError::Blocked { reason: reason.to_string(), waited: Duration::ZERO },
                Gate::Down(down) => {
                    let error = unreachable_after(&self.config, patience.begun, down.cause.clone());
                    match patience.retry {
                        Retry::Times(times) if down.attempts > times => return Err(error),
                        _ => error,
                    }
                }
            };
            match timeout_at(patience.deadline, gate.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(TransportError::Closed),
                Err(_) => return Err(waited_since(in_time, patience.begun)),
            }
        }
    }
}

/// How much room a body takes.
fn waited_since(error: TransportError, begun: Instant) -> TransportError {
    let waited = begun.elapsed();
    match error {
        TransportError::Blocked { reason, .. } => TransportError::Blocked { reason, waited },
        TransportError::Unreachable { broker, source, .. } => TransportError::Unreachable { broker, waited, source },
        other => other,
    }
}

/// Keeps the gate: opens channels on every incarnation of the connection, closes it while the broker blocks.
async fn keep(
    mut link: watch::Receiver<LinkState>,
    gate: ClosedWhenDropped,
    mut paused: watch::Receiver<bool>,
    refused: Arc<Notify>,
) {
    let ClosedWhenDropped(gate) = &gate;
    let mut backoff = Backoff::default();
    loop {
        let state = link.borrow_and_update().clone();
        let session = match state {
            LinkState::Up(session) => session,
            LinkState::Down(down) => {
                gate.send_replace(Gate::Down(down));
                if link.changed().await.is_err() {
                    break;
                }
                continue;
            }
            LinkState::Closed => break,
        };
        match session.meanwhile(Lane::open(session.clone())).await {
            Ok(lane) => {
                let opened = Instant::now();
                hold_open(gate, Arc::new(lane), &mut paused, &refused).await;
                if opened.elapsed() > Duration::from_secs(1) {
                    backoff.reset();
                    continue;
                }
            }
            Err(error) => debug!(%error, "no channel to publish on"),
        }
        // The connection may live on when the broker ended a channel; then this does not spin.
        tokio::select! {
            () = sleep(backoff.next(&mut rand::rng())) => {}
            _ = link.changed() => {}
        }
    }
}

/// The gate, which closes with its keeper, also when that ends with its runtime.
struct ClosedWhenDropped(watch::Sender<Gate>);

impl Drop for ClosedWhenDropped {
    fn drop(&mut self) {
        self.0.send_replace(Gate::Closed);
    }
}

async fn hold_open(
    gate: &watch::Sender<Gate>,
    mut lane: Arc<Lane>,
    paused: &mut watch::Receiver<bool>,
    refused: &Notify,
) {
    let mut blocked = lane.session.blocked.clone();
    let mut renewed = Instant::now();
    loop {
        let reason = blocked.borrow_and_update().clone();
        gate.send_replace(match reason {
            Some(reason) => Gate::Blocked(reason),
            None if *paused.borrow_and_update() => Gate::Blocked("publishing is paused by this program".into()),
            None => Gate::Open(lane.clone()),
        });
        tokio::select! {
            () = lane.ended() => break,
            // What is on its way on the old channels is still confirmed there.
            () = refused.notified() => if renewed.elapsed() > RENEWAL {
                debug!("the broker refuses messages; new channels are opened to publish on");
                let session = lane.session.clone();
                match session.meanwhile(Lane::open(session.clone())).await {
                    Ok(fresh) => lane = Arc::new(fresh),
                    Err(_) => break,
                }
                renewed = Instant::now();
            },
            changed = paused.changed() => if changed.is_err() {
                lane.ended().await;
                break;
            },
            changed = blocked.changed() => if changed.is_err() {
                lane.ended().await;
                break;
            },
        }
    }
    gate.send_replace(Gate::Down(Down { attempts: 0, cause: None, gave_up: false }));
}
