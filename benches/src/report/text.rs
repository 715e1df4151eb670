//! The report as text.

use std::fmt::Write as _;

use super::{Report, Row, Sample, Table};
use crate::goals::Verdict;

pub(super) fn render(report: &Report, verdicts: &[Verdict]) -> String {
    let mut out = format!(
        "{} rounds of {} s, interleaved, on {} processors. Medians; `oxlo is` is the median of the rounds' ratios.\n\
         p50, p99 in ms; cpu: microseconds of processor time for each call; memory: peak in MiB.\n",
        report.rounds, report.seconds, report.processors
    );
    for table in &report.tables {
        let _ = writeln!(out, "\n{} ({})", table.title, table.name);
        let _ = writeln!(
            out,
            "  {:<22} {:>9} {:>8} {:>8} {:>8} {:>10} {:>10} {:>10} {:>9} {:>8} {:>8}",
            "peer",
            "per s",
            "oxlo is",
            "p50",
            "p99",
            "cpu client",
            "cpu server",
            "cpu broker",
            "both ends",
            "mem cl.",
            "mem srv"
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
    let own = table.rows.first();
    let times = own
        .filter(|own| own.peer != row.peer)
        .map_or_else(String::new, |own| format!("{:.2} x", own.ratio(row, |sample| sample.rate)));
    let server_memory = row.server_memory.map_or_else(String::new, |memory| format!("{memory:.1}"));
    format!(
        "  {:<22} {:>9.0} {:>8} {:>8.3} {:>8.3} {:>10.1} {:>10.1} {:>10.1} {:>9.1} {:>8.1} {:>8}",
        row.peer,
        row.median(|sample| sample.rate),
        times,
        row.median(|sample| sample.p50) / 1e3,
        row.median(|sample| sample.p99) / 1e3,
        row.median(|sample| sample.client_cpu),
        row.median(|sample| sample.server_cpu),
        row.median(|sample| sample.broker_cpu),
        row.median(Sample::own_cpu),
        row.client_memory,
        server_memory,
    )
}
