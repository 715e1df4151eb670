//! What `tracing` and `metrics` are told of each call and cast.

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
use crate::oslo_metrics::{Told, exception, method_exception};
use crate::{contract::MethodError, error::CallError, site::CallKind};

/// How many pairs of topic and method have labels of their own, in the whole process. Names that come from elsewhere
/// than the program's text, as in a proxy, would grow a metrics store without end.
const MOST: usize = 1024;

/// Label of topic and method of all further ones.
const OTHER: &str = "(other)";

/// Topic and method.
type Pair = (Box<str>, Box<str>);

static NAMED: LazyLock<Mutex<HashSet<Pair>>> = LazyLock::new(Mutex::default);

/// The handles of one client and all that were prepared from it, each looked up once, when its method is first called.
#[derive(Default)]
pub(crate) struct Telemetry {
    calls: Methods,
    casts: Methods,
}

#[derive(Default)]
struct Methods {
    /// By topic.
    named: RwLock<HashMap<Box<str>, ByMethod>>,
    others: OnceLock<Arc<MethodMetrics>>,
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

/// What differs between calls and casts.
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
    /// Begins to watch one request; the method's name and where it goes are all that is told of it.
    pub(crate) fn begin(&self, kind: CallKind, target: &Target, method: &str, settings: &Settings) -> Flight {
        let methods = match kind {
            CallKind::Call => &self.calls,
            CallKind::Cast => &self.casts,
        };
        let metrics = methods.of(kind, target.topic.as_deref().unwrap_or_default(), method);
        metrics.in_flight.increment(1.0);
        #[cfg(feature = "oslo-metrics")]
        let told =
            settings.oslo_metrics.as_ref().map(|it| Told::begin(it, kind, target, &metrics.topic, &metrics.method));
        #[cfg(not(feature = "oslo-metrics"))]
        let _ = settings;
        Flight {
            metrics,
            span: span(kind, target, method),
            begun: Instant::now(),
            ended: false,
            #[cfg(feature = "oslo-metrics")]
            told,
        }
    }
}

impl Methods {
    fn of(&self, kind: CallKind, topic: &str, method: &str) -> Arc<MethodMetrics> {
        let known = self.named.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(metrics) = known.get(topic).and_then(|methods| methods.get(method)) {
            return metrics.clone();
        }
        drop(known);
        if !may_be_named(topic, method) {
            return self.others.get_or_init(|| Arc::new(MethodMetrics::new(kind, OTHER, OTHER))).clone();
        }
        let mut known = self.named.write().unwrap_or_else(PoisonError::into_inner);
        let methods = known.entry(topic.into()).or_default();
        methods.entry(method.into()).or_insert_with(|| Arc::new(MethodMetrics::new(kind, topic, method))).clone()
    }
}

/// Whether a topic's method is among those with labels of their own, as long as there is room.
fn may_be_named(topic: &str, method: &str) -> bool {
    let mut named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
    let pair = (topic.into(), method.into());
    if named.len() >= MOST {
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

/// Named and filled as OpenTelemetry's conventions for RPC say; arguments and results stay out.
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

/// The name of a span, not written before somebody reads it.
struct Name<'a> {
    topic: &'a str,
    method: &'a str,
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.topic, self.method)
    }
}

/// One call or cast on its way. Dropping it unended says that nobody waited for its end.
pub(crate) struct Flight {
    metrics: Arc<MethodMetrics>,
    span: Span,
    begun: Instant,
    ended: bool,
    #[cfg(feature = "oslo-metrics")]
    told: Option<Told>,
}

impl Flight {
    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Says how it ended; what is said after that counts no more.
    pub(crate) fn ended(&mut self, result: &impl Outcome) {
        let error = result.error_type();
        if let Some(error) = error {
            self.span.record("error.type", error);
            self.span.record("otel.status_code", "ERROR");
        }
        #[cfg(feature = "oslo-metrics")]
        self.tell(result.exception());
        self.count(error);
    }

    #[cfg(feature = "oslo-metrics")]
    fn tell(&self, exception: Option<&str>) {
        if let (false, Some(told)) = (self.ended, &self.told) {
            told.ended(exception, self.begun.elapsed());
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

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.ended {
            self.span.record("error.type", "dropped");
            #[cfg(feature = "oslo-metrics")]
            self.tell(Some("CancelledError"));
        }
        self.count(Some("dropped"));
    }
}

/// How a request ended, as labels say it.
pub(crate) trait Outcome {
    /// `None` if it went well.
    fn error_type(&self) -> Option<&'static str>;

    /// The class of exception that a caller in Python would see; `None` if it went well.
    #[cfg(feature = "oslo-metrics")]
    fn exception(&self) -> Option<&str>;
}

impl<T> Outcome for Result<T, CallError> {
    fn error_type(&self) -> Option<&'static str> {
        self.as_ref().err().map(CallError::outcome)
    }

    #[cfg(feature = "oslo-metrics")]
    fn exception(&self) -> Option<&str> {
        self.as_ref().err().map(exception)
    }
}

impl<T, E> Outcome for Result<T, MethodError<E>> {
    fn error_type(&self) -> Option<&'static str> {
        match self {
            Ok(_) => None,
            Err(MethodError::Call(error)) => Some(error.outcome()),
            Err(MethodError::Failed(_)) => Some("remote"),
        }
    }

    #[cfg(feature = "oslo-metrics")]
    fn exception(&self) -> Option<&str> {
        self.as_ref().err().map(method_exception)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_end_share_one_label() {
        let telemetry = Telemetry::default();
        let (target, settings) = (Target::topic("proxied"), Settings::default());
        for number in 0..2 * MOST {
            telemetry.begin(CallKind::Call, &target, &format!("m{number}"), &settings);
        }
        let first = telemetry.begin(CallKind::Call, &target, "m0", &settings);
        let last = telemetry.begin(CallKind::Call, &target, &format!("m{}", 2 * MOST - 1), &settings);
        assert_eq!((&*first.metrics.topic, &*first.metrics.method), ("proxied", "m0"));
        assert_eq!((&*last.metrics.topic, &*last.metrics.method), (OTHER, OTHER));
        let known: usize = telemetry.calls.named.read().map_or(0, |known| known.values().map(HashMap::len).sum());
        assert!(known <= MOST, "{known}");
        let elsewhere = Telemetry::default();
        let cast = |method| elsewhere.begin(CallKind::Cast, &target, method, &settings);
        assert_eq!(&*cast("m0").metrics.method, "m0", "the bound is the process's");
        assert_eq!(&*cast("new").metrics.method, OTHER);
    }
}
