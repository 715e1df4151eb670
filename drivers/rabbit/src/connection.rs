//! One supervised connection: it comes back by itself, to whichever host answers, until it is closed.
//!
//! That it comes back is [`Link`]'s doing; this opens, follows and closes what lapin calls a connection. lapin's own
//! recovery stays off: it knows one host, waits up to 20 s too long, and gives up.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use lapin::{
    Channel, Connection, ConnectionProperties, Event,
    uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo, SASLMechanism},
};
pub(crate) use oxlo_driver_kit::link::{Down, Role, connected as session};
use oxlo_driver_kit::{
    link::{self, ATTEMPT_LIMIT, AttemptError, Dialler, FAREWELL, Plan, unreachable},
    socket::{Peer, connect},
    telemetry::BlockedTime,
    text::{keep_secret, said},
    tls::Tls,
};
use oxlo_transport::{TransportError, limited};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use uuid::Uuid;

use crate::{
    config::{Config, Host, Login},
    control::{
        channels::{ChannelCloser, OpenChannel},
        handshake,
    },
    error,
    lapin_internals::answer_or_lost,
    stream::{ChannelSender, GuardedStream, StreamHandle},
};

/// What is offered to the broker: RabbitMQ's own default.
const FRAME_MAX: u32 = 131_072;

/// How long the broker may take to open a channel.
const CHANNEL_LIMIT: Duration = Duration::from_secs(10);

/// A connection that comes back by itself.
pub(crate) type Link = link::Link<Session>;
/// Where it stands.
pub(crate) type LinkState = link::LinkState<Session>;

/// One incarnation of the connection.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    stream: StreamHandle,
    closer: ChannelCloser,
    /// Host and port of the broker.
    place: String,
    /// The broker's reason while it takes no messages.
    pub(crate) blocked: watch::Receiver<Option<Arc<str>>>,
}

impl Session {
    /// A new channel, within a time limit: whoever asked tries again.
    pub(crate) async fn channel(&self) -> lapin::Result<OpenChannel> {
        match timeout(CHANNEL_LIMIT, self.connection.create_channel()).await {
            Ok(opened) => opened.map(|channel| self.closer.wrap(channel)),
            Err(_) => {
                let text = format!("the broker opened no channel within {CHANNEL_LIMIT:?}");
                Err(std::io::Error::new(std::io::ErrorKind::TimedOut, text).into())
            }
        }
    }

    /// The limit that kept a channel from being opened; `None` if it was none.
    pub(crate) fn channel_limit(&self, error: &lapin::Error) -> Option<TransportError> {
        error::channel_limit(&self.place, self.connection.configuration().channel_max(), error)
    }

    /// The result of `work` on channels of this connection, or an error once the connection has ended.
    pub(crate) async fn meanwhile<T, E: From<lapin::Error>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        answer_or_lost(work, self.ended()).await
    }

    /// The right to send messages and acknowledgements on a channel.
    pub(crate) fn sender(&self, channel: &Channel) -> ChannelSender {
        self.stream.sender(channel.id())
    }

    /// The stream under this incarnation.
    pub(crate) fn stream(&self) -> &StreamHandle {
        &self.stream
    }

    /// Waits for the end of this incarnation.
    pub(crate) async fn ended(&self) {
        self.stream.ended().await;
    }
}

/// A link to the broker; links that share `news` tell each other when they have connected.
pub(crate) fn link(config: Arc<Config>, tls: Option<Tls>, role: Role, news: &watch::Sender<()>) -> Link {
    let plan = Plan {
        role,
        places: config.hosts.iter().map(Host::place).collect(),
        failover: config.failover,
        pace: config.pace.clone(),
    };
    Link::spawn(Lapin { config, tls, role }, plan, news)
}

/// No connection in time.
pub(crate) fn unreachable_after(config: &Config, begun: Instant, cause: Option<TransportError>) -> TransportError {
    unreachable(config.places(), begun, cause)
}

/// How lapin connects.
struct Lapin {
    config: Arc<Config>,
    tls: Option<Tls>,
    role: Role,
}

impl Dialler for Lapin {
    const SYSTEM: &'static str = "rabbitmq";
    type Session = Session;
    /// What is known of the broker's blocking.
    type Custody = watch::Sender<Option<Arc<str>>>;

    async fn open(&self, host: usize) -> Result<(Arc<Session>, Self::Custody), AttemptError> {
        let begun = Instant::now();
        let Some(host) = self.config.hosts.get(host) else {
            return Err(AttemptError::passing(self.config.places(), Duration::ZERO, None));
        };
        keep_secret(&host.user, host.password.expose());
        let peer = Peer {
            host: host.name.clone(),
            port: host.port,
            tls: self.tls.clone(),
            // oslo sets the heartbeat threshold.
            user_timeout: (self.config.heartbeat > 0).then(|| Duration::from_secs(self.config.heartbeat.into())),
        };
        let socket = connect(&peer, ATTEMPT_LIMIT)
            .await
            .map_err(|error| AttemptError::unconnected(host.place(), begun.elapsed(), error))?;
        let stream = GuardedStream::new(socket, FRAME_MAX);
        let handle = stream.handle();
        let connection = handshake::open(self.uri(host), self.properties(), stream).await.map_err(|error| {
            error::from_handshake(host, &self.config.virtual_host, begun.elapsed(), error, handle.end())
        })?;
        let (sender, blocked) = watch::channel(None);
        let closer = ChannelCloser::spawn(handle.clone());
        let place = host.place();
        Ok((Arc::new(Session { connection, stream: handle, closer, place, blocked }), sender))
    }

    async fn follow(&self, session: &Session, blocked: &mut Self::Custody) -> String {
        watch_over(session, blocked, BlockedTime::new(self.role.name())).await
    }

    fn abandon(&self, session: &Session, _: Self::Custody) {
        // lapin may still hold the socket of a connection that it gave up.
        session.stream.kill("the connection was lost");
    }

    async fn farewell(&self, session: &Session, _: Self::Custody) {
        let closed = timeout(FAREWELL, session.connection.close(200, "OK".into())).await;
        if !matches!(closed, Ok(Ok(()))) {
            session.stream.kill("it did not close in time");
        }
        let _ = timeout(FAREWELL, session.stream.ended()).await;
    }
}

impl Lapin {
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

/// Follows the connection's events until it ends, and says why it did.
async fn watch_over(
    session: &Session,
    blocked: &watch::Sender<Option<Arc<str>>>,
    mut blocked_time: BlockedTime,
) -> String {
    let mut events = std::pin::pin!(session.connection.events_listener());
    // What happened before there was a listener is not repeated to it.
    if session.connection.status().blocked() {
        blocked.send_replace(Some("the broker blocks this connection".into()));
        blocked_time.begin();
    }
    let mut broker_said = None;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::ConnectionBlocked(reason)) => {
                    let reason = said(&reason);
                    limited!(warn, "the broker takes no messages", reason);
                    blocked.send_replace(Some(reason.into()));
                    blocked_time.begin();
                }
                Some(Event::ConnectionUnblocked) => {
                    limited!(info, "the broker takes messages again");
                    blocked.send_replace(None);
                    blocked_time.end();
                }
                Some(Event::Error(error)) => broker_said = Some(said(&error.to_string())),
                Some(_) => {}
                None => return broker_said.unwrap_or_else(|| "the connection ended".to_owned()),
            },
            end = session.stream.ended() => return broker_said.unwrap_or_else(|| end.to_string()),
        }
    }
}
