//! Publishing, with a confirm for each message.
//!
//! | file | holds |
//! |---|---|
//! | `in_flight` | a message on its way, and who learns its outcome |
//! | `channels`, `confirm_channel` | the publishing channels of a connection |
//! | `ledger` | the messages in flight on a channel, settled by confirms and returns |
//! | `state` | whether the broker accepts messages |
//! | `submit` | waits until the broker accepts a message, and submits it |
//! | `refusal`, `republish` | which message a channel was closed over, and what becomes of the others |

mod channels;
mod confirm_channel;
mod in_flight;
pub(crate) mod ledger;
mod refusal;
mod republish;
mod state;
mod submit;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use in_flight::InFlight;
pub(crate) use in_flight::{Completion, Outgoing};
use oxlo_driver_kit::{link::ATTEMPT_LIMIT, room::Room, send_budget::SendBudget};
use oxlo_transport::{Removal, TransportError};
pub(crate) use state::PublishState;
use state::StateGuard;
use submit::{Submitter, Unsent};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::{timeout, timeout_at},
};

use crate::{
    config::Config,
    connection::{Down, Link},
    error, properties,
    topology::{Declaration, check_length},
};

const BUDGET_EXHAUSTED: &str = "too many messages wait for the broker's confirm";
/// How long closing waits for messages in flight.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// Publishes for any number of tasks over one connection.
#[derive(Debug)]
pub(crate) struct Publisher {
    submitter: Submitter,
    room: Room,
    /// Whether the program paused publishing.
    paused: watch::Sender<bool>,
    /// Notified when the broker answered `basic.nack`.
    refused: Arc<Notify>,
    /// How often a new connection opened the publisher.
    incarnations: Arc<AtomicU32>,
    // Held so that replies can be sent after the transport's handle was dropped.
    _link: Arc<Link>,
}

impl Publisher {
    /// Starts a publisher on a link.
    pub(crate) fn spawn(config: Arc<Config>, link: Arc<Link>) -> Self {
        let (sender, state) = watch::channel(PublishState::Down(Down { attempts: 0, cause: None, gave_up: false }));
        let paused = watch::Sender::new(false);
        let refused = Arc::new(Notify::new());
        let (closed_channels, closed) = mpsc::unbounded_channel();
        let submitter = Submitter::new(config, state);
        tokio::spawn(republish::run(closed, submitter.clone()));
        let incarnations = Arc::new(AtomicU32::new(0));
        let guard = StateGuard { state: sender, incarnations: incarnations.clone() };
        tokio::spawn(state::keep(link.state(), guard, paused.subscribe(), refused.clone(), closed_channels));
        Self { submitter, paused, refused, incarnations, room: Room::default(), _link: link }
    }

    /// Whether the broker accepts messages.
    pub(crate) fn state(&self) -> watch::Receiver<PublishState> {
        self.submitter.state()
    }

    /// The number of the connection, counted from 1.
    pub(crate) fn incarnation(&self) -> u32 {
        self.incarnations.load(Ordering::Relaxed)
    }

    /// Pauses or resumes publishing.
    pub(crate) fn pause(&self, pause: bool) {
        self.paused.send_replace(pause);
    }

    /// Reports that a message was refused, which replaces the publishing channels.
    ///
    /// A RabbitMQ channel that publishes to a quorum queue while its leader dies may answer every further message with
    /// `basic.nack`, long after there is a new leader (seen in 3.10). A new channel does not.
    pub(crate) fn refused(&self) {
        self.refused.notify_one();
    }

    /// Declares objects, in the order of the calls.
    ///
    /// # Errors
    ///
    /// `Topology` if the broker refuses, `Unreachable`, `Blocked`, `Closed`.
    pub(crate) async fn declare(&self, declares: &[Declaration], patience: &SendBudget) -> Result<(), TransportError> {
        loop {
            let channels = self.submitter.open_channels(patience).await?;
            let declared = timeout_at(patience.deadline, channels.declare(declares)).await;
            if self.submitter.has_succeeded(declared, &channels, patience).await? {
                return Ok(());
            }
        }
    }

    /// Deletes a queue without consumers, in the order of the calls.
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
            let channels = self.submitter.open_channels(patience).await?;
            let deleted = timeout_at(patience.deadline, channels.delete(queue, removal)).await;
            if self.submitter.has_succeeded(deleted, &channels, patience).await? {
                return Ok(());
            }
        }
    }

    /// Submits a message to the broker. When this returns, the message is in flight, and `completion` learns its
    /// outcome.
    ///
    /// # Errors
    ///
    /// `Unreachable` or `Blocked` if the broker did not accept messages in time, `Topology` if it refuses the exchange,
    /// `Closed`. Nothing was sent then.
    pub(crate) async fn publish(
        &self,
        outgoing: Outgoing<'_>,
        patience: &SendBudget,
        completion: Completion,
    ) -> Result<(), TransportError> {
        let Outgoing { route, body, mandatory, expires, again } = outgoing;
        check_length(&route.exchange)?;
        check_length(&route.routing_key)?;
        let compression = self.submitter.compression().filter(|_| again.is_none());
        let (body, compression) = properties::compress_if_accepted(body, compression);
        let permit = self.room.try_enter(body.len());
        let message = InFlight {
            route: route.clone(),
            body,
            compression,
            mandatory,
            expires,
            again,
            patience: *patience,
            completion,
            permit,
            id: None,
            may_have_arrived: false,
            redeclared: 0,
        };
        let ready =
            self.submitter.open_now().filter(|channels| message.permit.is_some() && channels.has_declared(route));
        let message = match ready {
            Some(channels) => match self.submitter.submit(&channels, message) {
                Ok(()) => return Ok(()),
                Err(Unsent::Expired(undelivered)) => return Err(undelivered.1),
                Err(Unsent::ChannelGone(message)) => *message,
            },
            None => message,
        };
        // Boxed: every future around it would move its state once more, and waiting is rare.
        Box::pin(self.publish_when_possible(message)).await
    }

    async fn publish_when_possible(&self, mut message: InFlight) -> Result<(), TransportError> {
        if message.permit.is_none() {
            message.permit = Some(self.room.enter(message.body.len(), &message.patience, BUDGET_EXHAUSTED).await?);
        }
        self.submitter.deliver(message).await.map_err(|undelivered| undelivered.1)
    }

    /// Publishes and waits for the broker's confirm.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish), and `Undeliverable`, `Rejected`, `MessageRefused`, `ConnectionLost`,
    /// `Unconfirmed`.
    pub(crate) async fn publish_confirmed(
        &self,
        outgoing: Outgoing<'_>,
        patience: &SendBudget,
    ) -> Result<(), TransportError> {
        let (waiter, confirmed) = oneshot::channel();
        self.publish(outgoing, patience, Completion::Waiter(waiter)).await?;
        match timeout_at(patience.deadline, confirmed).await {
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

    /// Waits for the first publishing channels.
    ///
    /// # Errors
    ///
    /// `Refused` if the broker allows too few channels. A connection that is lost meanwhile is not an error: the link
    /// reconnects.
    pub(crate) async fn opened(&self) -> Result<(), TransportError> {
        let mut state = self.submitter.state();
        let is_known = |state: &PublishState| !matches!(state, PublishState::Down(Down { cause: None, .. }));
        match timeout(ATTEMPT_LIMIT, state.wait_for(is_known)).await {
            Ok(Ok(state)) => match &*state {
                PublishState::Down(Down { cause: Some(limit), .. }) if error::is_limit(limit) => Err(limit.clone()),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Waits until no message is in flight, for at most five seconds.
    pub(crate) async fn flush(&self) {
        if self.submitter.open_now().is_some() {
            let _ = timeout(FLUSH_LIMIT, self.room.emptied()).await;
        }
    }
}
