//! Sending the replies to the calls of others.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use oxlo_transport::{Caller, Failure, Replier, Reply, ReplySink, Retry, TransportError, limited};
use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::{
    held::{HeldReplies, HeldReply, Kind, Standing},
    send_budget::SendBudget,
};

/// How long until a reply is sent again after the connection was lost. oslo's pause.
pub const RESEND_PAUSE: Duration = Duration::from_millis(250);

/// How a driver sends replies.
pub trait ReplySender: fmt::Debug + Send + Sync + 'static {
    /// Who waits for one reply, as the request named it.
    type Caller: Send + Sync + 'static;
    /// What tells one sending of a reply from another; the same for every attempt to send it.
    type Label: Send + Sync + 'static;
    /// A reply as it is sent.
    type Body: AsRef<[u8]> + Clone + Send + Sync + 'static;

    /// Where the reply goes: a queue or an address.
    fn reply_to<'a>(&self, caller: &'a Self::Caller) -> &'a str;

    /// The caller as logs name it.
    fn describe(&self, caller: &Self::Caller) -> Caller;

    /// How often the caller wants to hear that the method still runs.
    fn heartbeat_interval(&self, caller: &Self::Caller) -> Option<Duration>;

    /// A new label.
    fn label(&self) -> Self::Label;

    /// Writes a reply.
    ///
    /// # Errors
    ///
    /// `MalformedReply` if it cannot be written.
    fn encode(&self, caller: &Self::Caller, label: &Self::Label, reply: &Reply) -> Result<Self::Body, TransportError>;

    /// Until when a reply may be tried whose caller waits until `deadline`, as far as that is known.
    fn give_up(&self, begun: Instant, deadline: Option<Instant>) -> Instant;

    /// Until when one attempt may last that begins now.
    fn attempt_until(&self, begun: Instant, give_up: Instant) -> Instant;

    /// Sends a reply once. Returns whether its queue is known to have taken it.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if it was not delivered; [`verdict`](Self::verdict) then says what to do about it.
    fn send(
        &self,
        caller: &Self::Caller,
        body: Self::Body,
        budget: &SendBudget,
    ) -> impl Future<Output = Result<bool, TransportError>> + Send;

    /// Tells the caller that the method still runs. Returns as [`send`](Self::send) does.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if it was not delivered.
    fn heartbeat(
        &self,
        caller: &Self::Caller,
        budget: &SendBudget,
    ) -> impl Future<Output = Result<bool, TransportError>> + Send;

    /// What to do about a reply that was not delivered.
    fn verdict(&self, failed: &TransportError, attempt: Attempt) -> Verdict;

    /// The number of the connection, if callers can lose it together with their reply queues and declare those again.
    fn incarnation(&self) -> u32 {
        0
    }
}

/// One attempt to send a reply.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Whether there is time for another one.
    pub may_retry: bool,
    /// Whether the reply stands in for one that could not be sent.
    pub is_substitute: bool,
}

/// What to do about a reply that was not delivered.
#[derive(Debug)]
pub enum Verdict {
    /// The connection was lost: send it again after a pause. A reply that arrives twice finds no call the second time.
    Retry,
    /// Its queue does not take it now: hold it beside the server.
    Hold,
    /// The broker refuses this reply and takes others: its caller gets this failure instead.
    Substitute(Failure),
    /// Give it up.
    GiveUp,
}

/// Sends the replies of one transport, and holds those that cannot be delivered now.
#[derive(Debug)]
pub struct Replies<S: ReplySender> {
    sender: Arc<S>,
    held: HeldReplies<Held<S>>,
    max_size: usize,
}

impl<S: ReplySender> Replies<S> {
    /// `max_size` bounds a reply, in bytes; `hold_for` is how long a queue is tried that took a reply before.
    pub(crate) fn new(sender: S, hold_for: Duration, max_size: usize) -> Self {
        Self { sender: Arc::new(sender), held: HeldReplies::new(hold_for), max_size }
    }

    pub(crate) fn sender(&self) -> &S {
        &self.sender
    }

    /// The one-shot handle that answers a caller, who waits until `deadline`.
    pub(crate) fn replier(self: &Arc<Self>, caller: S::Caller, deadline: Option<Instant>) -> Replier {
        let interval = self.sender.heartbeat_interval(&caller);
        let incarnation = self.sender.incarnation();
        Replier::new(Box::new(Answer { replies: self.clone(), caller, deadline, incarnation }), interval)
    }

    /// Waits a second at most for replies that are held for callers that are known, and drops the rest.
    pub(crate) async fn close(&self) {
        self.held.close().await;
    }
}

/// Answers one call.
struct Answer<S: ReplySender> {
    replies: Arc<Replies<S>>,
    caller: S::Caller,
    deadline: Option<Instant>,
    /// Of the connection that publishes, when the request came.
    incarnation: u32,
}

/// A reply that was sent and did not arrive.
struct Unsent<S: ReplySender> {
    label: S::Label,
    reply: Reply,
    is_substitute: bool,
    begun: Instant,
    give_up: Instant,
}

#[async_trait]
impl<S: ReplySender> ReplySink for Answer<S> {
    fn caller(&self) -> Option<Caller> {
        Some(self.replies.sender.describe(&self.caller))
    }

    async fn heartbeat(&self) -> Result<(), TransportError> {
        let sender = &self.replies.sender;
        let interval = sender.heartbeat_interval(&self.caller).unwrap_or(RESEND_PAUSE);
        let is_known = sender.heartbeat(&self.caller, &SendBudget::new(interval, Retry::Forever)).await?;
        self.arrived(is_known);
        Ok(())
    }

    /// Sends the reply once, and again only while the connection itself is lost: what its queue alone does not take is
    /// held aside and costs no other caller anything.
    async fn finish(self: Box<Self>, reply: Reply) -> Result<(), TransportError> {
        let Replies { sender, held, max_size } = &*self.replies;
        let label = sender.label();
        let mut body = sender.encode(&self.caller, &label, &reply)?;
        let mut substitute = None;
        let size = body.as_ref().len();
        if size > *max_size {
            let overflow = overflow(format!("the reply has {size} bytes, the limit is {max_size}"));
            body = sender.encode(&self.caller, &label, substitute.insert(overflow))?;
        }
        match held.standing(sender.reply_to(&self.caller)) {
            Standing::Open => {}
            Standing::Waiting => return (*self).hold(body, false),
            Standing::Gone => return Err(undeliverable(sender.reply_to(&self.caller))),
        }
        let begun = Instant::now();
        let give_up = sender.give_up(begun, self.deadline);
        match self.send(body, begun, give_up).await {
            Ok(()) => Ok(()),
            // Boxed, because every layer around a future moves and stores it once more, and trying again is rare.
            Err(failed) => {
                let is_substitute = substitute.is_some();
                let unsent = Unsent { label, reply: substitute.unwrap_or(reply), is_substitute, begun, give_up };
                Box::pin(self.retry(failed, unsent)).await
            }
        }
    }
}

impl<S: ReplySender> Answer<S> {
    async fn send(&self, body: S::Body, begun: Instant, give_up: Instant) -> Result<(), TransportError> {
        let sender = &self.replies.sender;
        let deadline = sender.attempt_until(begun, give_up);
        let is_known = sender.send(&self.caller, body, &SendBudget { begun, deadline, retry: Retry::Forever }).await?;
        self.arrived(is_known);
        Ok(())
    }

    fn arrived(&self, is_known: bool) {
        if is_known {
            self.replies.held.arrived(self.replies.sender.reply_to(&self.caller));
        }
    }

    /// Decides about a reply that did not arrive, until it arrives, is held, or is given up.
    async fn retry(self: Box<Self>, mut failed: TransportError, mut unsent: Unsent<S>) -> Result<(), TransportError> {
        let sender = self.replies.sender.clone();
        let reply_to = sender.reply_to(&self.caller);
        let mut was_lost = false;
        loop {
            let may_retry = Instant::now() + RESEND_PAUSE < unsent.give_up;
            match sender.verdict(&failed, Attempt { may_retry, is_substitute: unsent.is_substitute }) {
                Verdict::Retry => {
                    was_lost = true;
                    sleep(RESEND_PAUSE).await;
                }
                Verdict::Hold => {
                    debug!(%reply_to, %failed, "the reply queue did not take a reply; holding it");
                    let body = sender.encode(&self.caller, &unsent.label, &unsent.reply)?;
                    return (*self).hold(body, was_lost);
                }
                Verdict::Substitute(failure) => {
                    limited!(warn, "the broker refused a reply; its caller gets a failure instead", %failed);
                    unsent.reply = Reply::Failure(Box::new(failure));
                    unsent.is_substitute = true;
                }
                Verdict::GiveUp if matches!(failed, TransportError::Undeliverable { .. }) => {
                    return Err(undeliverable(reply_to));
                }
                Verdict::GiveUp => return Err(failed),
            }
            let body = sender.encode(&self.caller, &unsent.label, &unsent.reply)?;
            match self.send(body, unsent.begun, unsent.give_up).await {
                Ok(()) => return Ok(()),
                Err(error) => failed = error,
            }
        }
    }

    /// Leaves a reply to those that wait for their queue.
    #[allow(clippy::unnecessary_wraps, reason = "it ends as a reply does that is delivered")]
    fn hold(self, body: S::Body, was_lost: bool) -> Result<(), TransportError> {
        let Self { replies, caller, deadline, incarnation } = self;
        let sender = replies.sender.clone();
        // Its caller may have lost the same broker, and declare its queue again in a while.
        let was_lost = was_lost || incarnation != sender.incarnation();
        let kind = if was_lost { Kind::Known } else { Kind::Stranger };
        let queue = sender.reply_to(&caller).to_owned();
        replies.held.hold(&queue, Held { sender, caller, body }, deadline, kind);
        Ok(())
    }
}

/// A reply that waits for its queue.
#[derive(Debug)]
pub(crate) struct Held<S: ReplySender> {
    sender: Arc<S>,
    caller: S::Caller,
    body: S::Body,
}

impl<S: ReplySender> HeldReply for Held<S> {
    fn size(&self) -> usize {
        self.body.as_ref().len() + self.sender.reply_to(&self.caller).len()
    }

    async fn send(&self, budget: &SendBudget) -> Result<(), TransportError> {
        self.sender.send(&self.caller, self.body.clone(), budget).await.map(drop)
    }
}

/// The failure in place of a reply that is too large.
fn overflow(reason: String) -> Reply {
    Reply::Failure(Box::new(Failure::builtin("OverflowError", reason)))
}

fn undeliverable(queue: &str) -> TransportError {
    metrics::counter!("oxlo_replies_undeliverable_total").increment(1);
    TransportError::Undeliverable { exchange: String::new(), routing_key: queue.to_owned() }
}

/// The error for a reply that cannot be written.
#[must_use]
pub fn unwritable_reply(error: &serde_json::Error) -> TransportError {
    TransportError::MalformedReply { reason: format!("cannot encode the reply: {error}") }
}

#[cfg(test)]
#[path = "replies_tests.rs"]
mod tests;
