//! Deferring a message: it goes behind the others of its queue, or back to its place after a delay.
//!
//! No broker moves a message to the end of its queue. So a copy is published to the queue itself, and the original is
//! acknowledged once the broker has confirmed the copy: nothing is lost, and if the process dies in between, both exist.
//! The copy goes to the queue and not through its exchange, which would route it to other queues a second time.

use std::{future::Future, time::Duration};

use oxlo_transport::{Deferral, Retry, Settle, Settlement, TransportError, limited};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};
use tokio_util::task::TaskTracker;

use crate::{deferral::Way, send_budget::SendBudget};

/// How long publishing the copy may take.
const LIMIT: Duration = Duration::from_secs(30);
/// The least delay of a message that goes back: without one, a message that nobody can handle would spin.
const PAUSE: Duration = Duration::from_millis(250);

/// How a delivery is deferred.
#[derive(Debug)]
pub enum Deferring<C> {
    /// Its listener did not ask for deferral: the message goes back at once.
    Unsupported,
    /// Its queue cannot be sent to by itself: the message goes back after the delay.
    Delayed,
    /// A copy goes to the end of its queue.
    Copied(C),
    /// A copy goes to the end of its queue instead of the delivery being handed out, so that the copy says that it was
    /// redelivered. For brokers that do not count redeliveries.
    Recounted(C),
}

/// A delivery that can be sent to its queue again.
pub trait Resend: Send + Sync + 'static {
    /// The queue or the address, for logs.
    fn queue(&self) -> &str;

    /// Publishes the copy and waits until the broker has confirmed it. `way` goes with it; `deadline` is when the caller of
    /// a request stops waiting.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the broker may not have the copy.
    fn resend(
        &self,
        way: Way,
        deadline: Option<Instant>,
        budget: &SendBudget,
    ) -> impl Future<Output = Result<(), TransportError>> + Send;
}

/// A delivery with what its copy has to say.
pub(crate) struct Copy<C> {
    pub(crate) resend: C,
    /// Its way so far, with every redelivery counted.
    pub(crate) way: Way,
    pub(crate) deadline: Option<Instant>,
}

impl<C: Resend> Copy<C> {
    /// Publishes the copy, then acknowledges the delivery; if that fails, the delivery goes back.
    pub(crate) async fn send(self, settle: Settle, Deferral { delay, counts }: Deferral) {
        let Self { resend, way, deadline } = self;
        let budget = SendBudget::new(LIMIT, Retry::Forever);
        match resend.resend(way.again(delay, counts), deadline, &budget).await {
            Ok(()) => settle.ack(),
            Err(error) => {
                limited!(warn, "cannot move a message to the end of its queue; requeueing it", %error, queue = resend.queue());
                sleep(PAUSE).await;
                settle.requeue();
            }
        }
    }

    /// A settle handle that publishes the copy, as one of `tasks`, if the delivery is deferred.
    pub(crate) fn on_deferral(self, settle: Settle, tasks: TaskTracker) -> Settle {
        on_deferral(settle, move |runtime, settle, deferral| {
            tasks.spawn_on(self.send(settle, deferral), runtime);
        })
    }
}

/// A settle handle that gives the delivery back after the delay if it is deferred.
pub(crate) fn delayed(settle: Settle) -> Settle {
    on_deferral(settle, |runtime, settle, Deferral { delay, .. }| {
        runtime.spawn(async move {
            sleep(delay.max(PAUSE)).await;
            settle.requeue();
        });
    })
}

/// Outside of a runtime nothing can be sent or awaited: the delivery goes back at once.
fn on_deferral(settle: Settle, defer: impl FnOnce(&Handle, Settle, Deferral) + Send + 'static) -> Settle {
    Settle::new(move |settlement| match (settlement, Handle::try_current()) {
        (Settlement::Defer(deferral), Ok(runtime)) => defer(&runtime, settle, deferral),
        (Settlement::Defer(_), Err(_)) => settle.requeue(),
        (settlement, _) => settle.settle(settlement),
    })
}
