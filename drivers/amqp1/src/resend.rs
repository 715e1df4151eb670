//! Sending a delivery to its address again.

use std::sync::Arc;

use bytes::Bytes;
use oxlo_driver_kit::{deferral::Way, resend::Resend, send_budget::SendBudget};
use oxlo_transport::TransportError;
use tokio::time::Instant;

use crate::{
    message::{self, Id, Incoming},
    publish::Publisher,
};

/// What is kept of a delivery that may have to be sent to its address again.
pub(crate) struct Delivered {
    publisher: Arc<Publisher>,
    address: Arc<str>,
    message_id: Option<Id>,
    reply_to: Option<String>,
    body: Bytes,
}

impl Delivered {
    pub(crate) fn new(publisher: Arc<Publisher>, address: Arc<str>, incoming: &Incoming) -> Self {
        let Incoming { message_id, reply_to, body, .. } = incoming;
        let (message_id, reply_to) = (message_id.clone(), reply_to.clone());
        Self { publisher, address, message_id, reply_to, body: body.clone().unwrap_or_default() }
    }
}

impl Resend for Delivered {
    fn queue(&self) -> &str {
        &self.address
    }

    async fn resend(&self, way: Way, deadline: Option<Instant>, budget: &SendBudget) -> Result<(), TransportError> {
        let text = str::from_utf8(&self.body)
            .map_err(|_| TransportError::InvalidTarget { reason: "the message is not UTF-8 text".into() })?;
        let names = (self.reply_to.as_deref(), self.message_id.as_ref());
        let mut copy = message::resent(&self.address, text, names, deadline, way);
        self.publisher.send(&self.address, &mut copy, true, budget).await
    }
}
