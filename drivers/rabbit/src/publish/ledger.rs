//! Publisher confirms: the messages of a channel that are in flight, and the outcome of each.
//!
//! Each publishing channel has a ledger. The stream reports confirms and returns to it in the broker's order
//! ([`ConfirmSink`]), so that a confirm wakes nobody but the task that waits for it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use oxlo_transport::TransportError;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::in_flight::InFlight;
use crate::{
    control::channels::OpenChannel,
    sabotage,
    stream::{ChannelClose, ports::ConfirmSink},
};

/// A channel that the broker closed, with its messages in flight.
pub(crate) struct ClosedChannel {
    pub(crate) close: ChannelClose,
    /// In the order in which they were sent, each with whether the broker has returned it.
    pub(crate) unconfirmed: Vec<(InFlight, bool)>,
}

/// Takes the messages in flight of channels that the broker closed.
pub(crate) type ClosedChannels = mpsc::UnboundedSender<ClosedChannel>;

/// The messages in flight on one channel.
pub(crate) struct Ledger {
    entries: Mutex<Entries>,
    /// The number of messages in flight on the whole stream.
    in_flight: Arc<AtomicUsize>,
    closed_channels: ClosedChannels,
    gone: CancellationToken,
    idle: Notify,
}

struct Entries {
    /// The delivery tag of the first entry.
    first: u64,
    /// One entry for each tag; `None` once it is settled.
    messages: VecDeque<Option<InFlight>>,
    unconfirmed: usize,
    /// Messages that were returned and are not confirmed yet.
    returned: Vec<u128>,
    open: bool,
    /// The channel, once only this ledger needs it.
    kept: Option<OpenChannel>,
}

impl Ledger {
    /// An empty ledger. `in_flight` counts the messages of the whole stream; `closed_channels` takes the messages in
    /// flight when the broker closes the channel.
    pub(crate) fn new(in_flight: Arc<AtomicUsize>, closed_channels: ClosedChannels) -> Arc<Self> {
        let entries = Entries {
            first: 1,
            messages: VecDeque::new(),
            unconfirmed: 0,
            returned: Vec::new(),
            open: true,
            kept: None,
        };
        let (gone, idle) = (CancellationToken::new(), Notify::new());
        Arc::new(Self { entries: Mutex::new(entries), in_flight, closed_channels, gone, idle })
    }

    /// Adds a message and calls `write` for it, both in the order of delivery tags.
    ///
    /// # Errors
    ///
    /// Returns the message if the channel has ended; `write` was not called then.
    pub(super) fn add(
        &self,
        id: Uuid,
        mut message: InFlight,
        write: impl FnOnce(&InFlight),
    ) -> Result<(), Box<InFlight>> {
        let mut entries = self.lock();
        if !entries.open {
            return Err(Box::new(message));
        }
        write(&message);
        message.id = Some(id);
        entries.messages.push_back(Some(message));
        entries.unconfirmed += 1;
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the channel is gone.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.is_cancelled()
    }

    /// Resolves when the channel is gone.
    pub(super) async fn gone(&self) {
        self.gone.cancelled().await;
    }

    /// Waits until every message is confirmed or lost.
    pub(super) async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.lock().unconfirmed == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Takes a channel and keeps it open until every message is confirmed or lost; returns `false` if none is in
    /// flight.
    pub(super) fn keep_until_idle(&self, channel: &mut Option<OpenChannel>) -> bool {
        let mut entries = self.lock();
        let busy = entries.unconfirmed > 0;
        if busy {
            entries.kept = channel.take();
        }
        busy
    }

    /// Completes messages without the lock: their receivers may publish at once.
    fn finish(
        &self,
        mut entries: MutexGuard<'_, Entries>,
        settled: impl IntoIterator<Item = (InFlight, bool)>,
        acked: bool,
    ) {
        while let Some(None) = entries.messages.front() {
            entries.messages.pop_front();
            entries.first += 1;
        }
        let idle = entries.unconfirmed == 0;
        let kept = if idle { entries.kept.take() } else { None };
        drop(entries);
        for (message, returned) in settled {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            message.finish(acked, returned);
        }
        if idle {
            self.idle.notify_waiters();
        }
        drop(kept);
    }

    /// Refuses further messages and returns those in flight, each with whether it was returned.
    fn close(&self) -> Vec<(InFlight, bool)> {
        let mut entries = self.lock();
        entries.open = false;
        let messages = std::mem::take(&mut entries.messages);
        let returned = std::mem::take(&mut entries.returned);
        drop(entries);
        let was_returned = |message: &InFlight| message.id.is_some_and(|id| returned.contains(&id.as_u128()));
        let lost = messages.into_iter().flatten().map(|message| {
            let was_returned = was_returned(&message);
            (message, was_returned)
        });
        let lost: Vec<_> = lost.collect();
        self.in_flight.fetch_sub(lost.len(), Ordering::Relaxed);
        lost
    }

    /// Wakes everybody who waits for the end of the channel. Called after the messages in flight were completed or
    /// passed on.
    fn end(&self) {
        let mut entries = self.lock();
        entries.unconfirmed = 0;
        let kept = entries.kept.take();
        drop(entries);
        self.gone.cancel();
        self.idle.notify_waiters();
        drop(kept);
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConfirmSink for Ledger {
    fn confirmed(&self, tag: u64, multiple: bool, acked: bool) {
        let mut entries = self.lock();
        if !multiple {
            if let Some(settled) = entries.take(tag) {
                self.finish(entries, [settled], acked);
            }
            return;
        }
        let next = entries.first + entries.messages.len() as u64;
        let end = if tag == 0 { next } else { next.min(tag.saturating_add(1)) };
        let settled: Vec<_> = (entries.first..end).filter_map(|tag| entries.take(tag)).collect();
        self.finish(entries, settled, acked);
    }

    fn returned(&self, id: Uuid) -> bool {
        let mut entries = self.lock();
        if !entries.open {
            return true;
        }
        let plausible = entries.returned.len() < entries.unconfirmed || sabotage::breaks("returned");
        if plausible {
            entries.returned.push(id.as_u128());
        }
        plausible
    }

    /// Passes the messages in flight on: they are published again, except those that the broker refused.
    fn channel_closed(&self, close: ChannelClose) {
        let unconfirmed = self.close();
        if !unconfirmed.is_empty()
            && let Err(mpsc::error::SendError(closed)) = self.closed_channels.send(ClosedChannel { close, unconfirmed })
        {
            for (message, _) in closed.unconfirmed {
                message.fail(TransportError::ConnectionLost { source: None });
            }
        }
        self.end();
    }

    /// Fails the messages in flight: each may have arrived or not.
    fn connection_lost(&self) {
        for (message, _) in self.close() {
            message.fail(TransportError::ConnectionLost { source: None });
        }
        self.end();
    }
}

impl Entries {
    /// Removes the message of a tag, with whether it was returned.
    fn take(&mut self, tag: u64) -> Option<(InFlight, bool)> {
        let index = usize::try_from(tag.checked_sub(self.first)?).ok()?;
        let message = self.messages.get_mut(index)?.take()?;
        self.unconfirmed -= 1;
        let own = message.id.map(|id| id.as_u128());
        let returned = self.returned.iter().position(|id| Some(*id) == own || sabotage::breaks("returns"));
        if let Some(index) = returned {
            self.returned.swap_remove(index);
        }
        Some((message, returned.is_some()))
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
