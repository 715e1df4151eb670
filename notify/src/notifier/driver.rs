//! The trait of drivers, and the two simplest drivers.

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

/// Delivers notifications: to a broker, to the log, to a file, or to other drivers.
#[async_trait]
pub trait NotificationDriver: fmt::Debug + Send + Sync + 'static {
    /// The name of the driver in routing rules and errors.
    fn name(&self) -> &str;

    /// Delivers one notification. Returns when it is delivered; for a broker, when the broker has confirmed it.
    ///
    /// # Errors
    ///
    /// What failed, one entry for each destination that did not receive the notification.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the grace period of a closed notifier ends; it must leak nothing then.
    async fn notify(&self, notification: &Notification, tries: &Tries) -> Result<(), Vec<DriverError>>;

    /// Whether notifying has any effect. `false` lets callers skip building notifications.
    fn is_enabled(&self) -> bool {
        true
    }
}

/// How often a driver may retry, and the counter of its retries.
#[derive(Debug)]
pub struct Tries {
    retry: Retry,
    counted: Arc<AtomicU64>,
}

impl Tries {
    pub(crate) fn new(retry: Retry, counted: Arc<AtomicU64>) -> Self {
        Self { retry, counted }
    }

    /// How often the driver may retry after the first attempt.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.retry
    }

    /// Whether another attempt may follow after `made` retries. Counts the attempt if so.
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

/// Discards every notification: oslo's `noop`.
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

/// Keeps every notification in memory, for tests: oslo's `test`. Clones share the notifications.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Vec<Notification>>>);

impl Recorder {
    /// An empty recorder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The notifications so far, oldest first.
    #[must_use]
    pub fn notifications(&self) -> Vec<Notification> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Removes and returns the notifications so far.
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
