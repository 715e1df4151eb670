//! What was measured, and its three forms: text, JSON, SVG.

mod svg;
mod text;

use std::path::Path;

use serde::Serialize;

use crate::goals::Verdict;

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) processors: usize,
    pub(crate) tables: Vec<Table>,
}

/// A scenario; the first row is oxlo.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) rows: Vec<Row>,
}

/// A peer.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) peer: &'static str,
    /// MiB, the most of the whole run.
    pub(crate) client_memory: f64,
    pub(crate) server_memory: Option<f64>,
    pub(crate) samples: Vec<Sample>,
}

/// A peer's turn in one round.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    /// Calls or casts a second.
    pub(crate) rate: f64,
    /// Microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Microseconds of processor time for each call.
    pub(crate) client_cpu: f64,
    pub(crate) server_cpu: f64,
    pub(crate) broker_cpu: f64,
}

impl Sample {
    /// What both ends use for one call, without the broker.
    pub(crate) fn own_cpu(&self) -> f64 {
        self.client_cpu + self.server_cpu
    }
}

impl Row {
    pub(crate) fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(of).collect())
    }

    /// The median of this row's ratios to `other`, round by round, so that what slows a whole round cancels out.
    pub(crate) fn ratio(&self, other: &Self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().zip(&other.samples).map(|(own, other)| of(own) / of(other)).collect())
    }
}

impl Table {
    pub(crate) fn row(&self, peer: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.peer == peer)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.get(values.len().saturating_sub(1) / 2), values.get(values.len() / 2)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => f64::NAN,
    }
}

/// Prints the report, and writes the files that were asked for.
pub(crate) fn write(
    report: &Report,
    verdicts: &[Verdict],
    json: Option<&Path>,
    svg: Option<&Path>,
) -> anyhow::Result<()> {
    if let Some(path) = svg {
        std::fs::write(path, svg::draw(report))?;
    }
    let whole = serde_json::json!({"report": report, "goals": verdicts});
    match json {
        Some(path) if path == Path::new("-") => println!("{whole:#}"),
        Some(path) => {
            std::fs::write(path, format!("{whole:#}\n"))?;
            print!("{}", text::render(report, verdicts));
        }
        None => print!("{}", text::render(report, verdicts)),
    }
    Ok(())
}
