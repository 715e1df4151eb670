//! Publishing: what waits until the broker takes messages, and bounded room for what is on its way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use lapin::BasicProperties;
use oxlo_driver_kit::{link::ATTEMPT_LIMIT, room::Room, send_budget::SendBudget, telemetry::Destination};
use oxlo_transport::{Removal, TransportError};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::{Instant, error::Elapsed, timeout, timeout_at},
};
use tracing::debug;
use uuid::Uuid;

use crate::{
    config::Config,
    confirms::{Completion, Flight},
    connection::{Down, Link, unreachable_after},
    declare::DeclareError,
    error,
    lane::{ClosedWhenDropped, Gate, Lane, keep},
    lateness, properties, salvage,
    topology::{Declare, Route, fits},
};

const NO_ROOM: &str = "too many messages wait for the broker's confirm";
/// How long closing waits for what is on its way.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);
/// Until the keeper has noticed that a connection is lost, whoever tries again waits this long.
const PAUSE: Duration = Duration::from_millis(100);

/// A message before it is known which connection takes it.
pub(crate) struct Outgoing<'a> {
    pub(crate) route: &'a Arc<Route>,
    pub(crate) body: Vec<u8>,
    pub(crate) mandatory: bool,
    /// Whether the broker drops it when the deadline is over.
    pub(crate) expires: bool,
    /// The properties of a message that came and is sent once more, body as it is.
    pub(crate) again: Option<Box<BasicProperties>>,
}

impl<'a> Outgoing<'a> {
    /// As spans tell it.
    pub(crate) fn destination(&self) -> Destination<'a> {
        let Route { exchange, routing_key, .. } = self.route.as_ref();
        Destination { system: "rabbitmq", exchange, key: routing_key, size: self.body.len() }
    }
}

/// Publishes for any number of tasks over one connection.
#[derive(Debug)]
pub(crate) struct Publisher {
    way: Way,
    room: Room,
    /// Whether nothing is to be sent because the program said so.
    paused: watch::Sender<bool>,
    /// The broker answered a message with `basic.nack`.
    refused: Arc<Notify>,
    /// How often the gate was opened by a new connection.
    incarnations: Arc<AtomicU32>,
    // Held, so that replies can be sent after the handle of the transport was dropped.
    _link: Arc<Link>,
}

impl Publisher {
    /// Publishes over a link.
    pub(crate) fn spawn(config: Arc<Config>, link: Arc<Link>) -> Self {
        let (sender, gate) = watch::channel(Gate::Down(Down { attempts: 0, cause: None, gave_up: false }));
        let paused = watch::Sender::new(false);
        let refused = Arc::new(Notify::new());
        let (wrecks, wrecked) = mpsc::unbounded_channel();
        let way = Way { config, gate };
        tokio::spawn(salvage::run(wrecked, way.clone()));
        let incarnations = Arc::new(AtomicU32::new(0));
        let gate = ClosedWhenDropped { gate: sender, incarnations: incarnations.clone() };
        tokio::spawn(keep(link.state(), gate, paused.subscribe(), refused.clone(), wrecks));
        Self { way, paused, refused, incarnations, room: Room::default(), _link: link }
    }

    /// Whether the broker takes messages, and every change of that.
    pub(crate) fn gate(&self) -> watch::Receiver<Gate> {
        self.way.gate.clone()
    }

    /// The number of the connection, counted from 1.
    pub(crate) fn incarnation(&self) -> u32 {
        self.incarnations.load(Ordering::Relaxed)
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
    pub(crate) async fn declare(&self, declares: &[Declare], patience: &SendBudget) -> Result<(), TransportError> {
        loop {
            let lane = self.way.open_lane(patience).await?;
            let declared = timeout_at(patience.deadline, lane.declare_now(declares)).await;
            if self.way.is_done(declared, &lane, patience).await? {
                return Ok(());
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
        patience: &SendBudget,
    ) -> Result<(), TransportError> {
        loop {
            let lane = self.way.open_lane(patience).await?;
            let deleted = timeout_at(patience.deadline, lane.delete(queue, removal)).await;
            if self.way.is_done(deleted, &lane, patience).await? {
                return Ok(());
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
        patience: &SendBudget,
        completion: Completion,
    ) -> Result<(), TransportError> {
        let Outgoing { route, body, mandatory, expires, again } = outgoing;
        fits(&route.exchange)?;
        fits(&route.routing_key)?;
        let packing = self.way.config.compress.filter(|_| again.is_none());
        let (body, packing) = properties::packed(body, packing);
        let weight = self.room.try_enter(body.len());
        let flight = Flight {
            route: route.clone(),
            body,
            packing,
            mandatory,
            expires,
            again,
            patience: *patience,
            completion,
            weight,
            id: None,
            in_doubt: false,
            declared_again: 0,
        };
        let flight = match self.way.open_now().filter(|lane| flight.weight.is_some() && lane.has(route)) {
            Some(lane) => match self.way.hand_over(&lane, flight) {
                Ok(()) => return Ok(()),
                Err(Unsent::Never(undelivered)) => return Err(undelivered.1),
                Err(Unsent::Broken(flight)) => *flight,
            },
            None => flight,
        };
        // Boxed, because every layer around a future moves and stores it once more, and waiting is rare.
        Box::pin(self.publish_when_possible(flight)).await
    }

    async fn publish_when_possible(&self, mut flight: Flight) -> Result<(), TransportError> {
        if flight.weight.is_none() {
            flight.weight = Some(self.room.enter(flight.body.len(), &flight.patience, NO_ROOM).await?);
        }
        self.way.deliver(flight).await.map_err(|undelivered| undelivered.1)
    }

    /// Publishes and waits for the broker's confirm.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish), and `Undeliverable`, `Rejected`, `MessageRefused`, `ConnectionLost`, `Unconfirmed`.
    pub(crate) async fn publish_confirmed(
        &self,
        outgoing: Outgoing<'_>,
        patience: &SendBudget,
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

    /// Waits for the first channels to publish on.
    ///
    /// # Errors
    ///
    /// `Refused` if the broker allows too few. A connection that is lost meanwhile is not an error: it comes back by itself.
    pub(crate) async fn opened(&self) -> Result<(), TransportError> {
        let mut gate = self.way.gate.clone();
        let settled = |gate: &Gate| !matches!(gate, Gate::Down(Down { cause: None, .. }));
        match timeout(ATTEMPT_LIMIT, gate.wait_for(settled)).await {
            Ok(Ok(gate)) => match &*gate {
                Gate::Down(Down { cause: Some(limit), .. }) if error::is_limit(limit) => Err(limit.clone()),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Waits until nothing is on its way, or a few seconds.
    pub(crate) async fn flush(&self) {
        if self.way.open_now().is_some() {
            let _ = timeout(FLUSH_LIMIT, self.room.emptied()).await;
        }
    }
}

/// A message that could not be handed over in time, and why.
pub(crate) type Undelivered = Box<(Flight, TransportError)>;

/// Why a message was not handed over.
enum Unsent {
    /// It cannot be: its time is over.
    Never(Undelivered),
    /// The channel is gone.
    Broken(Box<Flight>),
}

/// The way to the broker.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    config: Arc<Config>,
    gate: watch::Receiver<Gate>,
}

impl Way {
    /// Hands a message over as soon as the broker takes it.
    ///
    /// # Errors
    ///
    /// Gives the message back with `Unreachable`, `Blocked`, `Topology` or `Closed`.
    pub(crate) async fn deliver(&self, mut flight: Flight) -> Result<(), Undelivered> {
        let patience = flight.patience;
        loop {
            let lane = match self.declared_lane(&flight.route, &patience).await {
                Ok(lane) => lane,
                Err(error) => return Err(Box::new((flight, error))),
            };
            match self.hand_over(&lane, flight) {
                Ok(()) => return Ok(()),
                Err(Unsent::Never(undelivered)) => return Err(undelivered),
                Err(Unsent::Broken(unsent)) => {
                    flight = *unsent;
                    self.replaced(&lane, &patience).await;
                }
            }
        }
    }

    /// An open lane on which everything is declared that a route needs.
    pub(crate) async fn declared_lane(
        &self,
        route: &Route,
        patience: &SendBudget,
    ) -> Result<Arc<Lane>, TransportError> {
        loop {
            let lane = self.open_lane(patience).await?;
            let declared = timeout_at(patience.deadline, lane.declare(route)).await;
            if self.is_done(declared, &lane, patience).await? {
                return Ok(lane);
            }
        }
    }

    /// Whether a declaration was made; `false` if it is to be tried on the next lane.
    async fn is_done(
        &self,
        declared: Result<Result<(), DeclareError>, Elapsed>,
        lane: &Lane,
        patience: &SendBudget,
    ) -> Result<bool, TransportError> {
        match declared {
            Ok(Ok(())) => Ok(true),
            Ok(Err(DeclareError::Refused(error))) => Err(error),
            Ok(Err(DeclareError::Lost(error))) => {
                debug!(error = error::text(&error), "the channel for declarations was lost");
                // The keeper notices a lost connection by itself; this only keeps the loop from spinning until then.
                let _ = timeout(PAUSE, lane.session().ended()).await;
                Ok(false)
            }
            Err(_) => Err(self.unreachable(patience)),
        }
    }

    /// Hands a message to a channel, unless its time is over.
    fn hand_over(&self, lane: &Lane, flight: Flight) -> Result<(), Unsent> {
        match self.labels(&flight) {
            Ok((id, properties)) => {
                lane.channel(flight.letter()).publish(id, &properties, flight).map_err(Unsent::Broken)
            }
            Err(error) => Err(Unsent::Never(Box::new((flight, error)))),
        }
    }

    /// The id and the properties of a message that is sent now.
    ///
    /// # Errors
    ///
    /// `Unreachable` if its time is over.
    pub(crate) fn labels(&self, flight: &Flight) -> Result<(Uuid, Vec<u8>), TransportError> {
        let left = flight.patience.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.unreachable(&flight.patience));
        }
        // Made at the last moment: receivers tell a request's age by it. One that is sent again keeps its own.
        let id = flight.id.unwrap_or_else(lateness::stamped_id);
        let properties = match &flight.again {
            Some(as_it_came) => {
                let properties = as_it_came.as_ref().clone();
                properties::as_they_came(&properties.with_message_id(id.simple().to_string().into()))?
            }
            None => properties::outgoing(id, flight.expires.then_some(left), flight.packing),
        };
        Ok((id, properties))
    }

    /// Waits until another lane is open in the place of this one, or none.
    async fn replaced(&self, lane: &Arc<Lane>, patience: &SendBudget) {
        let mut gate = self.gate.clone();
        let another = |gate: &Gate| !matches!(gate, Gate::Open(now) if Arc::ptr_eq(now, lane));
        let _ = timeout_at(patience.deadline, gate.wait_for(another)).await;
    }

    /// Not sent in time, because of what is known of the connection.
    fn unreachable(&self, patience: &SendBudget) -> TransportError {
        let cause = match &*self.gate.borrow() {
            Gate::Down(down) => down.cause.clone(),
            _ => None,
        };
        unreachable_after(&self.config, patience.begun, cause)
    }

    /// The lane, if it is open.
    pub(crate) fn open_now(&self) -> Option<Arc<Lane>> {
        match &*self.gate.borrow() {
            Gate::Open(lane) => Some(lane.clone()),
            _ => None,
        }
    }

    async fn open_lane(&self, patience: &SendBudget) -> Result<Arc<Lane>, TransportError> {
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
                    if down.exhausted(patience.retry, self.config.hosts.len()) {
                        return Err(error);
                    }
                    error
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

fn waited_since(error: TransportError, begun: Instant) -> TransportError {
    let waited = begun.elapsed();
    match error {
        TransportError::Blocked { reason, .. } => TransportError::Blocked { reason, waited },
        TransportError::Unreachable { broker, source, .. } => TransportError::Unreachable { broker, waited, source },
        other => other,
    }
}
