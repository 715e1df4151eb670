//! The command `compare`: every peer of every scenario in turn, round after round.

use std::{path::PathBuf, time::Duration};

use anyhow::bail;
use clap::Args;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    brokers::{Brokers, Meeting},
    goals,
    process::{Worker, cpu_seconds, peak_memory},
    report::{self, Report, Row, Sample, Table},
    scenario::{Entry, SCENARIOS, Scenario},
    worker::{Order, Outcome, Side},
};

/// The text that each call carries both ways: with the JSON around it about 300 bytes in the peers without an envelope.
const TEXT: usize = 270;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// One short round: to see that everything runs. The figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// How many times each peer's turn comes.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long a turn is.
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// The scenarios to run, by name, separated by commas. Default: all.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Leave these peers out, by name, separated by commas.
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
    /// Run oxlo also from this other build of this program, as the peer `before`.
    #[arg(long)]
    before: Option<PathBuf>,
    /// Write the report as JSON to this file; `-` is standard output, without the text.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw the report as SVG into this file.
    #[arg(long)]
    svg: Option<PathBuf>,
}

/// A peer, and the executable that its ends are.
struct Contender {
    name: &'static str,
    entry: &'static Entry,
    build: PathBuf,
}

/// A pair of ends that runs.
struct Pair {
    name: &'static str,
    meeting: Meeting,
    client: Worker,
    server: Option<Worker>,
    samples: Vec<Sample>,
    /// MiB, the most of all turns.
    broker_memory: f64,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let (rounds, seconds) = if options.quick { (1, 0.2) } else { (options.rounds.max(1), options.seconds) };
    let scenarios: Vec<&'static Scenario> = SCENARIOS
        .iter()
        .filter(|scenario| options.only.is_empty() || options.only.iter().any(|name| name == scenario.name))
        .collect();
    for name in &options.only {
        if !SCENARIOS.iter().any(|scenario| scenario.name == name) {
            let known: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            bail!("there is no scenario `{name}`; there are {}", known.join(", "));
        }
    }
    let more = usize::from(options.before.is_some());
    let turns: usize = scenarios.iter().map(|scenario| (scenario.entries.len() + more) * (rounds + 1)).sum();
    let progress = ProgressBar::new(turns as u64)
        .with_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} (about {eta} left)")?);
    progress.enable_steady_tick(Duration::from_millis(250));
    let mut brokers = Brokers::default();
    let mut tables = Vec::new();
    for scenario in scenarios {
        let wanted = |entry: &&Entry| !options.without.iter().any(|name| name == entry.name);
        let own = std::env::current_exe()?;
        let mut entries: Vec<Contender> = scenario
            .entries
            .iter()
            .filter(wanted)
            .map(|entry| Contender { name: entry.name, entry, build: own.clone() })
            .collect();
        if let (Some(before), Some(entry)) = (&options.before, scenario.entries.first()) {
            entries.insert(1.min(entries.len()), Contender { name: "before", entry, build: before.clone() });
        }
        let order = Order { seconds, tasks: scenario.tasks, text: TEXT, cast: scenario.cast };
        tables.push(scenario_table(scenario, &entries, order, rounds, &mut brokers, &progress).await?);
    }
    progress.finish_and_clear();
    let report = Report { rounds, seconds, processors: std::thread::available_parallelism()?.get(), tables };
    report::write(&report, &goals::judge(&report), options.json.as_deref(), options.svg.as_deref())
}

async fn scenario_table(
    scenario: &'static Scenario,
    contenders: &[Contender],
    order: Order,
    rounds: usize,
    brokers: &mut Brokers,
    progress: &ProgressBar,
) -> anyhow::Result<Table> {
    let mut pairs = Vec::new();
    for Contender { name, entry, build } in contenders {
        progress.set_message(format!("{}: {name} warms up", scenario.name));
        let topic = format!("{}-{name}", scenario.name);
        let meeting = brokers.meeting(entry.at).await?;
        let server = match entry.server {
            Some(program) => Some(Worker::start(program, build, Side::Server, &meeting.url, &topic).await?),
            None => None,
        };
        let mut client = Worker::start(entry.client, build, Side::Client, &meeting.url, &topic).await?;
        client.run(Order { seconds: order.seconds.min(0.5), ..order }).await?;
        pairs.push(Pair { name, meeting, client, server, samples: Vec::new(), broker_memory: 0.0 });
        progress.inc(1);
    }
    for round in 0..rounds {
        for place in 0..pairs.len() {
            // Who follows whom must not matter: every round starts with another peer.
            let place = (place + round) % pairs.len();
            let Some(pair) = pairs.get_mut(place) else { continue };
            progress.set_message(format!("{}: {}", scenario.name, pair.name));
            pair.meeting.forget_peak_memory()?;
            let sample = turn(pair, order).await?;
            pair.samples.push(sample);
            pair.broker_memory = pair.broker_memory.max(pair.meeting.peak_memory()?);
            progress.inc(1);
        }
    }
    let rows = pairs.into_iter().map(|pair| row(&pair)).collect::<anyhow::Result<_>>()?;
    Ok(Table { name: scenario.name, title: scenario.title, rows })
}

async fn turn(pair: &mut Pair, order: Order) -> anyhow::Result<Sample> {
    let client = pair.client.pid()?;
    let server = pair.server.as_ref().map(Worker::pid).transpose()?;
    let used = || -> anyhow::Result<[f64; 3]> {
        Ok([cpu_seconds(client)?, server.map_or(Ok(0.0), cpu_seconds)?, pair.meeting.cpu_seconds()?])
    };
    let before = used()?;
    let outcome = pair.client.run(order).await?;
    let after = used()?;
    let each = |place: usize| (after[place] - before[place]) * 1e6 / outcome.count.max(1) as f64;
    let latencies = histogram(&outcome)?;
    Ok(Sample {
        rate: outcome.count as f64 / outcome.seconds,
        p50: latencies.value_at_quantile(0.5) as f64,
        p99: latencies.value_at_quantile(0.99) as f64,
        client_cpu: each(0),
        server_cpu: each(1),
        broker_cpu: each(2),
    })
}

fn histogram(outcome: &Outcome) -> anyhow::Result<Histogram<u64>> {
    let mut latencies = Histogram::new(3)?;
    for (value, count) in &outcome.latencies {
        latencies.record_n(*value, *count)?;
    }
    Ok(latencies)
}

fn row(pair: &Pair) -> anyhow::Result<Row> {
    Ok(Row {
        peer: pair.name,
        client_memory: peak_memory(pair.client.pid()?)?,
        broker_memory: (!pair.meeting.pids.is_empty()).then_some(pair.broker_memory),
        server_memory: pair.server.as_ref().map(|server| peak_memory(server.pid()?)).transpose()?,
        samples: pair.samples.clone(),
    })
}
