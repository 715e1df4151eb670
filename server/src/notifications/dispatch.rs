//! Which handlers a notification goes to, and what becomes of it then.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use oxlo_transport::{Delivery, Notification, Priority};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::{
    endpoint::{BatchEndpoint, NotificationEndpoint},
    extract::{Incoming, Misfit},
    filter::Filter,
    handler::{BatchEnded, Ended},
    handling::Handling,
    report::{ListenReport, Outcome},
    run::{Process, Work, give_back},
};
use crate::telemetry::shown;

/// Gives each notification to its handlers, one after the other.
pub(crate) struct Single {
    pub(crate) endpoints: Vec<NotificationEndpoint>,
    pub(crate) allow_requeue: bool,
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
                    Some(Ended::With(Handling::Requeue)) if self.allow_requeue => return Outcome::Requeued,
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
            let mut back = Vec::new();
            let mut again = false;
            for delivery in unit {
                let Delivery { message: notification, settle, redelivered, .. } = delivery;
                let outcome = this.dispatch(&Incoming { notification, redelivered }).await;
                report.count(outcome);
                match outcome {
                    Outcome::Requeued => {
                        again |= redelivered;
                        back.push(settle);
                    }
                    Outcome::Failed if this.allow_requeue => {
                        again |= redelivered;
                        back.push(settle);
                    }
                    _ => settle.ack(),
                }
            }
            drop(slot);
            give_back(back, again, &stopping).await;
            report
        })
    }
}

/// Gives the notifications of a batch to their handlers, each priority by itself.
pub(crate) struct Batches {
    pub(crate) endpoints: Vec<BatchEndpoint>,
    pub(crate) allow_requeue: bool,
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
                for misfit in &misfits {
                    say_misfit(example, misfit);
                }
                let outcome = match ended {
                    None => Outcome::Malformed,
                    Some(Ended::With(Handling::Requeue)) if self.allow_requeue => {
                        // As in oslo: all of this priority, also those that the filter kept from it.
                        return vec![Outcome::Requeued; batch.len()];
                    }
                    Some(Ended::With(Handling::Requeue)) => return vec![Outcome::Handled; batch.len()],
                    Some(Ended::Failed(failure)) => {
                        say_failed(example, &*failure);
                        return vec![Outcome::Failed; batch.len()];
                    }
                    Some(Ended::With(_) | Ended::Misfit(_)) => Outcome::Handled,
                };
                wanted.into_iter().for_each(|at| outcomes[at] = outcome);
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
            let mut back = Vec::new();
            let mut again = false;
            while let Some(first) = unit.first() {
                let priority = first.message.priority;
                let end = unit.iter().position(|delivery| delivery.message.priority != priority).unwrap_or(unit.len());
                let (mut batch, mut settles) = (Vec::new(), Vec::new());
                for Delivery { message: notification, settle, redelivered, .. } in unit.drain(..end) {
                    batch.push(Incoming { notification, redelivered });
                    settles.push(settle);
                }
                let outcomes = this.dispatch(priority, &batch).await;
                for ((outcome, settle), incoming) in outcomes.into_iter().zip(settles).zip(&batch) {
                    report.count(outcome);
                    let goes_back = outcome == Outcome::Requeued || (outcome == Outcome::Failed && this.allow_requeue);
                    if goes_back {
                        again |= incoming.redelivered;
                        back.push(settle);
                    } else {
                        settle.ack();
                    }
                }
            }
            drop(slot);
            give_back(back, again, &stopping).await;
            report
        })
    }
}

fn passes(filter: Option<&Filter>, incoming: &Incoming) -> bool {
    filter.is_none_or(|filter| filter.matches(&incoming.notification))
}

/// Runs a handler; `None` if it panicked, which is logged.
pub(crate) async fn caught<T>(notification: &Notification, running: impl Future<Output = T>) -> Option<T> {
    let caught = AssertUnwindSafe(running).catch_unwind().await;
    if caught.is_err() {
        // What the panic says may quote the payload; the panic hook has said it to whom it concerns.
        tracing::error!(event_type = shown(&notification.event_type), "a notification's handler panicked");
    }
    caught.ok()
}

pub(crate) fn say_failed(notification: &Notification, failure: &(dyn std::error::Error + 'static)) {
    tracing::warn!(
        event_type = shown(&notification.event_type),
        message_id = shown(&notification.message_id),
        error = failure,
        "a notification's handler failed"
    );
}

pub(crate) fn say_misfit(notification: &Notification, misfit: &Misfit) {
    let why = std::error::Error::source(misfit).map(ToString::to_string);
    tracing::warn!(
        event_type = shown(&notification.event_type),
        publisher_id = shown(&notification.publisher_id),
        why,
        "a notification does not fit its handler"
    );
}
