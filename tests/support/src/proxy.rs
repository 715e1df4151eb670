//! A TCP proxy between a client and its broker that injects faults.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
    task::JoinSet,
};

use crate::{
    ports::PortLease,
    pump::{Ending, relay},
};

/// A direction through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the broker.
    Up,
    /// From the broker to the client.
    Down,
}

/// How a TCP connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hangup {
    /// An orderly shutdown: the peer reads the bytes in flight, then the end of the stream.
    Fin,
    /// A reset: the peer's next read or write fails.
    Reset,
}

/// What the proxy does to open and future connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Copies bytes unchanged.
    Pass,
    /// The listener is closed, so that new connections are refused. Open ones go on; see [`FaultProxy::hang_up`].
    Refuse,
    /// Connections stay open, new ones are accepted, and nothing is read in either direction, not even an end of the stream. What
    /// the kernels have buffered arrives when another mode is set, as after a lost route.
    Blackhole,
    /// [`Mode::Blackhole`] in one direction only.
    BlackholeOne(Direction),
    /// Open connections are ended now and new ones as soon as they are accepted.
    HangUp(Hangup),
    /// Each byte is a segment of its own.
    OneByte,
    /// Bytes arrive this much later, in both directions; throughput is not limited.
    Delay(Duration),
    /// At most this many bytes per second in each direction of each connection.
    Throttle(u32),
    /// Each connection is ended once `bytes` more bytes were passed on in `direction`, counted from its start or, for open ones, from
    /// the moment this mode was set. No byte after these is passed on.
    Cut {
        /// The direction whose bytes count.
        direction: Direction,
        /// How many bytes are passed on.
        bytes: u64,
        /// How both connections are ended.
        hangup: Hangup,
    },
}

/// A TCP proxy on a loopback port, for one broker.
///
/// Dropping it closes its connections and frees its port. It must be started and used within one tokio runtime.
#[derive(Debug)]
pub struct FaultProxy {
    port: PortLease,
    mode: watch::Sender<Mode>,
    kick: watch::Sender<Option<Hangup>>,
    counters: Arc<Counters>,
    // The acceptor task owns the connections' tasks and ends with this handle.
    _acceptor: JoinSet<()>,
    settled: tokio::sync::mpsc::UnboundedSender<oneshot::Sender<()>>,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    accepted: AtomicU64,
    open: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

impl Counters {
    pub(crate) fn add(&self, direction: Direction, bytes: usize) {
        let counter = match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        };
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl FaultProxy {
    /// Starts a proxy in [`Mode::Pass`] for the broker on loopback port `target`.
    pub async fn start(target: u16) -> Self {
        Self::start_for((Ipv4Addr::LOCALHOST, target).into()).await
    }

    /// Starts a proxy in [`Mode::Pass`] for the listener at `target`.
    ///
    /// # Panics
    ///
    /// When the leased port cannot be bound.
    pub async fn start_for(target: SocketAddr) -> Self {
        let port = PortLease::take();
        let listener = bind(port.port()).await;
        let (mode, modes) = watch::channel(Mode::Pass);
        let (kick, kicks) = watch::channel(None);
        let (settled, requests) = tokio::sync::mpsc::unbounded_channel();
        let counters = Arc::new(Counters::default());
        let acceptor = Acceptor { port: port.port(), target, modes, kicks, counters: Arc::clone(&counters), requests };
        let mut tasks = JoinSet::new();
        tasks.spawn(acceptor.run(Some(listener)));
        Self { port, mode, kick, counters, _acceptor: tasks, settled }
    }

    /// Where clients connect.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port()).into()
    }

    /// The port of [`FaultProxy::addr`]; the same in all modes.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.port()
    }

    /// `url` with its (only) host and port replaced by the proxy's.
    ///
    /// # Panics
    ///
    /// When `url` has no `://`.
    #[must_use]
    pub fn url(&self, url: &str) -> String {
        let (scheme, rest) = url.split_once("://").expect("a URL has ://");
        let (authority, path) = rest.find(['/', '?']).map_or((rest, ""), |end| rest.split_at(end));
        let credentials =
            authority.rsplit_once('@').map_or(String::new(), |(credentials, _)| format!("{credentials}@"));
        format!("{scheme}://{credentials}{}{path}", self.addr())
    }

    /// Sets the mode; it is in force for new connections when this returns, and reaches open ones within moments.
    pub async fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
        let (done, waiting) = oneshot::channel();
        if self.settled.send(done).is_ok() {
            let _ = waiting.await;
        }
    }

    /// The mode that was set last.
    #[must_use]
    pub fn mode(&self) -> Mode {
        *self.mode.borrow()
    }

    /// Ends the connections that are open now; the mode stays, so that new ones work as before.
    pub fn hang_up(&self, how: Hangup) {
        self.kick.send_replace(Some(how));
    }

    /// How many connections were accepted since the start.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.counters.accepted.load(Ordering::Relaxed)
    }

    /// How many of them are open.
    #[must_use]
    pub fn open_connections(&self) -> u64 {
        self.counters.open.load(Ordering::Relaxed)
    }

    /// Bytes passed on from clients to the broker since the start.
    #[must_use]
    pub fn bytes_up(&self) -> u64 {
        self.counters.up.load(Ordering::Relaxed)
    }

    /// Bytes passed on from the broker to clients since the start.
    #[must_use]
    pub fn bytes_down(&self) -> u64 {
        self.counters.down.load(Ordering::Relaxed)
    }
}

struct Acceptor {
    port: u16,
    target: SocketAddr,
    modes: watch::Receiver<Mode>,
    kicks: watch::Receiver<Option<Hangup>>,
    counters: Arc<Counters>,
    requests: tokio::sync::mpsc::UnboundedReceiver<oneshot::Sender<()>>,
}

impl Acceptor {
    async fn run(mut self, mut listener: Option<TcpListener>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                request = self.requests.recv() => {
                    let Some(done) = request else { return };
                    let refuse = *self.modes.borrow_and_update() == Mode::Refuse;
                    if refuse {
                        listener = None;
                    } else if listener.is_none() {
                        listener = Some(bind(self.port).await);
                    }
                    let _ = done.send(());
                }
                Some(_) = connections.join_next() => {}
                client = accept(listener.as_ref()) => {
                    self.counters.accepted.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(self.connection(client));
                }
            }
        }
    }

    fn connection(&self, mut client: TcpStream) -> impl Future<Output = ()> + Send + 'static {
        let open = Open::new(&self.counters);
        let (target, modes, mut kicks) = (self.target, self.modes.clone(), self.kicks.clone());
        let mut hangups = self.modes.clone();
        // A kick applies only to connections that were open at that time.
        kicks.mark_unchanged();
        async move {
            let _ = client.set_nodelay(true);
            let Ok(mut broker) = TcpStream::connect(target).await else {
                end(&client, Hangup::Reset);
                return;
            };
            let _ = broker.set_nodelay(true);
            let ending = tokio::select! {
                ending = relay(&mut client, &mut broker, modes, &open.counters) => ending,
                hangup = kicked(&mut kicks) => Ending::HungUp(hangup),
                // A pump that is blocked writing to a peer that does not read cannot observe the mode.
                hangup = hung_up(&mut hangups) => Ending::HungUp(hangup),
            };
            if let Ending::HungUp(Hangup::Reset) = ending {
                end(&client, Hangup::Reset);
                end(&broker, Hangup::Reset);
            }
        }
    }
}

/// Counts a connection as open while it lives, also when its task is aborted.
struct Open {
    counters: Arc<Counters>,
}

impl Open {
    fn new(counters: &Arc<Counters>) -> Self {
        counters.open.fetch_add(1, Ordering::Relaxed);
        Self { counters: Arc::clone(counters) }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.counters.open.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn bind(port: u16) -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .unwrap_or_else(|error| panic!("the fault proxy cannot bind its leased port {port}: {error}"))
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        if let Ok((client, _)) = listener.accept().await {
            return client;
        }
    }
}

async fn kicked(kicks: &mut watch::Receiver<Option<Hangup>>) -> Hangup {
    loop {
        // Without a sender the proxy is being dropped, which aborts this task anyway.
        if kicks.changed().await.is_err() {
            return Hangup::Reset;
        }
        if let Some(hangup) = *kicks.borrow_and_update() {
            return hangup;
        }
    }
}

async fn hung_up(modes: &mut watch::Receiver<Mode>) -> Hangup {
    match modes.wait_for(|mode| matches!(mode, Mode::HangUp(_))).await.as_deref() {
        Ok(Mode::HangUp(hangup)) => *hangup,
        _ => Hangup::Reset,
    }
}

/// Decides how the socket will be closed when it is dropped.
fn end(stream: &TcpStream, hangup: Hangup) {
    if hangup == Hangup::Reset {
        let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
    }
}
