//! One request from being taken to being settled: find its handler, run it, answer, settle.

use std::{
    any::Any,
    future::Future,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use oxlo_transport::{
    Deadline, Delivery, Failure, Payload, Replier, Reply, Request, Settle, TransportError, budget::Permit, limited,
    settings::NonFinite,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use crate::{
    call::{Call, Cancellation},
    dispatch::{Dispatcher, Refusal, Route},
    handler::Answering,
    heartbeat::Heartbeats,
    layer::CallService,
    log::{About, RequestId, tell},
    outcome::{self, Answer, HandlerError},
    policy::AckPolicy,
    report::Ran,
    requeue::Requeue,
    states::States,
    telemetry::{self, Ending, InFlight, Telemetry, shown},
};

/// Is told of every request that ended.
pub(crate) type Observer = Arc<dyn Fn(Ran) + Send + Sync>;

/// What all requests of one run share.
pub(crate) struct Shared {
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) topic: Arc<str>,
    /// What serves, for logs: `inventory as inventory-1`.
    pub(crate) name: Arc<str>,
    pub(crate) policy: AckPolicy,
    /// How often a request may come back.
    pub(crate) redelivery_limit: Option<u32>,
    pub(crate) observer: Option<Observer>,
    pub(crate) layers: Option<CallService>,
    /// How many replies may be on their way without a handler's place.
    pub(crate) replies: Semaphore,
    pub(crate) max_message_size: usize,
    pub(crate) non_finite: NonFinite,
    /// The server stops: nothing is held back any more.
    pub(crate) stopping: CancellationToken,
    /// The grace is over: handlers are dropped.
    pub(crate) abandon: CancellationToken,
    pub(crate) telemetry: Telemetry,
}

/// What became of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// `None`: its caller had given up before it ran.
    pub(crate) ending: Option<Ending>,
    pub(crate) reply_lost: bool,
}

enum Outcome {
    Result(Payload),
    Failure(Box<Failure>),
    Expected(Box<Failure>),
    Requeue,
    Ignore,
    Abandoned,
}

/// A request that was taken from the listener.
pub(crate) struct Taken {
    pub(crate) request: Request,
    /// `None` if the broker has been told already.
    settle: Option<Settle>,
    replier: Option<Replier>,
    deadline: Option<Instant>,
    redelivered: bool,
    redeliveries: u32,
    /// Its share of the memory of its listener, until its handler has ended.
    permit: Option<Permit>,
}

impl Taken {
    /// Under `BeforeDispatch` the broker hears at this moment that the request is done, in the order of arrival.
    ///
    /// In a box, because it is moved on its way into its task, with the room that the task needs for it.
    pub(crate) fn new(delivery: Delivery<Request>, policy: AckPolicy) -> Box<Self> {
        let Delivery { message: request, settle, replier, deadline, redelivered, redeliveries, permit, .. } = delivery;
        let settle = match policy {
            AckPolicy::BeforeDispatch => {
                settle.ack();
                None
            }
            AckPolicy::AfterReply => Some(settle),
        };
        Box::new(Self { request, settle, replier, deadline, redelivered, redeliveries, permit })
    }
}

/// Runs one request. `slot` is its share of the concurrency; it is given back when the handler is done and the reply
/// has a place among those on their way.
///
/// Dropping the future drops the handler where it waits, and puts an unsettled request back.
pub(crate) async fn process(shared: &Shared, mut taken: Box<Taken>, slot: OwnedSemaphorePermit) -> Ended {
    let started = Instant::now();
    if taken.deadline.is_some_and(|deadline| deadline <= started) {
        ack(taken.settle);
        shared.telemetry.expired.increment(1);
        limited!(
            warn,
            "requests are dropped whose callers had given up",
            topic = &*shared.topic,
            method = &*shown(&taken.request.method),
            request_id = RequestId::of(&taken.request.context).shown().as_deref()
        );
        return Ended { ending: None, reply_lost: false };
    }

    if shared.redelivery_limit.is_some_and(|limit| taken.redeliveries > limit) {
        let Taken { request: Request { method, context, .. }, redeliveries, replier, settle, .. } = *taken;
        let (request_id, waiting) = (RequestId::of(&context), Heartbeats::Silent(replier));
        return Box::pin(give_up(shared, (&method, &request_id), redeliveries, waiting, settle)).await;
    }
    // One more than may run: what comes back then is given up above.
    let limit = shared.redelivery_limit.map_or(Requeue::REQUESTS.limit, |limit| limit.saturating_add(1));
    let requeue = Requeue { limit, ..Requeue::REQUESTS };

    let (redelivered, redeliveries) = (taken.redelivered, taken.redeliveries);
    let method = taken.request.method.clone();
    let context = shared.observer.as_ref().map(|_| Box::new(taken.request.context.clone()));
    let replier = taken.replier.take();
    let request_id = RequestId::of(&taken.request.context);
    let Request { namespace, version, .. } = &taken.request;
    let (namespace, version) = (namespace.as_deref(), version.as_deref());
    let found = shared.dispatcher.find(namespace, version, &method);
    let metrics = shared.telemetry.of(found.as_ref().ok().map(|route| route.id));
    let (mut outcome, heartbeats) = match found {
        Ok(route) => {
            let heartbeats = Heartbeats::start(replier).await;
            metrics.begins();
            let call = Call {
                request: taken.request,
                deadline: taken.deadline,
                redelivered,
                redeliveries,
                states: route.states.clone(),
                extensions: States::new(),
                cancellation: Cancellation {
                    deadline: taken.deadline,
                    stopping: shared.stopping.clone(),
                    abandoned: shared.abandon.clone(),
                },
                non_finite: shared.non_finite,
                handler: None,
                reached: None,
            };
            let outcome = run(shared, route, call, about(shared, &method, &request_id, &heartbeats)).await;
            (outcome, heartbeats)
        }
        Err(refusal) => {
            let heartbeats = Heartbeats::Silent(replier);
            let about = about(shared, &method, &request_id, &heartbeats);
            (Outcome::Failure(refused(&shared.dispatcher, refusal, (namespace, version), about)), heartbeats)
        }
    };
    drop(taken.permit);
    let settle = taken.settle;
    let took = started.elapsed();
    metrics.ran(took);

    if settle.is_none() {
        outcome = outcome.without_requeue(about(shared, &method, &request_id, &heartbeats));
    }
    let ending = outcome.ending();
    metrics.ended(ending, took, outcome.class());
    if let (Some(observer), Some(context)) = (&shared.observer, context) {
        observer(Ran { method: method.clone(), context: *context, ending, redeliveries });
    }
    let mut ended = Ended { ending: Some(ending), reply_lost: false };
    let reply = match outcome {
        Outcome::Ignore => {
            ack(settle);
            return ended;
        }
        Outcome::Requeue | Outcome::Abandoned => {
            if let Some(settle) = settle {
                // Nothing is begun any more at the end that would have to be waited for.
                if ending == Ending::Abandoned || shared.stopping.is_cancelled() {
                    settle.requeue();
                } else if requeue.allows(redeliveries) {
                    drop((heartbeats, slot));
                    requeue.defer(settle, redeliveries);
                } else {
                    drop(slot);
                    let given_up = give_up(shared, (&method, &request_id), redeliveries, heartbeats, Some(settle));
                    return Box::pin(given_up).await;
                }
                return ended;
            }
            Reply::Failure(Box::new(outcome::abandoned(&method)))
        }
        Outcome::Result(result) => Reply::Result(result),
        Outcome::Failure(failure) | Outcome::Expected(failure) => Reply::Failure(failure),
    };

    // The place among the replies comes first: were the slot given back before, slow replies could pile up without end.
    let _on_its_way = match shared.replies.try_acquire() {
        Ok(place) => Ok(place),
        Err(_) => Box::pin(shared.replies.acquire()).await,
    };
    let replier = match heartbeats {
        Heartbeats::Silent(replier) => replier,
        beating @ Heartbeats::Beating { .. } => Box::pin(beating.end()).await,
    };
    drop(slot);
    match replier {
        Some(replier) => ended.reply_lost = !send(shared, replier, reply, settle, &method, &request_id).await,
        None => ack(settle),
    }
    ended
}

fn about<'a>(shared: &'a Shared, method: &'a str, request_id: &'a RequestId, waiting: &'a Heartbeats) -> About<'a> {
    About { topic: &shared.topic, method, request_id, waiting }
}

/// Ends a request that came back too often: it may be what kills its servers.
async fn give_up(
    shared: &Shared,
    (method, request_id): (&str, &RequestId),
    redeliveries: u32,
    waiting: Heartbeats,
    settle: Option<Settle>,
) -> Ended {
    let line = about(shared, method, request_id, &waiting);
    tell!(error, line, "a request came back too often; it is given up", redeliveries);
    let replier = waiting.end().await;
    shared.telemetry.of(None).ended(Ending::Failure, Duration::ZERO, None);
    let mut ended = Ended { ending: Some(Ending::Failure), reply_lost: false };
    if let Some(replier) = replier {
        let failure = outcome::given_up(method, redeliveries);
        ended.reply_lost = replier.reply(Reply::Failure(Box::new(failure))).await.is_err();
        if ended.reply_lost {
            shared.telemetry.replies_lost.increment(1);
        }
    }
    if let Some(settle) = settle {
        settle.reject();
    }
    ended
}

/// Begins to run the handler at once, so that the future is small: the handler's own is all that it keeps of the call.
fn run<'a>(
    shared: &'a Shared,
    route: &'a Route,
    call: Call,
    about: About<'a>,
) -> impl Future<Output = Outcome> + Send + 'a {
    let deadline = Deadline(call.deadline);
    let begun = deadline.sync_scope(|| begin(shared, route, call, about));
    async move {
        let (_in_flight, span, answering) = match begun {
            Ok(begun) => begun,
            Err(outcome) => return outcome,
        };
        let caught = deadline.scope(AssertUnwindSafe(answering).catch_unwind().instrument(span.clone()));
        let answer = tokio::select! {
            biased;
            answer = caught => answer,
            () = shared.abandon.cancelled() => return Outcome::Abandoned,
        };
        ended(&span, shared, route, answer, about)
    }
}

/// What the handler does before it gives its future.
fn begin<'a>(
    shared: &'a Shared,
    route: &Route,
    call: Call,
    about: About<'_>,
) -> Result<(InFlight<'a>, Span, Answering), Outcome> {
    if !call.request.args.is_object() {
        let failure = Failure::builtin("TypeError", format!("{}(): its arguments are no JSON object", route.name));
        return Err(Outcome::Failure(Box::new(failure.with_refused(true))));
    }
    let in_flight = InFlight::enter(&shared.telemetry.in_flight);
    let span = telemetry::span(&shared.topic, &route.name);
    oxlo_transport::trace::adopt(&span, &call.request.context);
    let entered = span.enter();
    let begun = panic::catch_unwind(AssertUnwindSafe(|| match &shared.layers {
        None => route.handler.call(call),
        Some(layers) => {
            let call = Call { handler: Some(route.handler.clone()), ..call };
            Box::pin(layers.clone().answer(call))
        }
    }));
    drop(entered);
    match begun {
        Ok(answering) => Ok((in_flight, span, answering)),
        Err(panic) => Err(ended(&span, shared, route, Err(panic), about)),
    }
}

fn ended(
    span: &Span,
    shared: &Shared,
    route: &Route,
    answer: Result<Answer, Box<dyn Any + Send>>,
    about: About<'_>,
) -> Outcome {
    telemetry::record(span, route, &answer);
    match answer {
        Ok(Ok(result)) if result.len() > shared.max_message_size => {
            let failure = outcome::result_too_large(&route.name, result.len(), shared.max_message_size);
            tell!(warn, about, "the result is too large to be sent", size = result.len());
            Outcome::Failure(Box::new(failure))
        }
        Ok(Ok(result)) => Outcome::Result(result),
        Ok(Err(HandlerError::Failure(failure))) if route.expects(&failure.class) => expected(*failure, about),
        Ok(Err(HandlerError::Expected(failure))) => expected(*failure, about),
        Ok(Err(HandlerError::Failure(failure))) => {
            let (module, class) = (shown(&failure.module), shown(&failure.class));
            tell!(warn, about, "the method failed", module = &*module, class = &*class);
            // It ran, even if what it passes on is the refusal of another server.
            Outcome::Failure(Box::new(failure.with_refused(false).without_remote_suffix()))
        }
        Ok(Err(HandlerError::Refused(failure))) => {
            tell!(warn, about, "the request was refused", reason = %failure);
            Outcome::Failure(Box::new(failure.with_refused(true)))
        }
        Ok(Err(HandlerError::Requeue)) => Outcome::Requeue,
        Ok(Err(HandlerError::Ignore)) => Outcome::Ignore,
        Err(_) => panicked(route, about),
    }
}

/// What the panic says may quote arguments; the panic hook has said it to whom it concerns.
fn panicked(route: &Route, about: About<'_>) -> Outcome {
    tell!(error, about, "the method panicked");
    Outcome::Failure(Box::new(outcome::panicked(&route.name)))
}

/// A failure that is part of what the method may say: the caller gets it as any other, the log is spared.
fn expected(failure: Failure, about: About<'_>) -> Outcome {
    if tracing::enabled!(tracing::Level::DEBUG) {
        let (module, class) = (shown(&failure.module), shown(&failure.class));
        tell!(debug, about, "the method failed as expected", module = &*module, class = &*class);
    }
    Outcome::Expected(Box::new(failure.with_refused(false).without_remote_suffix()))
}

impl Outcome {
    /// Of the failure, if it is one.
    fn class(&self) -> Option<&str> {
        match self {
            Self::Failure(failure) | Self::Expected(failure) => Some(&failure.class),
            _ => None,
        }
    }

    fn ending(&self) -> Ending {
        match self {
            Self::Result(_) => Ending::Result,
            Self::Failure(_) => Ending::Failure,
            Self::Expected(_) => Ending::Expected,
            Self::Requeue => Ending::Requeue,
            Self::Ignore => Ending::Ignore,
            Self::Abandoned => Ending::Abandoned,
        }
    }

    /// The broker has forgotten the request, so it cannot go to another server; the caller learns that at once.
    fn without_requeue(self, about: About<'_>) -> Self {
        match self {
            Self::Requeue => {
                tell!(warn, about, "the method asked for another server, which needs AckPolicy::AfterReply");
                Self::Failure(Box::new(outcome::requeue_refused(about.method)))
            }
            other => other,
        }
    }
}

/// Sends the reply, then settles by what became of it. Returns whether it was delivered.
async fn send(
    shared: &Shared,
    replier: Replier,
    reply: Reply,
    settle: Option<Settle>,
    method: &str,
    request_id: &RequestId,
) -> bool {
    match replier.reply(reply).await {
        Ok(()) => {
            ack(settle);
            true
        }
        Err(error) => {
            shared.telemetry.replies_lost.increment(1);
            limited!(
                warn,
                "the reply could not be delivered",
                topic = &*shared.topic,
                method = &*shown(method),
                request_id = request_id.shown().as_deref(),
                %error
            );
            match settle {
                // Running it again would end in the same way.
                Some(settle) if would_fail_again(&error) => settle.ack(),
                Some(settle) => settle.requeue(),
                None => {}
            }
            false
        }
    }
}

fn would_fail_again(error: &TransportError) -> bool {
    matches!(
        error,
        TransportError::Undeliverable { .. }
            | TransportError::Rejected { .. }
            | TransportError::MessageRefused { .. }
            | TransportError::TooLarge { .. }
            | TransportError::InvalidTarget { .. }
    )
}

fn ack(settle: Option<Settle>) {
    if let Some(settle) = settle {
        settle.ack();
    }
}

/// What a caller gets whose request nothing serves.
fn refused(
    dispatcher: &Dispatcher,
    refusal: Refusal<'_>,
    (namespace, version): (Option<&str>, Option<&str>),
    about: About<'_>,
) -> Box<Failure> {
    match refusal {
        Refusal::Unnamed => tell!(warn, about, "a request names no method"),
        // Health probes call such names on purpose; oslo is quiet about them too.
        Refusal::NoSuchMethod { method } if method.ends_with("_ignore_errors") => {
            tell!(debug, about, "no endpoint has this method");
        }
        Refusal::NoSuchMethod { .. } => tell!(warn, about, "no endpoint has this method"),
        Refusal::UnsupportedVersion { version, .. } => {
            tell!(warn, about, "no endpoint offers this namespace and version", version = &*shown(version));
        }
    }
    Box::new(dispatcher.explain(refusal, namespace, version))
}
