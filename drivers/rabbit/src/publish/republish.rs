//! Messages that were in flight on a channel when the broker closed it.
//!
//! The message that the broker refused fails with the broker's text. Those that it did not process are published again
//! under their ids, on the channel that replaces the closed one. If the text does not tell which message was refused,
//! each is sent once more on a channel that carries no other message.

use std::sync::Arc;

use futures_util::future::join_all;
use oxlo_transport::TransportError;
use tokio::{sync::mpsc, time::timeout_at};
use tracing::debug;

use super::{
    confirm_channel::ConfirmChannel,
    in_flight::InFlight,
    ledger::ClosedChannel,
    refusal::{self, Fate},
    submit::Submitter,
};
use crate::{connection::Session, stream::ChannelClose};

/// How often an exchange is declared again for one message because the broker does not find it.
const MAX_REDECLARED: u8 = 3;

/// Handles every channel that the broker closes, until nothing is published any more.
pub(super) async fn run(mut closed: mpsc::UnboundedReceiver<ClosedChannel>, submitter: Submitter) {
    while let Some(channel) = closed.recv().await {
        debug!(close = %channel.close, in_flight = channel.unconfirmed.len(), "the broker closed a publishing channel");
        // A task for each: its messages may wait for an alarm to end, and those of the next channel must not wait with
        // them.
        tokio::spawn(submitter.clone().recover(channel));
    }
}

impl Submitter {
    async fn recover(self, closed: ClosedChannel) {
        let ClosedChannel { close, unconfirmed } = closed;
        let candidates: Vec<_> = unconfirmed.iter().map(|(message, _)| message.candidate()).collect();
        let fates = refusal::classify(&close, &candidates);
        let refused = fates.iter().filter(|fate| **fate == Fate::Refused).count();
        // The exchange may have existed for the first of several messages, and be gone for the next.
        let may_have_arrived = close.is_missing_exchange() && refused > 1;
        let (mut republished, mut unknown) = (Vec::new(), Vec::new());
        for ((mut message, returned), fate) in unconfirmed.into_iter().zip(fates) {
            match fate {
                _ if returned => message.finish(true, true),
                // Its queue has it, and a reply tells the rest. Another server might run a second copy.
                Fate::Accepted if message.expires => message.finish(true, false),
                Fate::Accepted => {
                    message.may_have_arrived = true;
                    republished.push(message);
                }
                Fate::Unprocessed => republished.push(message),
                Fate::Refused => {
                    message.may_have_arrived |= may_have_arrived;
                    republished.extend(self.handle_refused(&close, message));
                }
                Fate::Unknown => unknown.push(message),
            }
        }
        let republishing = join_all(republished.into_iter().map(|message| self.republish(message)));
        tokio::join!(republishing, self.republish_one_by_one(unknown));
    }

    /// Fails a message that the broker refused, or returns it if it can be sent again.
    fn handle_refused(&self, close: &ChannelClose, mut message: InFlight) -> Option<InFlight> {
        let channels = self.open_now();
        if let Some(channels) = &channels {
            match close.size_limit() {
                Some(limit) => channels.set_max_body(limit),
                None if close.is_about_exchange() => channels.set_refused(&message.route.exchange),
                None => {}
            }
        }
        if close.is_missing_exchange() {
            // A fanout exchange exists as long as a queue is bound to it, so that this message has no receivers.
            if message.route.is_fanout() {
                message.finish(true, false);
                return None;
            }
            if !message.route.declares.is_empty() && message.redeclared < MAX_REDECLARED {
                message.redeclared += 1;
                if let Some(channels) = channels {
                    channels.forget_declared(&message.route);
                }
                return Some(message);
            }
        }
        let error = close.error(&message.route);
        debug!(%error, "the broker refused a message");
        message.fail_unsent(error);
        None
    }

    async fn republish(&self, message: InFlight) {
        if !message.is_awaited() {
            return;
        }
        if let Err(undelivered) = self.deliver(message).await {
            let (message, error) = *undelivered;
            message.fail_unsent(error);
        }
    }

    /// Republishes each message on a channel that carries no other message.
    async fn republish_one_by_one(&self, messages: Vec<InFlight>) {
        let mut channel = None;
        for mut message in messages {
            message.may_have_arrived = true;
            if message.is_awaited() {
                channel = self.republish_alone(message, channel).await;
            }
        }
    }

    /// Republishes a message on a channel of its own; returns the channel if the next message may use it.
    async fn republish_alone(&self, message: InFlight, channel: Option<OwnChannel>) -> Option<OwnChannel> {
        let deadline = message.patience.deadline;
        let mut own = match self.own_channel(&message, channel).await {
            Ok(own) => own,
            Err(error) => {
                message.fail_unsent(error);
                return None;
            }
        };
        let (id, properties) = match self.encode_properties(&message) {
            Ok(encoded) => encoded,
            Err(error) => {
                message.fail_unsent(error);
                return Some(own);
            }
        };
        if let Err(message) = own.channel.publish(id, &properties, message) {
            message.fail(TransportError::ConnectionLost { source: None });
            return None;
        }
        let settled = async {
            tokio::select! {
                closed = own.closed.recv() => closed,
                // A message that the channel was closed over is passed on before the channel becomes idle.
                () = own.channel.idle() => own.closed.try_recv().ok(),
            }
        };
        match timeout_at(deadline, settled).await {
            Ok(None) => Some(own),
            Ok(Some(ClosedChannel { close, unconfirmed })) => {
                for (mut message, _) in unconfirmed {
                    // The broker would have refused the earlier publish as well.
                    message.may_have_arrived = false;
                    if let Some(message) = self.handle_refused(&close, message) {
                        self.republish(message).await;
                    }
                }
                None
            }
            // Nobody waits for it any more, but its confirm may still arrive on this channel.
            Err(_) => None,
        }
    }

    async fn own_channel(&self, message: &InFlight, channel: Option<OwnChannel>) -> Result<OwnChannel, TransportError> {
        let channels = self.declared_channels(&message.route, &message.patience).await?;
        if let Some(channel) = channel.filter(|own| !own.channel.is_gone()) {
            return Ok(channel);
        }
        let opened = channels.session().meanwhile(OwnChannel::open(channels.session())).await;
        opened.map_err(|error| TransportError::ConnectionLost { source: Some(Arc::new(error)) })
    }
}

/// A channel for one message at a time.
struct OwnChannel {
    channel: ConfirmChannel,
    closed: mpsc::UnboundedReceiver<ClosedChannel>,
}

impl OwnChannel {
    async fn open(session: &Session) -> lapin::Result<Self> {
        let (closed_channels, closed) = mpsc::unbounded_channel();
        Ok(Self { channel: ConfirmChannel::open(session, closed_channels).await?, closed })
    }
}
