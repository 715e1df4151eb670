//! Sending replies to the reply queues of callers.

use std::{sync::Arc, time::Duration};

use oxlo_driver_kit::{
    replies::{Attempt, RESEND_PAUSE, ReplySender, Verdict, unwritable_reply},
    send_budget::SendBudget,
};
use oxlo_transport::{Failure, Reply, TransportError, listener};
use oxlo_wire::{reply, request::Caller};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    publish::{Outgoing, Publisher},
    topology::TopologyOptions,
};

/// The broker's code for a message that it does not accept as it is.
const PRECONDITION_FAILED: &str = "406";

/// Sends replies by the default exchange.
#[derive(Debug)]
pub(crate) struct QueueReplies {
    pub(crate) publisher: Arc<Publisher>,
    /// How long a reply to a queue that does not exist is tried again.
    pub(crate) missing_queue_retry: Duration,
    /// Whether a queue that does not exist is noticed at all.
    pub(crate) mandatory: bool,
}

impl ReplySender for QueueReplies {
    type Caller = Caller;
    /// The reply's `_unique_id`.
    type Label = String;
    type Body = Vec<u8>;

    fn reply_to<'a>(&self, caller: &'a Caller) -> &'a str {
        &caller.reply_queue
    }

    fn describe(&self, caller: &Caller) -> listener::Caller {
        listener::Caller::new(&*caller.reply_queue, &*caller.message_id)
    }

    fn heartbeat_interval(&self, caller: &Caller) -> Option<Duration> {
        caller.heartbeat_interval
    }

    fn label(&self) -> String {
        Uuid::now_v7().simple().to_string()
    }

    fn encode(&self, caller: &Caller, unique_id: &String, reply: &Reply) -> Result<Vec<u8>, TransportError> {
        reply::encode_to(caller, unique_id, reply).map_err(|error| unwritable_reply(&error))
    }

    fn give_up(&self, begun: Instant, deadline: Option<Instant>) -> Instant {
        let give_up = begun + self.missing_queue_retry;
        deadline.map_or(give_up, |deadline| give_up.min(deadline))
    }

    fn attempt_until(&self, begun: Instant, give_up: Instant) -> Instant {
        give_up.max(begun + RESEND_PAUSE)
    }

    async fn send(&self, caller: &Caller, body: Vec<u8>, budget: &SendBudget) -> Result<bool, TransportError> {
        let route = Arc::new(TopologyOptions::reply_route(&caller.reply_queue));
        let outgoing = Outgoing { route: &route, body, mandatory: self.mandatory, expires: false, again: None };
        self.publisher.publish_confirmed(outgoing, budget).await?;
        Ok(self.mandatory)
    }

    async fn heartbeat(&self, caller: &Caller, budget: &SendBudget) -> Result<bool, TransportError> {
        let body = reply::encode_heartbeat_to(caller, &self.label()).map_err(|error| unwritable_reply(&error))?;
        self.send(caller, body, budget).await
    }

    fn verdict(&self, failed: &TransportError, attempt: Attempt) -> Verdict {
        match failed {
            TransportError::Undeliverable { .. } | TransportError::Rejected { .. }
                if self.missing_queue_retry >= RESEND_PAUSE =>
            {
                Verdict::Hold
            }
            TransportError::ConnectionLost { .. } if attempt.may_retry => Verdict::Retry,
            TransportError::MessageRefused { code, reason, .. }
                if **code == *PRECONDITION_FAILED && !attempt.is_substitute =>
            {
                Verdict::Substitute(Failure::builtin(
                    "OverflowError",
                    format!("the broker refused the reply: {reason}"),
                ))
            }
            _ => Verdict::GiveUp,
        }
    }

    fn incarnation(&self) -> u32 {
        self.publisher.incarnation()
    }
}
