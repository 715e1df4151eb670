//! The brokers of a run, each started when the first of its peers needs it. All end with the run.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, ensure};
use clap::Args;
use oxlo_test_support::{Amqp1Broker, Amqp1Product, Broker, PortLease};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::process::{cpu_seconds, family, forget_peak_memory, peak_memory};

/// How long a broker may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The broker between a client and a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The installed RabbitMQ, over AMQP 0-9-1.
    RabbitMq,
    /// RabbitMQ 4, over its native AMQP 1.0.
    RabbitMq4,
    /// Debian's nats-server.
    #[cfg_attr(not(feature = "orientation"), expect(dead_code, reason = "its peers are behind a feature"))]
    Nats,
    /// A direct connection.
    #[cfg_attr(not(feature = "orientation"), expect(dead_code, reason = "its peers are behind a feature"))]
    EndToEnd,
    /// None: both ends are in one process.
    Nowhere,
}

/// The address of a broker, for a pair of ends.
#[derive(Clone, Debug)]
pub(crate) struct Meeting {
    pub(crate) url: String,
    /// The processes of the broker; empty without a broker.
    pub(crate) pids: Vec<u32>,
}

impl Meeting {
    /// The processor time used by the broker so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.pids.iter().map(|pid| cpu_seconds(*pid)).sum()
    }

    /// Resets [`peak_memory`](Self::peak_memory).
    pub(crate) fn forget_peak_memory(&self) -> anyhow::Result<()> {
        self.pids.iter().try_for_each(|pid| forget_peak_memory(*pid))
    }

    /// The peak resident memory of the broker since the reset, in MiB.
    pub(crate) fn peak_memory(&self) -> anyhow::Result<f64> {
        self.pids.iter().map(|pid| peak_memory(*pid)).sum()
    }
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct BrokerOptions {
    /// The number of Erlang schedulers of RabbitMQ. Default: one per processor.
    #[arg(long)]
    schedulers: Option<usize>,
}

/// The running brokers.
#[derive(Debug)]
pub(crate) struct Brokers {
    schedulers: usize,
    rabbit: Option<Broker>,
    rabbit4: Option<Amqp1Broker>,
    nats: Option<Nats>,
    ports: Vec<PortLease>,
}

impl Brokers {
    /// Creates an empty set.
    pub(crate) fn new(options: BrokerOptions) -> anyhow::Result<Self> {
        let schedulers = match options.schedulers {
            Some(schedulers) => schedulers,
            None => std::thread::available_parallelism()?.get(),
        };
        Ok(Self { schedulers, rabbit: None, rabbit4: None, nats: None, ports: Vec::new() })
    }

    /// The number of Erlang schedulers of RabbitMQ.
    pub(crate) fn schedulers(&self) -> usize {
        self.schedulers
    }

    /// Returns the address of a broker, and starts it if it is not running.
    pub(crate) async fn meeting(&mut self, place: Place) -> anyhow::Result<Meeting> {
        let (url, pid) = match place {
            Place::RabbitMq => {
                let broker = match &mut self.rabbit {
                    Some(broker) => broker,
                    none => none.insert(Broker::builder().schedulers(self.schedulers).start().await),
                };
                (broker.url(), broker.pid())
            }
            Place::RabbitMq4 => {
                let broker = match &mut self.rabbit4 {
                    Some(broker) => broker,
                    none => {
                        none.insert(Amqp1Broker::start_with_schedulers(Amqp1Product::RabbitMq4, self.schedulers).await)
                    }
                };
                (broker.url(), broker.pid())
            }
            Place::Nats => {
                let broker = match &mut self.nats {
                    Some(broker) => broker,
                    none => none.insert(Nats::start().await?),
                };
                (format!("nats://127.0.0.1:{}", broker.port.port()), broker.child.id().context("nats-server exited")?)
            }
            Place::EndToEnd => {
                let port = PortLease::take();
                let url = format!("http://127.0.0.1:{}", port.port());
                self.ports.push(port);
                return Ok(Meeting { url, pids: Vec::new() });
            }
            Place::Nowhere => return Ok(Meeting { url: "memory://bench".to_owned(), pids: Vec::new() }),
        };
        // Short-lived helpers of the start have exited by now; otherwise a later lookup would not find them.
        let pids = family(pid).into_iter().filter(|pid| peak_memory(*pid).is_ok()).collect();
        Ok(Meeting { url, pids })
    }
}

#[derive(Debug)]
struct Nats {
    child: Child,
    port: PortLease,
}

impl Nats {
    async fn start() -> anyhow::Result<Self> {
        let program = ["/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .context("nats-server is missing: install it with apt-get install nats-server, or exclude it with --without nats")?;
        let port = PortLease::take();
        // setpriv ends the broker even if this program is killed.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", program, "--addr", "127.0.0.1", "--port"])
            .arg(port.port().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start setpriv (Debian: util-linux)")?;
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(("127.0.0.1", port.port())).await.is_err() {
            ensure!(child.try_wait()?.is_none(), "{program} ended while it started");
            ensure!(Instant::now() < deadline, "{program} did not start within {START_TIMEOUT:?}");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { child, port })
    }
}
