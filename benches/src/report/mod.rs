//! The report of a run, as text, JSON or SVG.

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
    /// Version of RabbitMQ.
    pub(crate) schedulers: usize,
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
    /// Peak of the whole run, in MiB.
    pub(crate) client_memory: f64,
    pub(crate) server_memory: Option<f64>,
    /// Peak during this peer's turns. All peers share the broker, which keeps memory from earlier turns.
    pub(crate) broker_memory: Option<f64>,
    pub(crate) samples: Vec<Sample>,
}

/// The turn of a peer in one round.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    /// Calls or casts per second.
    pub(crate) rate: f64,
    /// Microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Microseconds of processor time per call.
    pub(crate) client_cpu: f64,
    pub(crate) server_cpu: f64,
    pub(crate) broker_cpu: f64,
}

impl Sample {
    /// Processor time of both ends per call, without the broker.
    pub(crate) fn own_cpu(&self) -> f64 {
        self.client_cpu + self.server_cpu
    }
}

impl Row {
    pub(crate) fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(of).collect())
    }

    /// The median of this row's ratios to `other`, round by round, so that anything that slows a whole round cancels out.
    pub(crate) fn ratio(&self, other: &Self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().zip(&other.samples).map(|(own, other)| of(own) / of(other)).collect())
    }
}

/// The ratios of oxlo to a peer: medians of the rounds' ratios.
#[derive(Debug, Serialize)]
struct Ratios {
    rate: f64,
    p50: f64,
    p99: f64,
    /// Processor time of client and server per call.
    own_cpu: f64,
    /// Processor time of the broker per call; `None` without a broker.
    broker_cpu: Option<f64>,
}

impl Table {
    /// `None` for oxlo itself.
    fn ratios(&self, peer: &Row) -> Option<Ratios> {
        let own = self.rows.first().filter(|own| own.peer != peer.peer)?;
        let broker_cpu = own.ratio(peer, |sample| sample.broker_cpu);
        Some(Ratios {
            rate: own.ratio(peer, |sample| sample.rate),
            p50: own.ratio(peer, |sample| sample.p50),
            p99: own.ratio(peer, |sample| sample.p99),
            own_cpu: own.ratio(peer, Sample::own_cpu),
            broker_cpu: broker_cpu.is_finite().then_some(broker_cpu),
        })
    }

    pub(crate) fn row(&self, peer: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.peer == peer)
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.get(values.len().saturating_sub(1) / 2), values.get(values.len() / 2)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => f64::NAN,
    }
}

/// Prints the report and writes the requested files.
pub(crate) fn write(
    report: &Report,
    verdicts: &[Verdict],
    json: Option<&Path>,
    svg: Option<&Path>,
) -> anyhow::Result<()> {
    let ratios: Vec<_> = report
        .tables
        .iter()
        .flat_map(|table| {
            table.rows.iter().filter_map(|row| {
                let ratios = table.ratios(row)?;
                Some(serde_json::json!({"scenario": table.name, "peer": row.peer, "oxlo_is": ratios}))
            })
        })
        .collect();
    let whole = serde_json::json!({"report": report, "ratios": ratios, "goals": verdicts});
    publish(&whole, || text::render(report, verdicts), || svg::draw(report), json, svg)
}

/// Prints the text and writes the requested files. JSON to `-` replaces the text.
pub(crate) fn publish(
    whole: &impl Serialize,
    text: impl FnOnce() -> String,
    drawing: impl FnOnce() -> String,
    json: Option<&Path>,
    svg: Option<&Path>,
) -> anyhow::Result<()> {
    if let Some(path) = svg {
        std::fs::write(path, drawing())?;
    }
    let whole = serde_json::to_string_pretty(whole)? + "\n";
    match json {
        Some(path) if path == Path::new("-") => print!("{whole}"),
        Some(path) => {
            std::fs::write(path, whole)?;
            print!("{}", text());
        }
        None => print!("{}", text()),
    }
    Ok(())
}
