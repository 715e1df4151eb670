//! Sending: one link for each address, any number of messages on their way.
//!
//! fe2o3-amqp's sender belongs to one task at a time, waits without end for credit, and says what became of a message only
//! when its receiver has said so. So whoever sends has the link while the message is written, and then waits for the outcome
//! without it, with a time limit on everything.

use std::{sync::Arc, time::Duration};

use oxlo_driver_kit::{
    room::Room,
    send_budget::SendBudget,
    telemetry::{Destination, publishing},
    text::Said,
};
use oxlo_transport::{TransportError, backoff::Backoff, error::Cause, limited};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::debug;

use crate::{
    config::Config,
    connection::{Connected, Link, LinkState, unreachable_after},
    consume::Failed,
    error::{self, Unknown},
    management::{self, Need},
    message::Outgoing,
    sender::{Awaited, Senders, Unsent},
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

    /// Whether there is a connection.
    pub(crate) fn is_up(&self) -> bool {
        matches!(&*self.link.state().borrow(), LinkState::Up(_))
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
        message: &mut Outgoing,
        mandatory: bool,
        patience: &SendBudget,
    ) -> Result<(), TransportError> {
        let to = Destination { system: "amqp", exchange: "", key: &address, size: message.text() };
        publishing(to, self.hand_over(address, message, mandatory, patience)).await
    }

    /// Sends a sign of life: as [`send`](Self::send), without a span.
    pub(crate) async fn send_heartbeat(
        &self,
        address: &str,
        message: &mut Outgoing,
        patience: &SendBudget,
    ) -> Result<(), TransportError> {
        self.hand_over(address, message, false, patience).await
    }

    async fn hand_over(
        &self,
        address: &str,
        message: &mut Outgoing,
        mandatory: bool,
        patience: &SendBudget,
    ) -> Result<(), TransportError> {
        let mut room = Some(self.room.enter(message.text(), patience, NO_ROOM).await?);
        // Whether the message is sent alone, to see whether it is the one that the broker refuses.
        let mut alone = false;
        let undeliverable = || match mandatory {
            true => Err(TransportError::Undeliverable { exchange: String::new(), routing_key: address.to_owned() }),
            false => Ok(()),
        };
        let mut backoff = Backoff::default();
        loop {
            let connected = self.connected(patience).await?;
            let to = if alone { self.senders.alone(address) } else { self.senders.to(address) };
            let cause = match to.send(message, &connected, patience.deadline).await {
                Ok(sent) => {
                    let taken = match room.take() {
                        Some(room) => room,
                        None => self.room.enter(message.text(), patience, NO_ROOM).await?,
                    };
                    let outcome = timeout_at(patience.deadline, Awaited::new(sent, taken)).await;
                    let waited = patience.begun.elapsed();
                    match outcome.map_err(|_| TransportError::Unconfirmed { waited })? {
                        Ok(outcome) if error::outcome(address, &outcome)? => return Ok(()),
                        Ok(_) => return undeliverable(),
                        Err(Unknown::Refused { code, reason }) if alone => {
                            limited!(warn, "the broker refused a message", %address, %reason);
                            return Err(error::message_refused(address, code, reason));
                        }
                        Err(Unknown::Refused { reason, .. }) => {
                            debug!(%address, %reason, "the broker refused a message among others; sending this one alone");
                            alone = true;
                            continue;
                        }
                        Err(Unknown::Lost(cause)) => {
                            let source: Option<Cause> = Some(Arc::new(Said::new(&cause)));
                            return Err(TransportError::ConnectionLost { source });
                        }
                    }
                }
                Err(Unsent::NobodyThere) => return undeliverable(),
                Err(Unsent::Refused(error)) => return Err(error),
                Err(Unsent::Blocked) => {
                    let reason = format!("the broker gives no credit to send to {address}");
                    return Err(TransportError::Blocked { reason, waited: patience.begun.elapsed() });
                }
                Err(Unsent::Passing(cause)) => cause,
            };
            connected.report(&cause, &address);
            let pause = Instant::now() + backoff.next(&mut rand::rng());
            if pause >= patience.deadline {
                let cause = error::lost(&cause);
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
    pub(crate) async fn make(&self, needs: &[Need], patience: &SendBudget) -> Result<(), TransportError> {
        let mut backoff = Backoff::default();
        loop {
            let connected = self.connected(patience).await?;
            let cause = match timeout_at(patience.deadline, management::make(&connected, needs)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(Failed::Refused(error) | Failed::Missing(error))) => {
                    limited!(warn, "the broker refused to declare what a message needs", %error);
                    return Err(error);
                }
                Ok(Err(Failed::Lost(cause))) => cause,
                Err(_) => "the broker's management did not answer in time".to_owned(),
            };
            connected.report(&cause, &management::NODE);
            let pause = Instant::now() + backoff.next(&mut rand::rng());
            if pause >= patience.deadline {
                let cause = error::lost(&cause);
                return Err(unreachable_after(&self.config, patience.begun, Some(cause)));
            }
            sleep_until(pause).await;
        }
    }

    /// How many consume a queue that the broker's management knows.
    ///
    /// # Errors
    ///
    /// As [`make`](Self::make).
    pub(crate) async fn consumers(&self, queue: &str, patience: &SendBudget) -> Result<u32, TransportError> {
        let connected = self.connected(patience).await?;
        match timeout_at(patience.deadline, management::consumers(&connected, queue)).await {
            Ok(Ok(count)) => Ok(count),
            Ok(Err(Failed::Refused(error) | Failed::Missing(error))) => Err(error),
            Ok(Err(Failed::Lost(cause))) => {
                let cause = error::lost(&cause);
                Err(unreachable_after(&self.config, patience.begun, Some(cause)))
            }
            Err(_) => Err(unreachable_after(&self.config, patience.begun, None)),
        }
    }

    /// Waits until nothing is on its way, or a few seconds; not without a connection, on which nothing is.
    pub(crate) async fn flush(&self) {
        let mut state = self.link.state();
        let sent = async {
            tokio::select! {
                () = self.room.emptied() => {}
                _ = state.wait_for(|state| !matches!(state, LinkState::Up(_))) => {}
            }
        };
        let _ = tokio::time::timeout(FLUSH_LIMIT, sent).await;
    }

    async fn connected(&self, patience: &SendBudget) -> Result<Arc<Connected>, TransportError> {
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
