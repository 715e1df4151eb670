//! Opens, follows and closes lapin's connections; [`Link`] supervises them.
//!
//! lapin's own recovery stays off: it knows one host, waits up to 20 s too long, and gives up.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use lapin::{
    Channel, Connection, ConnectionProperties, Event,
    uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo, SASLMechanism},
};
pub(crate) use oxlo_driver_kit::link::{Down, Role};
use oxlo_driver_kit::{
    hosts::Host,
    link::{self, AttemptError, Dialler, FAREWELL, Plan, unreachable},
    session,
    telemetry::BlockedTime,
    text::said,
    tls::Tls,
};
use oxlo_transport::{TransportError, limited};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use uuid::Uuid;

use crate::{
    builder::LoginMethod,
    config::Config,
    control::{
        channels::{ChannelCloser, OpenChannel},
        handshake,
    },
    error,
    lapin_internals::answer_or_lost,
    queue_name,
    stream::{ChannelSender, GuardedStream, StreamHandle},
};

/// The frame size that is offered to the broker, in bytes: RabbitMQ's own default.
const FRAME_MAX: u32 = 131_072;

/// How long the broker may take to open a channel.
const CHANNEL_LIMIT: Duration = Duration::from_secs(10);

/// A supervised connection.
pub(crate) type Link = link::Link<Session>;
/// Its state.
pub(crate) type LinkState = link::LinkState<Session>;

/// One incarnation of the connection.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    stream: StreamHandle,
    closer: ChannelCloser,
    /// Host and port of the broker.
    place: String,
    /// The broker's reason while it accepts no messages.
    pub(crate) blocked: watch::Receiver<Option<Arc<str>>>,
}

impl Session {
    /// Opens a channel, within a time limit; the caller retries.
    pub(crate) async fn channel(&self) -> lapin::Result<OpenChannel> {
        match timeout(CHANNEL_LIMIT, self.connection.create_channel()).await {
            Ok(opened) => opened.map(|channel| self.closer.wrap(channel)),
            Err(_) => {
                let text = format!("the broker opened no channel within {CHANNEL_LIMIT:?}");
                Err(std::io::Error::new(std::io::ErrorKind::TimedOut, text).into())
            }
        }
    }

    /// The limit that kept a channel from being opened; `None` if another failure did.
    pub(crate) fn channel_limit(&self, error: &lapin::Error) -> Option<TransportError> {
        error::channel_limit(&self.place, self.connection.configuration().channel_max(), error)
    }

    /// The result of `work` on channels of this incarnation, or an error once the incarnation has ended.
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

impl session::Session for Session {
    async fn ended(&self) {
        self.stream.ended().await;
    }
}

/// A link to the broker; links that share `news` notify each other when they have connected.
pub(crate) fn link(config: Arc<Config>, tls: Option<Tls>, role: Role, news: &watch::Sender<()>) -> Link {
    let plan = Plan {
        role,
        places: config.hosts.iter().map(Host::place).collect(),
        failover: config.failover,
        pace: config.pace.clone(),
    };
    Link::spawn(Lapin { config, tls, role }, plan, news)
}

/// The error for a task that waited since `begun` for a connection.
pub(crate) fn unreachable_after(config: &Config, begun: Instant, cause: Option<TransportError>) -> TransportError {
    unreachable(config.places(), begun, cause)
}

/// Opens connections by lapin.
struct Lapin {
    config: Arc<Config>,
    tls: Option<Tls>,
    role: Role,
}

impl Dialler for Lapin {
    const SYSTEM: &'static str = "rabbitmq";
    type Session = Session;
    /// Tells the session whether the broker blocks it.
    type ConnectionGuard = watch::Sender<Option<Arc<str>>>;

    async fn open(&self, host: usize) -> Result<(Arc<Session>, Self::ConnectionGuard), AttemptError> {
        let begun = Instant::now();
        let Some(host) = self.config.hosts.get(host) else {
            return Err(AttemptError::passing(self.config.places(), Duration::ZERO, None));
        };
        // oslo sets the heartbeat threshold.
        let user_timeout = (self.config.heartbeat > 0).then(|| Duration::from_secs(self.config.heartbeat.into()));
        let socket = host.dial(self.tls.clone(), user_timeout).await?;
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

    async fn follow(&self, session: &Session, blocked: &mut Self::ConnectionGuard) -> String {
        watch_over(session, blocked, BlockedTime::new(self.role.name())).await
    }

    fn abandon(&self, session: &Session, _: Self::ConnectionGuard) {
        // lapin may still hold the socket of a connection that it has given up.
        session.stream.kill("the connection was lost");
    }

    async fn farewell(&self, session: &Session, _: Self::ConnectionGuard) {
        let closed = timeout(FAREWELL, session.connection.close(200, "OK".into())).await;
        if !matches!(closed, Ok(Ok(()))) {
            session.stream.kill("the broker did not close it in time");
        }
        let _ = timeout(FAREWELL, session.stream.ended()).await;
    }
}

impl Lapin {
    fn uri(&self, host: &Host) -> AMQPUri {
        let mechanism = match self.config.login {
            LoginMethod::AmqPlain => SASLMechanism::AMQPlain,
            LoginMethod::Plain => SASLMechanism::Plain,
            LoginMethod::External => SASLMechanism::External,
        };
        let password = host.account.as_ref().map(|account| account.password.expose().to_owned()).unwrap_or_default();
        AMQPUri {
            scheme: AMQPScheme::AMQP,
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo { username: host.user().to_owned(), password },
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
        let program = Some(queue_name::process()).filter(|name| !name.is_empty()).unwrap_or_else(|| "oxlo".to_owned());
        // oslo's `program:pid:uuid`, and the role.
        let name = format!("{program}:{}:{}:{}", std::process::id(), Uuid::new_v4(), self.role.name());
        ConnectionProperties::default()
            .with_connection_name(name.into())
            .with_client_property("product".into(), "oxlo".into())
            .with_client_property("product_version".into(), env!("CARGO_PKG_VERSION").into())
    }
}

/// Follows the connection's events until it ends, and returns why it did.
async fn watch_over(
    session: &Session,
    blocked: &watch::Sender<Option<Arc<str>>>,
    mut blocked_time: BlockedTime,
) -> String {
    let mut events = std::pin::pin!(session.connection.events_listener());
    // Events before the listener was made are not repeated.
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
                    limited!(warn, "the broker blocks publishing", reason);
                    blocked.send_replace(Some(reason.into()));
                    blocked_time.begin();
                }
                Some(Event::ConnectionUnblocked) => {
                    limited!(info, "the broker accepts messages again");
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
