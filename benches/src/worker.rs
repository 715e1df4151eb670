//! One end of a scenario in a separate process: a server that serves until its input is closed, or a client that executes
//! orders from its input, one JSON line per run. The Python peers in `benches/peers` use the same protocol.

use std::io::Write as _;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

use crate::{measure, peers};

#[derive(Debug, Args)]
pub(crate) struct Options {
    side: Side,
    /// The peer's name.
    peer: String,
    /// The broker, `rabbit://`.
    #[arg(long)]
    url: String,
    #[arg(long)]
    topic: String,
    #[command(flatten)]
    spread: Spread,
}

/// The number of topics and servers for oxlo's calls. Other peers have one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub(crate) struct Spread {
    /// Topics that the server serves and the client calls in turn.
    #[arg(long, default_value_t = 1)]
    pub(crate) topics: usize,
    /// Servers of each topic in this process.
    #[arg(long, default_value_t = 1)]
    pub(crate) servers: usize,
}

impl Spread {
    pub(crate) const NONE: Self = Self { topics: 1, servers: 1 };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    Client,
    Server,
}

/// An order for a client.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) seconds: f64,
    /// The number of tasks (in Python: threads) that make sequential calls.
    pub(crate) tasks: usize,
    /// The length of the text in a call, in both directions, or in a cast.
    pub(crate) text: usize,
    pub(crate) cast: bool,
}

/// The outcome of an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) count: u64,
    pub(crate) errors: u64,
    /// From the start of the first call to the end of the last.
    pub(crate) seconds: f64,
    /// Latencies in microseconds, with their counts.
    pub(crate) latencies: Vec<(u64, u64)>,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    peers::run(options.side, &options.peer, &options.url, &options.topic, options.spread).await
}

/// Runs the client of a peer: executes every order from standard input.
pub(crate) async fn follow_orders<C: peers::Client>(client: C) -> anyhow::Result<()> {
    say(&serde_json::json!({"ready": true}))?;
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let order: Order = serde_json::from_str(&line).with_context(|| format!("cannot decode the order `{line}`"))?;
        say(&measure::drive(&client, order).await?)?;
    }
    Ok(())
}

/// Runs the server of a peer: reports that it is ready, and waits for the end of its input.
pub(crate) async fn until_input_ends() -> anyhow::Result<()> {
    say(&serde_json::json!({"ready": true}))?;
    let mut lines = BufReader::new(stdin()).lines();
    while lines.next_line().await?.is_some() {}
    Ok(())
}

fn say(what: &impl Serialize) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, what)?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}
