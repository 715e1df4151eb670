//! A running client with its servers, and the cost of one turn.

use std::path::Path;

use hdrhistogram::Histogram;

use crate::{
    brokers::Meeting,
    process::{Program, Worker, cpu_seconds, peak_memory},
    report::Sample,
    worker::{Order, Outcome, Side, Spread},
};

/// The maximum length of the warm-up turn.
const WARM_UP: f64 = 0.5;

/// The configuration of a pair.
#[derive(Clone, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) client: Program,
    pub(crate) server: Option<Program>,
    /// The number of server processes.
    pub(crate) servers: usize,
    /// The executable of Rust programs.
    pub(crate) build: &'a Path,
    pub(crate) topic: String,
    pub(crate) spread: Spread,
}

/// A client and its servers.
#[derive(Debug)]
pub(crate) struct Pair {
    meeting: Meeting,
    client: Worker,
    servers: Vec<Worker>,
    order: Order,
    pub(crate) samples: Vec<Sample>,
    /// Peak of all turns, in MiB.
    broker_memory: f64,
}

impl Pair {
    /// Starts client and servers and warms them up.
    pub(crate) async fn start(plan: &Plan<'_>, meeting: Meeting, order: Order) -> anyhow::Result<Self> {
        let Plan { client, server, servers: count, build, topic, spread } = plan;
        let mut servers = Vec::new();
        if let Some(server) = *server {
            for _ in 0..*count {
                servers.push(Worker::start(server, build, Side::Server, &meeting.url, topic, *spread).await?);
            }
        }
        let mut client = Worker::start(*client, build, Side::Client, &meeting.url, topic, *spread).await?;
        client.run(Order { seconds: order.seconds.min(WARM_UP), ..order }).await?;
        Ok(Self { meeting, client, servers, order, samples: Vec::new(), broker_memory: 0.0 })
    }

    /// Runs one turn and adds it to the samples.
    pub(crate) async fn turn(&mut self) -> anyhow::Result<()> {
        self.meeting.forget_peak_memory()?;
        let before = self.used()?;
        let outcome = self.client.run(self.order).await?;
        let after = self.used()?;
        let each = |place: usize| (after[place] - before[place]) * 1e6 / outcome.count.max(1) as f64;
        let latencies = histogram(&outcome)?;
        self.samples.push(Sample {
            rate: outcome.count as f64 / outcome.seconds,
            p50: latencies.value_at_quantile(0.5) as f64,
            p99: latencies.value_at_quantile(0.99) as f64,
            client_cpu: each(0),
            server_cpu: each(1),
            broker_cpu: each(2),
        });
        self.broker_memory = self.broker_memory.max(self.meeting.peak_memory()?);
        Ok(())
    }

    /// Processor time so far in seconds: client, servers, broker.
    fn used(&self) -> anyhow::Result<[f64; 3]> {
        let servers: f64 = self.servers.iter().map(|server| cpu_seconds(server.pid()?)).sum::<anyhow::Result<_>>()?;
        Ok([cpu_seconds(self.client.pid()?)?, servers, self.meeting.cpu_seconds()?])
    }

    /// Peak memory of the client in the whole run, in MiB.
    pub(crate) fn client_memory(&self) -> anyhow::Result<f64> {
        peak_memory(self.client.pid()?)
    }

    /// Peak memory of all servers in the whole run, in MiB; `None` if they are in the client's process.
    pub(crate) fn server_memory(&self) -> anyhow::Result<Option<f64>> {
        if self.servers.is_empty() {
            return Ok(None);
        }
        self.servers.iter().map(|server| peak_memory(server.pid()?)).sum::<anyhow::Result<f64>>().map(Some)
    }

    /// Peak memory of the broker during this pair's turns, in MiB; `None` without a broker.
    pub(crate) fn broker_memory(&self) -> Option<f64> {
        (!self.meeting.pids.is_empty()).then_some(self.broker_memory)
    }
}

fn histogram(outcome: &Outcome) -> anyhow::Result<Histogram<u64>> {
    let mut latencies = Histogram::new(3)?;
    for (value, count) in &outcome.latencies {
        latencies.record_n(*value, *count)?;
    }
    Ok(latencies)
}
