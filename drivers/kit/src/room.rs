//! A bound on the messages in flight to a broker.

use std::sync::Arc;

use oxlo_transport::TransportError;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout_at,
};

use crate::send_budget::SendBudget;

/// How many KiB of messages may be in flight, until the broker has confirmed them: thousands of small ones.
const ROOM: u32 = 64 * 1024;
/// The least that a message takes, in KiB, so that at most 4096 are in flight.
const LEAST: u32 = 16;

/// Bounds the messages in flight to 64 MiB, or 4096 small ones. A message counts for as long as its permit lives.
#[derive(Debug)]
pub struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM as usize)))
    }
}

impl Room {
    /// A permit for a message, if there is room now.
    #[must_use]
    pub fn try_enter(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_many_owned(share(bytes)).ok()
    }

    /// Waits for a permit for a message.
    ///
    /// # Errors
    ///
    /// `Blocked` with `reason` if there is no room in time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes nothing; it loses its place among those that wait.
    pub async fn enter(
        &self,
        bytes: usize,
        budget: &SendBudget,
        reason: &str,
    ) -> Result<OwnedSemaphorePermit, TransportError> {
        match timeout_at(budget.deadline, self.0.clone().acquire_many_owned(share(bytes))).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(TransportError::Closed),
            Err(_) => Err(TransportError::Blocked { reason: reason.to_owned(), waited: budget.begun.elapsed() }),
        }
    }

    /// Waits until nothing is in flight.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn emptied(&self) {
        let _ = self.0.acquire_many(ROOM).await;
    }
}

fn share(bytes: usize) -> u32 {
    u32::try_from(bytes / 1024).unwrap_or(ROOM).clamp(LEAST, ROOM)
}
