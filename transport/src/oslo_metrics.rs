//! Datagrams for oslo.metrics, for sites that run its collector.
//!
//! oslo.messaging reports every call and cast to that collector if `[oslo_messaging_metrics] metrics_enabled` is set. A
//! client and a server on a transport with an [`OsloMetrics`] do the same. Names, labels and format are oslo's
//! (`oslo_messaging._metrics.client`, `oslo_metrics.message_type`), so collectors and dashboards work unchanged.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::target::Target;

mod sender;

use sender::Sender;

/// The collector's socket and the size of the queue. The defaults are oslo's.
#[derive(Clone, Debug)]
pub struct OsloMetricsOptions {
    socket: PathBuf,
    process: Arc<str>,
    buffer: usize,
}

impl Default for OsloMetricsOptions {
    fn default() -> Self {
        Self { socket: "/var/tmp/metrics_collector.sock".into(), process: "".into(), buffer: 1000 }
    }
}

impl OsloMetricsOptions {
    /// Creates the default options: the socket `/var/tmp/metrics_collector.sock`, an empty process name, a queue of 1000
    /// datagrams.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the Unix datagram socket that the collector reads; oslo's `metrics_socket_file`.
    #[must_use]
    pub fn socket(mut self, path: impl AsRef<Path>) -> Self {
        path.as_ref().clone_into(&mut self.socket);
        self
    }

    /// Sets the label `process` of all metrics; oslo's `metrics_process_name`. Default: empty.
    #[must_use]
    pub fn process_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.process = name.into();
        self
    }

    /// Sets how many datagrams may wait to be sent, at least 1; oslo's `metrics_buffer_size`. Further ones are dropped and
    /// counted. A successful call sends three datagrams, a failed one two.
    #[must_use]
    pub fn buffer_size(mut self, datagrams: usize) -> Self {
        self.buffer = datagrams.max(1);
        self
    }

    /// Starts a thread that sends the datagrams. The collector need not be running yet.
    ///
    /// # Errors
    ///
    /// [`io::Error`] if the thread cannot be spawned.
    pub fn start(self) -> io::Result<OsloMetrics> {
        let (queue, waiting) = sync_channel(self.buffer);
        let counts = Arc::new(Counts::default());
        let sender = Sender::new(self.socket, counts.clone());
        thread::Builder::new().name("oxlo-metrics".to_owned()).spawn(move || run(&waiting, sender))?;
        Ok(OsloMetrics { queue, process: self.process, counts })
    }
}

/// Sends datagrams to oslo.metrics' collector. Cheap to clone; all clones share one queue and one thread.
///
/// Reporting never blocks: if the queue is full, the datagram is dropped and counted, in [`dropped`](Self::dropped) and as
/// `oxlo_oslo_metrics_dropped_total`. While the collector is unavailable, datagrams that fit in the queue are kept. When the
/// last clone is dropped, including those of transports, the thread sends what it can at once and exits.
#[derive(Clone, Debug)]
pub struct OsloMetrics {
    queue: SyncSender<Event>,
    process: Arc<str>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    /// Sent, or dropped after being accepted.
    done: AtomicU64,
    dropped: AtomicU64,
}

impl Counts {
    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("oxlo_oslo_metrics_dropped_total").increment(1);
    }
}

/// The labels of a request, on either side. `None` is sent as `null`, which the collector displays as `None`.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Labels {
    /// The labels of a call or a cast.
    Client {
        /// `call` or `cast`.
        call_type: &'static str,
        /// From the target.
        exchange: Option<Arc<str>>,
        /// From the target.
        topic: Arc<str>,
        /// From the target.
        namespace: Option<Arc<str>>,
        /// From the target.
        version: Option<Arc<str>>,
        /// From the target.
        server: Option<Arc<str>>,
        /// `None` rather than `false`, as Python's targets have it.
        fanout: Option<bool>,
        /// Name of the method.
        method: Arc<str>,
        /// Always `None`: oslo.messaging does not set it.
        timeout: Option<()>,
    },
    /// The labels of a request being served.
    Server {
        /// From the server's target.
        exchange: Option<Arc<str>>,
        /// From the server's target.
        topic: Option<Arc<str>>,
        /// From the server's target.
        server: Option<Arc<str>>,
        /// Always `None`: endpoints have no name.
        endpoint: Option<()>,
        /// From the endpoint.
        namespace: Option<Arc<str>>,
        /// From the endpoint.
        version: Arc<str>,
        /// Name of the method.
        method: Arc<str>,
    },
}

impl Labels {
    /// Creates the labels of a call or a cast to `target`. `topic` and `method` may be placeholders, to bound the number of
    /// label values.
    #[must_use]
    pub fn client(call_type: &'static str, target: &Target, topic: Arc<str>, method: Arc<str>) -> Self {
        Self::Client {
            call_type,
            exchange: target.exchange.clone(),
            topic,
            namespace: target.namespace.clone(),
            version: target.version.clone(),
            server: target.server.clone(),
            fanout: target.fanout.then_some(true),
            method,
            timeout: None,
        }
    }

    /// Creates the labels of a method that a server on `target` serves.
    #[must_use]
    pub fn server(target: &Target, namespace: Option<Arc<str>>, version: Arc<str>, method: Arc<str>) -> Self {
        Self::Server {
            exchange: target.exchange.clone(),
            topic: target.topic.clone(),
            server: target.server.clone(),
            endpoint: None,
            namespace,
            version,
            method,
        }
    }

    fn metrics(&self) -> &'static Names {
        match self {
            Self::Client { .. } => &CLIENT,
            Self::Server { .. } => &SERVER,
        }
    }
}

struct Names {
    began: &'static str,
    ended: &'static str,
    took: &'static str,
    failed: &'static str,
}

const CLIENT: Names = Names {
    began: "rpc_client_invocation_start_total",
    ended: "rpc_client_invocation_end_total",
    took: "rpc_client_processing_seconds",
    failed: "rpc_client_exception_total",
};

const SERVER: Names = Names {
    began: "rpc_server_invocation_start_total",
    ended: "rpc_server_invocation_end_total",
    took: "rpc_server_processing_seconds",
    failed: "rpc_server_exception_total",
};

impl OsloMetrics {
    /// Reports the start of a request.
    pub fn began(&self, labels: &Arc<Labels>) {
        self.report(labels.metrics().began, labels, None, None);
    }

    /// Reports that a request succeeded, after `took`.
    pub fn ended(&self, labels: &Arc<Labels>, took: Duration) {
        self.report(labels.metrics().took, labels, Some(took), None);
        self.report(labels.metrics().ended, labels, None, None);
    }

    /// Reports that a request failed, with the class name `exception`.
    pub fn failed(&self, labels: &Arc<Labels>, exception: &str) {
        self.report(labels.metrics().failed, labels, None, Some(exception));
    }

    /// The number of datagrams dropped because the queue was full or the system refused them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Blocks until all datagrams reported so far have been sent or dropped, at most for `limit`. Returns whether they were.
    /// For use before a program exits; in async code, call it on a blocking thread.
    #[must_use]
    pub fn flush(&self, limit: Duration) -> bool {
        let begun = Instant::now();
        let target = self.counts.accepted.load(Ordering::Acquire);
        while self.counts.done.load(Ordering::Acquire) < target {
            if begun.elapsed() >= limit {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    }

    fn report(&self, name: &'static str, labels: &Arc<Labels>, took: Option<Duration>, exception: Option<&str>) {
        let event = Event {
            name,
            labels: labels.clone(),
            process: self.process.clone(),
            took,
            exception: exception.map(Into::into),
        };
        // Counted before it is queued, so that `done` never exceeds `accepted`.
        self.counts.accepted.fetch_add(1, Ordering::Release);
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.queue.try_send(event) {
            self.counts.done.fetch_add(1, Ordering::Release);
            self.counts.drop_one();
        }
    }
}

#[derive(Debug)]
struct Event {
    name: &'static str,
    labels: Arc<Labels>,
    process: Arc<str>,
    took: Option<Duration>,
    exception: Option<Box<str>>,
}

impl Event {
    fn datagram(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Datagram<'a> {
            module: &'static str,
            name: &'static str,
            action: Action,
            labels: All<'a>,
        }
        #[derive(Serialize)]
        struct Action {
            value: Option<f64>,
            action: &'static str,
        }
        #[derive(Serialize)]
        struct All<'a> {
            #[serde(flatten)]
            labels: &'a Labels,
            process: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            exception: Option<&'a str>,
        }
        let action = if self.took.is_some() { "observe" } else { "inc" };
        let datagram = Datagram {
            module: "oslo_messaging",
            name: self.name,
            action: Action { value: self.took.map(|took| took.as_secs_f64()), action },
            labels: All { labels: &self.labels, process: &self.process, exception: self.exception.as_deref() },
        };
        // Strings and finite numbers can always be encoded as JSON.
        serde_json::to_vec(&datagram).unwrap_or_default()
    }
}

fn run(waiting: &Receiver<Event>, mut sender: Sender) {
    while let Ok(event) = waiting.recv() {
        sender.send(&event.datagram());
    }
}

#[cfg(all(test, unix))]
#[path = "oslo_metrics/tests.rs"]
mod tests;
