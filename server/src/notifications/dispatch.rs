//! Which handlers a notification goes to, and what becomes of it then.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use oxlo_transport::{
    Delivery, Notification, Priority, Settle, limited,
    text::{chain, line},
};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::{
    endpoint::{BatchEndpoint, NotificationEndpoint},
    extract::{Incoming, Misfit},
    filter::Filter,
    handler::{BatchEnded, Ended},
    handling::Handling,
    report::{ListenReport, Outcome},
    run::{Process, Work},
};
use crate::{requeue::Requeue, telemetry::shown};

/// Gives each notification to its handlers, one after the other.
pub(crate) struct Single {
    pub(crate) endpoints: Vec<NotificationEndpoint>,
    /// `None`: nothing comes again.
    pub(crate) requeue: Option<Requeue>,
}

impl Single {
    async fn dispatch(&self, incoming: &Incoming) -> Outcome {
        let mut outcome = Outcome::Unwanted;
        for endpoint in &self.endpoints {
            let mut wanted = None;
            for (priority, handler) in &endpoint.handlers {
                // The filter is asked once, and only if there is something to run.
                if *priority != incoming.notification.priority
                    || !*wanted.get_or_insert_with(|| passes(endpoint.filter.as_ref(), incoming))
                {
                    continue;
                }
                let running = async { handler(incoming).await };
                match caught(&incoming.notification, running).await {
                    None => return Outcome::Failed,
                    Some(Ended::With(Handling::Handled)) => outcome = Outcome::Handled,
                    Some(Ended::With(Handling::Requeue)) if self.requeue.is_some() => return Outcome::Requeued,
                    // As in oslo it goes no further, and is done all the same.
                    Some(Ended::With(Handling::Requeue)) => return Outcome::Handled,
                    Some(Ended::Failed(failure)) => {
                        say_failed(&incoming.notification, &*failure);
                        return Outcome::Failed;
                    }
                    Some(Ended::Misfit(misfit)) => {
                        say_misfit(&incoming.notification, &misfit);
                        if outcome == Outcome::Unwanted {
                            outcome = Outcome::Malformed;
                        }
                    }
                }
            }
        }
        outcome
    }
}

impl Process for Arc<Single> {
    fn process(
        &self,
        unit: Vec<Delivery<Notification>>,
        slot: OwnedSemaphorePermit,
        stopping: CancellationToken,
    ) -> Work {
        let this = self.clone();
        Box::pin(async move {
            let mut report = ListenReport::default();
            for delivery in unit {
                let Delivery { message: notification, settle, redelivered, redeliveries, .. } = delivery;
                let incoming = Incoming { notification, redelivered };
                let outcome = this.dispatch(&incoming).await;
                report.count(settled(this.requeue, outcome, &incoming.notification, redeliveries, settle, &stopping));
            }
            drop(slot);
            report
        })
    }
}

/// Gives the notifications of a batch to their handlers, each priority by itself.
pub(crate) struct Batches {
    pub(crate) endpoints: Vec<BatchEndpoint>,
    /// `None`: nothing comes again.
    pub(crate) requeue: Option<Requeue>,
}

impl Batches {
    /// What becomes of the notifications of one priority that came together.
    async fn dispatch(&self, priority: Priority, batch: &[Incoming]) -> Vec<Outcome> {
        let mut outcomes = vec![Outcome::Unwanted; batch.len()];
        for endpoint in &self.endpoints {
            for (_, handler) in endpoint.handlers.iter().filter(|(handled, _)| *handled == priority) {
                let wanted: Vec<usize> =
                    (0..batch.len()).filter(|&at| passes(endpoint.filter.as_ref(), &batch[at])).collect();
                let Some(first) = wanted.first() else { continue };
                let some: Vec<&Incoming> = wanted.iter().map(|&at| &batch[at]).collect();
                let running = async { handler(&some).await };
                let example = &batch[*first].notification;
                let Some(BatchEnded { ended, misfits }) = caught(example, running).await else {
                    return vec![Outcome::Failed; batch.len()];
                };
                for (place, misfit) in &misfits {
                    let at = wanted[*place];
                    say_misfit(&batch[at].notification, misfit);
                    // Another handler may have taken it.
                    if outcomes[at] == Outcome::Unwanted {
                        outcomes[at] = Outcome::Malformed;
                    }
                }
                let fits = |at: &usize| !misfits.iter().any(|(place, _)| wanted[*place] == *at);
                // As in oslo: all of this priority, also those that the filter kept from it.
                let everything = 0..batch.len();
                let (ends, outcome, whose) = match ended {
                    None => continue,
                    Some(Ended::With(Handling::Requeue)) if self.requeue.is_some() => {
                        (true, Outcome::Requeued, everything)
                    }
                    Some(Ended::With(Handling::Requeue)) => (true, Outcome::Handled, everything),
                    Some(Ended::Failed(failure)) => {
                        say_failed(example, &*failure);
                        (true, Outcome::Failed, everything)
                    }
                    Some(Ended::With(_) | Ended::Misfit(_)) => (false, Outcome::Handled, 0..0),
                };
                whose.chain(wanted.iter().copied()).filter(fits).for_each(|at| outcomes[at] = outcome);
                if ends {
                    return outcomes;
                }
            }
        }
        outcomes
    }
}

impl Process for Arc<Batches> {
    fn process(
        &self,
        mut unit: Vec<Delivery<Notification>>,
        slot: OwnedSemaphorePermit,
        stopping: CancellationToken,
    ) -> Work {
        let this = self.clone();
        Box::pin(async move {
            // By name, as oslo sorts them; the order within one stays.
            unit.sort_by_key(|delivery| delivery.message.priority.as_str());
            let mut report = ListenReport::default();
            while let Some(first) = unit.first() {
                let priority = first.message.priority;
                let end = unit.iter().position(|delivery| delivery.message.priority != priority).unwrap_or(unit.len());
                let (mut batch, mut settles) = (Vec::new(), Vec::new());
                for delivery in unit.drain(..end) {
                    let Delivery { message: notification, settle, redelivered, redeliveries, permit, .. } = delivery;
                    batch.push(Incoming { notification, redelivered });
                    settles.push((settle, redeliveries, permit));
                }
                let outcomes = this.dispatch(priority, &batch).await;
                for ((outcome, (settle, redeliveries, _permit)), it) in outcomes.into_iter().zip(settles).zip(&batch) {
                    report.count(settled(this.requeue, outcome, &it.notification, redeliveries, settle, &stopping));
                }
            }
            drop(slot);
            report
        })
    }
}

/// Settles a notification by what became of it, and says what that comes to.
fn settled(
    requeue: Option<Requeue>,
    outcome: Outcome,
    notification: &Notification,
    redeliveries: u32,
    settle: Settle,
    stopping: &CancellationToken,
) -> Outcome {
    match requeue.filter(|_| matches!(outcome, Outcome::Requeued | Outcome::Failed)) {
        None => settle.ack(),
        // Nothing is begun any more that would have to be waited for.
        Some(_) if stopping.is_cancelled() => settle.requeue(),
        Some(requeue) if requeue.allows(redeliveries) => requeue.defer(settle, redeliveries),
        Some(_) => {
            reject(notification, redeliveries, settle);
            return Outcome::Rejected;
        }
    }
    outcome
}

/// Gives a notification up that came again as often as it may.
pub(crate) fn reject(notification: &Notification, redeliveries: u32, settle: Settle) {
    limited!(
        error,
        "a notification was not handled however often it came, and is rejected",
        event_type = &*shown(&notification.event_type),
        message_id = &*shown(&notification.message_id),
        redeliveries
    );
    settle.reject();
}

fn passes(filter: Option<&Filter>, incoming: &Incoming) -> bool {
    filter.is_none_or(|filter| filter.matches(&incoming.notification))
}

/// Runs a handler; `None` if it panicked, which is logged.
pub(crate) async fn caught<T>(notification: &Notification, running: impl Future<Output = T>) -> Option<T> {
    let caught = AssertUnwindSafe(running).catch_unwind().await;
    if caught.is_err() {
        // What the panic says may quote the payload; the panic hook has said it to whom it concerns.
        limited!(error, "a notification's handler panicked", event_type = &*shown(&notification.event_type));
    }
    caught.ok()
}

pub(crate) fn say_failed(notification: &Notification, failure: &(dyn std::error::Error + 'static)) {
    limited!(
        warn,
        "a notification's handler failed",
        event_type = &*shown(&notification.event_type),
        message_id = &*shown(&notification.message_id),
        error = %chain(failure)
    );
}

pub(crate) fn say_misfit(notification: &Notification, misfit: &Misfit) {
    let why = std::error::Error::source(misfit).map(|why| line(&why.to_string()).into_owned());
    limited!(
        warn,
        "a notification does not fit its handler",
        event_type = &*shown(&notification.event_type),
        publisher_id = &*shown(&notification.publisher_id),
        why
    );
}
