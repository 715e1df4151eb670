//! Sending: one link for each address, any number of messages on their way.
//!
//! fe2o3-amqp's sender belongs to one task at a time, waits without end for credit, and says what became of a message only
//! when its receiver has said so. So whoever sends has the link while the message is written, and then waits for the outcome
//! without it, with a time limit on everything.

use std::{sync::Arc, time::Duration};

use oxlo_driver_net::{patience::Patience, room::Room};
use oxlo_transport::{
    TransportError,
    parts::{
        backoff::Backoff,
        telemetry::{Destination, publishing},
    },
};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::debug;

use crate::{
    config::Config,
    connection::{Connected, Link, LinkState, unreachable_after},
    consume::Failed,
    error::{self, Said},
    management::{self, Need},
    message::Outgoing,
    sender::{ATTACH_LIMIT, Awaited, Senders, Unsent},
};

const NO_ROOM: &str = "too many messages are on their way";
/// How long closing waits for what is on its way.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// Sends for any number of tasks over one connection.
#[derive(Debug)]
pub(crate) struct Publisher {
    config: Arc<Config>,
    link: Arc<Link>,
    senders: Arc<Senders>,
    room: Room,
}

impl Publisher {
    /// Sends over a link.
    pub(crate) fn new(config: Arc<Config>, link: Arc<Link>) -> Self {
        let senders = Senders::new(config.sender_idle);
        Self { config, link, senders, room: Room::default() }
    }

    /// Sends a message and waits for its outcome. With `mandatory`, nobody being there is an error.
    ///
    /// # Errors
    ///
    /// `Unreachable` or `Blocked` if it could not be sent in time, `Closed`; nothing was sent then. `Undeliverable`,
    /// `Rejected`, `ConnectionLost`, `Unconfirmed`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the message; it is sent or not, and never in half.
    pub(crate) async fn send(
        &self,
        address: &str,
        message: &Outgoing,
        mandatory: bool,
        patience: &Patience,
    ) -> Result<(), TransportError> {
        let to = Destination { system: "amqp", exchange: "", key: &address, size: message.text() };
        publishing(to, self.hand_over(address, message, mandatory, patience)).await
    }

    /// Sends a sign of life: as [`send`](Self::send), without a span.
    pub(crate) async fn send_heartbeat(
        &self,
        address: &str,
        message: &Outgoing,
        patience: &Patience,
    ) -> Result<(), TransportError> {
        self.hand_over(address, message, false, patience).await
    }

    async fn hand_over(
        &self,
        address: &str,
        message: &Outgoing,
        mandatory: bool,
        patience: &Patience,
    ) -> Result<(), TransportError> {
        let room = self.room.enter(message.text(), patience, NO_ROOM).await?;
        let undeliverable = || match mandatory {
            true => Err(TransportError::Undeliverable { exchange: String::new(), routing_key: address.to_owned() }),
            false => Ok(()),
        };
        let mut backoff = Backoff::default();
        loop {
            let connected = self.connected(patience).await?;
            let cause = match self.senders.to(address).send(message.sendable(), &connected, patience.deadline).await {
                Ok(sent) => {
                    let outcome = timeout_at(patience.deadline, Awaited::new(sent, room)).await;
                    let waited = patience.begun.elapsed();
                    let outcome = outcome.map_err(|_| TransportError::Unconfirmed { waited })?;
                    let lost = |cause| TransportError::ConnectionLost { source: Some(Arc::new(Said(cause))) };
                    return match error::outcome(address, &outcome.map_err(lost)?)? {
                        true => Ok(()),
                        false => undeliverable(),
                    };
                }
                Err(Unsent::NobodyThere) => return undeliverable(),
                Err(Unsent::Refused(error)) => return Err(error),
                Err(Unsent::Blocked) => {
                    let reason = format!("the broker gives no credit to send to {address}");
                    return Err(TransportError::Blocked { reason, waited: patience.begun.elapsed() });
                }
                Err(Unsent::Passing(cause)) => cause,
            };
            debug!(%address, %cause, "not sent, and tried again");
            let pause = Instant::now() + backoff.next(&mut rand::rng());
            if pause >= patience.deadline {
                let cause = TransportError::ConnectionLost { source: Some(Arc::new(Said(cause))) };
                return Err(unreachable_after(&self.config, patience.begun, Some(cause)));
            }
            sleep_until(pause).await;
        }
    }

    /// Makes what an address needs.
    ///
    /// # Errors
    ///
    /// `Topology` if the broker does not want to; `Unreachable`, `Closed`.
    pub(crate) async fn make(&self, needs: &[Need], patience: &Patience) -> Result<(), TransportError> {
        let mut backoff = Backoff::default();
        loop {
            let connected = self.connected(patience).await?;
            let limit = patience.deadline.min(Instant::now() + ATTACH_LIMIT);
            let cause = match timeout_at(limit, management::make(&connected, needs)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(Failed::Refused(error) | Failed::Missing(error))) => return Err(error),
                Ok(Err(Failed::Lost(cause))) => cause,
                Err(_) => "the broker's management did not answer in time".to_owned(),
            };
            debug!(%cause, "not made, and tried again");
            let pause = Instant::now() + backoff.next(&mut rand::rng());
            if pause >= patience.deadline {
                let cause = TransportError::ConnectionLost { source: Some(Arc::new(Said(cause))) };
                return Err(unreachable_after(&self.config, patience.begun, Some(cause)));
            }
            sleep_until(pause).await;
        }
    }

    /// Waits until nothing is on its way, or a few seconds.
    pub(crate) async fn flush(&self) {
        let _ = tokio::time::timeout(FLUSH_LIMIT, self.room.emptied()).await;
    }

    async fn connected(&self, patience: &Patience) -> Result<Arc<Connected>, TransportError> {
        let mut state = self.link.state();
        loop {
            let cause = match &*state.borrow_and_update() {
                LinkState::Up(connected) => return Ok(connected.clone()),
                LinkState::Closed => return Err(TransportError::Closed),
                LinkState::Down(down) if down.exhausted(patience.retry, self.config.hosts.len()) => {
                    return Err(unreachable_after(&self.config, patience.begun, down.cause.clone()));
                }
                LinkState::Down(down) => down.cause.clone(),
            };
            match timeout_at(patience.deadline, state.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(TransportError::Closed),
                Err(_) => return Err(unreachable_after(&self.config, patience.begun, cause)),
            }
        }
    }
}
