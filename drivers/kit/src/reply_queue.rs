//! Keeping the subscription on which the replies to our own calls arrive.
//!
//! It is made with the first call and resubscribed whenever it ends, until the transport closes. Whether replies survive
//! the loss of the connection depends on the broker; where they do not, the calls that wait for them fail as `ReplyLost` at
//! once.

use std::{future::Future, sync::Arc};

use oxlo_transport::{TransportError, budget::TURN, json::Limits, limited, text};
use oxlo_wire::{envelope::Poison, reply::ReplyPart};
use tokio::{
    sync::{Mutex, oneshot, watch},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    link::{Link, LinkState, connected, exhausted},
    pending::PendingCalls,
    send_budget::SendBudget,
    session::{AttachError, Pauses, Session},
    text::Said,
};

/// Where the replies to our own calls arrive.
pub trait ReplySource: Send + 'static {
    /// One incarnation of the connection.
    type Session: Session;
    /// The subscription as it stands on one session.
    type Open: Send;

    /// Subscribes once, and returns the address that callers give for their replies. A queue that should still exist and
    /// does not has [lost](Awaited::lost) its replies. The driver bounds how long that takes.
    fn open(
        &mut self,
        session: &Arc<Self::Session>,
        calls: &Awaited,
    ) -> impl Future<Output = Result<(Self::Open, Arc<str>), AttachError>> + Send;

    /// Hands replies to their calls until the subscription ends, and returns why it did. The future is dropped when the
    /// transport closes.
    fn take(&mut self, open: &mut Self::Open, calls: &Awaited) -> impl Future<Output = String> + Send;

    /// Whether replies are lost with the subscription.
    fn ends_with_subscription(&self) -> bool {
        false
    }

    /// Deletes the queue, if it is not to be kept, and ends the subscription.
    fn close(&mut self, session: &Self::Session, open: Self::Open) -> impl Future<Output = ()> + Send;
}

/// The calls that wait for replies, as a [`ReplySource`] sees them.
#[derive(Clone, Debug)]
pub struct Awaited {
    calls: PendingCalls,
    limits: Limits,
}

impl Awaited {
    /// Bounds on what is read of a reply.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether a call waits for a reply of this id.
    #[must_use]
    pub fn is_waiting(&self, message_id: &str) -> bool {
        self.calls.is_waiting(message_id)
    }

    /// Hands a reply to its call. One that no call waits for is logged and counted, unless it was delivered before: then
    /// its first delivery may have been in time.
    pub fn deliver(&self, message_id: &str, part: ReplyPart, redelivered: bool) {
        if !self.calls.deliver(message_id, part) {
            self.unawaited(message_id, redelivered);
        }
    }

    /// Logs and counts a reply that no call waits for.
    pub fn unawaited(&self, message_id: &str, redelivered: bool) {
        debug!(message_id = %text::name(message_id), redelivered, "dropped a reply that no call waits for");
        if !redelivered {
            metrics::counter!("oxlo_late_replies_total").increment(1);
        }
    }

    /// Logs and counts a reply that cannot be read. Returns the bytes to account for it: those of a turn, because nothing
    /// says how far it was read.
    pub fn unreadable(&self, poison: &Poison) -> usize {
        limited!(warn, "dropped a reply that cannot be read", %poison);
        metrics::counter!("oxlo_poison_total", "kind" => poison.kind()).increment(1);
        TURN
    }

    /// Ends the calls that wait for a reply at an address that is gone.
    pub fn lost(&self, address: &str) {
        let calls = self.calls.fail_all(&TransportError::ReplyLost { queue: address.to_owned() });
        if calls > 0 {
            warn!(%address, calls, "the reply queue is gone; the calls that waited for its replies failed");
        }
    }
}

/// Whether replies can arrive.
#[derive(Clone, Debug)]
enum State {
    /// They arrive at this address.
    Ready(Arc<str>),
    /// The subscription is being made; the last attempt failed for this reason.
    Trying(Option<TransportError>),
    /// The broker refused it. It is retried, and nobody waits for that.
    Refused(TransportError),
}

/// The subscription for replies of one transport. Dropping it ends the subscription in the background.
#[derive(Debug)]
pub(crate) struct ReplyQueue<S> {
    link: Arc<Link<S>>,
    state: watch::Receiver<State>,
    stop: CancellationToken,
    stopped: Mutex<Option<oneshot::Receiver<()>>>,
}

impl<S: Session> ReplyQueue<S> {
    /// Starts to subscribe.
    pub(crate) fn spawn(
        source: impl ReplySource<Session = S>,
        link: Arc<Link<S>>,
        calls: PendingCalls,
        limits: Limits,
    ) -> Self {
        let (sender, state) = watch::channel(State::Trying(None));
        let stop = CancellationToken::new();
        let (done, stopped) = oneshot::channel();
        let keeper =
            Keeper { source, link: link.state(), calls: Awaited { calls, limits }, state: sender, stop: stop.clone() };
        tokio::spawn(async move {
            keeper.run().await;
            let _ = done.send(());
        });
        Self { link, state, stop, stopped: Mutex::new(Some(stopped)) }
    }

    /// The address for replies, once they can arrive.
    ///
    /// # Errors
    ///
    /// `Topology` or `Refused` if the broker refuses the subscription, `Unreachable` with the last failure if it cannot be
    /// made in time, `Closed`.
    pub(crate) async fn ready(&self, budget: &SendBudget) -> Result<Arc<str>, TransportError> {
        if let State::Ready(address) = &*self.state.borrow() {
            return Ok(address.clone());
        }
        // Boxed, because every layer around a future moves and stores it once more, and waiting is rare.
        Box::pin(self.ready_in_time(budget)).await
    }

    async fn ready_in_time(&self, budget: &SendBudget) -> Result<Arc<str>, TransportError> {
        let mut state = self.state.clone();
        let decided = state.wait_for(|state| !matches!(state, State::Trying(_)));
        let outcome = tokio::select! {
            outcome = timeout_at(budget.deadline, decided) => outcome,
            error = exhausted(&self.link, budget) => return Err(error),
        };
        match outcome {
            Ok(Ok(state)) => match &*state {
                State::Ready(address) => return Ok(address.clone()),
                State::Refused(error) => return Err(error.clone()),
                State::Trying(_) => {}
            },
            Ok(Err(_)) => return Err(TransportError::Closed),
            Err(_) => {}
        }
        Err(self.link.unreachable(budget.begun, self.failure()))
    }

    /// Why replies cannot arrive, as far as it is known.
    fn failure(&self) -> Option<TransportError> {
        if let LinkState::Down(down) = &*self.link.state().borrow() {
            return down.cause.clone();
        }
        match &*self.state.borrow() {
            State::Ready(_) => None,
            State::Trying(cause) => cause.clone(),
            State::Refused(error) => Some(error.clone()),
        }
    }

    /// Ends the subscription, and waits until that is done.
    pub(crate) async fn close(&self) {
        self.stop.cancel();
        if let Some(stopped) = self.stopped.lock().await.take() {
            let _ = stopped.await;
        }
    }
}

impl<S> Drop for ReplyQueue<S> {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Keeper<R: ReplySource> {
    source: R,
    link: watch::Receiver<LinkState<R::Session>>,
    calls: Awaited,
    state: watch::Sender<State>,
    stop: CancellationToken,
}

impl<R: ReplySource> Keeper<R> {
    async fn run(mut self) {
        let mut pauses = Pauses::default();
        let stop = self.stop.clone();
        loop {
            let Some(Some(session)) = stop.run_until_cancelled(connected(&mut self.link)).await else { return };
            let Some(opened) = stop.run_until_cancelled(self.source.open(&session, &self.calls)).await else { return };
            let failure = match opened {
                Ok((mut open, address)) => {
                    self.state.send_replace(State::Ready(address.clone()));
                    let since = Instant::now();
                    let cause = tokio::select! {
                        cause = self.source.take(&mut open, &self.calls) => cause,
                        () = session.ended() => "the connection was lost".to_owned(),
                        () = stop.cancelled() => return self.source.close(&session, open).await,
                    };
                    debug!(%address, %cause, "the subscription for replies ended; resubscribing");
                    let lost = TransportError::ConnectionLost { source: Some(Arc::new(Said::new(&cause))) };
                    self.state.send_replace(State::Trying(Some(lost)));
                    if self.source.ends_with_subscription() {
                        self.calls.lost(&address);
                    }
                    pauses.ended(since);
                    None
                }
                Err(AttachError::Refused(error)) => {
                    warn!(%error, "the broker refused the subscription for replies, retrying");
                    self.state.send_replace(State::Refused(error.clone()));
                    Some(error)
                }
                Err(AttachError::Lost(error)) => {
                    debug!(%error, "cannot subscribe for replies, retrying");
                    self.state.send_replace(State::Trying(Some(error.clone())));
                    Some(error)
                }
            };
            let pause = sleep(pauses.next(failure.as_ref()));
            if stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }
}
