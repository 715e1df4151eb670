//! Which handlers a notification goes to, and how it is settled.

use std::{error::Error, future::Future, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use oxlo_serving::{Dispatch, Requeue, Running, Shutdown, Slot, Stalled};
use oxlo_transport::{
    Delivery, Notification, Priority, Settle, limited,
    text::{chain, line, name as shown},
};

use super::{
    batch::Batch,
    endpoint::{BatchEndpoint, NotificationEndpoint},
    extract::{ExtractError, Incoming},
    filter::Filter,
    handler::{BatchResult, HandlerError},
    report::{ListenReport, Outcome},
    result::NotificationResult,
};

/// Gives each notification to its handlers, one after the other.
pub(crate) struct Single {
    pub(crate) endpoints: Arc<[NotificationEndpoint]>,
    /// `None`: no notification is redelivered.
    pub(crate) requeue: Option<Requeue>,
    /// Whether redeliveries count as retries of events.
    pub(crate) is_event: bool,
    pub(crate) shutdown: Shutdown,
}

impl Single {
    async fn handle(&self, incoming: &Incoming) -> Outcome {
        let mut outcome = Outcome::Unwanted;
        for endpoint in &*self.endpoints {
            let mut wanted = None;
            for (priority, handler) in &endpoint.handlers {
                // The filter is evaluated once, and only if there is a handler to run.
                if *priority != incoming.notification.priority
                    || !*wanted.get_or_insert_with(|| passes(endpoint.filter.as_ref(), incoming))
                {
                    continue;
                }
                let running = async { handler(incoming).await };
                match caught(&incoming.notification, running).await {
                    None => return Outcome::Failed,
                    Some(Ok(NotificationResult::Handled)) => outcome = Outcome::Handled,
                    Some(Ok(NotificationResult::Requeue)) if self.requeue.is_some() => return Outcome::Requeued,
                    // As in oslo, no further endpoint sees it, and it is done.
                    Some(Ok(NotificationResult::Requeue)) => return Outcome::Handled,
                    Some(Err(HandlerError::Failed(error))) => {
                        warn_failed(&incoming.notification, &*error);
                        return Outcome::Failed;
                    }
                    Some(Err(HandlerError::Extract(error))) => {
                        warn_mismatch(&incoming.notification, &error);
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

impl Dispatch for Single {
    type Message = Notification;
    type Job = Box<Delivery<Notification>>;
    type Outcome = ListenReport;
    type Report = ListenReport;

    fn accept(&self, delivery: Delivery<Notification>) -> Self::Job {
        Box::new(delivery)
    }

    fn name(job: &Self::Job) -> Arc<str> {
        job.message.event_type.clone()
    }

    async fn run(&self, job: Self::Job, _slot: Slot) -> ListenReport {
        let Delivery { message: notification, settle, redelivered, redeliveries, permit: _permit, .. } = *job;
        let incoming = Incoming { notification, redelivered };
        let mut report = ListenReport::default();
        tokio::select! {
            biased;
            outcome = self.handle(&incoming) => {
                let settling = Settling { requeue: self.requeue, is_event: self.is_event, shutdown: &self.shutdown };
                report.count(settling.settle(outcome, &incoming.notification, redeliveries, settle));
            }
            () = self.shutdown.abandon.cancelled() => report.abandoned = 1,
        }
        report
    }

    fn abandoned(outcome: &ListenReport) -> usize {
        usize::try_from(outcome.abandoned).unwrap_or(usize::MAX)
    }

    fn count(&self, report: &mut ListenReport, running: &Running, outcome: Option<ListenReport>) {
        count(report, running, outcome);
    }

    fn warn_stalled(&self, stalled: &Stalled<'_>) {
        warn_stalled(stalled);
    }
}

/// Gives the notifications of a batch to their handlers, each priority by itself.
pub(crate) struct Batches {
    pub(crate) endpoints: Arc<[BatchEndpoint]>,
    /// `None`: no notification is redelivered.
    pub(crate) requeue: Option<Requeue>,
    pub(crate) shutdown: Shutdown,
}

impl Batches {
    /// The outcomes of a batch's notifications of one priority.
    async fn handle(&self, priority: Priority, batch: &[Incoming]) -> Vec<Outcome> {
        let mut outcomes = vec![Outcome::Unwanted; batch.len()];
        for endpoint in &*self.endpoints {
            for (_, handler) in endpoint.handlers.iter().filter(|(handled, _)| *handled == priority) {
                let wanted: Vec<usize> =
                    (0..batch.len()).filter(|&at| passes(endpoint.filter.as_ref(), &batch[at])).collect();
                let Some(first) = wanted.first() else { continue };
                let some: Vec<&Incoming> = wanted.iter().map(|&at| &batch[at]).collect();
                let running = async { handler(&some).await };
                let example = &batch[*first].notification;
                let Some(BatchResult { result, mismatches }) = caught(example, running).await else {
                    return vec![Outcome::Failed; batch.len()];
                };
                for (place, error) in &mismatches {
                    let at = wanted[*place];
                    warn_mismatch(&batch[at].notification, error);
                    // Another handler may have taken it.
                    if outcomes[at] == Outcome::Unwanted {
                        outcomes[at] = Outcome::Malformed;
                    }
                }
                let fits = |at: &usize| !mismatches.iter().any(|(place, _)| wanted[*place] == *at);
                // As in oslo: all notifications of this priority, also those that the filter excludes.
                let all = 0..batch.len();
                let (ends, outcome, which) = match result {
                    None => continue,
                    Some(Ok(NotificationResult::Requeue)) if self.requeue.is_some() => (true, Outcome::Requeued, all),
                    Some(Ok(NotificationResult::Requeue)) => (true, Outcome::Handled, all),
                    Some(Ok(NotificationResult::Handled)) => (false, Outcome::Handled, 0..0),
                    Some(Err(error)) => {
                        warn_failed(example, &*error);
                        (true, Outcome::Failed, all)
                    }
                };
                which.chain(wanted.iter().copied()).filter(fits).for_each(|at| outcomes[at] = outcome);
                if ends {
                    return outcomes;
                }
            }
        }
        outcomes
    }

    /// Handles a batch and counts into `report`, so that an abandoned batch keeps what was done.
    async fn handle_all(&self, mut batch: Batch, report: &mut ListenReport) {
        // By name, as oslo sorts them; the order within a priority stays.
        batch.sort_by_key(|delivery| delivery.message.priority.as_str());
        let settling = Settling { requeue: self.requeue, is_event: false, shutdown: &self.shutdown };
        while let Some(first) = batch.first() {
            let priority = first.message.priority;
            let end = batch.iter().position(|delivery| delivery.message.priority != priority).unwrap_or(batch.len());
            let (mut group, mut settles) = (Vec::new(), Vec::new());
            for delivery in batch.drain(..end) {
                let Delivery { message: notification, settle, redelivered, redeliveries, permit, .. } = delivery;
                group.push(Incoming { notification, redelivered });
                settles.push((settle, redeliveries, permit));
            }
            let outcomes = self.handle(priority, &group).await;
            for ((outcome, (settle, redeliveries, _permit)), it) in outcomes.into_iter().zip(settles).zip(&group) {
                report.count(settling.settle(outcome, &it.notification, redeliveries, settle));
            }
        }
    }
}

impl Dispatch for Batches {
    type Message = Batch;
    type Job = Batch;
    type Outcome = ListenReport;
    type Report = ListenReport;

    fn accept(&self, delivery: Delivery<Batch>) -> Batch {
        delivery.settle.ack();
        delivery.message
    }

    fn name(batch: &Batch) -> Arc<str> {
        batch.first().map_or_else(|| "".into(), |first| first.message.event_type.clone())
    }

    fn messages(batch: &Batch) -> usize {
        batch.len()
    }

    async fn run(&self, batch: Batch, _slot: Slot) -> ListenReport {
        let (count, mut report) = (batch.len() as u64, ListenReport::default());
        let is_done = tokio::select! {
            biased;
            () = self.handle_all(batch, &mut report) => true,
            () = self.shutdown.abandon.cancelled() => false,
        };
        if !is_done {
            report.abandoned = count.saturating_sub(report.ended());
        }
        report
    }

    fn abandoned(outcome: &ListenReport) -> usize {
        usize::try_from(outcome.abandoned).unwrap_or(usize::MAX)
    }

    fn count(&self, report: &mut ListenReport, running: &Running, outcome: Option<ListenReport>) {
        count(report, running, outcome);
    }

    fn warn_stalled(&self, stalled: &Stalled<'_>) {
        warn_stalled(stalled);
    }
}

/// How notifications are settled.
struct Settling<'a> {
    requeue: Option<Requeue>,
    is_event: bool,
    shutdown: &'a Shutdown,
}

impl Settling<'_> {
    /// Settles a notification by the outcome of its handlers, and returns the final outcome.
    fn settle(&self, outcome: Outcome, notification: &Notification, redeliveries: u32, settle: Settle) -> Outcome {
        match self.requeue.filter(|_| matches!(outcome, Outcome::Requeued | Outcome::Failed)) {
            None => settle.ack(),
            // A stopping listener starts nothing that it would have to wait for.
            Some(_) if self.shutdown.stopping.is_cancelled() => settle.requeue(),
            Some(requeue) if requeue.allows(redeliveries) => {
                if self.is_event {
                    metrics::counter!("oxlo_events_retried_total").increment(1);
                }
                requeue.defer(settle, redeliveries);
            }
            Some(_) => {
                reject(notification, redeliveries, settle);
                return Outcome::Rejected;
            }
        }
        outcome
    }
}

/// Rejects a notification that was redelivered as often as allowed.
fn reject(notification: &Notification, redeliveries: u32, settle: Settle) {
    limited!(
        error,
        "a notification was redelivered as often as allowed without being handled, and is rejected",
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
async fn caught<T>(notification: &Notification, running: impl Future<Output = T>) -> Option<T> {
    let caught = AssertUnwindSafe(running).catch_unwind().await;
    if caught.is_err() {
        // The panic's message may quote the payload, so it is left out; the panic hook already reported it.
        limited!(error, "a notification's handler panicked", event_type = &*shown(&notification.event_type));
    }
    caught.ok()
}

fn count(report: &mut ListenReport, running: &Running, outcome: Option<ListenReport>) {
    match outcome {
        Some(outcome) => report.add(&outcome),
        None => {
            limited!(error, "a notification's task ended without an outcome", event_type = &*shown(&running.name));
        }
    }
}

fn warn_stalled(stalled: &Stalled<'_>) {
    let event_type = stalled.running.first().map(|oldest| shown(&oldest.name));
    tracing::warn!(
        event_type = event_type.as_deref(),
        "{stalled}; give the handlers a timeout, or raise concurrency()"
    );
}

fn warn_failed(notification: &Notification, error: &(dyn Error + 'static)) {
    limited!(
        warn,
        "a notification's handler failed",
        event_type = &*shown(&notification.event_type),
        message_id = &*shown(&notification.message_id),
        error = %chain(error)
    );
}

fn warn_mismatch(notification: &Notification, error: &ExtractError) {
    let why = error.source().map(|why| line(&why.to_string()).into_owned());
    limited!(
        warn,
        "a notification does not fit its handler",
        event_type = &*shown(&notification.event_type),
        publisher_id = &*shown(&notification.publisher_id),
        why
    );
}
