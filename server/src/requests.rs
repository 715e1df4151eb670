//! One request from being taken to being settled: find its handler, run it, reply, settle.

use std::{future::Future, sync::Arc, time::Duration};

use oxlo_serving::{Dispatch, Requeue, Running, Shutdown, Slot, Stalled};
use oxlo_transport::{
    Delivery, Replier, Reply, Request, Settle, budget::Permit, limited, settings::NonFinite, text::name as shown,
};
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    call::{Call, Cancellation},
    failures,
    heartbeat::Heartbeats,
    invoke::{invoke, refused},
    layer::CallService,
    log::{About, RequestId, tell},
    outcome::{FinishedRequest, Observer, Outcome},
    policy::AckPolicy,
    report::ServeReport,
    response::{Response, ack, send},
    routes::RouteTable,
    states::States,
    telemetry::Telemetry,
};

/// What all requests of one run share.
pub(crate) struct Requests {
    pub(crate) routes: Arc<RouteTable>,
    pub(crate) topic: Arc<str>,
    pub(crate) policy: AckPolicy,
    /// How often a request may be redelivered.
    pub(crate) redelivery_limit: Option<u32>,
    pub(crate) observer: Option<Observer>,
    pub(crate) layers: Option<CallService>,
    /// How many replies may be in flight without a slot.
    pub(crate) replies: Semaphore,
    pub(crate) max_message_size: usize,
    pub(crate) non_finite: NonFinite,
    pub(crate) shutdown: Shutdown,
    pub(crate) telemetry: Telemetry,
}

/// A request that was taken from the listener.
pub(crate) struct Job {
    request: Request,
    /// `None` if the request was acknowledged.
    settle: Option<Settle>,
    replier: Option<Replier>,
    deadline: Option<Instant>,
    redelivered: bool,
    redeliveries: u32,
    /// The request's share of the listener's memory, until its handler has ended.
    permit: Option<Permit>,
}

/// How processing a request ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processed {
    /// `None`: the caller had given up before the method ran.
    outcome: Option<Outcome>,
    reply_lost: bool,
}

impl Dispatch for Requests {
    type Message = Request;
    /// Boxed so that moving it into the task is cheap.
    type Job = Box<Job>;
    type Outcome = Processed;
    type Report = ServeReport;

    /// Under `BeforeDispatch` requests are acknowledged here, in the order of arrival.
    fn accept(&self, delivery: Delivery<Request>) -> Box<Job> {
        let Delivery { message: request, settle, replier, deadline, redelivered, redeliveries, permit, .. } = delivery;
        let settle = match self.policy {
            AckPolicy::BeforeDispatch => {
                settle.ack();
                None
            }
            AckPolicy::AfterReply => Some(settle),
        };
        Box::new(Job { request, settle, replier, deadline, redelivered, redeliveries, permit })
    }

    fn name(job: &Box<Job>) -> Arc<str> {
        job.request.method.clone()
    }

    fn run(&self, job: Box<Job>, slot: Slot) -> impl Future<Output = Processed> + Send {
        process(self, job, slot)
    }

    fn abandoned(processed: &Processed) -> usize {
        usize::from(processed.outcome == Some(Outcome::Abandoned))
    }

    fn count(&self, report: &mut ServeReport, running: &Running, processed: Option<Processed>) {
        let Some(processed) = processed else {
            limited!(error, "a request's task ended without an outcome", method = &*shown(&running.name));
            report.failed += 1;
            report.handled += 1;
            return;
        };
        report.replies_lost += u64::from(processed.reply_lost);
        match processed.outcome {
            None => report.dropped_expired += 1,
            Some(Outcome::Result) => report.handled += 1,
            Some(Outcome::Failure | Outcome::Expected) => {
                report.handled += 1;
                report.failed += 1;
            }
            Some(Outcome::Requeue) => report.requeued += 1,
            Some(Outcome::Ignore) => report.ignored += 1,
            // The loop counts those.
            Some(Outcome::Abandoned) => {}
        }
    }

    fn warn_stalled(&self, stalled: &Stalled<'_>) {
        let method = stalled.running.first().map(|oldest| shown(&oldest.name));
        tracing::warn!(
            topic = &*self.topic,
            method = method.as_deref(),
            "{stalled}; a method that calls its own server needs another slot, so raise concurrency(), or give methods \
             a timeout"
        );
    }
}

/// Processes one request. `slot` is dropped when the handler has ended and the reply has a permit of its own.
///
/// Dropping the future drops the handler and returns an unsettled request to the broker.
async fn process(requests: &Requests, mut job: Box<Job>, slot: Slot) -> Processed {
    let started = Instant::now();
    if job.deadline.is_some_and(|deadline| deadline <= started) {
        ack(job.settle);
        requests.telemetry.expired.increment(1);
        limited!(
            warn,
            "dropped requests whose callers had given up",
            topic = &*requests.topic,
            method = &*shown(&job.request.method),
            request_id = RequestId::of(&job.request.context).shown().as_deref()
        );
        return Processed { outcome: None, reply_lost: false };
    }

    if requests.redelivery_limit.is_some_and(|limit| job.redeliveries > limit) {
        let Job { request: Request { method, context, .. }, redeliveries, replier, settle, .. } = *job;
        let (request_id, waiting) = (RequestId::of(&context), Heartbeats::Silent(replier));
        return Box::pin(give_up(requests, (&method, &request_id), redeliveries, waiting, settle)).await;
    }
    // One more than the limit: a request that is redelivered then is given up above.
    let limit = requests.redelivery_limit.map_or(Requeue::REQUESTS.limit, |limit| limit.saturating_add(1));
    let requeue = Requeue { limit, ..Requeue::REQUESTS };

    let (redelivered, redeliveries) = (job.redelivered, job.redeliveries);
    let method = job.request.method.clone();
    let context = requests.observer.as_ref().map(|_| Box::new(job.request.context.clone()));
    let replier = job.replier.take();
    let request_id = RequestId::of(&job.request.context);
    let Request { namespace, version, .. } = &job.request;
    let (namespace, version) = (namespace.as_deref(), version.as_deref());
    let found = requests.routes.find(namespace, version, &method);
    let metrics = requests.telemetry.of(found.as_ref().ok().map(|route| route.id));
    let (mut response, heartbeats) = match found {
        Ok(route) => {
            let heartbeats = Heartbeats::start(replier).await;
            metrics.begins();
            let call = Call {
                request: job.request,
                deadline: job.deadline,
                redelivered,
                redeliveries,
                states: route.states.clone(),
                extensions: States::new(),
                cancellation: Cancellation { deadline: job.deadline, shutdown: requests.shutdown.clone() },
                non_finite: requests.non_finite,
                handler: None,
                reached: None,
            };
            let response = invoke(requests, route, call, about(requests, &method, &request_id, &heartbeats)).await;
            (response, heartbeats)
        }
        Err(refusal) => {
            let heartbeats = Heartbeats::Silent(replier);
            let about = about(requests, &method, &request_id, &heartbeats);
            (Response::Failure(refused(&requests.routes, refusal, (namespace, version), about)), heartbeats)
        }
    };
    drop(job.permit);
    let settle = job.settle;
    let took = started.elapsed();
    metrics.ran(took);

    if settle.is_none() {
        response = response.without_requeue(about(requests, &method, &request_id, &heartbeats));
    }
    let outcome = response.outcome();
    metrics.ended(outcome, took, response.class());
    if let (Some(observer), Some(context)) = (&requests.observer, context) {
        observer(FinishedRequest { method: method.clone(), context: *context, outcome, redeliveries });
    }
    let mut processed = Processed { outcome: Some(outcome), reply_lost: false };
    let reply = match response {
        Response::Ignore => {
            ack(settle);
            return processed;
        }
        Response::Requeue | Response::Abandoned => {
            if let Some(settle) = settle {
                // A stopping server starts nothing that it would have to wait for.
                if outcome == Outcome::Abandoned || requests.shutdown.stopping.is_cancelled() {
                    settle.requeue();
                } else if requeue.allows(redeliveries) {
                    drop((heartbeats, slot));
                    requeue.defer(settle, redeliveries);
                } else {
                    drop(slot);
                    let given_up = give_up(requests, (&method, &request_id), redeliveries, heartbeats, Some(settle));
                    return Box::pin(given_up).await;
                }
                return processed;
            }
            Reply::Failure(Box::new(failures::abandoned(&method)))
        }
        Response::Result(result) => Reply::Result(result),
        Response::Failure(failure) | Response::Expected(failure) => Reply::Failure(failure),
    };

    // The reply's permit comes first: if the slot were dropped before, slow replies could pile up without bound.
    let _in_flight = match requests.replies.try_acquire() {
        Ok(permit) => Ok(permit),
        Err(_) => Box::pin(requests.replies.acquire()).await,
    };
    let replier = match heartbeats {
        Heartbeats::Silent(replier) => replier,
        beating @ Heartbeats::Beating { .. } => Box::pin(beating.end()).await,
    };
    drop(slot);
    match replier {
        Some(replier) => processed.reply_lost = !send(requests, replier, reply, settle, &method, &request_id).await,
        None => ack(settle),
    }
    processed
}

fn about<'a>(requests: &'a Requests, method: &'a str, request_id: &'a RequestId, waiting: &'a Heartbeats) -> About<'a> {
    About { topic: &requests.topic, method, request_id, waiting }
}

/// Rejects a request that was redelivered too often: it may be what stops its servers.
async fn give_up(
    requests: &Requests,
    (method, request_id): (&str, &RequestId),
    redeliveries: u32,
    waiting: Heartbeats,
    settle: Option<Settle>,
) -> Processed {
    let line = about(requests, method, request_id, &waiting);
    tell!(error, line, "a request was redelivered too often and is given up", redeliveries);
    let replier = waiting.end().await;
    requests.telemetry.of(None).ended(Outcome::Failure, Duration::ZERO, None);
    let mut processed = Processed { outcome: Some(Outcome::Failure), reply_lost: false };
    if let Some(replier) = replier {
        let failure = failures::given_up(method, redeliveries);
        processed.reply_lost = replier.reply(Reply::Failure(Box::new(failure))).await.is_err();
        if processed.reply_lost {
            requests.telemetry.replies_lost.increment(1);
        }
    }
    if let Some(settle) = settle {
        settle.reject();
    }
    processed
}
