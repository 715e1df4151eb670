//! Sending replies to the addresses of callers.

use std::{sync::Arc, time::Duration};

use oxlo_driver_kit::{
    replies::{Attempt, RESEND_PAUSE, ReplySender, Verdict, unwritable_reply},
    send_budget::SendBudget,
};
use oxlo_transport::{Failure, Reply, TransportError, listener};
use oxlo_wire::amqp1;
use tokio::time::Instant;
use tracing::debug;
use uuid::Uuid;

use crate::{
    message::{self, Id},
    oslo_codec::Caller,
    publish::Publisher,
};

/// How long a reply is tried whose caller did not say how long it waits: oslo's `default_reply_timeout`.
const REPLY_LIMIT: Duration = Duration::from_secs(30);
/// How long one address may keep a reply from its server's other callers: it may give no credit, or never answer.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(1);
/// How long an address is tried that took a reply before.
pub(crate) const HELD_FOR: Duration = Duration::from_secs(60);

/// Sends replies.
#[derive(Debug)]
pub(crate) struct AddressReplies {
    pub(crate) publisher: Arc<Publisher>,
}

impl ReplySender for AddressReplies {
    type Caller = Caller;
    type Label = ();
    type Body = String;

    fn reply_to<'a>(&self, caller: &'a Caller) -> &'a str {
        &caller.address
    }

    fn describe(&self, caller: &Caller) -> listener::Caller {
        let id = match &caller.message_id {
            Id::String(id) => id.clone(),
            Id::Uuid(id) => Uuid::from_bytes(*id.as_inner()).simple().to_string(),
            Id::Ulong(id) => id.to_string(),
            Id::Binary(_) => String::new(),
        };
        listener::Caller::new(&*caller.address, id)
    }

    fn heartbeat_interval(&self, caller: &Caller) -> Option<Duration> {
        caller.heartbeat_interval
    }

    fn label(&self) {}

    fn encode(&self, _: &Caller, (): &(), reply: &Reply) -> Result<String, TransportError> {
        amqp1::encode_reply(reply).map_err(|error| unwritable_reply(&error))
    }

    fn give_up(&self, begun: Instant, deadline: Option<Instant>) -> Instant {
        deadline.unwrap_or(begun + REPLY_LIMIT).max(begun + RESEND_PAUSE)
    }

    fn attempt_until(&self, _: Instant, give_up: Instant) -> Instant {
        give_up.min(Instant::now() + ATTEMPT_LIMIT)
    }

    async fn send(&self, caller: &Caller, json: String, budget: &SendBudget) -> Result<bool, TransportError> {
        let Caller { address, message_id, .. } = caller;
        let mut message = message::reply(address, Some(&json), message_id, None);
        match self.publisher.send(address, &mut message, true, budget).await {
            Ok(()) => Ok(true),
            // It was sent. A router tells the outcome when the caller has settled, which may be never.
            Err(failed @ TransportError::Unconfirmed { .. }) => {
                debug!(%address, %failed, "a reply is not confirmed yet");
                Ok(false)
            }
            Err(failed) => Err(failed),
        }
    }

    async fn heartbeat(&self, caller: &Caller, budget: &SendBudget) -> Result<bool, TransportError> {
        let Caller { address, message_id, heartbeat_interval } = caller;
        let ttl = heartbeat_interval.map(|interval| interval * 2);
        let mut beat = message::reply(address, None, message_id, ttl);
        self.publisher.send_heartbeat(address, &mut beat, budget).await?;
        Ok(false)
    }

    fn verdict(&self, failed: &TransportError, Attempt { may_retry, is_substitute }: Attempt) -> Verdict {
        match failed {
            TransportError::ConnectionLost { .. } | TransportError::Unreachable { .. }
                if may_retry && !self.publisher.is_up() =>
            {
                Verdict::Retry
            }
            TransportError::ConnectionLost { .. }
            | TransportError::Unreachable { .. }
            | TransportError::Rejected { .. }
            | TransportError::Blocked { .. } => Verdict::Hold,
            TransportError::MessageRefused { .. } | TransportError::Topology { .. } if !is_substitute => {
                Verdict::Substitute(Failure::builtin("RuntimeError", format!("the reply was refused: {failed}")))
            }
            _ => Verdict::GiveUp,
        }
    }
}
