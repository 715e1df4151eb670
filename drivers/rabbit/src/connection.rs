//! One supervised connection: it comes back by itself, to whichever host answers, until it is closed.
//!
//! The decisions (which host, when, when to give up) are [`Supervisor`]'s; this carries them out. lapin's own recovery
//! stays off: it knows one host, waits up to 20 s too long, and gives up.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use futures_util::StreamExt;
use lapin::{
    Channel, Connection, ConnectionProperties, Event,
    uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo, SASLMechanism},
};
use oxlo_driver_net::tls::Tls;
use oxlo_transport::{
    Retry, TransportError,
    parts::{
        backoff::jitter,
        supervisor::{Next, Start, Supervisor},
    },
};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use uuid::Uuid;

use crate::{
    config::{Config, Host, Login},
    error::{self, AttemptError},
    stream::{self, Peer, StreamHandle},
};

/// How long one attempt may take, from resolving the name to the end of the handshake. kombu's limit.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(5);
/// How long a broker that refused us for good is left alone.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);
/// How long closing in order may take before the socket is closed under it.
const FAREWELL: Duration = Duration::from_secs(2);
/// What is offered to the broker: RabbitMQ's own default.
const FRAME_MAX: u32 = 131_072;

/// What a connection is for. Two, because an alarm stops everything that a connection writes, acknowledgements included.
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
    Up(Arc<Session>),
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

/// One incarnation of the connection.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    stream: StreamHandle,
    /// The broker's reason while it takes no messages.
    pub(crate) blocked: watch::Receiver<Option<Arc<str>>>,
}

impl Session {
    /// A new channel.
    pub(crate) async fn channel(&self) -> lapin::Result<Channel> {
        self.connection.create_channel().await
    }

    /// What `work` on channels of this incarnation gives, or an error once the incarnation has ended: lapin may leave a
    /// request unanswered that it was given in the moment of the end.
    pub(crate) async fn meanwhile<T, E: From<lapin::Error>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        tokio::select! {
            done = work => done,
            () = self.ended() => {
                let lost = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the connection was lost");
                Err(lapin::Error::from(lost).into())
            }
        }
    }

    /// Waits for the end of this incarnation.
    pub(crate) async fn ended(&self) {
        self.stream.ended().await;
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
    ///
    /// Links that share `news` tell each other when they have connected, so that one that waits to ask again does so at
    /// once when another has found the broker.
    pub(crate) fn spawn(config: Arc<Config>, tls: Option<Tls>, role: Role, news: &watch::Sender<()>) -> Self {
        let (sender, state) = watch::channel(LinkState::Down(Down { attempts: 0, cause: None, gave_up: false }));
        let (begin, stop) = (CancellationToken::new(), CancellationToken::new());
        let hosts = NonZeroUsize::new(config.hosts.len()).unwrap_or(NonZeroUsize::MIN);
        let supervisor = Supervisor::new(hosts, Start::Shuffled, config.failover, &mut rand::rng())
            .with_backoff(config.pace.backoff.clone());
        let news = news.clone();
        let keeper = Keeper { config, tls, role, supervisor, news, state: sender, stop: stop.clone() };
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
    pub(crate) async fn first_connection(&self, config: &Config, retry: Retry) -> Result<(), TransportError> {
        let begun = Instant::now();
        let hosts = u32::try_from(config.hosts.len()).unwrap_or(u32::MAX);
        let mut state = self.state();
        let failed = |state: &LinkState| match state {
            LinkState::Up(_) => Some(Ok(())),
            LinkState::Closed => Some(Err(TransportError::Closed)),
            LinkState::Down(down) if down.gave_up => Some(Err(down.cause.clone().unwrap_or(TransportError::Closed))),
            LinkState::Down(down) => match retry {
                Retry::Times(times) if down.attempts >= hosts.saturating_mul(times.saturating_add(1)) => {
                    Some(Err(unreachable_after(config, begun, down.cause.clone())))
                }
                _ => None,
            },
        };
        let ended = state.wait_for(|state| failed(state).is_some()).await;
        match ended {
            Ok(state) => failed(&state).unwrap_or(Ok(())),
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
pub(crate) async fn session(state: &mut watch::Receiver<LinkState>) -> Option<Arc<Session>> {
    let settled = state.wait_for(|state| !matches!(state, LinkState::Down(_))).await.ok()?;
    match &*settled {
        LinkState::Up(session) => Some(session.clone()),
        _ => None,
    }
}

/// No connection in time.
pub(crate) fn unreachable_after(config: &Config, begun: Instant, cause: Option<TransportError>) -> TransportError {
    let source = match cause {
        // The attempt's own error says the same of one host; what is behind it is news.
        Some(TransportError::Unreachable { source, .. }) => source,
        cause => cause.map(|cause| Arc::new(cause) as _),
    };
    TransportError::Unreachable { broker: config.places(), waited: begun.elapsed(), source }
}

struct Keeper {
    config: Arc<Config>,
    tls: Option<Tls>,
    role: Role,
    supervisor: Supervisor,
    news: watch::Sender<()>,
    state: watch::Sender<LinkState>,
    stop: CancellationToken,
}

impl Keeper {
    async fn run(mut self) {
        let stop = self.stop.clone();
        let mut next = self.supervisor.start(Instant::now());
        let mut attempts = 0;
        let mut news = self.news.subscribe();
        // Whether another link's success says that this one's next attempt would succeed as well.
        let mut unreachable = false;
        let mut refusal = None;
        loop {
            let (index, after) = match next {
                Next::Connect { host, after } => (host, after + self.paced(attempts)),
                // Said with the failure that led to it. Whoever wanted the first connection closes us; if nobody does,
                // it is tried on slowly.
                Next::GiveUp { .. } => {
                    next = self.supervisor.start(Instant::now());
                    if let Next::Connect { host, .. } = next {
                        next = Next::Connect { host, after: REFUSED_PAUSE };
                    }
                    continue;
                }
            };
            let pause = async {
                tokio::select! {
                    () = tokio::time::sleep(after) => {}
                    Ok(()) = news.changed(), if unreachable => {}
                }
            };
            if stop.run_until_cancelled(pause).await.is_none() {
                break;
            }
            news.mark_unchanged();
            let Some(host) = self.config.hosts.get(index).cloned() else { break };
            let Some(attempt) = stop.run_until_cancelled(self.attempt(&host)).await else { break };
            match attempt {
                Ok((session, blocked)) => {
                    info!(broker = %host.place(), role = self.role.name(), "connected");
                    attempts = 0;
                    self.supervisor.connected(Instant::now());
                    let session = Arc::new(session);
                    self.news.send_replace(());
                    self.state.send_replace(LinkState::Up(session.clone()));
                    let cause = tokio::select! {
                        cause = watch_over(&session, &blocked) => cause,
                        () = stop.cancelled() => {
                            farewell(&session).await;
                            break;
                        }
                    };
                    warn!(broker = %host.place(), role = self.role.name(), cause = %cause, "connection lost");
                    metrics::counter!("oxlo_connections_lost_total", "role" => self.role.name()).increment(1);
                    // lapin may still hold the socket of a connection that it gave up.
                    session.stream.kill("the connection was lost");
                    let cause = TransportError::ConnectionLost { source: Some(Arc::new(LostBecause(cause))) };
                    self.state.send_replace(LinkState::Down(Down { attempts, cause: Some(cause), gave_up: false }));
                    news.mark_unchanged();
                    unreachable = false;
                    next = self.supervisor.lost(Instant::now(), &mut rand::rng());
                }
                Err(failed) => {
                    attempts += 1;
                    let cause = failed.error;
                    debug!(broker = %host.place(), role = self.role.name(), %cause, source = ?std::error::Error::source(&cause), "no connection");
                    unreachable = !failed.permanent;
                    next = if failed.nobody {
                        self.supervisor.refused(Instant::now(), &mut rand::rng())
                    } else {
                        self.supervisor.failed(failed.permanent, Instant::now(), &mut rand::rng())
                    };
                    if failed.permanent {
                        refusal = Some(cause.clone());
                    }
                    let gave_up = matches!(next, Next::GiveUp { .. });
                    // The last failure may be another host's; why it was given up is the one to tell.
                    let cause = if gave_up { refusal.take().unwrap_or(cause) } else { cause };
                    self.state.send_replace(LinkState::Down(Down { attempts, cause: Some(cause), gave_up }));
                }
            }
        }
        self.state.send_replace(LinkState::Closed);
    }

    /// The pause that was configured beside the supervisor's own; none before the very first attempt.
    fn paced(&self, attempts: u32) -> Duration {
        let pace = &self.config.pace;
        let first = attempts == 0 && matches!(&*self.state.borrow(), LinkState::Down(Down { cause: None, .. }));
        if first { Duration::ZERO } else { pace.delay + jitter(&mut rand::rng(), pace.splay) }
    }

    async fn attempt(&self, host: &Host) -> Result<(Session, watch::Sender<Option<Arc<str>>>), AttemptError> {
        let begun = Instant::now();
        let connecting = async {
            let peer = Peer {
                host: host.name.clone(),
                port: host.port,
                tls: self.tls.clone(),
                user_timeout: (self.config.heartbeat > 0).then(|| Duration::from_secs(self.config.heartbeat.into())),
                frame_max: FRAME_MAX,
            };
            let stream = stream::connect(&peer, ATTEMPT_LIMIT)
                .await
                .map_err(|error| error::from_stream(host, begun.elapsed(), error))?;
            let handle = stream.handle();
            match stream::runtime::open(self.uri(host), self.properties(), stream).await {
                Ok(connection) => Ok((connection, handle)),
                Err(error) => {
                    Err(error::from_handshake(host, &self.config.virtual_host, begun.elapsed(), error, handle.end()))
                }
            }
        };
        let (connection, stream) = timeout(ATTEMPT_LIMIT, connecting)
            .await
            .unwrap_or_else(|_| Err(AttemptError::passing(host, begun.elapsed(), None)))?;
        let (sender, blocked) = watch::channel(None);
        Ok((Session { connection, stream, blocked }, sender))
    }

    fn uri(&self, host: &Host) -> AMQPUri {
        let mechanism = match self.config.login {
            Login::AmqPlain => SASLMechanism::AMQPlain,
            Login::Plain => SASLMechanism::Plain,
            Login::External => SASLMechanism::External,
        };
        AMQPUri {
            scheme: AMQPScheme::AMQP,
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo { username: host.user.clone(), password: host.password.expose().to_owned() },
                host: host.name.clone(),
                port: host.port,
            },
            vhost: self.config.virtual_host.clone(),
            query: AMQPQueryString {
                heartbeat: Some(self.config.heartbeat),
                auth_mechanism: Some(mechanism),
                ..AMQPQueryString::default()
            },
        }
    }

    fn properties(&self) -> ConnectionProperties {
        let program = std::env::args_os()
            .next()
            .and_then(|path| std::path::PathBuf::from(path).file_name().map(|name| name.to_string_lossy().into_owned()))
            .unwrap_or_else(|| "oxlo".to_owned());
        // oslo's `program:pid:uuid`, and what the connection is for.
        let name = format!("{program}:{}:{}:{}", std::process::id(), Uuid::new_v4(), self.role.name());
        ConnectionProperties::default()
            .with_connection_name(name.into())
            .with_client_property("product".into(), "oxlo".into())
            .with_client_property("product_version".into(), env!("CARGO_PKG_VERSION").into())
    }
}

/// What ended a connection, as one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct LostBecause(String);

/// Follows the connection's events until it ends, and says why it did.
async fn watch_over(session: &Session, blocked: &watch::Sender<Option<Arc<str>>>) -> String {
    let mut events = std::pin::pin!(session.connection.events_listener());
    // What happened before there was a listener is not repeated to it.
    if session.connection.status().blocked() {
        blocked.send_replace(Some("the broker blocks this connection".into()));
    }
    let mut broker_said = None;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::ConnectionBlocked(reason)) => {
                    warn!(%reason, "the broker takes no messages");
                    blocked.send_replace(Some(reason.into()));
                }
                Some(Event::ConnectionUnblocked) => {
                    info!("the broker takes messages again");
                    blocked.send_replace(None);
                }
                Some(Event::Error(error)) => broker_said = Some(error.to_string()),
                Some(_) => {}
                None => return broker_said.unwrap_or_else(|| "the connection ended".to_owned()),
            },
            end = session.stream.ended() => return broker_said.unwrap_or_else(|| end.to_string()),
        }
    }
}

async fn farewell(session: &Session) {
    let closed = timeout(FAREWELL, session.connection.close(200, "OK".into())).await;
    if !matches!(closed, Ok(Ok(()))) {
        session.stream.kill("it did not close in time");
    }
    let _ = timeout(FAREWELL, session.stream.ended()).await;
}
