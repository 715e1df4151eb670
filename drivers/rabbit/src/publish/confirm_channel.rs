//! A channel in confirm mode.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    in_flight::InFlight,
    ledger::{ClosedChannels, Ledger},
};
use crate::{
    connection::Session,
    control::channels::OpenChannel,
    stream::{ChannelSender, StreamHandle, ports::ConfirmSink},
};

/// A channel in confirm mode. Dropping it leaves the channel open until every message in flight is confirmed or lost.
pub(crate) struct ConfirmChannel {
    // Taken by the drop only.
    channel: Option<OpenChannel>,
    id: u16,
    sender: ChannelSender,
    ledger: Arc<Ledger>,
    stream: StreamHandle,
}

impl ConfirmChannel {
    /// Opens a channel and enables confirms on it. Messages in flight when the broker closes it go to
    /// `closed_channels`.
    pub(crate) async fn open(session: &Session, closed_channels: ClosedChannels) -> lapin::Result<Self> {
        let channel = session.channel().await?;
        let stream = session.stream().clone();
        let ledger = Ledger::new(stream.in_flight(), closed_channels);
        stream.ports().publish(channel.id(), &ledger);
        let sender = session.sender(&channel);
        // Not by lapin, which would wait for confirms that it never sees.
        if let Some(mut guard) = sender.lock() {
            guard.frames().confirm_select();
        }
        Ok(Self { id: channel.id(), channel: Some(channel), sender, ledger, stream })
    }

    /// Publishes a message with encoded properties. When this returns, the message is in flight.
    ///
    /// # Errors
    ///
    /// Returns the message if the channel is gone; nothing was sent then.
    pub(crate) fn publish(&self, id: Uuid, properties: &[u8], message: InFlight) -> Result<(), Box<InFlight>> {
        // The lock on the outbox keeps delivery tags in the order of the frames.
        let Some(mut guard) = self.sender.lock() else {
            // lapin closed the channel, or the stream ended.
            self.ledger.connection_lost();
            return Err(Box::new(message));
        };
        self.ledger.add(id, message, |message| {
            let InFlight { route, mandatory, body, .. } = message;
            guard.frames().publish((&route.exchange, &route.routing_key), *mandatory, properties, body);
        })
    }

    /// Whether the channel is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.ledger.is_gone()
    }

    /// Resolves when the channel is gone.
    pub(crate) async fn gone(&self) {
        self.ledger.gone().await;
    }

    /// Waits until every message is confirmed or lost.
    pub(crate) async fn idle(&self) {
        self.ledger.idle().await;
    }
}

impl Drop for ConfirmChannel {
    fn drop(&mut self) {
        if !self.ledger.keep_until_idle(&mut self.channel) {
            self.stream.ports().remove(self.id, &self.ledger);
        }
    }
}
