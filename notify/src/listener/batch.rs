//! Gathers notifications into batches.

use std::{
    future::{pending, ready},
    time::Duration,
};

use async_trait::async_trait;
use oxlo_serving::Source;
use oxlo_transport::{Delivery, Listener, Notification, Settle, TransportError, budget::Permit};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::kind::NotificationSource;

/// Notifications that are handled together, each with its own settlement.
pub(crate) type Batch = Vec<Delivery<Notification>>;

/// Subscribes to batches.
pub(crate) struct BatchSource {
    pub(crate) source: NotificationSource,
    pub(crate) size: usize,
    pub(crate) timeout: Duration,
}

#[async_trait]
impl Source<Batch> for BatchSource {
    async fn subscribe(&self, taken: u64) -> Result<Box<dyn Listener<Batch>>, TransportError> {
        let listener = self.source.subscribe(taken).await?;
        let Self { size, timeout, .. } = *self;
        Ok(Box::new(BatchGatherer { listener, size, timeout, batch: Vec::new(), deadline: None, failed: None }))
    }
}

/// A listener whose messages are batches.
#[derive(Debug)]
struct BatchGatherer {
    listener: Box<dyn Listener<Notification>>,
    size: usize,
    timeout: Duration,
    /// The batch so far. Kept here, so that dropping the future of `recv` loses nothing.
    batch: Batch,
    /// When the batch is complete although it is not full.
    deadline: Option<Instant>,
    /// An error to return after the batch before it.
    failed: Option<TransportError>,
}

#[async_trait]
impl Listener<Batch> for BatchGatherer {
    /// A batch is complete when it is full, when its timeout has passed since its first notification, or when the
    /// listener may hold no more.
    async fn recv(&mut self) -> Result<Delivery<Batch>, TransportError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        while self.batch.len() < self.size {
            let holds_all = self.batch.last().and_then(|last| last.permit.as_ref()).is_some_and(Permit::is_last);
            tokio::select! {
                biased;
                received = self.listener.recv() => match received {
                    Ok(delivery) => {
                        if self.batch.is_empty() {
                            self.deadline = Instant::now().checked_add(self.timeout);
                        }
                        self.batch.push(delivery);
                    }
                    Err(error) if self.batch.is_empty() => return Err(error),
                    Err(error) => {
                        self.failed = Some(error);
                        break;
                    }
                },
                () = ready(()), if holds_all => break,
                () = until(self.deadline) => break,
            }
        }
        self.deadline = None;
        // Each notification of the batch is settled by itself.
        Ok(Delivery::new(std::mem::take(&mut self.batch), Settle::new(|_| {})))
    }

    async fn stop(&mut self) {
        self.listener.stop().await;
        self.batch.clear();
        self.deadline = None;
    }

    async fn close(self: Box<Self>) {
        let Self { mut listener, batch, .. } = *self;
        listener.stop().await;
        drop(batch);
        listener.close().await;
    }

    fn is_subscribed(&self) -> bool {
        self.listener.is_subscribed()
    }

    fn subscribed(&self) -> watch::Receiver<bool> {
        self.listener.subscribed()
    }

    fn prefetch(&self) -> Option<u16> {
        self.listener.prefetch()
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
