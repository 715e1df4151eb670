//! Metrics, with their handles looked up once; spans; and what of a stranger's text may stand in a log.

use std::{any::Any, sync::Arc, time::Duration};

use foldhash::HashMap;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

#[cfg(feature = "oslo-metrics")]
use oxlo_transport::oslo_metrics::{Labels, OsloMetrics};
use oxlo_transport::{Payload, Settings, Target};
use tracing::{Span, field::Empty};

use crate::{
    dispatch::{Dispatcher, Route},
    outcome::HandlerError,
};

/// Label of methods that no endpoint has, so that strangers cannot invent label values.
const UNKNOWN: &str = "(unknown)";

/// How a request ended, as the label of the metric says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// With a result.
    Result,
    /// With a failure: refused, failed, panicked, given up.
    Failure,
    /// Its handler gave it back for another server.
    Requeue,
    /// Its handler ended it without a reply.
    Ignore,
    /// It did not finish within the grace.
    Abandoned,
    /// With a failure that is part of what the method may say.
    Expected,
}

pub(crate) struct Telemetry {
    known: HashMap<usize, MethodMetrics>,
    unknown: MethodMetrics,
    pub(crate) in_flight: Gauge,
    pub(crate) expired: Counter,
    pub(crate) replies_lost: Counter,
}

pub(crate) struct MethodMetrics {
    endings: [Counter; 6],
    duration: Histogram,
    #[cfg(feature = "oslo-metrics")]
    told: Option<(OsloMetrics, Arc<Labels>)>,
}

impl Telemetry {
    pub(crate) fn new(target: &Target, topic: &Arc<str>, dispatcher: &Dispatcher, settings: &Settings) -> Self {
        let known = Self::known(topic, dispatcher);
        #[cfg(feature = "oslo-metrics")]
        let known = match &settings.oslo_metrics {
            Some(metrics) => told(metrics, target, dispatcher, known),
            None => known,
        };
        #[cfg(not(feature = "oslo-metrics"))]
        let _ = (target, settings);
        let topic = topic.to_string();
        Self {
            known,
            unknown: MethodMetrics::new(&topic, UNKNOWN),
            in_flight: gauge!("oxlo_server_requests_in_flight", "topic" => topic.clone()),
            expired: counter!("oxlo_server_requests_expired_total", "topic" => topic.clone()),
            replies_lost: counter!("oxlo_server_replies_lost_total", "topic" => topic),
        }
    }

    fn known(topic: &str, dispatcher: &Dispatcher) -> HashMap<usize, MethodMetrics> {
        dispatcher.routes().map(|route| (route.id, MethodMetrics::new(topic, &route.name))).collect()
    }

    /// The metrics of a route, or those of all unknown methods together.
    pub(crate) fn of(&self, route: Option<usize>) -> &MethodMetrics {
        route.and_then(|id| self.known.get(&id)).unwrap_or(&self.unknown)
    }
}

/// The same, which oslo.metrics is told of as well. Methods that no endpoint has are not, as in oslo.
#[cfg(feature = "oslo-metrics")]
fn told(
    metrics: &OsloMetrics,
    target: &Target,
    dispatcher: &Dispatcher,
    mut known: HashMap<usize, MethodMetrics>,
) -> HashMap<usize, MethodMetrics> {
    for (namespace, version, route) in dispatcher.places() {
        if let Some(method) = known.get_mut(&route.id) {
            let labels = Labels::server(target, namespace.cloned(), version.to_string().into(), route.name.clone());
            method.told = Some((metrics.clone(), Arc::new(labels)));
        }
    }
    known
}

impl MethodMetrics {
    fn new(topic: &str, method: &str) -> Self {
        Self {
            endings: ["result", "failure", "requeue", "ignore", "abandoned", "expected_failure"].map(|outcome| {
                counter!(
                    "oxlo_server_requests_total",
                    "topic" => topic.to_owned(), "method" => method.to_owned(), "outcome" => outcome
                )
            }),
            duration: histogram!(
                "oxlo_server_request_duration_seconds",
                "topic" => topic.to_owned(), "method" => method.to_owned()
            ),
            #[cfg(feature = "oslo-metrics")]
            told: None,
        }
    }

    /// A request is about to run.
    pub(crate) fn begins(&self) {
        #[cfg(feature = "oslo-metrics")]
        if let Some((metrics, labels)) = &self.told {
            metrics.began(labels);
        }
    }

    /// How it ended, and the class of the failure if it failed.
    pub(crate) fn ended(&self, ending: Ending, took: Duration, class: Option<&str>) {
        self.endings[ending as usize].increment(1);
        #[cfg(feature = "oslo-metrics")]
        if let Some((metrics, labels)) = &self.told {
            match (ending, class) {
                (_, Some(class)) => metrics.failed(labels, class),
                (Ending::Result | Ending::Ignore, None) => metrics.ended(labels, took),
                // It did not end here.
                _ => {}
            }
        }
        #[cfg(not(feature = "oslo-metrics"))]
        let _ = (took, class);
    }

    pub(crate) fn ran(&self, duration: Duration) {
        self.duration.record(duration);
    }
}

/// Named and filled as OpenTelemetry's conventions for RPC say; arguments and results stay out.
pub(crate) fn span(topic: &str, method: &str) -> Span {
    tracing::debug_span!(
        "dispatch",
        otel.kind = "server",
        otel.name = %format_args!("{topic}.{method}"),
        otel.status_code = Empty,
        rpc.system = "oslo.messaging",
        rpc.service = topic,
        rpc.method = method,
        messaging.destination.name = topic,
        error.type = Empty,
    )
}

/// Says in a handler's span how it failed: by which class of failure, or by a panic.
pub(crate) fn record(span: &Span, route: &Route, answer: &Result<Result<Payload, HandlerError>, Box<dyn Any + Send>>) {
    let class = match answer {
        Ok(Err(HandlerError::Refused(failure))) => &*failure.class,
        Ok(Err(HandlerError::Failure(failure))) if !route.expects(&failure.class) => &*failure.class,
        // Part of what the method may say: its caller may see an error in it, the server does not.
        Ok(Err(HandlerError::Failure(failure) | HandlerError::Expected(failure))) => {
            span.record("error.type", &*shown(&failure.class));
            return;
        }
        Err(_) => "panic",
        Ok(_) => return,
    };
    span.record("error.type", &*shown(class));
    span.record("otel.status_code", "ERROR");
}

/// Counts a running handler for as long as it lives, also when it is dropped.
pub(crate) struct InFlight<'a>(&'a Gauge);

impl<'a> InFlight<'a> {
    pub(crate) fn enter(gauge: &'a Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// A name that came from a peer, for logs.
pub(crate) use oxlo_transport::text::name as shown;
