//! The command `growth`: how the cost of a call grows with load, and memory use.

mod footprint;
mod report;
mod series;

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use footprint::{FOOTPRINTS, Found, Held};
pub(crate) use footprint::{Options as FootprintOptions, listener, run as footprint, swallow};
use indicatif::ProgressBar;
use report::Report;
use series::{Curve, Point, SERIES, Series};

use crate::{
    brokers::{BrokerOptions, Brokers, Place},
    pair::{Pair, Plan},
    turns,
    worker::{Order, Spread},
};

/// The name that selects the footprints.
const HELD: &str = "held";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Few points and short turns, to check that everything runs. The figures are meaningless.
    #[arg(long)]
    quick: bool,
    /// The number of turns of each point.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The length of a turn, in seconds.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// The series to run, by name, separated by commas; `held` is memory use. Default: all.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    #[command(flatten)]
    brokers: BrokerOptions,
    /// Write the report as JSON to this file; `-` is standard output, without the text.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw the report as SVG into this file.
    #[arg(long)]
    svg: Option<PathBuf>,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let (rounds, seconds) = if options.quick { (1, 0.2) } else { (options.rounds.max(1), options.seconds) };
    let known: Vec<&str> = SERIES.iter().map(|series| series.name).chain([HELD]).collect();
    if let Some(name) = options.only.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("unknown series `{name}`; known are {}", known.join(", "));
    }
    let wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    let series: Vec<&Series> = SERIES.iter().filter(|series| wanted(series.name)).collect();
    let footprints: &[Held] = if wanted(HELD) { FOOTPRINTS } else { &[] };
    let turns: usize = series.iter().map(|series| series.points(options.quick).len() * (rounds + 1)).sum();
    let progress = turns::progress(turns + footprints.len())?;
    let mut brokers = Brokers::new(options.brokers)?;
    let mut curves = Vec::new();
    for series in series {
        curves.push(measure(series, options.quick, rounds, seconds, &mut brokers, &progress).await?);
    }
    let mut held = Vec::new();
    for footprint in footprints {
        progress.set_message(footprint.title);
        held.push(footprint.measure(options.quick, &mut brokers).await?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    let held = Found::all(held);
    let processors = std::thread::available_parallelism()?.get();
    Report { rounds, seconds, processors, schedulers: brokers.schedulers(), curves, held }
        .write(options.json.as_deref(), options.svg.as_deref())
}

async fn measure(
    series: &Series,
    quick: bool,
    rounds: usize,
    seconds: f64,
    brokers: &mut Brokers,
    progress: &ProgressBar,
) -> anyhow::Result<Curve> {
    let build = std::env::current_exe()?;
    let mut pairs = Vec::new();
    for &x in series.points(quick) {
        progress.set_message(format!("{}: {x} warms up", series.name));
        let setting = series.setting(x);
        let local = series.at == Place::Nowhere;
        let plan = Plan {
            client: series.program,
            server: (!local).then_some(series.program),
            servers: setting.servers,
            build: &build,
            topic: format!("{}-{x}", series.name),
            spread: Spread { topics: setting.topics, servers: if local { setting.servers } else { 1 } },
        };
        let order = Order { seconds: seconds * setting.longer, tasks: setting.tasks, text: setting.text, cast: false };
        pairs.push((x, Pair::start(&plan, brokers.meeting(series.at).await?, order).await?));
        progress.inc(1);
    }
    turns::take(&mut pairs, rounds, series.name, progress).await?;
    let mut points = Vec::new();
    for (x, pair) in &pairs {
        let memory = pair.client_memory()? + pair.server_memory()?.unwrap_or(0.0);
        points.push(Point::of(*x, &pair.samples, memory));
    }
    Ok(Curve::of(series, points))
}
