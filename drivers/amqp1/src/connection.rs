//! Opens, follows and closes fe2o3-amqp's connections; [`Link`] supervises them.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use fe2o3_amqp::{
    Connection, Session,
    connection::ConnectionHandle,
    sasl_profile::SaslProfile,
    session::SessionHandle,
    types::{
        definitions::Fields,
        primitives::{Symbol, Value},
    },
};
use futures_util::FutureExt;
pub(crate) use oxlo_driver_kit::link::Role;
use oxlo_driver_kit::{
    hosts::{Account, Host},
    link::{self, AttemptError, Dialler, FAREWELL, Pace, Plan, unreachable},
    session,
    supervisor::Failover,
    tls::Tls,
};
use oxlo_transport::{TransportError, limited, text};
use tokio::{
    sync::{Semaphore, SemaphorePermit, mpsc, oneshot, watch},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::{
    config::Config,
    error::{self, Refused},
    fe2o3_internals::GROWTH,
    sessions::{Pool, Seat},
    stream::{GuardedStream, Opened, StreamHandle},
};

/// How long the broker may take to begin a session before another channel number is tried.
const BEGIN_LIMIT: Duration = Duration::from_secs(2);
/// How many channel numbers are tried for a session.
const BEGIN_ATTEMPTS: u32 = 3;
/// How many sessions in a row may fail to begin before the connection is closed.
const MOST_UNBEGUN: u32 = 3;
/// Sessions that are reserved for what shares none: replies, management, trials, and numbers that were abandoned.
const RESERVE: u32 = 8;
/// How many sessions may use the broker's management at a time.
const MANAGERS: usize = 4;
/// Handles in a session that are reserved for links that are closing.
const CLOSING: u32 = 8;
/// The largest frame that the broker may send.
const FRAME_MAX: u32 = 64 * 1024;
/// The highest channel number that is used.
const CHANNEL_MAX: u16 = 32_767;
/// Bytes that a message may have beside its text.
const HEADROOM: usize = 64 * 1024;

/// A supervised connection.
pub(crate) type Link = link::Link<Connected>;
/// Its state.
pub(crate) type LinkState = link::LinkState<Connected>;

type Begun = Result<SessionHandle<()>, Refused>;

/// One incarnation of the connection.
#[derive(Debug)]
pub(crate) struct Connected {
    sessions: mpsc::Sender<oneshot::Sender<Begun>>,
    ended: CancellationToken,
    opened: Opened,
    stream: StreamHandle,
    pool: Pool,
    /// Permits to use the broker's management.
    pub(crate) managers: Semaphore,
}

fn gone() -> Refused {
    Refused::Lost("the connection was lost".to_owned())
}

impl Connected {
    /// Begins a session that is not shared.
    ///
    /// # Errors
    ///
    /// The broker's refusal; `Denied` if all sessions that it allows are in use; `Lost` with the connection.
    pub(crate) async fn session(&self) -> Begun {
        let permit = tokio::select! {
            permit = timeout(BEGIN_LIMIT, self.stream.room().acquire()) => match permit {
                Ok(permit) => permit.map_err(|_| gone())?,
                Err(_) => return Err(self.full()),
            },
            () = self.ended.cancelled() => return Err(gone()),
        };
        self.begin(permit).await
    }

    /// Seats for links: in a session of their own while there is room for others, then in a shared one.
    ///
    /// # Errors
    ///
    /// As [`session`](Self::session).
    pub(crate) async fn seat(&self, links: u32) -> Result<Seat, Refused> {
        let reserve = RESERVE.min(self.sessions_max() / 4);
        if let Ok(mut permits) = self.stream.room().try_acquire_many(reserve + 1)
            && let Some(permit) = permits.split(1)
        {
            drop(permits);
            let _coming = self.pool.expect();
            return Ok(self.pool.add(self.begin(permit).await?, links));
        }
        let most = self.stream.links_max();
        let most = most.saturating_sub(CLOSING.min(most / 4));
        self.pool.share_when_come(links, most).await.ok_or_else(|| self.full())
    }

    /// Whether the broker attaches a link that sends to this address.
    ///
    /// # Errors
    ///
    /// As [`Seat::sender`].
    pub(crate) async fn try_sender(&self, address: &Arc<str>) -> Result<(), Refused> {
        let mut trial = self.pool.trial.lock().await;
        let seat = self.trial_seat(trial.take()).await?;
        let sender = seat.sender(address.clone()).await?;
        let _ = timeout(BEGIN_LIMIT, sender.close()).await;
        *trial = Some(seat);
        Ok(())
    }

    /// Whether the broker attaches links that receive from these addresses.
    ///
    /// # Errors
    ///
    /// As [`Seat::receiver`].
    pub(crate) async fn try_receiver(&self, address: &str) -> Result<(), Refused> {
        let mut trial = self.pool.trial.lock().await;
        let seat = self.trial_seat(trial.take()).await?;
        let receiver = seat.receiver(address, crate::receive::from(address)).await?;
        let _ = timeout(BEGIN_LIMIT, receiver.close()).await;
        *trial = Some(seat);
        Ok(())
    }

    async fn trial_seat(&self, last: Option<Seat>) -> Result<Seat, Refused> {
        match last.filter(|seat| !seat.ended().is_cancelled()) {
            Some(seat) => Ok(seat),
            None => Ok(Seat::alone(self.session().await?, 1)),
        }
    }

    async fn begin(&self, permit: SemaphorePermit<'_>) -> Begun {
        let (answer, begun) = oneshot::channel();
        let order = self.sessions.reserve().await.map_err(|_| gone())?;
        // Released when both ends have ended the session.
        permit.forget();
        order.send(answer);
        begun.await.unwrap_or_else(|_| Err(gone()))
    }

    fn sessions_max(&self) -> u32 {
        u32::from(self.opened.channel_max.min(CHANNEL_MAX)) + 1
    }

    fn full(&self) -> Refused {
        let (sessions, links) = (self.sessions_max(), self.stream.links_max());
        Refused::Denied(format!(
            "the broker allows {sessions} sessions on a connection and {links} links in each (its channel-max and \
             handle-max), and all are in use; use more transports, or raise its limits"
        ))
    }

    /// Waits for the end of this incarnation.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Logs a failure that is retried: a warning, unless the connection was lost, which is logged elsewhere.
    pub(crate) fn report(&self, cause: &str, address: &dyn std::fmt::Display) {
        if self.ended.is_cancelled() {
            debug!(%address, %cause, "a link or session was lost with its connection; retrying");
        } else {
            limited!(warn, "a link or session failed; retrying", %address, %cause);
        }
    }

    /// The broker's product name.
    pub(crate) fn product(&self) -> Option<&str> {
        self.opened.product.as_deref()
    }

    /// The broker's version.
    pub(crate) fn version(&self) -> Option<&str> {
        self.opened.version.as_deref()
    }
}

impl session::Session for Connected {
    async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

/// A link to the broker; links that share `news` notify each other when they have connected.
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

/// The error for a task that waited since `begun` for a connection.
pub(crate) fn unreachable_after(config: &Config, begun: Instant, cause: Option<TransportError>) -> TransportError {
    unreachable(config.places(), begun, cause)
}

/// Opens connections by fe2o3-amqp.
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
    type ConnectionGuard = Open;

    async fn open(&self, host: usize) -> Result<(Arc<Connected>, Open), AttemptError> {
        let begun = Instant::now();
        let Some(host) = self.config.hosts.get(host) else {
            return Err(AttemptError::passing(self.config.places(), Duration::ZERO, None));
        };
        let socket = host.dial(self.tls.clone(), self.config.idle_timeout).await?;
        let stream = GuardedStream::new(socket, FRAME_MAX, self.message_max, CHANNEL_MAX);
        let guard = KillOnDrop(Some(stream.handle()));
        let profile = match &host.account {
            Some(Account { user, password }) => {
                SaslProfile::Plain { username: user.clone(), password: password.expose().to_owned() }
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
        // Some brokers open a connection for anyone, and authorise only at its first session.
        if let Ok(permit) = handle.room().try_acquire() {
            permit.forget();
        }
        let mut first = Session::begin(&mut connection)
            .await
            .map_err(|error| error::from_begin(host, self.config.hostname.as_deref(), begun.elapsed(), &error))?;
        let _ = first.end().await;
        let (sessions, orders) = mpsc::channel(64);
        let connected = Arc::new(Connected {
            sessions,
            ended: CancellationToken::new(),
            opened: handle.opened(),
            stream: handle.clone(),
            pool: Pool::default(),
            managers: Semaphore::new(MANAGERS),
        });
        debug!(broker = %host.place(), product = connected.product().map(text::name).as_deref(), "opened");
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
    /// A unique name: a broker may refuse a second connection of the same name.
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

/// Ends the stream of an attempt that was dropped: fe2o3-amqp's task would keep it.
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

/// This machine and this program, as oslo names them.
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

/// Begins sessions until the connection ends, and returns why it did.
async fn watch_over(open: &mut Open) -> String {
    let mut unbegun = 0;
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
                if answer.is_closed() {
                    open.stream.room().add_permits(1);
                    continue;
                }
                let begun = begin(&mut open.handle, &open.stream).await;
                unbegun = if begun.is_some() { 0 } else { unbegun + 1 };
                let unanswered = || format!("the broker began no session on {BEGIN_ATTEMPTS} channels, with {BEGIN_LIMIT:?} for each");
                let _ = answer.send(begun.unwrap_or_else(|| Err(Refused::Lost(unanswered()))));
                if unbegun >= MOST_UNBEGUN {
                    return unanswered();
                }
            }
        }
    }
}

/// Begins a session, on other channel numbers if the broker does not answer; `None` if it answers on none.
async fn begin(connection: &mut ConnectionHandle<()>, stream: &StreamHandle) -> Option<Begun> {
    for attempt in 1..=BEGIN_ATTEMPTS {
        if attempt > 1 {
            stream.room().try_acquire().ok()?.forget();
        }
        let mut beginning = Box::pin(Session::begin(connection));
        if let Ok(begun) = timeout(BEGIN_LIMIT, &mut beginning).await {
            return Some(begun.map_err(|error| error::begin_refused(&error)));
        }
        let _ = timeout(BEGIN_LIMIT, stream.abandon_session()).await;
        // The answer may have come before the session was given up.
        if let Some(begun) = beginning.now_or_never() {
            return Some(begun.map_err(|error| error::begin_refused(&error)));
        }
        warn!(attempt, "the broker did not begin a session within {BEGIN_LIMIT:?}; trying another channel");
    }
    None
}
