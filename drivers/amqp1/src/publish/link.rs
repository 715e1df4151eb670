//! The link to one address: attached when a message needs it, shared by all senders to that address, and closed when it
//! is idle or when it is the least recently used and another link needs its place.

use std::sync::{Arc, PoisonError, Weak};

use fe2o3_amqp::{Sender, link::SendError};
use oxlo_transport::{TransportError, limited};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, trace};

use super::{links::SenderLinks, outcome::PendingOutcome};
use crate::{
    connection::Connected,
    error::{self, Refused},
    message::Outgoing,
    sessions::Seat,
};

/// Why a message was not sent.
pub(super) enum Unsent {
    /// Nothing exists at the address.
    NoRoute,
    /// The message or its link was refused.
    Refused(TransportError),
    /// The broker granted no credit in time.
    Blocked,
    /// A failure that may be temporary.
    Temporary(String),
}

/// Sends to one address.
#[derive(Debug)]
pub(super) struct AddressLink {
    pub(super) address: Arc<str>,
    pub(super) link: tokio::sync::Mutex<Option<Box<Attached>>>,
    senders: Weak<SenderLinks>,
    /// Whether its session is not shared.
    is_isolated: bool,
}

/// An attached link.
#[derive(Debug)]
pub(super) struct Attached {
    sender: Sender,
    connected: Arc<Connected>,
    pub(super) used: Instant,
    /// Held by each message whose outcome is pending.
    busy: Arc<()>,
    seat: Seat,
    /// Stops the task that closes the link when it is idle.
    _stop: DropGuard,
}

impl Attached {
    fn is_busy(&self) -> bool {
        Arc::strong_count(&self.busy) > 1
    }

    /// Whether it belongs to this connection and awaits no outcome.
    pub(super) fn may_close(&self, connected: &Arc<Connected>) -> bool {
        Arc::ptr_eq(&self.connected, connected) && !self.is_busy()
    }

    pub(super) async fn close(self: Box<Self>) {
        let Self { sender, seat, .. } = *self;
        seat.close_sender(sender).await;
    }
}

impl AddressLink {
    pub(super) fn new(address: Arc<str>, senders: Weak<SenderLinks>, is_isolated: bool) -> Self {
        Self { address, link: tokio::sync::Mutex::default(), senders, is_isolated }
    }

    /// Sends a message, and returns when it is in flight. Waiting senders are served in order.
    ///
    /// # Errors
    ///
    /// [`Unsent`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future discards the message. If it was partly written, the link is detached, which aborts the
    /// message.
    pub(super) async fn send(
        self: &Arc<Self>,
        message: &mut Outgoing,
        connected: &Arc<Connected>,
        deadline: Instant,
    ) -> Result<PendingOutcome, Unsent> {
        // A sender that gets the link after its deadline waited for the credit of those before it.
        let waits = self.link.try_lock().is_err();
        let mut link = timeout_at(deadline, self.link.lock()).await.map_err(|_| Unsent::Blocked)?;
        // Taken out until the message is sent, and dropped if this future is.
        let mut kept = link.take().filter(|attached| Arc::ptr_eq(&attached.connected, connected));
        loop {
            let is_new = kept.is_none();
            let mut attached = match kept.take() {
                Some(attached) => attached,
                None => match self.attach(connected, deadline).await {
                    Ok(attached) => attached,
                    Err(unsent) => {
                        drop(link);
                        self.forget_if_detached();
                        let too_late = waits && Instant::now() >= deadline;
                        return Err(if too_late { Unsent::Blocked } else { unsent });
                    }
                },
            };
            // Boxed: it takes kilobytes, which every future around it would move again.
            let sending = Box::pin(attached.sender.send_batchable_ref(message.sendable()));
            let sent = tokio::select! {
                biased;
                sent = sending => sent,
                () = connected.ended() => return Err(Unsent::Temporary("the connection was lost".to_owned())),
                () = sleep_until(deadline) => return Err(Unsent::Blocked),
            };
            match sent {
                Ok(outcome) => {
                    attached.used = Instant::now();
                    let busy = attached.busy.clone();
                    *link = Some(attached);
                    return Ok(PendingOutcome::new(outcome, busy));
                }
                Err(SendError::MessageSizeExceeded(sizes)) => {
                    *link = Some(attached);
                    let narrow = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
                    let (size, limit) = (narrow(sizes.size), narrow(sizes.max_size));
                    return Err(Unsent::Refused(TransportError::TooLarge { size, limit }));
                }
                Err(error) if is_new => return Err(Unsent::Temporary(cause(&error))),
                // It ended since it was last used.
                Err(error) => debug!(address = %self.address, error = cause(&error), "a sending link has ended"),
            }
        }
    }

    async fn attach(self: &Arc<Self>, connected: &Arc<Connected>, deadline: Instant) -> Result<Box<Attached>, Unsent> {
        let attaching = async {
            let seat = self.seat(connected).await?;
            if seat.is_shared() {
                connected.try_sender(&self.address).await?;
            }
            Ok((seat.sender(self.address.clone()).await?, seat))
        };
        let (sender, seat) = match timeout_at(deadline, Box::pin(attaching)).await {
            Ok(attached) => attached.map_err(|refusal| self.unsent(refusal))?,
            Err(_) => return Err(Unsent::Temporary("the broker did not answer the attach in time".to_owned())),
        };
        let stop = CancellationToken::new();
        tokio::spawn(close_when_idle(Arc::downgrade(self), self.senders.clone(), seat.ended(), stop.clone()));
        let _stop = stop.drop_guard();
        let (connected, used, busy) = (connected.clone(), Instant::now(), Arc::default());
        Ok(Box::new(Attached { sender, connected, used, busy, seat, _stop }))
    }

    /// A place for the link, if necessary that of another link.
    async fn seat(&self, connected: &Arc<Connected>) -> Result<Seat, Refused> {
        if self.is_isolated {
            return Ok(Seat::alone(connected.session().await?, 1));
        }
        loop {
            let full = match connected.seat(1).await {
                Err(full @ Refused::Denied(_)) => full,
                seat => return seat,
            };
            let Some(senders) = self.senders.upgrade() else { return Err(full) };
            if !senders.close_least_recently_used(connected).await {
                return Err(full);
            }
        }
    }

    fn unsent(&self, refusal: Refused) -> Unsent {
        let address = &self.address;
        match refusal {
            Refused::Missing(reason) => {
                debug!(%address, %reason, "nothing exists at this address");
                Unsent::NoRoute
            }
            Refused::Gone(reason) => {
                debug!(%address, %reason, "the address cannot be reached");
                let (exchange, routing_key) = (String::new(), address.to_string());
                Unsent::Refused(TransportError::Undeliverable { exchange, routing_key })
            }
            Refused::Denied(reason) => {
                limited!(warn, "the broker refused a sending link", %address, %reason);
                Unsent::Refused(TransportError::Topology { object: format!("address `{address}`"), reason })
            }
            Refused::Lost(cause) => Unsent::Temporary(cause),
        }
    }

    /// Removes the address, unless a link is attached to it.
    pub(super) fn forget_if_detached(self: &Arc<Self>) {
        let Some(senders) = self.senders.upgrade() else { return };
        let mut by_address = senders.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = by_address.get(&self.address).is_some_and(|known| Arc::ptr_eq(known, self));
        if is_known && self.link.try_lock().is_ok_and(|link| link.is_none()) {
            by_address.remove(&self.address);
        }
    }
}

/// Closes a link when its session has ended or the link is idle.
async fn close_when_idle(
    to: Weak<AddressLink>,
    senders: Weak<SenderLinks>,
    session: CancellationToken,
    stop: CancellationToken,
) {
    let Some(idle) = senders.upgrade().map(|senders| senders.idle) else { return };
    let mut until = Instant::now() + idle;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            // Pending outcomes resolve only when the link is dropped.
            () = session.cancelled() => {
                let Some(to) = to.upgrade() else { return };
                let mut link = to.link.lock().await;
                if !stop.is_cancelled() {
                    *link = None;
                }
                drop(link);
                return to.forget_if_detached();
            }
            () = sleep_until(until) => {
                let Some(to) = to.upgrade() else { return };
                let mut link = to.link.lock().await;
                match &*link {
                    Some(attached) if !stop.is_cancelled() => {
                        until = if attached.is_busy() { Instant::now() } else { attached.used } + idle;
                        if until > Instant::now() {
                            continue;
                        }
                    }
                    _ => break,
                }
                trace!(address = %to.address, "closing an idle sending link");
                if let Some(attached) = link.take() {
                    attached.close().await;
                }
                break;
            }
        }
    }
    if let Some(to) = to.upgrade() {
        to.forget_if_detached();
    }
}

fn cause(error: &SendError) -> String {
    match error {
        SendError::LinkStateError(state) => error::link_end(state),
        error => error::shown(error),
    }
}
