//! Answering a request.

use std::sync::Arc;

use async_trait::async_trait;
use oxlo_driver_kit::send_budget::SendBudget;
use oxlo_transport::{
    Reply, Retry, TransportError,
    failure::Failure,
    listener::{Caller, ReplySink},
};
use oxlo_wire::reply::ReplyPart;
use tokio::task::coop::consume_budget;

use crate::{
    bus::{Answer, State},
    faults::Traffic,
    link::{Link, Publish},
    size,
};

/// Leads back to the transport that a request came from.
pub(crate) struct Answerer {
    pub(crate) link: Arc<Link>,
    pub(crate) answer: Answer,
}

#[async_trait]
impl ReplySink for Answerer {
    fn caller(&self) -> Option<Caller> {
        Some(Caller::new(format!("connection {}", self.answer.to.0), self.answer.call.simple().to_string()))
    }

    async fn heartbeat(&self) -> Result<(), TransportError> {
        self.send(Traffic::Heartbeats, ReplyPart::Heartbeat).await
    }

    async fn finish(self: Box<Self>, reply: Reply) -> Result<(), TransportError> {
        size::check(size::of_reply(&reply), &self.link.settings)?;
        self.send(Traffic::Replies, ReplyPart::Final(Some(stripped(reply)))).await
    }
}

impl Answerer {
    async fn send(&self, traffic: Traffic, part: ReplyPart) -> Result<(), TransportError> {
        // Nothing below waits while the bus is open; a loop over it must not keep the thread.
        consume_budget().await;
        let hand_over = |state: &mut State, _: &_, part| state.reply(&self.answer, part);
        let budget = || SendBudget::until(self.answer.deadline, Retry::Forever);
        self.link.publish(Publish { traffic, to: "a reply", hand_over }, part, budget).await
    }
}

/// A failure that is passed on loses its `_Remote` suffix on its way, as on every wire.
fn stripped(reply: Reply) -> Reply {
    match reply {
        Reply::Failure(failure) => Reply::Failure(Box::new(Failure::without_remote_suffix(*failure))),
        result @ Reply::Result(_) => result,
    }
}
