//! Publishing: one link for each address, any number of messages in flight.
//!
//! A sender of fe2o3-amqp belongs to one task at a time, waits for credit without a limit, and reports the outcome of a
//! message only when the receiver has settled it. So a task holds the link while its message is written, and then waits
//! for the outcome without the link, with a time limit on everything.

mod link;
mod links;
mod outcome;

use std::{sync::Arc, time::Duration};

use link::Unsent;
use links::SenderLinks;
use outcome::HoldsPermit;
use oxlo_driver_kit::{
    room::Room,
    send_budget::SendBudget,
    telemetry::{Destination, publishing},
    text::Said,
};
use oxlo_transport::{Backoff, Cause, TransportError, limited};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::debug;

use crate::{
    config::Config,
    connection::{Connected, Link, LinkState, unreachable_after},
    consume::Failed,
    error::{self, Unknown},
    management::{self, Declaration},
    message::Outgoing,
};

const BUDGET_EXHAUSTED: &str = "too many messages are in flight";
/// How long closing waits for messages in flight.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// Publishes for any number of tasks over one connection.
#[derive(Debug)]
pub(crate) struct Publisher {
    config: Arc<Config>,
    link: Arc<Link>,
    senders: Arc<SenderLinks>,
    room: Room,
}

impl Publisher {
    /// Publishes over a link.
    pub(crate) fn new(config: Arc<Config>, link: Arc<Link>) -> Self {
        let senders = SenderLinks::new(config.sender_idle);
        Self { config, link, senders, room: Room::default() }
    }

    /// Whether there is a connection.
    pub(crate) fn is_up(&self) -> bool {
        matches!(&*self.link.state().borrow(), LinkState::Up(_))
    }

    /// Sends a message and waits for its outcome. With `mandatory`, an address where nothing exists is an error.
    ///
    /// # Errors
    ///
    /// `Unreachable` or `Blocked` if it could not be sent in time, `Closed`; nothing was sent then. `Undeliverable`,
    /// `Rejected`, `ConnectionLost`, `Unconfirmed`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future discards the message; it is sent completely or not at all.
    pub(crate) async fn send(
        &self,
        address: &str,
        message: &mut Outgoing,
        mandatory: bool,
        patience: &SendBudget,
    ) -> Result<(), TransportError> {
        let to = Destination { system: "amqp", exchange: "", key: &address, size: message.text() };
        publishing(to, self.submit(address, message, mandatory, patience)).await
    }

    /// Sends a heartbeat of a running method: as [`send`](Self::send), without a span.
    pub(crate) async fn send_heartbeat(
        &self,
        address: &str,
        message: &mut Outgoing,
        patience: &SendBudget,
    ) -> Result<(), TransportError> {
        self.submit(address, message, false, patience).await
    }

    async fn submit(
        &self,
        address: &str,
        message: &mut Outgoing,
        mandatory: bool,
        patience: &SendBudget,
    ) -> Result<(), TransportError> {
        let mut permit = Some(self.room.enter(message.text(), patience, BUDGET_EXHAUSTED).await?);
        // Whether the message is sent on a link of its own, which shows whether the broker refuses this very message.
        let mut isolated = false;
        let undeliverable = || match mandatory {
            true => Err(TransportError::Undeliverable { exchange: String::new(), routing_key: address.to_owned() }),
            false => Ok(()),
        };
        let mut backoff = Backoff::default();
        loop {
            let connected = self.connected(patience).await?;
            let to = if isolated { self.senders.isolated(address) } else { self.senders.to(address) };
            let cause = match to.send(message, &connected, patience.deadline).await {
                Ok(sent) => {
                    let held = match permit.take() {
                        Some(permit) => permit,
                        None => self.room.enter(message.text(), patience, BUDGET_EXHAUSTED).await?,
                    };
                    let outcome = timeout_at(patience.deadline, HoldsPermit::new(sent, held)).await;
                    let waited = patience.begun.elapsed();
                    match outcome.map_err(|_| TransportError::Unconfirmed { waited })? {
                        Ok(outcome) if error::outcome(address, &outcome)? => return Ok(()),
                        Ok(_) => return undeliverable(),
                        Err(Unknown::Refused { code, reason }) if isolated => {
                            limited!(warn, "the broker refused a message", %address, %reason);
                            return Err(error::message_refused(address, code, reason));
                        }
                        Err(Unknown::Refused { reason, .. }) => {
                            debug!(%address, %reason, "the broker refused one of several messages, sending this one on its own link");
                            isolated = true;
                            continue;
                        }
                        Err(Unknown::Lost(cause)) => {
                            let source: Option<Cause> = Some(Arc::new(Said::new(&cause)));
                            return Err(TransportError::ConnectionLost { source });
                        }
                    }
                }
                Err(Unsent::NoRoute) => return undeliverable(),
                Err(Unsent::Refused(error)) => return Err(error),
                Err(Unsent::Blocked) => {
                    let reason = format!("the broker grants no credit for {address}");
                    return Err(TransportError::Blocked { reason, waited: patience.begun.elapsed() });
                }
                Err(Unsent::Temporary(cause)) => cause,
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

    /// Declares objects.
    ///
    /// # Errors
    ///
    /// `Topology` if the broker refuses; `Unreachable`, `Closed`.
    pub(crate) async fn declare(&self, declares: &[Declaration], patience: &SendBudget) -> Result<(), TransportError> {
        let mut backoff = Backoff::default();
        loop {
            let connected = self.connected(patience).await?;
            let cause = match timeout_at(patience.deadline, management::declare(&connected, declares)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(Failed::Refused(error) | Failed::Missing(error))) => {
                    limited!(warn, "the broker refused a declaration", %error);
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

    /// The number of consumers of a queue.
    ///
    /// # Errors
    ///
    /// As [`declare`](Self::declare).
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

    /// Waits until no message is in flight, for at most five seconds. Returns at once without a connection.
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
