//! Submits messages to the broker as soon as it accepts them.

use std::{sync::Arc, time::Duration};

use oxlo_driver_kit::send_budget::SendBudget;
use oxlo_transport::TransportError;
use tokio::{
    sync::watch,
    time::{Instant, error::Elapsed, timeout, timeout_at},
};
use tracing::debug;
use uuid::Uuid;

use super::{channels::PublishChannels, in_flight::InFlight, state::PublishState};
use crate::{
    config::Config,
    connection::unreachable_after,
    control::declare::DeclareError,
    error, lateness,
    properties::{self, CompressionAlgorithm},
    topology::Route,
};

/// The pause before another attempt, until the link has noticed that its connection is lost.
const LOST_PAUSE: Duration = Duration::from_millis(100);

/// A message that was not submitted in time, with the reason.
pub(super) type Undelivered = Box<(InFlight, TransportError)>;

/// Why a message was not submitted.
pub(super) enum Unsent {
    /// Its deadline has passed.
    Expired(Undelivered),
    /// The channel is gone.
    ChannelGone(Box<InFlight>),
}

/// Submits messages on the open channels. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Submitter {
    config: Arc<Config>,
    state: watch::Receiver<PublishState>,
}

impl Submitter {
    pub(super) fn new(config: Arc<Config>, state: watch::Receiver<PublishState>) -> Self {
        Self { config, state }
    }

    pub(super) fn state(&self) -> watch::Receiver<PublishState> {
        self.state.clone()
    }

    /// The configured compression of bodies.
    pub(super) fn compression(&self) -> Option<CompressionAlgorithm> {
        self.config.compress
    }

    /// Submits a message as soon as the broker accepts it.
    ///
    /// # Errors
    ///
    /// Returns the message with `Unreachable`, `Blocked`, `Topology` or `Closed`.
    pub(super) async fn deliver(&self, mut message: InFlight) -> Result<(), Undelivered> {
        let patience = message.patience;
        loop {
            let channels = match self.declared_channels(&message.route, &patience).await {
                Ok(channels) => channels,
                Err(error) => return Err(Box::new((message, error))),
            };
            match self.submit(&channels, message) {
                Ok(()) => return Ok(()),
                Err(Unsent::Expired(undelivered)) => return Err(undelivered),
                Err(Unsent::ChannelGone(unsent)) => {
                    message = *unsent;
                    self.replaced(&channels, &patience).await;
                }
            }
        }
    }

    /// Submits a message on open channels, unless its deadline has passed.
    pub(super) fn submit(&self, channels: &PublishChannels, message: InFlight) -> Result<(), Unsent> {
        match self.encode_properties(&message) {
            Ok((id, properties)) => {
                let channel = channels.channel(message.candidate());
                channel.publish(id, &properties, message).map_err(Unsent::ChannelGone)
            }
            Err(error) => Err(Unsent::Expired(Box::new((message, error)))),
        }
    }

    /// The id and the encoded properties of a message that is sent now.
    ///
    /// # Errors
    ///
    /// `Unreachable` if its deadline has passed.
    pub(super) fn encode_properties(&self, message: &InFlight) -> Result<(Uuid, Vec<u8>), TransportError> {
        let remaining = message.patience.deadline.saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            return Err(self.unreachable(&message.patience));
        }
        // Made at the last moment: receivers derive a request's age from it. A message that is sent again keeps its id.
        let id = message.id.unwrap_or_else(lateness::stamped_id);
        let properties = match &message.again {
            Some(received) => {
                let properties = received.as_ref().clone();
                properties::encode(&properties.with_message_id(id.simple().to_string().into()))?
            }
            None => properties::outgoing(id, message.expires.then_some(remaining), message.compression),
        };
        Ok((id, properties))
    }

    /// Open channels on which everything that a route needs is declared.
    pub(super) async fn declared_channels(
        &self,
        route: &Route,
        patience: &SendBudget,
    ) -> Result<Arc<PublishChannels>, TransportError> {
        loop {
            let channels = self.open_channels(patience).await?;
            let declared = timeout_at(patience.deadline, channels.declare_route(route)).await;
            if self.has_succeeded(declared, &channels, patience).await? {
                return Ok(channels);
            }
        }
    }

    /// Whether a declaration or a deletion succeeded; `false` if it must be repeated on the next channels.
    pub(super) async fn has_succeeded(
        &self,
        declared: Result<Result<(), DeclareError>, Elapsed>,
        channels: &PublishChannels,
        patience: &SendBudget,
    ) -> Result<bool, TransportError> {
        match declared {
            Ok(Ok(())) => Ok(true),
            Ok(Err(DeclareError::Refused(error))) => Err(error),
            Ok(Err(DeclareError::Lost(error))) => {
                debug!(error = error::text(&error), "lost the channel for declarations");
                // Keeps the loop from spinning until the link notices that the connection is lost.
                let _ = timeout(LOST_PAUSE, channels.session().ended()).await;
                Ok(false)
            }
            Err(_) => Err(self.unreachable(patience)),
        }
    }

    /// The channels, if the broker accepts messages now.
    pub(super) fn open_now(&self) -> Option<Arc<PublishChannels>> {
        match &*self.state.borrow() {
            PublishState::Open(channels) => Some(channels.clone()),
            _ => None,
        }
    }

    /// Waits until the broker accepts messages.
    pub(super) async fn open_channels(&self, patience: &SendBudget) -> Result<Arc<PublishChannels>, TransportError> {
        if let Some(channels) = self.open_now() {
            return Ok(channels);
        }
        let mut state = self.state.clone();
        loop {
            let error_at_deadline = match &*state.borrow_and_update() {
                PublishState::Open(channels) => return Ok(channels.clone()),
                PublishState::Closed => return Err(TransportError::Closed),
                PublishState::Blocked(reason) => {
                    TransportError::Blocked { reason: reason.to_string(), waited: Duration::ZERO }
                }
                PublishState::Down(down) => {
                    let error = unreachable_after(&self.config, patience.begun, down.cause.clone());
                    if down.exhausted(patience.retry, self.config.hosts.len()) {
                        return Err(error);
                    }
                    error
                }
            };
            match timeout_at(patience.deadline, state.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(TransportError::Closed),
                Err(_) => return Err(waited_since(error_at_deadline, patience.begun)),
            }
        }
    }

    /// Waits until these channels are replaced or closed.
    async fn replaced(&self, channels: &Arc<PublishChannels>, patience: &SendBudget) {
        let mut state = self.state.clone();
        let is_replaced =
            |state: &PublishState| !matches!(state, PublishState::Open(now) if Arc::ptr_eq(now, channels));
        let _ = timeout_at(patience.deadline, state.wait_for(is_replaced)).await;
    }

    /// The error of a message that was not sent in time, with what is known of the connection.
    fn unreachable(&self, patience: &SendBudget) -> TransportError {
        let cause = match &*self.state.borrow() {
            PublishState::Down(down) => down.cause.clone(),
            _ => None,
        };
        unreachable_after(&self.config, patience.begun, cause)
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
