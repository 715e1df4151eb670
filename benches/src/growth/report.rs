//! The report of a run, as text, JSON or SVG.

use std::{fmt::Write as _, path::Path};

use serde::Serialize;

use super::{
    footprint::Found,
    series::{Axis, Curve, TOLERANCE},
};
use crate::report::publish;

const KIB: f64 = 1024.0;

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) processors: usize,
    /// Version of RabbitMQ.
    pub(crate) schedulers: usize,
    pub(crate) curves: Vec<Curve>,
    pub(crate) held: Vec<Found>,
}

impl Report {
    /// Prints the report and writes the requested files.
    pub(crate) fn write(&self, json: Option<&Path>, svg: Option<&Path>) -> anyhow::Result<()> {
        publish(self, || text(self), || draw(self), json, svg)
    }
}

fn text(report: &Report) -> String {
    let mut out = format!(
        "{} rounds of {} s, interleaved, on {} processors, RabbitMQ with {} schedulers. Medians; cpu: microseconds of processor time for each call; \
         p50, p99 in ms; memory: peak of both ends in MiB.\n\
         flat: nowhere more than {TOLERANCE} x the least that it is for less. Getting cheaper is flat.\n",
        report.rounds, report.seconds, report.processors, report.schedulers
    );
    for curve in &report.curves {
        let verdict = if curve.flat { "flat" } else { "NOT FLAT" };
        let _ = writeln!(out, "\n{} ({})\n  {verdict}: {}", curve.title, curve.name, growth(curve));
        let bytes = if curve.axis == Axis::Bytes { "ns/byte" } else { "" };
        let _ = writeln!(
            out,
            "  {:>8} {:>9} {:>10} {:>10} {:>10} {:>10} {:>9} {:>9} {:>8} {bytes:>8}",
            "", "per s", "both ends", "cpu client", "cpu server", "cpu broker", "p50", "p99", "memory"
        );
        for point in &curve.points {
            let per_byte = point.per_byte.map_or_else(String::new, |cost| format!("{cost:.2}"));
            let _ = writeln!(
                out,
                "  {:>8} {:>9.0} {:>10.1} {:>10.1} {:>10.1} {:>10.1} {:>9.3} {:>9.3} {:>8.1} {per_byte:>8}",
                point.x,
                point.rate,
                point.own_cpu(),
                point.client_cpu,
                point.server_cpu,
                point.broker_cpu,
                point.p50,
                point.p99,
                point.peak_memory
            );
        }
    }
    if !report.held.is_empty() {
        let _ = writeln!(out, "\nheld in memory, KiB (resident, in a process of its own)");
        let _ = writeln!(out, "  {:<46} {:>8} {:>10} {:>10} {:>10}", "", "of", "each", "at most", "process");
        for found in &report.held {
            let limit = found.limit.map_or_else(String::new, |limit| format!("{:.2}", limit / KIB));
            let word = match found.reached() {
                Some(true) => "reached",
                Some(false) => "MISSED",
                None => "",
            };
            let _ = writeln!(
                out,
                "  {:<46} {:>8} {:>10.2} {limit:>10} {:>10.0} {word}",
                found.title,
                found.count,
                found.each / KIB,
                found.process / KIB
            );
        }
    }
    out
}

fn growth(curve: &Curve) -> String {
    let what = if curve.axis == Axis::Bytes { "a byte" } else { "a call" };
    format!("{what} costs at most {:.2} x more for more of it, and up to {:.2} x less", curve.growth, curve.fall)
}

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 36.0;
const COLUMNS: usize = 2;

/// One plot per series: the cost of a call over the growing quantity, on a logarithmic scale; then memory use as bars.
fn draw(report: &Report) -> String {
    let mut body = String::new();
    for (place, curve) in report.curves.iter().enumerate() {
        let (x, y) = ((place % COLUMNS) as f64 * WIDTH, (place / COLUMNS) as f64 * HEIGHT);
        let _ = writeln!(body, r#"<g transform="translate({x} {y})">{}</g>"#, plot(curve));
    }
    let below = report.curves.len().div_ceil(COLUMNS) as f64 * HEIGHT;
    let _ = writeln!(body, r#"<g transform="translate(0 {below})">{}</g>"#, bars(&report.held));
    let height = below + 40.0 + report.held.len() as f64 * 22.0;
    let width = WIDTH * COLUMNS as f64;
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">
<style>text {{ font: 12px sans-serif; fill: #222 }} .title {{ font-weight: bold }} .end {{ text-anchor: end }} .middle {{ text-anchor: middle }}
.axis {{ stroke: #888; fill: none }} .grid {{ stroke: #ddd }} .own {{ stroke: #b7410e; fill: none; stroke-width: 2 }} .dot, .bar {{ fill: #b7410e }}
.broker {{ stroke: #9aa5b1; fill: none; stroke-width: 2 }} .limit {{ stroke: #222; stroke-dasharray: 3 3 }}</style>
<rect width="100%" height="100%" fill="#fff"/>
{body}</svg>
"##
    )
}

fn plot(curve: &Curve) -> String {
    let per_byte = curve.axis == Axis::Bytes;
    let shown: Vec<(f64, f64, f64)> = curve
        .points
        .iter()
        .filter_map(|point| {
            let x = point.x as f64;
            if per_byte { Some((x, point.per_byte?, 0.0)) } else { Some((x, point.own_cpu(), point.broker_cpu)) }
        })
        .collect();
    let most = shown.iter().map(|(_, own, broker)| own.max(*broker)).fold(f64::MIN_POSITIVE, f64::max) * 1.1;
    let (first, last) = (shown.first().map_or(1.0, |point| point.0), shown.last().map_or(1.0, |point| point.0));
    let span = (last / first).ln().max(f64::MIN_POSITIVE);
    let across = |x: f64| LEFT + (x / first).ln() / span * (WIDTH - LEFT - RIGHT);
    let up = |cost: f64| HEIGHT - BOTTOM - cost / most * (HEIGHT - TOP - BOTTOM);
    let unit = if per_byte { "ns per byte" } else { "µs per call" };
    let word = if curve.flat { "flat" } else { "NOT FLAT" };
    let mut out = format!(
        r#"<text x="10" y="18" class="title">{}</text><text x="10" y="34">{unit}, both ends: {word}; {}</text>"#,
        curve.title,
        growth(curve)
    );
    for share in [0.0, 0.5, 1.0] {
        let cost = most * share;
        let _ = write!(
            out,
            r#"<line x1="{LEFT}" x2="{}" y1="{1:.1}" y2="{1:.1}" class="grid"/><text x="{2}" y="{3:.1}" class="end">{cost:.1}</text>"#,
            WIDTH - RIGHT,
            up(cost),
            LEFT - 6.0,
            up(cost) + 4.0
        );
    }
    let line = |of: fn(&(f64, f64, f64)) -> f64| {
        shown.iter().map(|point| format!("{:.1},{:.1}", across(point.0), up(of(point)))).collect::<Vec<_>>().join(" ")
    };
    if shown.iter().any(|point| point.2 > 0.0) {
        let _ = write!(out, r#"<polyline points="{}" class="broker"/>"#, line(|point| point.2));
    }
    let _ = write!(out, r#"<polyline points="{}" class="own"/>"#, line(|point| point.1));
    for (x, own, _) in &shown {
        let _ = write!(
            out,
            r#"<circle cx="{0:.1}" cy="{1:.1}" r="3" class="dot"/><text x="{0:.1}" y="{2}" class="middle">{x}</text>"#,
            across(*x),
            up(*own),
            HEIGHT - BOTTOM + 18.0
        );
    }
    out
}

fn bars(held: &[Found]) -> String {
    const LABELS: f64 = 330.0;
    const BARS: f64 = 420.0;
    if held.is_empty() {
        return String::new();
    }
    let mut out = r#"<text x="10" y="18" class="title">memory per object, relative to the goal</text>"#.to_owned();
    for (place, found) in held.iter().enumerate() {
        let y = 28.0 + place as f64 * 22.0;
        // Without a limit, only the figure is shown.
        let length = found.limit.map_or(0.0, |limit| (found.each / limit).clamp(0.0, 1.5) / 1.5 * BARS);
        let _ = write!(
            out,
            r#"<text x="{}" y="{}" class="end">{}</text><rect x="{LABELS}" y="{y}" width="{length:.1}" height="18" class="bar"/><text x="{:.1}" y="{}">{:.2} KiB</text>"#,
            LABELS - 8.0,
            y + 14.0,
            found.title,
            LABELS + length + 6.0,
            y + 14.0,
            found.each / KIB
        );
    }
    let wanted = LABELS + BARS / 1.5;
    let bottom = 28.0 + held.len() as f64 * 22.0;
    let _ = write!(out, r#"<line x1="{wanted}" x2="{wanted}" y1="24" y2="{bottom}" class="limit"/>"#);
    out
}
