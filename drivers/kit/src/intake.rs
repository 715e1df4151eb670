//! From a message that a driver has taken to a [`Delivery`] in its listener's hands.

use std::{
    error::Error as _,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use oxlo_transport::{
    Deferral, Delivery, Replier, Settle, Settlement,
    budget::{Budget, TURN},
    limited, text,
};
use oxlo_wire::envelope::Poison;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::{
    deferral::Way,
    duplicates::{Duplicates, Name, Settler},
    resend::{Copy, Deferring, Resend, delayed},
};

/// A message that could be read.
#[derive(Debug)]
pub struct Read<M> {
    /// The message.
    pub message: M,
    /// Its unique id, if it carries one in its body.
    pub unique_id: Option<String>,
    /// Answers it, if its sender waits.
    pub replier: Option<Replier>,
    /// When its caller stops waiting, as far as that is known.
    pub deadline: Option<Instant>,
    /// What it takes of the listener's budget.
    pub bytes: usize,
}

/// Reads the messages of one subscription. `Raw` is a message as the driver takes it.
pub trait Reader<Raw>: Send + Sync + 'static {
    /// What a message becomes.
    type Message: Send + 'static;

    /// Reads one message.
    ///
    /// # Errors
    ///
    /// [`Poison`] if it cannot be read by anyone.
    fn read(&self, raw: Raw) -> Result<Read<Self::Message>, Poison>;
}

/// What the broker, and those who sent the message again, say of a delivery.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    /// Whether it was delivered before.
    pub redelivered: bool,
    /// How often it came back, by every count there is.
    pub redeliveries: u32,
    /// What those wrote who sent it to its queue again.
    pub way: Way,
}

/// What every message of one subscription passes on its way to the listener: the reader's verdict, the duplicate filter,
/// the memory budget. `S` settles one delivery at the broker.
pub struct Intake<M, S> {
    outbox: mpsc::UnboundedSender<Delivery<M>>,
    budget: Budget,
    duplicates: Arc<Duplicates<S>>,
    resending: TaskTracker,
    leaving: Arc<AtomicBool>,
}

/// The listener's end of an [`Intake`].
pub(crate) struct Outlet<M> {
    pub(crate) deliveries: mpsc::UnboundedReceiver<Delivery<M>>,
    pub(crate) leaving: Arc<AtomicBool>,
}

impl<M: Send + 'static, S: Settler + Send + 'static> Intake<M, S> {
    pub(crate) fn new(budget: Budget, duplicates: Arc<Duplicates<S>>) -> (Self, Outlet<M>) {
        let (outbox, deliveries) = mpsc::unbounded_channel();
        let leaving = Arc::new(AtomicBool::new(false));
        let outlet = Outlet { deliveries, leaving: leaving.clone() };
        (Self { outbox, budget, duplicates, resending: TaskTracker::new(), leaving }, outlet)
    }

    /// What the listener may hold in memory.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The duplicate filter, which names messages.
    #[must_use]
    pub fn duplicates(&self) -> &Duplicates<S> {
        &self.duplicates
    }

    /// Whether the listener is being dropped. What it still held goes back after this is set: the broker must first learn
    /// that no more is wanted, or it would send the same messages again.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// Hands a message out, or settles it at once if the listener should not see it. `name` tells it from others, if
    /// anything does. Returns how many bytes were unpacked.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, if the message is to be recounted.
    pub fn take<C: Resend>(
        &self,
        settler: S,
        read: Result<Read<M>, Poison>,
        name: Option<Name>,
        marks: Marks,
        deferring: Deferring<C>,
    ) -> usize {
        let Marks { redelivered, redeliveries, way } = marks;
        if redelivered {
            metrics::counter!("oxlo_redeliveries_total").increment(1);
        }
        let read = match read {
            Ok(read) => read,
            Err(poison) => {
                settler.settle(Settlement::Reject);
                return rejected(&poison);
            }
        };
        let Read { message, replier, deadline, bytes, .. } = read;
        let settle = match name {
            None => Settle::new(move |settlement| settler.settle(settlement)),
            Some(name) => {
                if !self.duplicates.is_first(name, settler) {
                    debug!("dropped a duplicate");
                    metrics::counter!("oxlo_duplicates_total").increment(1);
                    return bytes;
                }
                let duplicates = self.duplicates.clone();
                Settle::new(move |settlement| duplicates.settle(name, settlement))
            }
        };
        let copy = |resend| Copy { resend, way: Way { redeliveries, ..way }, deadline };
        let settle = match deferring {
            Deferring::Unsupported => settle,
            Deferring::Delayed => delayed(settle),
            Deferring::Copied(resend) => copy(resend).on_deferral(settle, self.resending.clone()),
            Deferring::Recounted(resend) => {
                let delay = way.due().map_or(Duration::ZERO, |due| due.saturating_duration_since(Instant::now()));
                self.resending.spawn(copy(resend).send(settle, Deferral { delay, counts: false }));
                return bytes;
            }
        };
        let mut delivery = Delivery::new(message, settle);
        delivery.replier = replier;
        delivery.deadline = deadline;
        delivery.redelivered = redelivered || redeliveries > 0;
        delivery.redeliveries = redeliveries;
        delivery.not_before = way.due();
        delivery.permit = Some(self.budget.charge(bytes));
        // A listener that is gone gives it back by dropping it.
        let _ = self.outbox.send(delivery);
        bytes
    }

    /// Waits until every deferred message has been sent again, or for `limit`. To be called before the subscription ends:
    /// its end requeues what is not settled, and there would be two of each.
    pub async fn finish_resending(&self, limit: Duration) {
        self.resending.close();
        let _ = timeout(limit, self.resending.wait()).await;
    }
}

impl<M, S> fmt::Debug for Intake<M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").field("budget", &self.budget).finish_non_exhaustive()
    }
}

/// Logs and counts a message that nobody can read. Returns the bytes to account for it: those of a turn, because nothing
/// says how far it was read.
fn rejected(poison: &Poison) -> usize {
    let cause = poison.source().map(|cause| text::line(&cause.to_string()).into_owned());
    limited!(warn, "rejected a message that cannot be read", %poison, cause);
    metrics::counter!("oxlo_poison_total", "kind" => poison.kind()).increment(1);
    TURN
}
