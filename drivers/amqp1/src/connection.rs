//! One supervised connection: it comes back by itself, to whichever host answers, until it is closed.
//!
//! The decisions (which host, when, when to give up) are [`Supervisor`]'s; this carries them out. fe2o3-amqp has no
//! recovery of its own.

use std::{
    num::NonZeroUsize,
    sync::{Arc, OnceLock},
    time::Duration,
};

use fe2o3_amqp::{
    Connection, Session,
    connection::ConnectionHandle,
    sasl_profile::SaslProfile,
    session::{BeginError, SessionHandle},
    types::{
        definitions::Fields,
        primitives::{Symbol, Value},
    },
};
use oxlo_driver_net::tls::Tls;
use oxlo_transport::{
    Retry, TransportError,
    parts::supervisor::{Failover, Next, Start, Supervisor},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use uuid::Uuid;

use crate::{
    config::{Config, Host},
    error::{self, AttemptError, Said},
    stream::{self, GROWTH, Opened, Peer, StreamHandle},
};

/// How long one attempt may take, from resolving the name to the first session.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(5);
/// How long the broker may take to begin a session.
const BEGIN_LIMIT: Duration = Duration::from_secs(5);
/// How long a broker that refused us for good is left alone.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);
/// How long closing in order may take before the socket is closed under it.
const FAREWELL: Duration = Duration::from_secs(2);
/// The largest frame that the broker may send.
const FRAME_MAX: u32 = 64 * 1024;
/// Links beyond which a connection has no room: each has a session of its own.
const CHANNEL_MAX: u16 = 32_767;
/// What a message may have beside its text.
const HEADROOM: usize = 64 * 1024;

/// What a connection is for. Two, because a broker that takes no messages reads nothing, settlements included.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    Publish,
    Consume,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Consume => "consume",
        }
    }
}

/// Where a connection stands.
#[derive(Clone, Debug)]
pub(crate) enum LinkState {
    Up(Arc<Connected>),
    Down(Down),
    Closed,
}

/// Not connected, and trying.
#[derive(Clone, Debug)]
pub(crate) struct Down {
    /// Attempts that failed since the connection was lost, or since the beginning.
    pub(crate) attempts: u32,
    /// Why it is down, or why the last attempt failed.
    pub(crate) cause: Option<TransportError>,
    /// Every host was tried, and the last cause will not pass.
    pub(crate) gave_up: bool,
}

type Begun = Result<SessionHandle<()>, BeginError>;

/// One incarnation of the connection.
#[derive(Debug)]
pub(crate) struct Connected {
    sessions: mpsc::Sender<oneshot::Sender<Begun>>,
    ended: CancellationToken,
    opened: Opened,
}

impl Connected {
    /// A new session; each link has its own, because some brokers end the session with any of its links.
    ///
    /// # Errors
    ///
    /// What fe2o3-amqp says; the connection being gone among it.
    pub(crate) async fn session(&self) -> Begun {
        let gone = || BeginError::ConnectionStopped(fe2o3_amqp::connection::ConnectionStopReason::Closed);
        let (answer, begun) = oneshot::channel();
        self.sessions.send(answer).await.map_err(|_| gone())?;
        begun.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Waits for the end of this incarnation.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// What the broker calls itself.
    pub(crate) fn product(&self) -> Option<&str> {
        self.opened.product.as_deref()
    }
}

/// A connection that comes back by itself.
#[derive(Debug)]
pub(crate) struct Link {
    state: watch::Receiver<LinkState>,
    begin: CancellationToken,
    stop: CancellationToken,
}

impl Link {
    /// A link that connects once it is told to [`begin`](Self::begin).
    pub(crate) fn spawn(config: Arc<Config>, tls: Option<Tls>, role: Role, message_max: usize) -> Self {
        let (sender, state) = watch::channel(LinkState::Down(Down { attempts: 0, cause: None, gave_up: false }));
        let (begin, stop) = (CancellationToken::new(), CancellationToken::new());
        let hosts = NonZeroUsize::new(config.hosts.len()).unwrap_or(NonZeroUsize::MIN);
        let supervisor = Supervisor::new(hosts, Start::Shuffled, Failover::RoundRobin, &mut rand::rng());
        let message_max = message_max.saturating_add(HEADROOM);
        let keeper = Keeper { config, tls, role, message_max, supervisor, state: sender, stop: stop.clone() };
        let begun = begin.clone();
        tokio::spawn(async move {
            if keeper.stop.clone().run_until_cancelled(begun.cancelled()).await.is_some() {
                keeper.run().await;
            } else {
                keeper.state.send_replace(LinkState::Closed);
            }
        });
        Self { state, begin, stop }
    }

    /// Starts to connect, unless it has.
    pub(crate) fn begin(&self) {
        self.begin.cancel();
    }

    /// The state and its changes.
    pub(crate) fn state(&self) -> watch::Receiver<LinkState> {
        self.state.clone()
    }

    /// Waits for the first connection.
    ///
    /// # Errors
    ///
    /// `Refused` once every host was tried and one refuses us for good, `Unreachable` once every host was tried as
    /// often as `retry` says.
    pub(crate) async fn first_connection(
        &self,
        config: &Config,
        retry: Retry,
    ) -> Result<Arc<Connected>, TransportError> {
        let begun = Instant::now();
        let hosts = u32::try_from(config.hosts.len()).unwrap_or(u32::MAX);
        let mut state = self.state();
        let settled = |state: &LinkState| match state {
            LinkState::Up(connected) => Some(Ok(connected.clone())),
            LinkState::Closed => Some(Err(TransportError::Closed)),
            LinkState::Down(down) if down.gave_up => Some(Err(down.cause.clone().unwrap_or(TransportError::Closed))),
            LinkState::Down(down) => match retry {
                Retry::Times(times) if down.attempts >= hosts.saturating_mul(times.saturating_add(1)) => {
                    Some(Err(unreachable_after(config, begun, down.cause.clone())))
                }
                _ => None,
            },
        };
        match state.wait_for(|state| settled(state).is_some()).await {
            Ok(state) => settled(&state).unwrap_or(Err(TransportError::Closed)),
            Err(_) => Err(TransportError::Closed),
        }
    }

    /// Closes in order; the link does not come back. Returns when the connection is closed.
    pub(crate) async fn close(&self) {
        self.stop.cancel();
        let mut state = self.state();
        // The keeper says `Closed` as its last act; if it is gone, it is closed as well.
        let _ = state.wait_for(|state| matches!(state, LinkState::Closed)).await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Waits until the link is up, and gives that incarnation; `None` once it is closed for good.
pub(crate) async fn connected(state: &mut watch::Receiver<LinkState>) -> Option<Arc<Connected>> {
    let settled = state.wait_for(|state| !matches!(state, LinkState::Down(_))).await.ok()?;
    match &*settled {
        LinkState::Up(connected) => Some(connected.clone()),
        LinkState::Down(_) | LinkState::Closed => None,
    }
}

/// No connection in time.
pub(crate) fn unreachable_after(config: &Config, begun: Instant, cause: Option<TransportError>) -> TransportError {
    TransportError::Unreachable {
        broker: config.places(),
        waited: begun.elapsed(),
        source: cause.map(|cause| Arc::new(cause) as _),
    }
}

struct Keeper {
    config: Arc<Config>,
    tls: Option<Tls>,
    role: Role,
    message_max: usize,
    supervisor: Supervisor,
    state: watch::Sender<LinkState>,
    stop: CancellationToken,
}

/// What an attempt yields: the connection, which only this file touches, and what others see of it.
struct Open {
    handle: ConnectionHandle<()>,
    stream: StreamHandle,
    orders: mpsc::Receiver<oneshot::Sender<Begun>>,
    connected: Arc<Connected>,
}

impl Keeper {
    async fn run(mut self) {
        let stop = self.stop.clone();
        let mut attempts = 0;
        let mut next = self.supervisor.start(Instant::now());
        loop {
            let (place, after) = match next {
                Next::Connect { host, after } => (host, after),
                Next::GiveUp { host } => {
                    self.state.send_modify(|state| {
                        if let LinkState::Down(down) = state {
                            down.gave_up = true;
                        }
                    });
                    (host, REFUSED_PAUSE)
                }
            };
            if stop.run_until_cancelled(tokio::time::sleep(after)).await.is_none() {
                break;
            }
            let Some(host) = self.config.hosts.get(place).cloned() else { break };
            let Some(attempt) = stop.run_until_cancelled(self.attempt(&host)).await else { break };
            match attempt {
                Ok(mut open) => {
                    attempts = 0;
                    self.supervisor.connected(Instant::now());
                    info!(broker = %host.place(), role = self.role.name(), product = open.connected.product(), "connected");
                    self.state.send_replace(LinkState::Up(open.connected.clone()));
                    let cause = stop.run_until_cancelled(watch_over(&mut open)).await;
                    open.connected.ended.cancel();
                    let Some(cause) = cause else {
                        farewell(open).await;
                        break;
                    };
                    open.stream.kill();
                    warn!(broker = %host.place(), role = self.role.name(), %cause, "connection lost");
                    metrics::counter!("oxlo_connections_lost_total", "role" => self.role.name()).increment(1);
                    let cause = TransportError::ConnectionLost { source: Some(Arc::new(Said(cause))) };
                    self.state.send_replace(LinkState::Down(Down { attempts, cause: Some(cause), gave_up: false }));
                    next = self.supervisor.lost(Instant::now(), &mut rand::rng());
                }
                Err(failed) => {
                    attempts += 1;
                    let cause = failed.error;
                    debug!(broker = %host.place(), role = self.role.name(), %cause, source = ?std::error::Error::source(&cause), "no connection");
                    self.state.send_replace(LinkState::Down(Down { attempts, cause: Some(cause), gave_up: false }));
                    next = self.supervisor.failed(failed.permanent, Instant::now(), &mut rand::rng());
                }
            }
        }
        self.state.send_replace(LinkState::Closed);
    }

    async fn attempt(&self, host: &Host) -> Result<Open, AttemptError> {
        let begun = Instant::now();
        timeout(ATTEMPT_LIMIT, self.open(host, begun))
            .await
            .unwrap_or_else(|_| Err(AttemptError::passing(host, begun.elapsed(), None)))
    }

    async fn open(&self, host: &Host, begun: Instant) -> Result<Open, AttemptError> {
        let peer = Peer {
            host: host.name.clone(),
            port: host.port,
            tls: self.tls.clone(),
            user_timeout: self.config.idle_timeout,
            frame_max: FRAME_MAX,
            message_max: self.message_max,
        };
        let stream = stream::connect(&peer, ATTEMPT_LIMIT)
            .await
            .map_err(|error| error::from_stream(host, begun.elapsed(), error))?;
        let guard = KillOnDrop(Some(stream.handle()));
        let profile = match &host.login {
            Some(login) => {
                SaslProfile::Plain { username: login.user.clone(), password: login.password.expose().to_owned() }
            }
            None => SaslProfile::Anonymous,
        };
        let mut builder = Connection::builder()
            .container_id(self.container())
            .hostname(self.config.hostname.as_deref())
            .sasl_hostname(self.config.hostname.as_deref())
            .scheme("amqp")
            .max_frame_size(FRAME_MAX + GROWTH)
            .channel_max(CHANNEL_MAX)
            .session_max(CHANNEL_MAX)
            .sasl_profile(profile)
            .properties(properties());
        if let Some(limit) = self.config.idle_timeout {
            builder = builder.idle_time_out(u32::try_from(limit.as_millis()).unwrap_or(u32::MAX));
        }
        let handle = stream.handle();
        let mut connection = Box::pin(builder.open_with_stream(stream))
            .await
            .map_err(|error| error::from_open(host, begun.elapsed(), &error, handle.failure()))?;
        // Some brokers open a connection for anyone, and say only at its first session whom they let in.
        let mut first =
            Session::begin(&mut connection).await.map_err(|error| error::from_begin(host, begun.elapsed(), &error))?;
        let _ = first.end().await;
        let (sessions, orders) = mpsc::channel(64);
        let connected = Arc::new(Connected { sessions, ended: CancellationToken::new(), opened: handle.opened() });
        guard.defuse();
        Ok(Open { handle: connection, stream: handle, orders, connected })
    }

    /// A name that no other connection has: a broker may refuse the second one of a name.
    fn container(&self) -> String {
        match &self.config.container {
            Some(name) => format!("{name}/{}/{}", self.role.name(), Uuid::new_v4().simple()),
            None => {
                let (node, process) = whoami();
                let id = Uuid::new_v4().simple();
                format!("openstack.org/om/container/{node}/{process}/{}/{id}", std::process::id())
            }
        }
    }
}

/// Ends the stream of an attempt that was given up: fe2o3-amqp's task would go on with it.
struct KillOnDrop(Option<StreamHandle>);

impl KillOnDrop {
    fn defuse(mut self) {
        self.0 = None;
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(stream) = self.0.take() {
            stream.kill();
        }
    }
}

/// This machine and this program, as oslo tells them.
fn whoami() -> &'static (String, String) {
    static ME: OnceLock<(String, String)> = OnceLock::new();
    ME.get_or_init(|| {
        let node = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let process = std::env::args_os().next().and_then(|path| {
            std::path::PathBuf::from(path).file_name().map(|name| name.to_string_lossy().into_owned())
        });
        let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
        (or(node.trim(), "localhost"), or(&process.unwrap_or_default(), "oxlo"))
    })
}

fn properties() -> Fields {
    let (node, process) = whoami();
    let mut properties = Fields::new();
    let mut put = |key: &str, value: Value| properties.insert(Symbol::from(key), value);
    put("process", Value::String(process.clone()));
    put("pid", Value::Long(i64::from(std::process::id())));
    put("node", Value::String(node.clone()));
    put("product", Value::String("oxlo".to_owned()));
    put("version", Value::String(env!("CARGO_PKG_VERSION").to_owned()));
    properties
}

/// Begins sessions until the connection ends, and says why it did.
async fn watch_over(open: &mut Open) -> String {
    loop {
        tokio::select! {
            ended = open.handle.on_close() => {
                let said = match ended {
                    Ok(()) => "the broker closed the connection".to_owned(),
                    Err(fe2o3_amqp::connection::Error::RemoteClosedWithError(error)) => error::said(&error),
                    Err(error) => error.to_string(),
                };
                return open.stream.failure().map_or(said, |failure| failure.to_string());
            }
            order = open.orders.recv() => {
                let Some(answer) = order else { continue };
                match timeout(BEGIN_LIMIT, Session::begin(&mut open.handle)).await {
                    Ok(begun) => drop(answer.send(begun)),
                    // A half-begun session cannot be taken back.
                    Err(_) => return format!("the broker began no session within {BEGIN_LIMIT:?}"),
                }
            }
        }
    }
}

async fn farewell(mut open: Open) {
    let _ = timeout(FAREWELL, open.handle.close()).await;
    open.stream.kill();
}
