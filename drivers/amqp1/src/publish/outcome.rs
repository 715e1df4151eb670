//! The outcome of a message that was sent.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use fe2o3_amqp::{
    link::{SendError, delivery::DeliveryFut},
    types::messaging::Outcome,
};
use tokio::{runtime::Handle, sync::OwnedSemaphorePermit};

use crate::error::{self, Unknown};

/// The outcome of a message in flight, or why it will never be known.
pub(super) struct PendingOutcome {
    outcome: DeliveryFut<Result<Outcome, SendError>>,
    _busy: Arc<()>,
}

impl PendingOutcome {
    /// `busy` keeps the link from being closed as idle.
    pub(super) fn new(outcome: DeliveryFut<Result<Outcome, SendError>>, busy: Arc<()>) -> Self {
        Self { outcome, _busy: busy }
    }
}

impl Future for PendingOutcome {
    type Output = Result<Outcome, Unknown>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.outcome).poll(cx).map_err(|error| error::unknown(&error))
    }
}

/// Awaits an outcome and holds the message's share of the send budget until then, also after it was dropped.
pub(super) struct HoldsPermit<M: Future + Send + Unpin + 'static>(Option<(M, OwnedSemaphorePermit)>);

impl<M: Future + Send + Unpin> HoldsPermit<M> {
    pub(super) fn new(outcome: M, permit: OwnedSemaphorePermit) -> Self {
        Self(Some((outcome, permit)))
    }
}

impl<M: Future + Send + Unpin> Future for HoldsPermit<M> {
    type Output = M::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((outcome, _)) = &mut self.0 else { return Poll::Pending };
        let outcome = ready!(Pin::new(outcome).poll(cx));
        self.0 = None;
        Poll::Ready(outcome)
    }
}

impl<M: Future + Send + Unpin + 'static> Drop for HoldsPermit<M> {
    fn drop(&mut self) {
        if let Some((outcome, permit)) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            // Not a `HoldsPermit`: a runtime that shuts down drops the task, which would spawn another one.
            runtime.spawn(async move {
                outcome.await;
                drop(permit);
            });
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::pending;

    use tokio::{
        runtime::Builder,
        sync::{Semaphore, oneshot},
    };

    use super::*;

    async fn awaited<M: Future + Send + Unpin + 'static>(message: M, room: &Arc<Semaphore>) -> HoldsPermit<M> {
        HoldsPermit::new(message, room.clone().acquire_owned().await.unwrap())
    }

    #[tokio::test]
    async fn a_dropped_waiter_holds_its_permit_until_the_outcome_is_known() {
        let room = Arc::new(Semaphore::new(1));
        let (known, outcome) = oneshot::channel();
        drop(awaited(outcome, &room).await);
        tokio::task::yield_now().await;
        assert_eq!(room.available_permits(), 0);
        known.send(()).unwrap();
        let _back = room.acquire().await.unwrap();
    }

    #[test]
    fn a_runtime_may_end_before_the_outcome_is_known() {
        for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
            let room = Arc::new(Semaphore::new(2));
            let runtime = builder.build().unwrap();
            let theirs = room.clone();
            runtime.spawn(async move {
                let (_first, _second) =
                    (awaited(pending::<()>(), &theirs).await, awaited(pending::<()>(), &theirs).await);
                pending::<()>().await;
            });
            runtime.block_on(async {
                while room.available_permits() > 0 {
                    tokio::task::yield_now().await;
                }
            });
            drop(runtime);
            assert_eq!(room.available_permits(), 2);
        }
    }
}
