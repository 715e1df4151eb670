//! Series with a growing load, and whether the cost stays flat.

use serde::Serialize;

use crate::{
    brokers::Place,
    process::Program::{self, Rust},
    report::Sample,
};

/// The length of the text in a call, in series where it is fixed.
const TEXT: usize = 270;

/// The allowed growth of the cost of a call.
pub(crate) const TOLERANCE: f64 = 1.2;

/// Below this size, the cost of a body cannot be distinguished from the cost of a call.
const BYTES_COUNT_FROM: usize = 10_000;

/// The quantity that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Axis {
    InFlight,
    Topics,
    Servers,
    Bytes,
}

/// The configuration of one point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) tasks: usize,
    pub(crate) topics: usize,
    pub(crate) servers: usize,
    pub(crate) text: usize,
    /// The factor for the length of a turn, so that each task makes several calls.
    pub(crate) longer: f64,
}

/// A series over one driver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Series {
    pub(crate) axis: Axis,
    pub(crate) at: Place,
    /// The peer for both ends; with `memory://` in one process.
    pub(crate) program: Program,
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    points: &'static [usize],
    quick: &'static [usize],
}

const fn series(axis: Axis, at: Place, name: &'static str, title: &'static str) -> Series {
    let (points, quick): (&[usize], &[usize]) = match axis {
        Axis::InFlight => (&[1, 10, 100, 1_000, 10_000], &[1, 100]),
        Axis::Topics => (&[1, 10, 100, 1_000], &[1, 10]),
        Axis::Servers => (&[1, 2, 4, 8], &[1, 2]),
        Axis::Bytes => (&[100, 1_000, 10_000, 100_000, 1 << 20], &[100, 10_000, 100_000]),
    };
    let program = if matches!(at, Place::Nowhere) { Rust("memory") } else { Rust("oxlo") };
    Series { axis, at, program, name, title, points, quick }
}

/// The same series with hand-written lapin, to separate the broker's share from oxlo's.
const fn beside(axis: Axis, name: &'static str, title: &'static str) -> Series {
    Series { program: Rust("lapin-confirmed"), ..series(axis, Place::RabbitMq, name, title) }
}

pub(crate) const SERIES: &[Series] = &[
    series(Axis::InFlight, Place::Nowhere, "memory-in-flight", "memory://: calls in flight"),
    series(Axis::Topics, Place::Nowhere, "memory-topics", "memory://: topics served by one process"),
    series(Axis::Servers, Place::Nowhere, "memory-servers", "memory://: servers on a topic"),
    series(Axis::Bytes, Place::Nowhere, "memory-bytes", "memory://: bytes of the body each way"),
    series(Axis::InFlight, Place::RabbitMq, "rabbit-in-flight", "rabbit://: calls in flight"),
    series(Axis::Topics, Place::RabbitMq, "rabbit-topics", "rabbit://: topics served by one process"),
    series(Axis::Servers, Place::RabbitMq, "rabbit-servers", "rabbit://: servers on a topic, a process each"),
    beside(Axis::InFlight, "lapin-in-flight", "lapin-confirmed: calls in flight"),
    beside(Axis::Servers, "lapin-servers", "lapin-confirmed: servers on a topic, a process each"),
    series(Axis::Bytes, Place::RabbitMq, "rabbit-bytes", "rabbit://: bytes of the body each way"),
];

impl Series {
    pub(crate) fn points(&self, quick: bool) -> &'static [usize] {
        if quick { self.quick } else { self.points }
    }

    pub(crate) fn setting(&self, x: usize) -> Setting {
        let usual = Setting { tasks: 64, topics: 1, servers: 1, text: TEXT, longer: 1.0 };
        match self.axis {
            Axis::InFlight => Setting { tasks: x, longer: (x as f64 / 2_000.0).max(1.0), ..usual },
            Axis::Topics => Setting { topics: x, ..usual },
            Axis::Servers => Setting { servers: x, ..usual },
            // Few calls in flight, so that the measurement is not limited by memory.
            Axis::Bytes => Setting { tasks: 8, text: x, ..usual },
        }
    }
}

/// The measurements at one point of a series, as medians.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Point {
    pub(crate) x: usize,
    pub(crate) rate: f64,
    /// Microseconds of processor time per call.
    pub(crate) client_cpu: f64,
    pub(crate) server_cpu: f64,
    pub(crate) broker_cpu: f64,
    /// Milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Memory of client and servers, in MiB.
    pub(crate) peak_memory: f64,
    /// Nanoseconds of processor time per byte beyond the smallest body; only if bytes grow.
    pub(crate) per_byte: Option<f64>,
}

impl Point {
    /// Microseconds of processor time of both ends per call.
    pub(crate) fn own_cpu(&self) -> f64 {
        self.client_cpu + self.server_cpu
    }

    pub(crate) fn of(x: usize, samples: &[Sample], peak_memory: f64) -> Self {
        let median = |of: fn(&Sample) -> f64| crate::report::median(samples.iter().map(of).collect());
        Self {
            x,
            rate: median(|sample| sample.rate),
            client_cpu: median(|sample| sample.client_cpu),
            server_cpu: median(|sample| sample.server_cpu),
            broker_cpu: median(|sample| sample.broker_cpu),
            p50: median(|sample| sample.p50) / 1e3,
            p99: median(|sample| sample.p99) / 1e3,
            peak_memory,
            per_byte: None,
        }
    }
}

/// A measured series.
#[derive(Debug, Serialize)]
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) axis: Axis,
    pub(crate) points: Vec<Point>,
    /// The highest ratio of a cost to the lowest cost at a smaller load.
    pub(crate) growth: f64,
    /// The highest ratio of an earlier cost to the lowest: the part that more calls share.
    pub(crate) fall: f64,
    pub(crate) flat: bool,
}

impl Curve {
    pub(crate) fn of(series: &Series, mut points: Vec<Point>) -> Self {
        if series.axis == Axis::Bytes
            && let Some(least) = points.first().cloned()
        {
            for point in points.iter_mut().filter(|point| point.x >= BYTES_COUNT_FROM) {
                point.per_byte = Some((point.own_cpu() - least.own_cpu()) * 1e3 / (point.x - least.x) as f64);
            }
        }
        let costs: Vec<f64> = points
            .iter()
            .filter_map(|point| if series.axis == Axis::Bytes { point.per_byte } else { Some(point.own_cpu()) })
            .collect();
        let growth = growth(costs.iter().copied());
        let fall = self::growth(costs.iter().rev().copied());
        let Series { name, title, axis, .. } = *series;
        Self { name, title, axis, points, growth, fall, flat: growth <= TOLERANCE }
    }
}

/// The highest ratio of a cost to the lowest one before it; at least 1.
fn growth(costs: impl Iterator<Item = f64>) -> f64 {
    let mut least = f64::INFINITY;
    costs.fold(1.0, |growth: f64, cost| {
        least = least.min(cost);
        growth.max(cost / least)
    })
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;

    fn curve(axis: Axis, costs: &[(usize, f64)]) -> Curve {
        let series = SERIES.iter().find(|series| series.axis == axis).expect("every axis has a series");
        let points = costs.iter().map(|&(x, cost)| {
            let sample = Sample { rate: 1.0, p50: 1.0, p99: 1.0, client_cpu: cost, server_cpu: 0.0, broker_cpu: 0.0 };
            Point::of(x, &[sample], 1.0)
        });
        Curve::of(series, points.collect())
    }

    #[test]
    fn what_gets_cheaper_is_flat() {
        let curve = curve(Axis::InFlight, &[(1, 100.0), (10, 50.0), (100, 40.0), (1000, 47.0)]);
        assert!(curve.flat && curve.growth < 1.2 && curve.fall > 2.0, "{curve:?}");
    }

    #[test]
    fn what_grows_anywhere_is_not() {
        let curve = curve(Axis::Topics, &[(1, 100.0), (10, 50.0), (100, 61.0)]);
        assert!(!curve.flat, "{curve:?}");
        assert!((curve.growth - 1.22).abs() < 1e-9);
    }

    #[test]
    fn bytes_are_counted_beyond_what_a_call_costs() {
        let flat = [(100, 50.0), (1_000, 52.0), (10_100, 60.0), (100_100, 150.0), (1_000_100, 1_050.0)];
        let flat = curve(Axis::Bytes, &flat);
        assert!(flat.flat && flat.points[2].per_byte == Some(1.0), "{flat:?}");
        let grown = curve(Axis::Bytes, &[(100, 50.0), (10_100, 60.0), (100_100, 200.0)]);
        assert!(!grown.flat, "{grown:?}");
    }
}
