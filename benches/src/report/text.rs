//! The report as text.

use std::fmt::Write as _;

use super::{Report, Row, Sample, Table};
use crate::goals::Verdict;

pub(super) fn render(report: &Report, verdicts: &[Verdict]) -> String {
    let mut out = format!(
        "{} rounds of {} s, interleaved, on {} processors, RabbitMQ with {} schedulers. Medians; in the columns of shares, oxlo's by the peer's: the median of the rounds' ratios.\n\
         p50, p99 in ms; cpu: microseconds of processor time for each call; memory: peak in MiB.\n",
        report.rounds, report.seconds, report.processors, report.schedulers
    );
    for table in &report.tables {
        let _ = writeln!(out, "\n{} ({})", table.title, table.name);
        let _ = writeln!(
            out,
            "  {:<16} {:>8} {:>7} {:>8} {:>8} | {:>8} {:>8} {:>8} {:>7} {:>8} {:>7} | {:>7} {:>7} {:>7}",
            "", "", "oxlo", "", "", "cpu", "cpu", "both", "oxlo", "cpu", "oxlo", "mem", "mem", "mem"
        );
        let _ = writeln!(
            out,
            "  {:<16} {:>8} {:>7} {:>8} {:>8} | {:>8} {:>8} {:>8} {:>7} {:>8} {:>7} | {:>7} {:>7} {:>7}",
            "peer",
            "per s",
            "is",
            "p50",
            "p99",
            "client",
            "server",
            "ends",
            "takes",
            "broker",
            "takes",
            "client",
            "server",
            "broker"
        );
        for row in &table.rows {
            let _ = writeln!(out, "{}", line(table, row));
        }
    }
    if !verdicts.is_empty() {
        let _ = writeln!(out, "\ngoals");
        for verdict in verdicts {
            let _ = writeln!(out, "  {verdict}");
        }
    }
    out
}

fn line(table: &Table, row: &Row) -> String {
    let ratios = table.ratios(row);
    let share = |ratio: Option<f64>| ratio.map_or_else(String::new, |ratio| format!("{ratio:.2} x"));
    let memory = |mib: Option<f64>| mib.map_or_else(String::new, |mib| format!("{mib:.1}"));
    format!(
        "  {:<16} {:>8.0} {:>7} {:>8.3} {:>8.3} | {:>8.1} {:>8.1} {:>8.1} {:>7} {:>8.1} {:>7} | {:>7.1} {:>7} {:>7}",
        row.peer,
        row.median(|sample| sample.rate),
        share(ratios.as_ref().map(|ratios| ratios.rate)),
        row.median(|sample| sample.p50) / 1e3,
        row.median(|sample| sample.p99) / 1e3,
        row.median(|sample| sample.client_cpu),
        row.median(|sample| sample.server_cpu),
        row.median(Sample::own_cpu),
        share(ratios.as_ref().map(|ratios| ratios.own_cpu)),
        row.median(|sample| sample.broker_cpu),
        share(ratios.as_ref().and_then(|ratios| ratios.broker_cpu)),
        row.client_memory,
        memory(row.server_memory),
        memory(row.broker_memory),
    )
}
