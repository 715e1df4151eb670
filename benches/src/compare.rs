//! The command `compare`: every peer of every scenario in turn, round after round.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use indicatif::ProgressBar;

use crate::{
    brokers::{BrokerOptions, Brokers},
    goals,
    pair::{Pair, Plan},
    report::{self, Report, Row, Table},
    scenario::{Entry, SCENARIOS, Scenario},
    turns,
    worker::{Order, Spread},
};

/// The length of the text in each call, in both directions: with JSON about 300 bytes in peers without an envelope.
const TEXT: usize = 270;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// One short round, to check that everything runs. The figures are meaningless.
    #[arg(long)]
    quick: bool,
    /// The number of turns of each peer.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The length of a turn, in seconds.
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// The scenarios to run, by name, separated by commas. Default: all.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Exclude these peers, by name, separated by commas.
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
    /// Also run oxlo from another build of this program, as the peer `before`.
    #[arg(long)]
    before: Option<PathBuf>,
    #[command(flatten)]
    brokers: BrokerOptions,
    /// Write the report as JSON to this file; `-` is standard output, without the text.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw the report as SVG into this file.
    #[arg(long)]
    svg: Option<PathBuf>,
}

/// A peer, and the executable of its ends.
struct Contender {
    name: &'static str,
    entry: &'static Entry,
    build: PathBuf,
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
            bail!("unknown scenario `{name}`; known are {}", known.join(", "));
        }
    }
    let more = usize::from(options.before.is_some());
    let turns: usize = scenarios.iter().map(|scenario| (scenario.entries.len() + more) * (rounds + 1)).sum();
    let progress = turns::progress(turns)?;
    let mut brokers = Brokers::new(options.brokers)?;
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
    let processors = std::thread::available_parallelism()?.get();
    let report = Report { rounds, seconds, processors, schedulers: brokers.schedulers(), tables };
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
        let plan = Plan {
            client: entry.client,
            server: entry.server,
            servers: 1,
            build,
            topic: format!("{}-{name}", scenario.name),
            spread: Spread::NONE,
        };
        pairs.push((*name, Pair::start(&plan, brokers.meeting(entry.at).await?, order).await?));
        progress.inc(1);
    }
    turns::take(&mut pairs, rounds, scenario.name, progress).await?;
    let rows = pairs.into_iter().map(|(name, pair)| row(name, pair)).collect::<anyhow::Result<_>>()?;
    Ok(Table { name: scenario.name, title: scenario.title, rows })
}

fn row(name: &'static str, pair: Pair) -> anyhow::Result<Row> {
    Ok(Row {
        peer: name,
        client_memory: pair.client_memory()?,
        server_memory: pair.server_memory()?,
        broker_memory: pair.broker_memory(),
        samples: pair.samples,
    })
}
