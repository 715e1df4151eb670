//! The link to one address: attached when a message needs it, shared by all who send there, and closed when it is idle, or when
//! another needs its place and it was not used for longest.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use fe2o3_amqp::{
    Sender,
    link::{SendError, delivery::DeliveryFut},
    types::messaging::Outcome,
};
use oxlo_transport::{TransportError, limited};
use tokio::{
    runtime::Handle,
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, trace};

use crate::{
    connection::Connected,
    error::{self, Refused, Unknown},
    message::Outgoing,
    sessions::Seat,
};

/// Why a message was not sent.
pub(crate) enum Unsent {
    /// Nobody is there.
    NobodyThere,
    /// It cannot be sent.
    Refused(TransportError),
    /// The broker gave no credit in time.
    Blocked,
    /// For a reason that may pass.
    Passing(String),
}

/// The links of a connection, by address.
#[derive(Debug)]
pub(crate) struct Senders {
    by_address: Mutex<HashMap<Arc<str>, Arc<ToAddress>>>,
    /// How long a link is kept without use.
    idle: Duration,
}

impl Senders {
    pub(crate) fn new(idle: Duration) -> Arc<Self> {
        Arc::new(Self { by_address: Mutex::default(), idle })
    }

    /// What sends to an address.
    pub(crate) fn to(self: &Arc<Self>, address: &str) -> Arc<ToAddress> {
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = by_address.get(address) {
            return known.clone();
        }
        let to = self.new_to(address, false);
        by_address.insert(to.address.clone(), to.clone());
        to
    }

    /// What sends one message to an address, on a link and in a session of its own: nothing else suffers if the broker
    /// refuses it.
    pub(crate) fn alone(self: &Arc<Self>, address: &str) -> Arc<ToAddress> {
        self.new_to(address, true)
    }

    fn new_to(self: &Arc<Self>, address: &str, is_alone: bool) -> Arc<ToAddress> {
        let (link, senders) = (tokio::sync::Mutex::default(), Arc::downgrade(self));
        Arc::new(ToAddress { address: address.into(), link, senders, is_alone })
    }

    /// Closes the link of this connection that was not used for longest, and that awaits no outcome; whether there was one.
    async fn close_oldest(&self, connected: &Arc<Connected>) -> bool {
        let oldest = {
            let by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
            let used = |to: &&Arc<ToAddress>| {
                let link = to.link.try_lock().ok()?;
                link.as_ref().filter(|attached| attached.may_close(connected)).map(|attached| attached.used)
            };
            let used = by_address.values().filter_map(|to| used(&to).map(|used| (used, to)));
            used.min_by_key(|(used, _)| *used).map(|(_, to)| to.clone())
        };
        let Some(to) = oldest else { return false };
        let closed =
            to.link.try_lock().ok().and_then(|mut link| link.take_if(|attached| attached.may_close(connected)));
        if let Some(attached) = closed {
            debug!(address = %to.address, "closing the least recently used link that sends, to make room for another");
            attached.close().await;
        }
        to.leave();
        true
    }
}

/// Sends to one address.
#[derive(Debug)]
pub(crate) struct ToAddress {
    address: Arc<str>,
    link: tokio::sync::Mutex<Option<Box<Attached>>>,
    senders: Weak<Senders>,
    /// Whether its session is never shared.
    is_alone: bool,
}

#[derive(Debug)]
struct Attached {
    sender: Sender,
    connected: Arc<Connected>,
    used: Instant,
    /// Held by each message whose outcome is awaited.
    busy: Arc<()>,
    seat: Seat,
    /// Ends the task that waits for the link to be idle.
    _end: DropGuard,
}

impl Attached {
    fn is_busy(&self) -> bool {
        Arc::strong_count(&self.busy) > 1
    }

    fn may_close(&self, connected: &Arc<Connected>) -> bool {
        Arc::ptr_eq(&self.connected, connected) && !self.is_busy()
    }

    async fn close(self: Box<Self>) {
        let Self { sender, seat, .. } = *self;
        seat.close_sender(sender).await;
    }
}

impl ToAddress {
    /// Sends a message, and returns when it is on its way. Messages of tasks that wait go in the order in which they came.
    ///
    /// # Errors
    ///
    /// [`Unsent`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the message. If it is being sent, the link ends, and takes back what was written of it.
    pub(crate) async fn send(
        self: &Arc<Self>,
        message: &mut Outgoing,
        connected: &Arc<Connected>,
        deadline: Instant,
    ) -> Result<OnItsWay, Unsent> {
        // Whose turn comes when its time is over has waited for what held up those before it.
        let waits = self.link.try_lock().is_err();
        let mut link = timeout_at(deadline, self.link.lock()).await.map_err(|_| Unsent::Blocked)?;
        // Out of its place until the message is sent, and gone if it is not.
        let mut kept = link.take().filter(|attached| Arc::ptr_eq(&attached.connected, connected));
        loop {
            let is_new = kept.is_none();
            let mut attached = match kept.take() {
                Some(attached) => attached,
                None => match self.attach(connected, deadline).await {
                    Ok(attached) => attached,
                    Err(unsent) => {
                        drop(link);
                        self.leave();
                        let too_late = waits && Instant::now() >= deadline;
                        return Err(if too_late { Unsent::Blocked } else { unsent });
                    }
                },
            };
            // Boxed: it takes kilobytes, which every future around it would move once more.
            let sending = Box::pin(attached.sender.send_batchable_ref(message.sendable()));
            let sent = tokio::select! {
                biased;
                sent = sending => sent,
                () = connected.ended() => return Err(Unsent::Passing("the connection was lost".to_owned())),
                () = sleep_until(deadline) => return Err(Unsent::Blocked),
            };
            match sent {
                Ok(outcome) => {
                    attached.used = Instant::now();
                    let busy = attached.busy.clone();
                    *link = Some(attached);
                    return Ok(OnItsWay { outcome, _busy: busy });
                }
                Err(SendError::MessageSizeExceeded(sizes)) => {
                    *link = Some(attached);
                    let narrow = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
                    let (size, limit) = (narrow(sizes.size), narrow(sizes.max_size));
                    return Err(Unsent::Refused(TransportError::TooLarge { size, limit }));
                }
                Err(error) if is_new => return Err(Unsent::Passing(cause(&error))),
                // It ended since it was used last.
                Err(error) => debug!(address = %self.address, error = cause(&error), "a link that sends has ended"),
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
            Err(_) => return Err(Unsent::Passing("the broker did not answer the attach in time".to_owned())),
        };
        let end = CancellationToken::new();
        tokio::spawn(keep(Arc::downgrade(self), self.senders.clone(), seat.ended(), end.clone()));
        let _end = end.drop_guard();
        let (connected, used, busy) = (connected.clone(), Instant::now(), Arc::default());
        Ok(Box::new(Attached { sender, connected, used, busy, seat, _end }))
    }

    /// A place for the link, that of another one if need be.
    async fn seat(&self, connected: &Arc<Connected>) -> Result<Seat, Refused> {
        if self.is_alone {
            return Ok(Seat::alone(connected.session().await?, 1));
        }
        loop {
            let full = match connected.seat(1).await {
                Err(full @ Refused::Denied(_)) => full,
                seat => return seat,
            };
            let Some(senders) = self.senders.upgrade() else { return Err(full) };
            if !senders.close_oldest(connected).await {
                return Err(full);
            }
        }
    }

    fn unsent(&self, refusal: Refused) -> Unsent {
        let address = &self.address;
        match refusal {
            Refused::Missing(reason) => {
                debug!(%address, %reason, "nothing is at an address");
                Unsent::NobodyThere
            }
            Refused::Gone(reason) => {
                debug!(%address, %reason, "an address cannot be reached");
                let (exchange, routing_key) = (String::new(), address.to_string());
                Unsent::Refused(TransportError::Undeliverable { exchange, routing_key })
            }
            Refused::Denied(reason) => {
                limited!(warn, "the broker refused a link that sends", %address, %reason);
                Unsent::Refused(TransportError::Topology { object: format!("address `{address}`"), reason })
            }
            Refused::Lost(cause) => Unsent::Passing(cause),
        }
    }

    /// Forgets the address, unless there is a link to it.
    fn leave(self: &Arc<Self>) {
        let Some(senders) = self.senders.upgrade() else { return };
        let mut by_address = senders.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = by_address.get(&self.address).is_some_and(|known| Arc::ptr_eq(known, self));
        if is_known && self.link.try_lock().is_ok_and(|link| link.is_none()) {
            by_address.remove(&self.address);
        }
    }
}

/// Closes a link when its session has ended or it is idle.
async fn keep(to: Weak<ToAddress>, senders: Weak<Senders>, session: CancellationToken, end: CancellationToken) {
    let Some(idle) = senders.upgrade().map(|senders| senders.idle) else { return };
    let mut until = Instant::now() + idle;
    loop {
        tokio::select! {
            () = end.cancelled() => break,
            // Messages whose outcome is awaited learn it only when the link is dropped.
            () = session.cancelled() => {
                let Some(to) = to.upgrade() else { return };
                let mut link = to.link.lock().await;
                if !end.is_cancelled() {
                    *link = None;
                }
                drop(link);
                return to.leave();
            }
            () = sleep_until(until) => {
                let Some(to) = to.upgrade() else { return };
                let mut link = to.link.lock().await;
                match &*link {
                    Some(attached) if !end.is_cancelled() => {
                        until = if attached.is_busy() { Instant::now() } else { attached.used } + idle;
                        if until > Instant::now() {
                            continue;
                        }
                    }
                    _ => break,
                }
                trace!(address = %to.address, "a link that sends is idle");
                if let Some(attached) = link.take() {
                    attached.close().await;
                }
                break;
            }
        }
    }
    if let Some(to) = to.upgrade() {
        to.leave();
    }
}

/// A message that was sent: what becomes of it, or why nobody will ever know.
pub(crate) struct OnItsWay {
    outcome: DeliveryFut<Result<Outcome, SendError>>,
    _busy: Arc<()>,
}

impl Future for OnItsWay {
    type Output = Result<Outcome, Unknown>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.outcome).poll(cx).map_err(|error| error::unknown(&error))
    }
}

/// Awaits what becomes of a message, which keeps its share of the room until then, also when nobody waits any more.
pub(crate) struct Awaited<M: Future + Send + Unpin + 'static>(Option<(M, OwnedSemaphorePermit)>);

impl<M: Future + Send + Unpin> Awaited<M> {
    pub(crate) fn new(message: M, room: OwnedSemaphorePermit) -> Self {
        Self(Some((message, room)))
    }
}

impl<M: Future + Send + Unpin> Future for Awaited<M> {
    type Output = M::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((message, _)) = &mut self.0 else { return Poll::Pending };
        let outcome = ready!(Pin::new(message).poll(cx));
        self.0 = None;
        Poll::Ready(outcome)
    }
}

impl<M: Future + Send + Unpin + 'static> Drop for Awaited<M> {
    fn drop(&mut self) {
        if let Some((message, room)) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            // No `Awaited` again: a runtime that ends drops what it is to run, at once.
            runtime.spawn(async move {
                message.await;
                drop(room);
            });
        }
    }
}

fn cause(error: &SendError) -> String {
    match error {
        SendError::LinkStateError(state) => error::link_end(state),
        error => error::shown(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::pending;

    use tokio::{
        runtime::Builder,
        sync::{Semaphore, oneshot},
    };

    use super::*;

    async fn awaited<M: Future + Send + Unpin + 'static>(message: M, room: &Arc<Semaphore>) -> Awaited<M> {
        Awaited::new(message, room.clone().acquire_owned().await.unwrap())
    }

    #[tokio::test]
    async fn what_nobody_waits_for_keeps_its_room_until_its_outcome_is_known() {
        let room = Arc::new(Semaphore::new(1));
        let (known, outcome) = oneshot::channel();
        drop(awaited(outcome, &room).await);
        tokio::task::yield_now().await;
        assert_eq!(room.available_permits(), 0);
        known.send(()).unwrap();
        let _back = room.acquire().await.unwrap();
    }

    #[test]
    fn a_runtime_may_end_before_the_outcome_is_known() {
        for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
            let room = Arc::new(Semaphore::new(2));
            let runtime = builder.build().unwrap();
            let theirs = room.clone();
            runtime.spawn(async move {
                let (_first, _second) =
                    (awaited(pending::<()>(), &theirs).await, awaited(pending::<()>(), &theirs).await);
                pending::<()>().await;
            });
            runtime.block_on(async {
                while room.available_permits() > 0 {
                    tokio::task::yield_now().await;
                }
            });
            drop(runtime);
            assert_eq!(room.available_permits(), 2);
        }
    }
}
