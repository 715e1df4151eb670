//! Memory held by a pending call, an idle transport, a listener. Each is measured in a separate process, as the difference in
//! resident memory, which is coarse for one object and accurate for many.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use lapin::{
    Channel, Connection, ConnectionProperties, Consumer,
    options::{BasicConsumeOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::{FieldTable, ShortString},
};
use oxlo::{
    Context, RPCClient, Target, Transport,
    client::PendingCall,
    transport::{ListenOptions, Listener, Request},
};
use serde::{Deserialize, Serialize};
use tokio::{process::Command, sync::oneshot, task::JoinSet};

use crate::{
    brokers::{Brokers, Place},
    peers::amqp_url,
    process::{Program::Rust, Worker, resident_memory},
    worker::{Side, Spread},
};

/// The timeout of calls that are pending while they are counted.
const LONG: Duration = Duration::from_secs(3600);

/// The payload of each call; it should not be held after it is sent.
const TEXT: usize = 270;

/// The number of calls that are sent concurrently.
const STARTERS: usize = 256;

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;

/// The kind of object, as a word on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Pending calls, held by their handles.
    Started,
    /// Pending calls, each awaited by a task.
    Awaited,
    /// Tasks that only wait.
    Tasks,
    /// Transports with everything that a call needs, without a call in flight.
    Transports,
    /// Two connections of lapin with a channel each, one of which consumes.
    LapinConnections,
    /// Listeners on a topic each.
    Listeners,
    /// A channel of lapin with the three queues and consumers of a listener.
    LapinConsumers,
}

/// A kind of object, and how many are counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) title: &'static str,
    at: Place,
    kind: Kind,
    count: usize,
    quick: usize,
}

const fn held(title: &'static str, at: Place, kind: Kind, count: usize, quick: usize) -> Held {
    Held { title, at, kind, count, quick }
}

pub(crate) const FOOTPRINTS: &[Held] = &[
    held("tokio: a task that waits", Place::Nowhere, Kind::Tasks, 100_000, 1_000),
    held("memory://: a call that waits, by its handle", Place::Nowhere, Kind::Started, 100_000, 1_000),
    held("memory://: a call that waits, with its task", Place::Nowhere, Kind::Awaited, 100_000, 1_000),
    held("rabbit://: a call that waits, by its handle", Place::RabbitMq, Kind::Started, 100_000, 1_000),
    held("rabbit://: a call that waits, with its task", Place::RabbitMq, Kind::Awaited, 100_000, 1_000),
    held("rabbit://: the first transport, idle", Place::RabbitMq, Kind::Transports, 1, 1),
    held("rabbit://: each of 20 transports, idle", Place::RabbitMq, Kind::Transports, 20, 2),
    held("lapin: the first two connections, idle", Place::RabbitMq, Kind::LapinConnections, 1, 1),
    held("lapin: each of 20 pairs of connections", Place::RabbitMq, Kind::LapinConnections, 20, 2),
    held("rabbit://: a listener", Place::RabbitMq, Kind::Listeners, 200, 4),
    held("lapin: a channel with three consumers", Place::RabbitMq, Kind::LapinConsumers, 200, 4),
];

/// The result.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Found {
    pub(crate) title: &'static str,
    kind: Kind,
    pub(crate) count: usize,
    /// Bytes per object.
    pub(crate) each: f64,
    /// Resident bytes of the whole process with all objects.
    pub(crate) process: f64,
    /// The goal for bytes per object.
    pub(crate) limit: Option<f64>,
}

impl Found {
    /// Sets the limits; the limit of a listener is relative to lapin's.
    pub(crate) fn all(mut found: Vec<Self>) -> Vec<Self> {
        let lapin = found.iter().find(|found| found.kind == Kind::LapinConsumers).map(|found| found.each);
        for found in &mut found {
            found.limit = match found.kind {
                Kind::Started => Some(KIB),
                Kind::Transports => Some(6.0 * MIB),
                Kind::Listeners => lapin.map(|lapin| lapin + 100.0 * KIB),
                Kind::Awaited | Kind::Tasks | Kind::LapinConnections | Kind::LapinConsumers => None,
            };
        }
        found
    }

    pub(crate) fn reached(&self) -> Option<bool> {
        self.limit.map(|limit| self.each <= limit)
    }
}

/// The answer of a process.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Answer {
    each: f64,
    process: f64,
}

impl Held {
    /// Runs a process that holds the objects, and reads its answer.
    pub(crate) async fn measure(&self, quick: bool, brokers: &mut Brokers) -> anyhow::Result<Found> {
        let Self { title, at, kind, .. } = *self;
        let count = if quick { self.quick } else { self.count };
        let meeting = brokers.meeting(at).await?;
        let own = std::env::current_exe()?;
        let topic = format!("held-{}", title.len() * 1000 + count);
        let swallows = matches!(kind, Kind::Started | Kind::Awaited) && at != Place::Nowhere;
        let _server = if swallows {
            let hole = Worker::start(Rust("oxlo-hole"), &own, Side::Server, &meeting.url, &topic, Spread::NONE);
            Some(hole.await?)
        } else {
            None
        };
        let word = kind.to_possible_value().context("every kind has a word")?;
        let output = Command::new(&own)
            .args(["footprint", word.get_name(), "--url", &meeting.url, "--topic", &topic, "--count"])
            .arg(count.to_string())
            .kill_on_drop(true)
            .stderr(std::process::Stdio::inherit())
            .output()
            .await?;
        ensure!(output.status.success(), "{title}: see above");
        let Answer { each, process } = serde_json::from_slice(&output.stdout)?;
        Ok(Found { title, kind, count, each, process, limit: None })
    }
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    kind: Kind,
    #[arg(long)]
    url: String,
    #[arg(long)]
    topic: String,
    #[arg(long)]
    count: usize,
}

/// The holding process.
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let Options { kind, url, topic, count } = options;
    let answer = match kind {
        Kind::Tasks => tasks(*count).await?,
        Kind::Started => started(url, topic, *count).await?,
        Kind::Awaited => awaited(url, topic, *count).await?,
        Kind::Transports => grown(*count, async |_| transport(url, topic).await).await?,
        Kind::LapinConnections => grown(*count, async |_| connections(url).await).await?,
        Kind::Listeners => {
            let transport = transport(url, topic).await?;
            grown(*count, async |place| listener(&transport, &format!("{topic}-{place}")).await).await?
        }
        Kind::LapinConsumers => {
            let connection = connect(url).await?;
            grown(*count, async |place| consumers(&connection, &format!("{topic}-lapin-{place}")).await).await?
        }
    };
    println!("{}", serde_json::to_string(&answer)?);
    // Exit without an orderly shutdown, which would occupy the broker while the next process is measured.
    std::process::exit(0)
}

/// Creates and holds `count` objects, and returns the size of each.
async fn grown<T>(count: usize, make: impl AsyncFn(usize) -> anyhow::Result<T>) -> anyhow::Result<Answer> {
    let before = settled().await?;
    let mut held = Vec::with_capacity(count);
    for place in 0..count {
        held.push(make(place).await?);
    }
    answer(before, count).await
}

async fn answer(before: f64, count: usize) -> anyhow::Result<Answer> {
    let process = settled().await?;
    Ok(Answer { each: (process - before) / count.max(1) as f64, process })
}

/// The resident bytes, once they are stable.
async fn settled() -> anyhow::Result<f64> {
    let mut last = resident_memory(std::process::id())?;
    let mut same = 0;
    while same < 3 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = resident_memory(std::process::id())?;
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    Ok(last)
}

async fn tasks(count: usize) -> anyhow::Result<Answer> {
    let before = settled().await?;
    let (mut tasks, mut senders) = (JoinSet::new(), Vec::with_capacity(count));
    for _ in 0..count {
        let (sender, receiver) = oneshot::channel::<()>();
        senders.push(sender);
        tasks.spawn(async move { drop(receiver.await) });
    }
    answer(before, count).await
}

/// A client, and with `memory://` a server that takes its calls and never answers.
async fn client(url: &str, topic: &str) -> anyhow::Result<RPCClient> {
    let transport = oxlo::connect(url).await?;
    if url.starts_with("memory:") {
        let listener = listener(&transport, topic).await?;
        tokio::spawn(swallow(listener));
    }
    let client = RPCClient::new(transport, Target::topic(topic).version("1.0")).timeout(LONG);
    // The first call creates the shared state.
    drop(start(&client).await?);
    Ok(client)
}

async fn start(client: &RPCClient) -> anyhow::Result<PendingCall<String>> {
    let text = "x".repeat(TEXT);
    Ok(client.start(&Context::new(), "never", serde_json::json!({"value": text})).await?)
}

async fn started(url: &str, topic: &str, count: usize) -> anyhow::Result<Answer> {
    let client = client(url, topic).await?;
    let left = Arc::new(AtomicUsize::new(count));
    let mut held = Vec::with_capacity(STARTERS);
    let mut starters = JoinSet::new();
    let before = settled().await?;
    for _ in 0..STARTERS {
        let (client, left) = (client.clone(), left.clone());
        starters.spawn(async move {
            let mut held = Vec::with_capacity(count.div_ceil(STARTERS));
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                held.push(start(&client).await?);
            }
            anyhow::Ok(held)
        });
    }
    while let Some(ended) = starters.join_next().await {
        held.push(ended??);
    }
    answer(before, count).await
}

async fn awaited(url: &str, topic: &str, count: usize) -> anyhow::Result<Answer> {
    let client = client(url, topic).await?;
    let waiting = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let before = settled().await?;
    for place in 0..count {
        let (client, waiting) = (client.clone(), waiting.clone());
        let begun = waiting.clone();
        tasks.spawn(async move {
            let pending = start(&client).await?;
            waiting.fetch_add(1, Ordering::Relaxed);
            anyhow::Ok(pending.await?)
        });
        // A limited number of calls at a time, as in a real program.
        while place + 1 >= begun.load(Ordering::Relaxed) + STARTERS {
            ensure!(tasks.try_join_next().is_none(), "a call ended unexpectedly");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    while waiting.load(Ordering::Relaxed) < count {
        ensure!(tasks.try_join_next().is_none(), "a call ended unexpectedly");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    answer(before, count).await
}

/// A transport whose connections and queues exist, after a call to a missing topic.
async fn transport(url: &str, topic: &str) -> anyhow::Result<Arc<dyn Transport>> {
    let transport = oxlo::connect(url).await?;
    let client = RPCClient::new(transport.clone(), Target::topic(format!("{topic}-nobody")));
    let outcome: Result<String, _> = client.call(&Context::new(), "none", serde_json::json!({})).await;
    ensure!(outcome.is_err(), "unexpected reply");
    Ok(transport)
}

pub(crate) async fn listener(
    transport: &Arc<dyn Transport>,
    topic: &str,
) -> anyhow::Result<Box<dyn Listener<Request>>> {
    Ok(transport.listen(&Target::topic(topic).server("bench"), &ListenOptions::default()).await?)
}

/// Takes every request and answers none.
pub(crate) async fn swallow(mut listener: Box<dyn Listener<Request>>) {
    while let Ok(delivery) = listener.recv().await {
        delivery.settle.ack();
    }
}

async fn connect(url: &str) -> anyhow::Result<Connection> {
    Ok(Connection::connect(&amqp_url(url), ConnectionProperties::default()).await?)
}

async fn connections(url: &str) -> anyhow::Result<impl Sized> {
    let (publishing, consuming) = (connect(url).await?, connect(url).await?);
    let confirmed = publishing.create_channel().await?;
    confirmed.confirm_select(ConfirmSelectOptions::default()).await?;
    let channel = consuming.create_channel().await?;
    let consumer = consumer(&channel, "").await?;
    Ok((publishing, consuming, confirmed, channel, consumer))
}

async fn consumers(connection: &Connection, name: &str) -> anyhow::Result<(Channel, Vec<Consumer>)> {
    let channel = connection.create_channel().await?;
    let mut consumers = Vec::with_capacity(3);
    for place in 0..3 {
        consumers.push(consumer(&channel, &format!("{name}.{place}")).await?);
    }
    Ok((channel, consumers))
}

async fn consumer(channel: &Channel, queue: &str) -> anyhow::Result<Consumer> {
    let options = QueueDeclareOptions { auto_delete: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare(ShortString::from(queue), options, FieldTable::default()).await?;
    let (name, options) = (queue.name().clone(), BasicConsumeOptions::default());
    Ok(channel.basic_consume(name, "".into(), options, FieldTable::default()).await?)
}
