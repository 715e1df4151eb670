//! Answering a request.

use std::sync::Arc;

use async_trait::async_trait;
use oxlo_transport::{Reply, Retry, TransportError, failure::Failure, listener::ReplySink, parts::pending::ReplyPart};

use crate::{
    bus::Answer,
    faults::Traffic,
    link::{Link, Patience},
    size,
};

/// Leads back to the transport that a request came from.
pub(crate) struct Answerer {
    pub(crate) link: Arc<Link>,
    pub(crate) answer: Answer,
}

#[async_trait]
impl ReplySink for Answerer {
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
        let patience = Patience::until(self.answer.deadline, Retry::Forever);
        self.link.publish(traffic, &"a reply", patience, part, |state, part, _| state.reply(&self.answer, part)).await
    }
}

/// A failure that is passed on loses its `_Remote` suffix on its way, as on every wire.
fn stripped(reply: Reply) -> Reply {
    match reply {
        Reply::Failure(failure) => Reply::Failure(Box::new(Failure::without_remote_suffix(*failure))),
        result @ Reply::Result(_) => result,
    }
}
