//! A supervised connection: it is re-established, to whichever host answers, until it is closed.
//!
//! The decisions (which host, when, when to give up) are [`Supervisor`](crate::supervisor::Supervisor)'s,
//! the protocol is the driver's [`Dialler`]; this file applies the decisions to the protocol.

use std::{sync::Arc, time::Duration};

use oxlo_transport::{
    ConnectionState, Retry, TransportError,
    backoff::Backoff,
    error::{Cause, Refusal},
};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{keeper::Keeper, send_budget::SendBudget, socket::ConnectError, supervisor::Failover};

/// How long one attempt may take, from resolving the name to the end of the handshake. kombu's limit.
pub const ATTEMPT_LIMIT: Duration = Duration::from_secs(5);
/// How long a graceful close may take before the socket is closed.
pub const FAREWELL: Duration = Duration::from_secs(2);

/// Opens, follows and closes one incarnation of a connection in the driver's protocol.
pub trait Dialler: Send + Sync + 'static {
    /// OpenTelemetry's name of what it connects to (`messaging.system`).
    const SYSTEM: &'static str;
    /// What the driver uses while the connection lasts.
    type Session: Send + Sync + 'static;
    /// What only [`follow`](Self::follow) and the end of the connection need; owned by the link.
    type ConnectionGuard: Send + 'static;

    /// Opens a connection to the host at this index of the list, handshake included. The caller enforces
    /// [`ATTEMPT_LIMIT`] by dropping the future, which must close what it had opened.
    fn open(
        &self,
        host: usize,
    ) -> impl Future<Output = Result<(Arc<Self::Session>, Self::ConnectionGuard), AttemptError>> + Send;

    /// Follows the connection until it ends, and returns why it did, as one sentence. May be dropped.
    fn follow(&self, session: &Self::Session, guard: &mut Self::ConnectionGuard)
    -> impl Future<Output = String> + Send;

    /// Releases a connection that was lost: tasks that wait for its end are woken, and the socket is closed.
    fn abandon(&self, session: &Self::Session, guard: Self::ConnectionGuard);

    /// Closes a connection gracefully, within a few [`FAREWELL`]s.
    fn farewell(&self, session: &Self::Session, guard: Self::ConnectionGuard) -> impl Future<Output = ()> + Send;
}

/// Why an attempt to connect failed, and whether another one would fail the same way.
#[derive(Debug)]
pub struct AttemptError {
    /// The error for tasks that wait for the connection.
    pub error: TransportError,
    /// Whether every attempt fails until credentials, names, certificates or the peer change.
    pub permanent: bool,
    /// Whether nothing listens on the port: the host refused the TCP connection.
    pub nobody: bool,
}

impl AttemptError {
    /// The broker at `place` refused the connection; permanent unless the refusal [may pass](Refusal::may_pass).
    #[must_use]
    pub fn refused(place: String, refusal: Refusal, reason: impl Into<String>) -> Self {
        let error = TransportError::Refused { refusal, broker: place, reason: reason.into() };
        Self { error, permanent: !refusal.may_pass(), nobody: false }
    }

    /// No connection to `place`; another attempt may succeed.
    #[must_use]
    pub fn passing(place: String, waited: Duration, source: Option<Cause>) -> Self {
        let error = TransportError::Unreachable { broker: place, waited, source };
        Self { error, permanent: false, nobody: false }
    }

    /// No socket to `place`.
    #[must_use]
    pub fn unconnected(place: String, waited: Duration, error: ConnectError) -> Self {
        if error.is_permanent() {
            return Self::refused(place, Refusal::Tls, error.to_string());
        }
        let nobody = error.is_refused();
        Self { nobody, ..Self::passing(place, waited, Some(Arc::new(error))) }
    }
}

/// What a connection is for. A broker that blocks publishers stops reading their connection, settlements included, so
/// publishing and consuming have one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It sends messages.
    Publish,
    /// It receives them.
    Consume,
}

impl Role {
    /// The name in logs, metrics, and what a broker shows.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Consume => "consume",
        }
    }
}

/// Pauses between attempts to connect, added to the supervisor's own. None by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pace {
    /// Before every attempt to reconnect.
    pub delay: Duration,
    /// The upper bound of a random addition to it, drawn for each attempt.
    pub splay: Duration,
    /// Before every cycle through the hosts but the first.
    pub backoff: Backoff,
}

/// Where a link connects to, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it is for.
    pub role: Role,
    /// The hosts for display; [`Dialler::open`] is given indices into this list.
    pub places: Vec<String>,
    /// The order in which later cycles try them.
    pub failover: Failover,
    /// The pauses between attempts.
    pub pace: Pace,
}

/// The state of a link.
#[derive(Debug)]
pub enum LinkState<S> {
    /// Connected: one incarnation.
    Up(Arc<S>),
    /// Not connected, and trying.
    Down(Down),
    /// Closed by us; it does not come back.
    Closed,
}

impl<S> Clone for LinkState<S> {
    fn clone(&self) -> Self {
        match self {
            Self::Up(session) => Self::Up(session.clone()),
            Self::Down(down) => Self::Down(down.clone()),
            Self::Closed => Self::Closed,
        }
    }
}

/// Not connected, and trying.
#[derive(Clone, Debug, Default)]
pub struct Down {
    /// Attempts that failed since the connection was lost, or since the beginning.
    pub attempts: u32,
    /// Why it is down, or why the last attempt failed.
    pub cause: Option<TransportError>,
    /// Every host was tried, and the last cause will not pass.
    pub gave_up: bool,
}

impl Down {
    /// Whether each of `hosts` was tried as often as `retry` says.
    #[must_use]
    pub fn exhausted(&self, retry: Retry, hosts: usize) -> bool {
        let Retry::Times(times) = retry else { return false };
        let hosts = u32::try_from(hosts).unwrap_or(u32::MAX).max(1);
        self.attempts >= hosts.saturating_mul(times.saturating_add(1))
    }
}

/// A connection that is re-established whenever it is lost. Dropping it closes the connection in the background.
#[derive(Debug)]
pub struct Link<S> {
    state: watch::Receiver<LinkState<S>>,
    places: Vec<String>,
    begin: CancellationToken,
    stop: CancellationToken,
}

impl<S: Send + Sync + 'static> Link<S> {
    /// A link that connects once it is told to [`begin`](Self::begin).
    ///
    /// Links that share `news` notify each other when they have connected, so that a link that waits before its next
    /// attempt tries at once when another has reached the broker.
    pub fn spawn<D: Dialler<Session = S>>(dialler: D, plan: Plan, news: &watch::Sender<()>) -> Self {
        let (sender, state) = watch::channel(LinkState::Down(Down::default()));
        let (begin, stop) = (CancellationToken::new(), CancellationToken::new());
        let places = plan.places.clone();
        let keeper = Keeper::new(dialler, plan, news.clone(), sender, stop.clone());
        tokio::spawn(keeper.run(begin.clone()));
        Self { state, places, begin, stop }
    }

    /// Starts to connect, if it has not yet.
    pub fn begin(&self) {
        self.begin.cancel();
    }

    /// The state and its changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<LinkState<S>> {
        self.state.clone()
    }

    /// Waits for the first connection.
    ///
    /// # Errors
    ///
    /// `Refused` once every host was tried and one refuses us for good. Once every host was tried as often as `retry`
    /// says, `Refused` if the last one refused us in a way that may pass, else `Unreachable`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn first_connection(&self, retry: Retry) -> Result<Arc<S>, TransportError> {
        let begun = Instant::now();
        let mut state = self.state();
        let settled = |state: &LinkState<S>| match state {
            LinkState::Up(session) => Some(Ok(session.clone())),
            LinkState::Closed => Some(Err(TransportError::Closed)),
            LinkState::Down(down) if down.gave_up => Some(Err(down.cause.clone().unwrap_or(TransportError::Closed))),
            LinkState::Down(down) if down.exhausted(retry, self.places.len()) => Some(Err(match &down.cause {
                Some(refused @ TransportError::Refused { .. }) => refused.clone(),
                cause => unreachable(self.places.join(", "), begun, cause.clone()),
            })),
            LinkState::Down(_) => None,
        };
        match state.wait_for(|state| settled(state).is_some()).await {
            Ok(state) => settled(&state).unwrap_or(Err(TransportError::Closed)),
            Err(_) => Err(TransportError::Closed),
        }
    }

    /// Why it is down, or why the last attempt to connect failed; `None` while it is up, or was never told to connect.
    #[must_use]
    pub fn failure(&self) -> Option<TransportError> {
        match &*self.state.borrow() {
            LinkState::Down(down) => down.cause.clone(),
            LinkState::Up(_) | LinkState::Closed => None,
        }
    }

    /// How many hosts it may connect to.
    #[must_use]
    pub fn hosts(&self) -> usize {
        self.places.len()
    }

    /// The error for a caller that waited since `begun` for what needs this connection.
    #[must_use]
    pub fn unreachable(&self, begun: Instant, cause: Option<TransportError>) -> TransportError {
        unreachable(self.places.join(", "), begun, cause)
    }

    /// Closes the link for good. Returns when the connection is closed.
    pub async fn close(&self) {
        self.stop.cancel();
        let mut state = self.state();
        // The keeper sets `Closed` last; if it is gone, the link is closed as well.
        let _ = state.wait_for(|state| matches!(state, LinkState::Closed)).await;
    }
}

impl<S> Drop for Link<S> {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Closes both links, and waits until the state that was [`joined`](crate::state::joined) of them is `Closed`.
pub async fn close<S: Send + Sync + 'static>(
    publishing: &Link<S>,
    consuming: &Link<S>,
    mut state: watch::Receiver<ConnectionState>,
) {
    tokio::join!(publishing.close(), consuming.close());
    let _ = timeout(Duration::from_secs(1), state.wait_for(|state| *state == ConnectionState::Closed)).await;
}

/// Waits until the link is up, and returns that incarnation; `None` once it is closed for good.
///
/// # Cancel safety
///
/// Dropping the future changes nothing.
pub async fn connected<S>(state: &mut watch::Receiver<LinkState<S>>) -> Option<Arc<S>> {
    let settled = state.wait_for(|state| !matches!(state, LinkState::Down(_))).await.ok()?;
    match &*settled {
        LinkState::Up(session) => Some(session.clone()),
        LinkState::Down(_) | LinkState::Closed => None,
    }
}

/// Resolves with an error when every host was tried as often as `budget` allows; never if it allows any number.
pub async fn exhausted<S: Send + Sync + 'static>(link: &Link<S>, budget: &SendBudget) -> TransportError {
    let (mut state, hosts) = (link.state(), link.hosts());
    let over = |state: &LinkState<S>| matches!(state, LinkState::Down(down) if down.exhausted(budget.retry, hosts));
    if budget.retry != Retry::Forever
        && let Ok(state) = state.wait_for(over).await
    {
        let cause = match &*state {
            LinkState::Down(down) => down.cause.clone(),
            LinkState::Up(_) | LinkState::Closed => None,
        };
        return link.unreachable(budget.begun, cause);
    }
    std::future::pending().await
}

/// The error for a task that waited since `begun` for a connection to any of `places`.
#[must_use]
pub fn unreachable(places: String, begun: Instant, cause: Option<TransportError>) -> TransportError {
    let source = match cause {
        // The attempt's own error says the same of one host; keep only its source.
        Some(TransportError::Unreachable { source, .. }) => source,
        cause => cause.map(|cause| Arc::new(cause) as _),
    };
    TransportError::Unreachable { broker: places, waited: begun.elapsed(), source }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
