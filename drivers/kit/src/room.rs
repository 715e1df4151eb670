//! Bounded room for what is on its way to a broker.

use std::sync::Arc;

use oxlo_transport::TransportError;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout_at,
};

use crate::send_budget::SendBudget;

/// How many KiB of messages may be on their way to the broker and back: room for thousands of small ones.
const ROOM: u32 = 64 * 1024;
/// What a small message takes of it, in KiB; so at most 4096 are on their way.
const LEAST: u32 = 16;

/// Room for 64 MiB of messages, or 4096 small ones. A message has its share for as long as its permit lives.
#[derive(Debug)]
pub struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM as usize)))
    }
}

impl Room {
    /// Room for a message, if there is some now.
    #[must_use]
    pub fn try_enter(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_many_owned(share(bytes)).ok()
    }

    /// Waits for room for a message.
    ///
    /// # Errors
    ///
    /// `Blocked` with `reason` if there is none in time.
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

    /// Waits until nothing is on its way.
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
