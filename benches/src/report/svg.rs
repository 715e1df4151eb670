//! The report as a chart: one bar per peer in each scenario.

use std::fmt::Write as _;

use super::{Report, Sample};

const WIDTH: f64 = 980.0;
const LABELS: f64 = 140.0;
const BARS: f64 = 400.0;
const LINE: f64 = 22.0;

pub(super) fn draw(report: &Report) -> String {
    let mut body = String::new();
    let mut y = 30.0;
    for table in &report.tables {
        let _ = writeln!(
            body,
            r#"<text x="10" y="{y}" class="title">{}: per second; processor time of both ends and of the broker for each; peak memory of both ends</text>"#,
            table.title
        );
        y += 10.0;
        let most = table.rows.iter().map(|row| row.median(|sample| sample.rate)).fold(f64::MIN_POSITIVE, f64::max);
        for row in &table.rows {
            let rate = row.median(|sample| sample.rate);
            let class = if row.peer.starts_with("oxlo") { "own" } else { "peer" };
            let length = BARS * rate / most;
            let _ = writeln!(
                body,
                r#"<text x="{}" y="{}" class="label">{}</text><rect x="{LABELS}" y="{y}" width="{length:.1}" height="{}" class="{class}"/>"#,
                LABELS - 8.0,
                y + 15.0,
                row.peer,
                LINE - 4.0
            );
            let _ = writeln!(
                body,
                r#"<text x="{:.1}" y="{}">{rate:.0}/s, p50 {:.2} ms, p99 {:.2} ms, cpu {:.0} µs, broker {:.0} µs, peak {:.0} MiB</text>"#,
                LABELS + length + 6.0,
                y + 15.0,
                row.median(|sample| sample.p50) / 1e3,
                row.median(|sample| sample.p99) / 1e3,
                row.median(Sample::own_cpu),
                row.median(|sample| sample.broker_cpu),
                row.client_memory + row.server_memory.unwrap_or(0.0)
            );
            y += LINE;
        }
        y += 34.0;
    }
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}">
<style>text {{ font: 12px sans-serif; fill: #222 }} .title {{ font-weight: bold }} .label {{ text-anchor: end }} .own {{ fill: #b7410e }} .peer {{ fill: #9aa5b1 }}</style>
<rect width="100%" height="100%" fill="#fff"/>
{body}</svg>
"##
    )
}
