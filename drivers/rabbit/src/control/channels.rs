//! Opens and closes lapin's channels; nothing else does.
//!
//! lapin closes the connection when a channel is dropped or closed while the broker closes it: the drop fails inside
//! lapin, and lapin takes that for a failure of the connection. So an unneeded channel is handed to a task of its
//! session, which closes it and keeps it, with its consumers, until lapin is done with it. `tests/closing.rs` shows
//! what lapin does otherwise.

use std::{
    ops::Deref,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lapin::{Channel, Consumer};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

use crate::{lapin_internals::until_released, stream::StreamHandle};

/// How long the broker may take to answer a close.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);

/// An open channel. Dropping it closes the channel without harm to the connection, whatever state the channel is in.
#[derive(Debug)]
pub(crate) struct OpenChannel {
    // Taken by the drop only.
    channel: Option<Channel>,
    consumers: Mutex<Vec<Consumer>>,
    closer: ChannelCloser,
}

impl OpenChannel {
    /// Keeps a consumer of this channel until lapin is done with the channel: dropping it earlier would cancel it.
    pub(crate) fn keep(&self, consumer: Consumer) {
        self.consumers.lock().unwrap_or_else(PoisonError::into_inner).push(consumer);
    }
}

impl Deref for OpenChannel {
    type Target = Channel;

    #[allow(clippy::expect_used, reason = "only the drop takes the channel")]
    fn deref(&self) -> &Channel {
        self.channel.as_ref().expect("the channel is present until the drop")
    }
}

impl Drop for OpenChannel {
    fn drop(&mut self) {
        let consumers = std::mem::take(self.consumers.get_mut().unwrap_or_else(PoisonError::into_inner));
        if let Some(channel) = self.channel.take() {
            // Fails when the connection has ended, and then a drop does no harm.
            let _ = self.closer.0.send(DroppedChannel { channel, consumers });
        }
    }
}

/// A channel that is to be closed.
struct DroppedChannel {
    channel: Channel,
    consumers: Vec<Consumer>,
}

/// Closes the channels of one connection.
#[derive(Clone, Debug)]
pub(crate) struct ChannelCloser(mpsc::UnboundedSender<DroppedChannel>);

impl ChannelCloser {
    /// Starts the closing task for the connection on `stream`. It ends with the stream, or with the last channel.
    pub(crate) fn spawn(stream: StreamHandle) -> Self {
        let (sender, mut dropped) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut closing = JoinSet::new();
            loop {
                tokio::select! {
                    next = dropped.recv() => match next {
                        Some(next) => drop(closing.spawn(close(next, stream.clone()))),
                        None => break,
                    },
                    Some(_) = closing.join_next() => {}
                    () = async { drop(stream.ended().await) } => return,
                }
            }
            while closing.join_next().await.is_some() {}
        });
        Self(sender)
    }

    /// Wraps a channel so that dropping it is safe.
    pub(crate) fn wrap(&self, channel: Channel) -> OpenChannel {
        OpenChannel { channel: Some(channel), consumers: Mutex::default(), closer: self.clone() }
    }
}

async fn close(DroppedChannel { channel, consumers }: DroppedChannel, stream: StreamHandle) {
    // The ports learn before lapin that the broker closes a channel.
    if channel.status().connected() && !stream.ports().is_closed(channel.id()) {
        let _ = timeout(CLOSE_LIMIT, channel.close(200, "OK".into())).await;
    }
    tokio::select! {
        released = timeout(CLOSE_LIMIT, until_released(&channel)) => if released.is_err() {
            tracing::debug!(channel = channel.id(), "the broker did not answer the close of a channel within {CLOSE_LIMIT:?}");
        },
        _ = stream.ended() => {}
    }
    drop((channel, consumers));
}
