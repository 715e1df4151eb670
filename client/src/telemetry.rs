//! Spans and metrics of calls and casts.

#[cfg(feature = "oslo-metrics")]
use std::borrow::Cow;
use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, RwLock},
};

use foldhash::HashMap;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use oxlo_transport::{Settings, Target};
use tokio::time::Instant;
use tracing::{
    Span,
    field::{self, Empty},
};

#[cfg(feature = "oslo-metrics")]
use crate::oslo_metrics::{ReportedCall, method_exception};
use crate::{contract::MethodError, error::CallError, request_info::CallKind};

/// Pairs of topic and method with labels of their own, in the whole process. Without a limit, names that the program does
/// not choose itself, as in a proxy, would grow a metrics store without bound.
const MAX_LABELLED: usize = 1024;

/// Label of topic and method beyond the limit.
const OTHER: &str = "(other)";

/// Topic and method.
type Pair = (Box<str>, Box<str>);

static LABELLED: LazyLock<Mutex<HashSet<Pair>>> = LazyLock::new(Mutex::default);

/// Metric handles of a client and the clients prepared from it. Each is looked up once, when its method is first called.
#[derive(Default)]
pub(crate) struct Telemetry {
    calls: Methods,
    casts: Methods,
}

#[derive(Default)]
struct Methods {
    /// By topic.
    labelled: RwLock<HashMap<Box<str>, ByMethod>>,
    other: OnceLock<Arc<MethodMetrics>>,
}

type ByMethod = HashMap<Box<str>, Arc<MethodMetrics>>;

struct MethodMetrics {
    names: &'static Names,
    topic: Arc<str>,
    method: Arc<str>,
    succeeded: Counter,
    in_flight: Gauge,
    duration: Histogram,
}

/// Metric names of calls or casts.
struct Names {
    total: &'static str,
    duration: &'static str,
    in_flight: &'static str,
    success: &'static str,
}

const CALLS: Names = Names {
    total: "oxlo_client_calls_total",
    duration: "oxlo_client_call_duration_seconds",
    in_flight: "oxlo_client_calls_in_flight",
    success: "result",
};

const CASTS: Names = Names {
    total: "oxlo_client_casts_total",
    duration: "oxlo_client_cast_duration_seconds",
    in_flight: "oxlo_client_casts_in_flight",
    success: "sent",
};

impl Names {
    fn of(kind: CallKind) -> &'static Self {
        match kind {
            CallKind::Call => &CALLS,
            CallKind::Cast => &CASTS,
        }
    }
}

impl Telemetry {
    /// Starts the measurement of a request. Only the method and the target are recorded.
    pub(crate) fn begin(&self, kind: CallKind, target: &Target, method: &str, settings: &Settings) -> CallRecord {
        let methods = match kind {
            CallKind::Call => &self.calls,
            CallKind::Cast => &self.casts,
        };
        let metrics = methods.of(kind, target.topic.as_deref().unwrap_or_default(), method);
        metrics.in_flight.increment(1.0);
        #[cfg(feature = "oslo-metrics")]
        let reported = settings
            .oslo_metrics
            .as_ref()
            .map(|it| ReportedCall::begin(it, kind, target, &metrics.topic, &metrics.method));
        #[cfg(not(feature = "oslo-metrics"))]
        let _ = settings;
        CallRecord {
            metrics,
            span: span(kind, target, method),
            begun: Instant::now(),
            ended: false,
            #[cfg(feature = "oslo-metrics")]
            reported,
        }
    }
}

impl Methods {
    fn of(&self, kind: CallKind, topic: &str, method: &str) -> Arc<MethodMetrics> {
        let known = self.labelled.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(metrics) = known.get(topic).and_then(|methods| methods.get(method)) {
            return metrics.clone();
        }
        drop(known);
        if !may_be_labelled(topic, method) {
            return self.other.get_or_init(|| Arc::new(MethodMetrics::new(kind, OTHER, OTHER))).clone();
        }
        let mut known = self.labelled.write().unwrap_or_else(PoisonError::into_inner);
        let methods = known.entry(topic.into()).or_default();
        methods.entry(method.into()).or_insert_with(|| Arc::new(MethodMetrics::new(kind, topic, method))).clone()
    }
}

/// Whether a pair of topic and method has labels of its own, or there is room for it.
fn may_be_labelled(topic: &str, method: &str) -> bool {
    let mut named = LABELLED.lock().unwrap_or_else(PoisonError::into_inner);
    let pair = (topic.into(), method.into());
    if named.len() >= MAX_LABELLED {
        return named.contains(&pair);
    }
    named.insert(pair);
    true
}

impl MethodMetrics {
    fn new(kind: CallKind, topic: &str, method: &str) -> Self {
        let names = Names::of(kind);
        Self {
            names,
            succeeded: counted(names, topic, method, names.success),
            in_flight: gauge!(names.in_flight, "topic" => topic.to_owned()),
            duration: histogram!(names.duration, "topic" => topic.to_owned(), "method" => method.to_owned()),
            topic: topic.into(),
            method: method.into(),
        }
    }
}

fn counted(names: &Names, topic: &str, method: &str, outcome: &'static str) -> Counter {
    counter!(names.total, "topic" => topic.to_owned(), "method" => method.to_owned(), "outcome" => outcome)
}

/// The name and the attributes follow OpenTelemetry's conventions for RPC. Arguments and results are not recorded.
fn span(kind: CallKind, target: &Target, method: &str) -> Span {
    let topic = target.topic.as_deref();
    tracing::debug_span!(
        "rpc",
        otel.name = topic.map(|topic| field::display(Name { topic, method })),
        otel.kind = "client",
        otel.status_code = Empty,
        rpc.system = "oslo.messaging",
        rpc.service = topic,
        rpc.method = method,
        messaging.destination.name = topic,
        oxlo.kind = kind.as_str(),
        error.type = Empty,
    )
}

/// The name of a span, formatted only if a subscriber reads it.
struct Name<'a> {
    topic: &'a str,
    method: &'a str,
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.topic, self.method)
    }
}

/// The measurement of one call or cast. Dropping it before `finish` records that the caller stopped waiting.
pub(crate) struct CallRecord {
    metrics: Arc<MethodMetrics>,
    span: Span,
    begun: Instant,
    ended: bool,
    #[cfg(feature = "oslo-metrics")]
    reported: Option<ReportedCall>,
}

impl CallRecord {
    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Records the outcome. Only the first one counts.
    pub(crate) fn finish(&mut self, result: &impl Outcome) {
        let error = result.error_type();
        if let Some(error) = error {
            self.span.record("error.type", error);
            self.span.record("otel.status_code", "ERROR");
        }
        #[cfg(feature = "oslo-metrics")]
        self.report(result.exception().as_deref());
        self.count(error);
    }

    #[cfg(feature = "oslo-metrics")]
    fn report(&self, exception: Option<&str>) {
        if let (false, Some(reported)) = (self.ended, &self.reported) {
            reported.end(exception, self.begun.elapsed());
        }
    }

    fn count(&mut self, error: Option<&'static str>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let MethodMetrics { names, topic, method, succeeded, in_flight, duration } = &*self.metrics;
        in_flight.decrement(1.0);
        duration.record(self.begun.elapsed());
        match error {
            None => succeeded.increment(1),
            Some(error) => counted(names, topic, method, error).increment(1),
        }
    }
}

impl Drop for CallRecord {
    fn drop(&mut self) {
        if !self.ended {
            self.span.record("error.type", "dropped");
            #[cfg(feature = "oslo-metrics")]
            self.report(Some("CancelledError"));
        }
        self.count(Some("dropped"));
    }
}

/// How a request ended, for labels.
pub(crate) trait Outcome {
    /// `None` on success.
    fn error_type(&self) -> Option<&'static str>;

    /// The class of the exception that a Python client would see; `None` on success.
    #[cfg(feature = "oslo-metrics")]
    fn exception(&self) -> Option<Cow<'_, str>>;
}

impl<T> Outcome for Result<T, CallError> {
    fn error_type(&self) -> Option<&'static str> {
        self.as_ref().err().map(CallError::label)
    }

    #[cfg(feature = "oslo-metrics")]
    fn exception(&self) -> Option<Cow<'_, str>> {
        self.as_ref().err().map(|error| error.oslo_exception().1)
    }
}

impl<T, E> Outcome for Result<T, MethodError<E>> {
    fn error_type(&self) -> Option<&'static str> {
        match self {
            Ok(_) => None,
            Err(MethodError::Call(error)) => Some(error.label()),
            Err(MethodError::Failed(_)) => Some("remote"),
        }
    }

    #[cfg(feature = "oslo-metrics")]
    fn exception(&self) -> Option<Cow<'_, str>> {
        self.as_ref().err().map(method_exception)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unbounded_number_of_names_shares_one_label() {
        let telemetry = Telemetry::default();
        let (target, settings) = (Target::topic("proxied"), Settings::default());
        for number in 0..2 * MAX_LABELLED {
            telemetry.begin(CallKind::Call, &target, &format!("m{number}"), &settings);
        }
        let first = telemetry.begin(CallKind::Call, &target, "m0", &settings);
        let last = telemetry.begin(CallKind::Call, &target, &format!("m{}", 2 * MAX_LABELLED - 1), &settings);
        assert_eq!((&*first.metrics.topic, &*first.metrics.method), ("proxied", "m0"));
        assert_eq!((&*last.metrics.topic, &*last.metrics.method), (OTHER, OTHER));
        let known: usize = telemetry.calls.labelled.read().map_or(0, |known| known.values().map(HashMap::len).sum());
        assert!(known <= MAX_LABELLED, "{known}");
        let elsewhere = Telemetry::default();
        let cast = |method| elsewhere.begin(CallKind::Cast, &target, method, &settings);
        assert_eq!(&*cast("m0").metrics.method, "m0", "the limit is per process");
        assert_eq!(&*cast("new").metrics.method, OTHER);
    }
}
