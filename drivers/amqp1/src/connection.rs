//! One supervised connection: it comes back by itself, to whichever host answers, until it is closed.
//!
//! That it comes back is [`Link`]'s doing; this opens, follows and closes what fe2o3-amqp calls a connection, which has no
//! recovery of its own.

use std::{
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
pub(crate) use oxlo_driver_net::link::{Role, connected};
use oxlo_driver_net::{
    link::{self, ATTEMPT_LIMIT, AttemptError, Dialler, FAREWELL, Pace, Plan, unreachable},
    socket::{Peer, connect},
    tls::Tls,
};
use oxlo_transport::{TransportError, parts::supervisor::Failover};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use uuid::Uuid;

use crate::{
    config::{Config, Host},
    error,
    stream::{GROWTH, GuardedStream, Opened, StreamHandle},
};

/// How long the broker may take to begin a session.
const BEGIN_LIMIT: Duration = Duration::from_secs(5);
/// The largest frame that the broker may send.
const FRAME_MAX: u32 = 64 * 1024;
/// Links beyond which a connection has no room: each has a session of its own.
const CHANNEL_MAX: u16 = 32_767;
/// What a message may have beside its text.
const HEADROOM: usize = 64 * 1024;

/// A connection that comes back by itself.
pub(crate) type Link = link::Link<Connected>;
/// Where it stands.
pub(crate) type LinkState = link::LinkState<Connected>;

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

    /// Of which version.
    pub(crate) fn version(&self) -> Option<&str> {
        self.opened.version.as_deref()
    }
}

/// A link to the broker; links that share `news` tell each other when they have connected.
pub(crate) fn link(
    config: Arc<Config>,
    tls: Option<Tls>,
    role: Role,
    message_max: usize,
    news: &watch::Sender<()>,
) -> Link {
    let plan = Plan {
        role,
        places: config.hosts.iter().map(Host::place).collect(),
        failover: Failover::RoundRobin,
        pace: Pace::default(),
    };
    let message_max = message_max.saturating_add(HEADROOM);
    Link::spawn(Fe2o3 { config, tls, role, message_max }, plan, news)
}

/// No connection in time.
pub(crate) fn unreachable_after(config: &Config, begun: Instant, cause: Option<TransportError>) -> TransportError {
    unreachable(config.places(), begun, cause)
}

/// How fe2o3-amqp connects.
struct Fe2o3 {
    config: Arc<Config>,
    tls: Option<Tls>,
    role: Role,
    message_max: usize,
}

/// The connection itself, which only this file touches.
struct Open {
    handle: ConnectionHandle<()>,
    stream: StreamHandle,
    orders: mpsc::Receiver<oneshot::Sender<Begun>>,
}

impl Dialler for Fe2o3 {
    const SYSTEM: &'static str = "amqp";
    type Session = Connected;
    type Custody = Open;

    async fn open(&self, host: usize) -> Result<(Arc<Connected>, Open), AttemptError> {
        let begun = Instant::now();
        let Some(host) = self.config.hosts.get(host) else {
            return Err(AttemptError::passing(self.config.places(), Duration::ZERO, None));
        };
        let peer = Peer {
            host: host.name.clone(),
            port: host.port,
            tls: self.tls.clone(),
            user_timeout: self.config.idle_timeout,
        };
        let socket = connect(&peer, ATTEMPT_LIMIT)
            .await
            .map_err(|error| AttemptError::unconnected(host.place(), begun.elapsed(), error))?;
        let stream = GuardedStream::new(socket, FRAME_MAX, self.message_max);
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
        let mut connection = Box::pin(builder.open_with_stream(stream)).await.map_err(|error| {
            let hostname = self.config.hostname.as_deref();
            error::from_open(host, hostname, begun.elapsed(), &error, handle.failure())
        })?;
        // Some brokers open a connection for anyone, and say only at its first session whom they let in.
        let mut first = Session::begin(&mut connection)
            .await
            .map_err(|error| error::from_begin(host, self.config.hostname.as_deref(), begun.elapsed(), &error))?;
        let _ = first.end().await;
        let (sessions, orders) = mpsc::channel(64);
        let connected = Arc::new(Connected { sessions, ended: CancellationToken::new(), opened: handle.opened() });
        debug!(broker = %host.place(), product = connected.product(), "opened");
        guard.defuse();
        Ok((connected, Open { handle: connection, stream: handle, orders }))
    }

    async fn follow(&self, _: &Connected, open: &mut Open) -> String {
        watch_over(open).await
    }

    fn abandon(&self, connected: &Connected, open: Open) {
        connected.ended.cancel();
        open.stream.kill();
    }

    async fn farewell(&self, connected: &Connected, mut open: Open) {
        connected.ended.cancel();
        let _ = timeout(FAREWELL, open.handle.close()).await;
        open.stream.kill();
    }
}

impl Fe2o3 {
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
