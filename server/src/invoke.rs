//! Runs a handler inside its span, its deadline and its layers, and turns what it returned into a response.

use std::{
    any::Any,
    future::Future,
    panic::{self, AssertUnwindSafe},
};

use futures_util::FutureExt;
use oxlo_transport::{Deadline, Failure, text::name as shown};
use tracing::{Instrument, Span};

use crate::{
    call::Call,
    failures,
    handler::HandlerFuture,
    log::{About, tell},
    requests::Requests,
    response::Response,
    result::{HandlerError, HandlerResult},
    routes::{Refusal, Route, RouteTable},
    telemetry::{self, InFlight},
};

/// Starts the handler at once, so that the future stays small: of the call it keeps only the handler's own future.
pub(crate) fn invoke<'a>(
    requests: &'a Requests,
    route: &'a Route,
    call: Call,
    about: About<'a>,
) -> impl Future<Output = Response> + Send + 'a {
    let deadline = Deadline(call.deadline);
    let started = deadline.sync_scope(|| start(requests, route, call, about));
    async move {
        let (_in_flight, span, handling) = match started {
            Ok(started) => started,
            Err(response) => return response,
        };
        let caught = deadline.scope(AssertUnwindSafe(handling).catch_unwind().instrument(span.clone()));
        let result = tokio::select! {
            biased;
            result = caught => result,
            () = requests.shutdown.abandon.cancelled() => return Response::Abandoned,
        };
        respond(&span, requests, route, result, about)
    }
}

/// Runs the part of the handler before its future.
fn start<'a>(
    requests: &'a Requests,
    route: &Route,
    call: Call,
    about: About<'_>,
) -> Result<(InFlight<'a>, Span, HandlerFuture), Response> {
    if !call.request.args.is_object() {
        let failure = Failure::builtin("TypeError", format!("{}(): its arguments are not a JSON object", route.name));
        return Err(Response::Failure(Box::new(failure.with_refused(true))));
    }
    let in_flight = InFlight::enter(&requests.telemetry.in_flight);
    let span = telemetry::span(&requests.topic, &route.name);
    oxlo_transport::trace::adopt(&span, &call.request.context);
    let entered = span.enter();
    let started = panic::catch_unwind(AssertUnwindSafe(|| match &requests.layers {
        None => route.handler.call(call),
        Some(layers) => {
            let call = Call { handler: Some(route.handler.clone()), ..call };
            Box::pin(layers.clone().answer(call))
        }
    }));
    drop(entered);
    match started {
        Ok(handling) => Ok((in_flight, span, handling)),
        Err(panic) => Err(respond(&span, requests, route, Err(panic), about)),
    }
}

fn respond(
    span: &Span,
    requests: &Requests,
    route: &Route,
    result: Result<HandlerResult, Box<dyn Any + Send>>,
    about: About<'_>,
) -> Response {
    telemetry::record(span, route, &result);
    match result {
        Ok(Ok(result)) if result.len() > requests.max_message_size => {
            let failure = failures::result_too_large(&route.name, result.len(), requests.max_message_size);
            tell!(warn, about, "the result is too large to send", size = result.len());
            Response::Failure(Box::new(failure))
        }
        Ok(Ok(result)) => Response::Result(result),
        Ok(Err(HandlerError::Failure(failure))) if route.expects(&failure.class) => expected(*failure, about),
        Ok(Err(HandlerError::Expected(failure))) => expected(*failure, about),
        Ok(Err(HandlerError::Failure(failure))) => {
            let (module, class) = (shown(&failure.module), shown(&failure.class));
            tell!(warn, about, "the method failed", module = &*module, class = &*class);
            // The method ran, even if it passes on another server's refusal.
            Response::Failure(Box::new(failure.with_refused(false).without_remote_suffix()))
        }
        Ok(Err(HandlerError::Refused(failure))) => {
            tell!(warn, about, "the request was refused", reason = %failure);
            Response::Failure(Box::new(failure.with_refused(true)))
        }
        Ok(Err(HandlerError::Requeue)) => Response::Requeue,
        Ok(Err(HandlerError::Ignore)) => Response::Ignore,
        Err(_) => panicked(route, about),
    }
}

/// The panic's message may quote arguments, so it is not sent; the panic hook already reported it.
fn panicked(route: &Route, about: About<'_>) -> Response {
    tell!(error, about, "the method panicked");
    Response::Failure(Box::new(failures::panicked(&route.name)))
}

/// A failure that the method declares or expects: sent like any other, logged at debug level.
fn expected(failure: Failure, about: About<'_>) -> Response {
    if tracing::enabled!(tracing::Level::DEBUG) {
        let (module, class) = (shown(&failure.module), shown(&failure.class));
        tell!(debug, about, "the method failed as expected", module = &*module, class = &*class);
    }
    Response::Expected(Box::new(failure.with_refused(false).without_remote_suffix()))
}

/// The failure of a request that no endpoint serves.
pub(crate) fn refused(
    routes: &RouteTable,
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
    Box::new(routes.explain(refusal, namespace, version))
}
