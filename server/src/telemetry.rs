//! Metrics, whose handles are looked up once, and spans.

use std::{any::Any, sync::Arc, time::Duration};

use foldhash::HashMap;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
#[cfg(feature = "oslo-metrics")]
use oxlo_transport::oslo_metrics::{Labels, OsloMetrics};
use oxlo_transport::{Settings, Target, text::name as shown};
use tracing::{Span, field::Empty};

use crate::{
    outcome::Outcome,
    result::{HandlerError, HandlerResult},
    routes::{Route, RouteTable},
};

/// The label of methods that no endpoint has, so that callers cannot create label values.
const UNKNOWN: &str = "(unknown)";

pub(crate) struct Telemetry {
    known: HashMap<usize, MethodMetrics>,
    unknown: MethodMetrics,
    pub(crate) in_flight: Gauge,
    pub(crate) expired: Counter,
    pub(crate) replies_lost: Counter,
}

pub(crate) struct MethodMetrics {
    outcomes: [Counter; Outcome::ALL.len()],
    duration: Histogram,
    #[cfg(feature = "oslo-metrics")]
    oslo: Option<(OsloMetrics, Arc<Labels>)>,
}

impl Telemetry {
    pub(crate) fn new(target: &Target, topic: &Arc<str>, routes: &RouteTable, settings: &Settings) -> Self {
        let known = Self::known(topic, routes);
        #[cfg(feature = "oslo-metrics")]
        let known = match &settings.oslo_metrics {
            Some(metrics) => with_oslo_metrics(metrics, target, routes, known),
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

    fn known(topic: &str, routes: &RouteTable) -> HashMap<usize, MethodMetrics> {
        routes.iter().map(|route| (route.id, MethodMetrics::new(topic, &route.name))).collect()
    }

    /// The metrics of a route, or those of all unknown methods together.
    pub(crate) fn of(&self, route: Option<usize>) -> &MethodMetrics {
        route.and_then(|id| self.known.get(&id)).unwrap_or(&self.unknown)
    }
}

/// Adds oslo.metrics to the metrics of known methods; it has none of unknown ones, as in oslo.
#[cfg(feature = "oslo-metrics")]
fn with_oslo_metrics(
    metrics: &OsloMetrics,
    target: &Target,
    routes: &RouteTable,
    mut known: HashMap<usize, MethodMetrics>,
) -> HashMap<usize, MethodMetrics> {
    for (namespace, version, route) in routes.places() {
        if let Some(method) = known.get_mut(&route.id) {
            let labels = Labels::server(target, namespace.cloned(), version.to_string().into(), route.name.clone());
            method.oslo = Some((metrics.clone(), Arc::new(labels)));
        }
    }
    known
}

impl MethodMetrics {
    fn new(topic: &str, method: &str) -> Self {
        Self {
            outcomes: Outcome::ALL.map(|outcome| {
                counter!(
                    "oxlo_server_requests_total",
                    "topic" => topic.to_owned(), "method" => method.to_owned(), "outcome" => outcome.label()
                )
            }),
            duration: histogram!(
                "oxlo_server_request_duration_seconds",
                "topic" => topic.to_owned(), "method" => method.to_owned()
            ),
            #[cfg(feature = "oslo-metrics")]
            oslo: None,
        }
    }

    /// Counts a request whose method starts.
    pub(crate) fn begins(&self) {
        #[cfg(feature = "oslo-metrics")]
        if let Some((metrics, labels)) = &self.oslo {
            metrics.began(labels);
        }
    }

    /// Counts a request that ended, with the class of its failure if it failed.
    pub(crate) fn ended(&self, outcome: Outcome, took: Duration, class: Option<&str>) {
        self.outcomes[outcome as usize].increment(1);
        #[cfg(feature = "oslo-metrics")]
        if let Some((metrics, labels)) = &self.oslo {
            match (outcome, class) {
                (_, Some(class)) => metrics.failed(labels, class),
                (Outcome::Result | Outcome::Ignore, None) => metrics.ended(labels, took),
                // The request did not end at this server.
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

/// The span of a handler, with OpenTelemetry's names for RPC. It holds no arguments and no results.
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

/// Records in a handler's span how the handler failed: the class of the failure, or a panic.
pub(crate) fn record(span: &Span, route: &Route, result: &Result<HandlerResult, Box<dyn Any + Send>>) {
    let class = match result {
        Ok(Err(HandlerError::Refused(failure))) => &*failure.class,
        Ok(Err(HandlerError::Failure(failure))) if !route.expects(&failure.class) => &*failure.class,
        // A declared failure: an error for the caller, but not for the server.
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

/// Counts a running handler until it is dropped.
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
