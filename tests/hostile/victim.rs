//! The attacked client or server, a neighbour that must not be affected, and the memory measurement.

use std::{
    io,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use oxlo::{Args, Context, Endpoint, Failure, RPCClient, RPCServer, RunningServer, Target, Transport};
use oxlo_test_support::{TestVhost, eventually, resident};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::peer::{Broker, SOON};

const MIB: u64 = 1 << 20;

/// A server on a malicious broker.
pub(crate) struct Victim {
    transport: Arc<dyn Transport>,
    server: RunningServer,
    /// How many requests ran.
    pub(crate) ran: Arc<AtomicUsize>,
}

fn endpoint(ran: &Arc<AtomicUsize>, takes: Duration) -> Endpoint {
    let ran = ran.clone();
    Endpoint::new("1.0").method("echo", move |_: Context, Args(arguments): Args<Value>| {
        let ran = ran.clone();
        async move {
            ran.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(takes).await;
            Ok::<_, Failure>(arguments)
        }
    })
}

pub(crate) fn rabbit(broker: &Broker) -> String {
    format!("rabbit://guest:guest@127.0.0.1:{}/", broker.port)
}

pub(crate) fn amqp1(broker: &Broker) -> String {
    format!("amqp://guest:guest@127.0.0.1:{}/", broker.port)
}

pub(crate) async fn connect(url: String) -> Arc<dyn Transport> {
    oxlo::builder(url).response_timeout(SOON).connect().await.unwrap()
}

impl Victim {
    /// A server whose method takes this long.
    pub(crate) async fn serve(url: String, takes: Duration) -> Self {
        let transport = connect(url).await;
        let ran = Arc::default();
        let server = RPCServer::builder(transport.clone(), Target::topic("victim").server("v1"))
            .endpoint(endpoint(&ran, takes))
            .start()
            .await
            .unwrap();
        Self { transport, server, ran }
    }

    /// A client on the same transport.
    pub(crate) fn client(&self) -> RPCClient {
        RPCClient::new(self.transport.clone(), Target::topic("victim").version("1.0")).timeout(10 * SOON)
    }

    /// Runs an attack on a server until a number of bytes or of lost connections is reached: its memory stays bounded, a
    /// neighbour keeps working, and the log contains `words`, if given.
    pub(crate) async fn withstands(broker: Broker, url: String, what: &str, bytes: usize, words: Option<&str>) {
        keep_log();
        let neighbour = Neighbour::start().await;
        let victim = Self::serve(url, Duration::ZERO).await;
        let memory = Memory::watch();
        broker.seen.plays(bytes, 3).await;
        neighbour.answers().await;
        memory.grew_by_at_most(48, what);
        if let Some(words) = words {
            assert!(broker.seen.connections() > 2, "{what}: no connection was given up");
            logged(words).await;
        }
        drop(broker);
        victim.end().await;
        neighbour.end().await;
    }

    /// Stops it; a broker that does not answer must not delay this.
    pub(crate) async fn end(self) {
        drop(self.server);
        tokio::time::timeout(SOON, self.transport.close()).await.unwrap();
    }
}

/// A client and a server on another transport, in the same process.
pub(crate) struct Neighbour {
    client: RPCClient,
    server: RunningServer,
    transport: Arc<dyn Transport>,
    _vhost: Option<TestVhost>,
}

impl Neighbour {
    /// On a real broker, if the tests may use one.
    pub(crate) async fn on_a_broker() -> Self {
        if !cfg!(feature = "brokers") {
            return Self::start().await;
        }
        let vhost = TestVhost::new().await;
        let url = vhost.url();
        Self { _vhost: Some(vhost), ..Self::on(url).await }
    }

    /// On `memory://`: it shares only the runtime.
    pub(crate) async fn start() -> Self {
        Self::on("memory://".to_owned()).await
    }

    async fn on(url: String) -> Self {
        let transport = connect(url).await;
        let server = RPCServer::builder(transport.clone(), Target::topic("neighbour").server("n1"))
            .endpoint(endpoint(&Arc::default(), Duration::ZERO))
            .start()
            .await
            .unwrap();
        let client = RPCClient::new(transport.clone(), Target::topic("neighbour").version("1.0")).timeout(SOON);
        let neighbour = Self { client, server, transport, _vhost: None };
        neighbour.answers().await;
        neighbour
    }

    pub(crate) async fn answers(&self) {
        let answer: Value = self.client.call(&Context::new(), "echo", json!({"a": 1})).await.unwrap();
        assert_eq!(answer, json!({"a": 1}));
    }

    pub(crate) async fn end(self) {
        drop(self.server);
        tokio::time::timeout(SOON, self.transport.close()).await.unwrap();
    }
}

/// The peak memory of this process since it was created.
pub(crate) struct Memory {
    before: u64,
    most: Arc<AtomicU64>,
    sampling: JoinHandle<()>,
}

impl Memory {
    pub(crate) fn watch() -> Self {
        let before = resident();
        let most = Arc::new(AtomicU64::new(before));
        let sampled = most.clone();
        let sampling = tokio::spawn(async move {
            loop {
                sampled.fetch_max(resident(), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { before, most, sampling }
    }

    /// Asserts that memory grew by at most this many MiB.
    pub(crate) fn grew_by_at_most(self, mebibytes: u64, what: &str) {
        self.sampling.abort();
        let most = self.most.load(Ordering::Relaxed).max(resident());
        let grown = most.saturating_sub(self.before) / MIB;
        println!("figures: {what}: {grown} MiB more at most");
        assert!(grown <= mebibytes, "{what}: {grown} MiB more, {mebibytes} allowed");
    }
}

#[derive(Clone)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let log = Log(Arc::default());
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::WARN)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        log
    })
}

/// Starts capturing the log.
pub(crate) fn keep_log() {
    let _ = log();
}

/// Waits until the log contains a text.
pub(crate) async fn logged(words: &str) {
    let text = async || String::from_utf8_lossy(&log().0.lock().unwrap()).into_owned();
    eventually(SOON, words, text, |text| text.contains(words)).await;
}

/// A connection that the broker closes during the handshake fails before the attempt's time limit.
pub(crate) async fn closed(url: String) {
    let refused = tokio::time::timeout(SOON, oxlo::builder(url).connect()).await.unwrap().unwrap_err();
    let told = format!("{refused:?}");
    println!("figures: {told}");
    assert!(!told.contains("no answer within"), "{told}");
}
