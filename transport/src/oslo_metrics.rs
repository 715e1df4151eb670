//! The datagrams of oslo.metrics, for sites that have its collector.
//!
//! oslo.messaging tells that collector of every call and cast, by `[oslo_messaging_metrics] metrics_enabled`; so do a
//! client and a server here on a transport that was given an [`OsloMetrics`]. Names, labels and form are oslo's
//! (`oslo_messaging._metrics.client`, `oslo_metrics.message_type`), so the collector, and what is built on it, need not know.

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

/// Where the collector is, and how much may wait for it. The defaults are oslo's.
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
    /// The socket `/var/tmp/metrics_collector.sock`, no name for the process, room for 1000 datagrams.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The Unix datagram socket that the collector reads; oslo's `metrics_socket_file`.
    #[must_use]
    pub fn socket(mut self, path: impl AsRef<Path>) -> Self {
        path.as_ref().clone_into(&mut self.socket);
        self
    }

    /// The label `process` of everything that is sent; oslo's `metrics_process_name`. Default: empty.
    #[must_use]
    pub fn process_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.process = name.into();
        self
    }

    /// How many datagrams may wait to be sent, at least 1; oslo's `metrics_buffer_size`. What comes when so many wait is
    /// dropped, and counted. A call makes three, a failed one two.
    #[must_use]
    pub fn buffer_size(mut self, datagrams: usize) -> Self {
        self.buffer = datagrams.max(1);
        self
    }

    /// Starts to send, from a thread of its own. The collector need not be there yet.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
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
/// Nothing here waits: what finds the queue full is dropped and counted, by [`dropped`](Self::dropped) and as
/// `oxlo_oslo_metrics_dropped_total`. While the collector is away, what fits into the queue is kept for it. When the last
/// clone is dropped, with the transports that have one, the thread sends what it can at once, and ends.
#[derive(Clone, Debug)]
pub struct OsloMetrics {
    queue: SyncSender<Event>,
    process: Arc<str>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    /// Sent, or dropped after they were accepted.
    done: AtomicU64,
    dropped: AtomicU64,
}

impl Counts {
    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("oxlo_oslo_metrics_dropped_total").increment(1);
    }
}

/// What a request is told of, on either side. Absent values are `null`, which the collector shows as `None`.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Labels {
    /// Of a call or a cast.
    Client {
        /// `call` or `cast`.
        call_type: &'static str,
        /// As the target says.
        exchange: Option<Arc<str>>,
        /// As the target says.
        topic: Arc<str>,
        /// As the target says.
        namespace: Option<Arc<str>>,
        /// As the target says.
        version: Option<Arc<str>>,
        /// As the target says.
        server: Option<Arc<str>>,
        /// `None` rather than `false`, as Python's targets have it.
        fanout: Option<bool>,
        /// Name of the method.
        method: Arc<str>,
        /// Never there: oslo.messaging does not fill it.
        timeout: Option<()>,
    },
    /// Of a request that is served.
    Server {
        /// As the server's target says.
        exchange: Option<Arc<str>>,
        /// As the server's target says.
        topic: Option<Arc<str>>,
        /// As the server's target says.
        server: Option<Arc<str>>,
        /// Never there: endpoints have no name of their own.
        endpoint: Option<()>,
        /// Of the endpoint.
        namespace: Option<Arc<str>>,
        /// Of the endpoint.
        version: Arc<str>,
        /// Name of the method.
        method: Arc<str>,
    },
}

impl Labels {
    /// Of a call or a cast to `target`, where topic and method may be less than the truth to keep their number bounded.
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

    /// Of a method that a server on `target` serves.
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
    /// A request was begun.
    pub fn began(&self, labels: &Arc<Labels>) {
        self.tell(labels.metrics().began, labels, None, None);
    }

    /// It ended well, after so long.
    pub fn ended(&self, labels: &Arc<Labels>, took: Duration) {
        self.tell(labels.metrics().took, labels, Some(took), None);
        self.tell(labels.metrics().ended, labels, None, None);
    }

    /// It failed, with an exception of this class.
    pub fn failed(&self, labels: &Arc<Labels>, exception: &str) {
        self.tell(labels.metrics().failed, labels, None, Some(exception));
    }

    /// How many datagrams were dropped, because the queue was full or because the system refused them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Blocks until everything that was told so far has been sent or dropped, or `limit` is over; says whether it was.
    /// For the end of a program; in async code it belongs on a blocking thread.
    #[must_use]
    pub fn flush(&self, limit: Duration) -> bool {
        let begun = Instant::now();
        let wanted = self.counts.accepted.load(Ordering::Acquire);
        while self.counts.done.load(Ordering::Acquire) < wanted {
            if begun.elapsed() >= limit {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    }

    fn tell(&self, name: &'static str, labels: &Arc<Labels>, took: Option<Duration>, exception: Option<&str>) {
        let event = Event {
            name,
            labels: labels.clone(),
            process: self.process.clone(),
            took,
            exception: exception.map(Into::into),
        };
        // Counted first, so that the thread can never be ahead of it.
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
        // Texts and finite numbers always have a form in JSON.
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
