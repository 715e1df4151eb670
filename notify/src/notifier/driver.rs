//! What a notification is handed to: the trait, and the two drivers that are hardly more than it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use oxlo_transport::{Notification, Retry};

use super::{error::DriverError, quiet::counted};

/// Takes notifications: to a broker, to the log, into a file, or on to other drivers.
#[async_trait]
pub trait NotificationDriver: fmt::Debug + Send + Sync + 'static {
    /// The name by which [`Routing`](crate::Routing) and errors call it.
    fn name(&self) -> &str;

    /// Takes one notification, and returns when it is safe: for a broker, when that has confirmed it.
    ///
    /// # Errors
    ///
    /// What failed, one entry for each place that did not get it.
    ///
    /// # Cancel safety
    ///
    /// It is dropped when the notifier closes and its grace is over; it must leak nothing then.
    async fn notify(&self, notification: &Notification, tries: &Tries) -> Result<(), Vec<DriverError>>;

    /// Whether anything comes of notifying by it. `false` lets callers save themselves the work.
    fn is_enabled(&self) -> bool {
        true
    }
}

/// How often a driver may try again, and the place to count that it did.
#[derive(Debug)]
pub struct Tries {
    retry: Retry,
    counted: Arc<AtomicU64>,
}

impl Tries {
    pub(crate) fn new(retry: Retry, counted: Arc<AtomicU64>) -> Self {
        Self { retry, counted }
    }

    /// How often it may be tried again after the first attempt.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.retry
    }

    /// Whether another attempt may follow when `made` were made after the first one; counts it if so.
    #[must_use]
    pub fn again(&self, made: u32) -> bool {
        let again = match self.retry {
            Retry::Forever => true,
            Retry::Times(times) => made < times,
        };
        if again {
            self.counted.fetch_add(1, Ordering::Relaxed);
            counted(|| metrics::counter!("oxlo_notifier_retried_total").increment(1));
        }
        again
    }
}

/// Takes every notification to nowhere: oslo's `noop`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Noop;

#[async_trait]
impl NotificationDriver for Noop {
    fn name(&self) -> &str {
        "noop"
    }

    async fn notify(&self, _: &Notification, _: &Tries) -> Result<(), Vec<DriverError>> {
        Ok(())
    }

    fn is_enabled(&self) -> bool {
        false
    }
}

/// Keeps every notification in memory, for tests: oslo's `test`. Clones share what they keep.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Vec<Notification>>>);

impl Recorder {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What has come so far, oldest first.
    #[must_use]
    pub fn notifications(&self) -> Vec<Notification> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes out what has come so far.
    #[must_use]
    pub fn take(&self) -> Vec<Notification> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl NotificationDriver for Recorder {
    fn name(&self) -> &str {
        "test"
    }

    async fn notify(&self, notification: &Notification, _: &Tries) -> Result<(), Vec<DriverError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(notification.clone());
        Ok(())
    }
}
