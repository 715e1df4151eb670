//! The only place that opens lapin's channels and lets go of them.
//!
//! lapin closes a connection over a channel that is dropped, or closed, while the broker closes it: what it does about the drop
//! fails inside of lapin, and an inner failure is taken for one of the connection. So a channel is not dropped where it is
//! no longer needed. It is handed to a task of its session, which closes it and holds it, with its consumers, until lapin
//! is done with it. The test beside this file shows what lapin would do otherwise.

use std::{
    ops::Deref,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lapin::{Channel, Consumer};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::stream::StreamHandle;

/// How long the broker may take to answer a close.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);
/// How often lapin is asked whether it is done with a channel; it tells nobody.
const LOOK: Duration = Duration::from_millis(2);

/// An open channel. Dropping it closes the channel without harm to the connection, whatever state the channel is in.
#[derive(Debug)]
pub(crate) struct OpenChannel {
    // Taken by the drop alone.
    channel: Option<Channel>,
    consumers: Mutex<Vec<Consumer>>,
    closer: Closer,
}

impl OpenChannel {
    /// Holds a consumer of this channel for as long as lapin knows the channel: dropping it earlier would cancel it.
    pub(crate) fn keep(&self, consumer: Consumer) {
        self.consumers.lock().unwrap_or_else(PoisonError::into_inner).push(consumer);
    }
}

impl Deref for OpenChannel {
    type Target = Channel;

    #[allow(clippy::expect_used, reason = "only the drop takes the channel")]
    fn deref(&self) -> &Channel {
        self.channel.as_ref().expect("the channel is there until the drop")
    }
}

impl Drop for OpenChannel {
    fn drop(&mut self) {
        let consumers = std::mem::take(self.consumers.get_mut().unwrap_or_else(PoisonError::into_inner));
        if let Some(channel) = self.channel.take() {
            // Fails once the connection is gone, and then there is nothing left to harm.
            let _ = self.closer.0.send(Unneeded { channel, consumers });
        }
    }
}

/// A channel that nobody needs any more.
struct Unneeded {
    channel: Channel,
    consumers: Vec<Consumer>,
}

/// Closes the channels of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Closer(mpsc::UnboundedSender<Unneeded>);

impl Closer {
    /// For the connection on `stream`; its task ends with that, or with the last channel.
    pub(crate) fn spawn(stream: StreamHandle) -> Self {
        let (sender, mut unneeded) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut closing = JoinSet::new();
            loop {
                tokio::select! {
                    next = unneeded.recv() => match next {
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

    /// Takes a channel into its care.
    pub(crate) fn guard(&self, channel: Channel) -> OpenChannel {
        OpenChannel { channel: Some(channel), consumers: Mutex::default(), closer: self.clone() }
    }
}

async fn close(Unneeded { channel, consumers }: Unneeded, stream: StreamHandle) {
    // lapin learns that the broker closes a channel after we do.
    if channel.status().connected() && !stream.ports().is_closed(channel.id()) {
        let _ = timeout(CLOSE_LIMIT, channel.close(200, "OK".into())).await;
    }
    let done = async {
        while channel.status().connected() || channel.status().closing() {
            sleep(LOOK).await;
        }
    };
    tokio::select! {
        done = timeout(CLOSE_LIMIT, done) => if done.is_err() {
            tracing::debug!(channel = channel.id(), "a channel was not closed in time");
        },
        _ = stream.ended() => {}
    }
    drop((channel, consumers));
}
