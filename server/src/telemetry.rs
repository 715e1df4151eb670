//! Metrics, with their handles looked up once, and what of a stranger's text may stand in a log.

use std::{collections::HashMap, sync::Arc, time::Duration};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::dispatch::Dispatcher;

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
}

impl Telemetry {
    pub(crate) fn new(topic: &Arc<str>, dispatcher: &Dispatcher) -> Self {
        let topic = || topic.to_string();
        let of = |method: &str| MethodMetrics {
            endings: ["result", "failure", "requeue", "ignore", "abandoned", "expected_failure"].map(|outcome| {
                counter!(
                    "oxlo_server_requests_total",
                    "topic" => topic(), "method" => method.to_owned(), "outcome" => outcome
                )
            }),
            duration: histogram!(
                "oxlo_server_request_duration_seconds",
                "topic" => topic(), "method" => method.to_owned()
            ),
        };
        Self {
            known: dispatcher.routes().map(|route| (route.id, of(&route.name))).collect(),
            unknown: of(UNKNOWN),
            in_flight: gauge!("oxlo_server_requests_in_flight", "topic" => topic()),
            expired: counter!("oxlo_server_requests_expired_total", "topic" => topic()),
            replies_lost: counter!("oxlo_server_replies_lost_total", "topic" => topic()),
        }
    }

    /// The metrics of a route, or those of all unknown methods together.
    pub(crate) fn of(&self, route: Option<usize>) -> &MethodMetrics {
        route.and_then(|id| self.known.get(&id)).unwrap_or(&self.unknown)
    }
}

impl MethodMetrics {
    pub(crate) fn ended(&self, ending: Ending) {
        self.endings[ending as usize].increment(1);
    }

    pub(crate) fn ran(&self, duration: Duration) {
        self.duration.record(duration);
    }
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

/// The beginning of a text that came from a peer, for logs.
pub(crate) fn shown(text: &str) -> &str {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}
