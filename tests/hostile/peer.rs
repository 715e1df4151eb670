//! The common part of the fake brokers: accept, count, and send what a test tells them to.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use oxlo_test_support::eventually;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, tcp::OwnedWriteHalf},
    sync::{Mutex, watch},
    task::{JoinHandle, JoinSet},
};

/// Time limit for everything that takes moments unless something is broken.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The writing half of one client's connection. Frames of concurrent writers do not mix.
#[derive(Clone)]
pub(crate) struct Peer {
    socket: Arc<Mutex<OwnedWriteHalf>>,
    seen: Arc<Seen>,
}

/// Counters of a fake broker.
#[derive(Default)]
pub(crate) struct Seen {
    go: watch::Sender<bool>,
    connections: AtomicUsize,
    sent: AtomicUsize,
    rejected: AtomicUsize,
    settled: AtomicUsize,
    empty: AtomicUsize,
}

impl Seen {
    /// The client is ready: the attack begins.
    pub(crate) fn go(&self) {
        self.go.send_replace(true);
    }

    /// How many clients connected.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Bytes sent.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Messages that were rejected for good.
    pub(crate) fn rejected(&self) -> usize {
        self.rejected.load(Ordering::Relaxed)
    }

    /// Messages that were acknowledged.
    pub(crate) fn settled(&self) -> usize {
        self.settled.load(Ordering::Relaxed)
    }

    /// Empty frames: the client's heartbeats.
    pub(crate) fn empty(&self) -> usize {
        self.empty.load(Ordering::Relaxed)
    }

    pub(crate) fn note_empty(&self) {
        self.empty.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_settled(&self) {
        self.settled.fetch_add(1, Ordering::Relaxed);
    }

    /// Starts the attack, and waits until this many bytes were sent or this many clients have connected.
    pub(crate) async fn plays(&self, bytes: usize, connections: usize) {
        self.go();
        let done = async || (self.sent(), self.connections());
        eventually(SOON, "bytes sent, or connections", done, |(sent, seen)| *sent >= bytes || *seen >= connections)
            .await;
    }
}

impl Peer {
    pub(crate) async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let mut socket = self.socket.lock().await;
        self.seen.sent.fetch_add(bytes.len(), Ordering::Relaxed);
        socket.write_all(bytes).await
    }

    /// Sends the same bytes until the connection fails.
    pub(crate) async fn flood(&self, bytes: &[u8]) {
        while self.send(bytes).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the client is ready.
    pub(crate) async fn told(&self) {
        let _ = self.seen.go.subscribe().wait_for(|go| *go).await;
    }

    pub(crate) async fn close(&self) {
        let _ = self.socket.lock().await.shutdown().await;
    }

    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }
}

/// The attacks on one client.
#[derive(Default)]
pub(crate) struct Running(JoinSet<()>);

impl Running {
    /// Starts an attack, if there is one: at once, or when the client is ready.
    pub(crate) fn begin(&mut self, peer: &Peer, at_once: bool, attack: Option<Boxed>) -> bool {
        let Some(attack) = attack else { return false };
        let peer = peer.clone();
        self.0.spawn(async move {
            if !at_once {
                peer.told().await;
            }
            attack.await;
        });
        true
    }
}

/// A fake broker; ends when dropped.
pub(crate) struct Broker {
    pub(crate) port: u16,
    pub(crate) seen: Arc<Seen>,
    accepting: JoinHandle<()>,
}

impl Broker {
    /// Accepts clients, and serves each in a task.
    pub(crate) async fn start<Served: Future<Output = io::Result<()>> + Send + 'static>(
        serve: impl Fn(tokio::net::tcp::OwnedReadHalf, Peer) -> Served + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::<Seen>::default();
        let theirs = seen.clone();
        let accepting = tokio::spawn(async move {
            let mut clients = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                socket.set_nodelay(true).unwrap();
                let (read, write) = socket.into_split();
                theirs.connections.fetch_add(1, Ordering::Relaxed);
                let peer = Peer { socket: Arc::new(Mutex::new(write)), seen: theirs.clone() };
                clients.spawn(serve(read, peer));
            }
        });
        Self { port, seen, accepting }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
