//! The goals: ratios to peers within one run.

use std::fmt;

use serde::Serialize;

use crate::report::{Report, Sample};

/// The quantity that a goal compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Measure {
    Rate,
    P50,
    P99,
    /// Processor time of client and server per call.
    Cpu,
}

impl Measure {
    fn of(self, sample: &Sample) -> f64 {
        match self {
            Self::Rate => sample.rate,
            Self::P50 => sample.p50,
            Self::P99 => sample.p99,
            Self::Cpu => sample.own_cpu(),
        }
    }

    fn more_is_better(self) -> bool {
        self == Self::Rate
    }
}

struct Goal {
    scenario: &'static str,
    peer: &'static str,
    measure: Measure,
    limit: f64,
}

const fn goal(scenario: &'static str, peer: &'static str, measure: Measure, limit: f64) -> Goal {
    Goal { scenario, peer, measure, limit }
}

const GOALS: &[Goal] = &[
    goal("calls64", "lapin-tutorial", Measure::Rate, 1.6),
    goal("calls64", "lapin-noack", Measure::Rate, 0.9),
    goal("calls64", "lapin-noack", Measure::Cpu, 1.15),
    goal("calls64", "python", Measure::Rate, 20.0),
    goal("calls1", "lapin-tutorial", Measure::P50, 1.1),
    goal("calls1", "lapin-tutorial", Measure::P99, 1.3),
    goal("casts64", "lapin-confirms", Measure::Rate, 0.95),
    goal("casts64", "python", Measure::Rate, 15.0),
    goal("python-callers", "python", Measure::Rate, 1.2),
    goal("amqp1", "fe2o3-amqp", Measure::Rate, 0.9),
    goal("memory", "channels", Measure::Rate, 0.5),
    goal("memory", "tarpc", Measure::Rate, 1.0),
];

/// The result for a goal.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    scenario: &'static str,
    peer: &'static str,
    measure: Measure,
    limit: f64,
    ratio: f64,
    reached: bool,
}

pub(crate) fn judge(report: &Report) -> Vec<Verdict> {
    let verdict = |goal: &Goal| {
        let table = report.tables.iter().find(|table| table.name == goal.scenario)?;
        let ratio = table.rows.first()?.ratio(table.row(goal.peer)?, |sample| goal.measure.of(sample));
        let reached = if goal.measure.more_is_better() { ratio >= goal.limit } else { ratio <= goal.limit };
        let Goal { scenario, peer, measure, limit } = *goal;
        Some(Verdict { scenario, peer, measure, limit, ratio, reached })
    };
    GOALS.iter().filter_map(verdict).collect()
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, peer, measure, limit, ratio, reached } = self;
        let (word, bound) = (
            if *reached { "reached" } else { "MISSED " },
            if measure.more_is_better() { "at least" } else { "at most" },
        );
        let what = match measure {
            Measure::Rate => "per second",
            Measure::P50 => "p50",
            Measure::P99 => "p99",
            Measure::Cpu => "cpu of both ends",
        };
        write!(f, "{word} {scenario:<15} {what:<17} {ratio:>6.2} x {peer}, wanted {bound} {limit}")
    }
}
