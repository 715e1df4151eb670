//! The publishing channels of a connection, and the gate in front of them that opens when the broker takes messages.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use foldhash::HashSet;
use oxlo_transport::{Removal, backoff::Backoff};
use tokio::{
    sync::{Mutex, Notify, watch},
    time::{Instant, sleep, timeout},
};
use tracing::{debug, warn};

use crate::{
    blame::Letter,
    channels::OpenChannel,
    confirms::{ConfirmingChannel, Wrecks},
    connection::{Down, LinkState, Session},
    consume::LIMIT_PAUSE,
    declare::{DeclareError, declare_all, delete_unused},
    error,
    topology::{Declare, Route},
};

/// How often channels are replaced at most because the broker answers `basic.nack`.
const RENEWAL: Duration = Duration::from_millis(500);

/// Whether the broker takes messages.
#[derive(Clone)]
pub(crate) enum Gate {
    Open(Arc<Lane>),
    Blocked(Arc<str>),
    Down(Down),
    Closed,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open(_) => "Open",
            Self::Blocked(_) => "Blocked",
            Self::Down(_) => "Down",
            Self::Closed => "Closed",
        })
    }
}

/// The publishing channels of one incarnation of the connection. When the broker closes one of them, a lane with another in
/// its place takes over, and shares the rest.
pub(crate) struct Lane {
    session: Arc<Session>,
    steady: Arc<ConfirmingChannel>,
    /// For messages that the broker is likely to refuse: it closes the channel of such a message.
    fragile: Arc<ConfirmingChannel>,
    known: Arc<Known>,
}

/// What is known of the broker's objects on one incarnation of the connection.
#[derive(Debug)]
struct Known {
    declared: RwLock<HashSet<String>>,
    declarer: Mutex<Option<OpenChannel>>,
    /// Exchanges of messages that the broker refused.
    refusing: RwLock<HashSet<String>>,
    /// Whether there are any.
    refuses: AtomicBool,
    /// The largest body that the broker is known to take.
    most: AtomicUsize,
}

/// How many refusing exchanges are remembered.
const REFUSING_MOST: usize = 1000;

/// One of a lane's channels.
enum Which {
    Steady,
    Fragile,
}

impl Lane {
    async fn open(session: Arc<Session>, wrecks: &Wrecks) -> lapin::Result<Self> {
        let steady = Arc::new(ConfirmingChannel::open(&session, wrecks.clone()).await?);
        let fragile = Arc::new(ConfirmingChannel::open(&session, wrecks.clone()).await?);
        let known = Arc::new(Known {
            declared: RwLock::default(),
            declarer: Mutex::new(None),
            refusing: RwLock::default(),
            refuses: AtomicBool::new(false),
            most: AtomicUsize::new(usize::MAX),
        });
        Ok(Self { session, steady, fragile, known })
    }

    /// The same with another channel in the place of one that is gone.
    async fn mended(&self, gone: Which, wrecks: &Wrecks) -> lapin::Result<Self> {
        let fresh = self.session.meanwhile(ConfirmingChannel::open(&self.session, wrecks.clone())).await?;
        let (fresh, session, known) = (Arc::new(fresh), self.session.clone(), self.known.clone());
        Ok(match gone {
            Which::Steady => Self { session, steady: fresh, fragile: self.fragile.clone(), known },
            Which::Fragile => Self { session, steady: self.steady.clone(), fragile: fresh, known },
        })
    }

    /// Resolves when a channel is gone.
    async fn broken(&self) -> Which {
        tokio::select! {
            () = self.steady.gone() => Which::Steady,
            () = self.fragile.gone() => Which::Fragile,
        }
    }

    /// The connection under it.
    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The channel for a message.
    pub(crate) fn channel(&self, letter: Letter<'_>) -> &ConfirmingChannel {
        let Letter { route, size } = letter;
        let refuses = || self.known.refusing.read().unwrap_or_else(PoisonError::into_inner).contains(&route.exchange);
        if route.declared_as.is_none()
            || size > self.known.most.load(Ordering::Relaxed)
            || (self.known.refuses.load(Ordering::Relaxed) && refuses())
        {
            &self.fragile
        } else {
            &self.steady
        }
    }

    /// From now on messages for this exchange do not share a channel with others.
    pub(crate) fn set_apart(&self, exchange: &str) {
        let mut refusing = self.known.refusing.write().unwrap_or_else(PoisonError::into_inner);
        if refusing.len() < REFUSING_MOST {
            refusing.insert(exchange.to_owned());
            self.known.refuses.store(true, Ordering::Relaxed);
        }
    }

    /// From now on messages that are larger than the broker takes do not share a channel with others.
    pub(crate) fn set_most(&self, most: usize) {
        self.known.most.store(most, Ordering::Relaxed);
    }

    /// Whether everything that a route needs was declared here.
    pub(crate) fn has(&self, route: &Route) -> bool {
        let declared = |name| self.known.declared.read().unwrap_or_else(PoisonError::into_inner).contains(name);
        route.declares.is_empty() || route.declared_as.as_ref().is_some_and(declared)
    }

    /// What the route needs is declared again before the next message.
    pub(crate) fn forget(&self, route: &Route) {
        if let Some(name) = &route.declared_as {
            self.known.declared.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        }
    }

    /// Declares what a route needs, unless that was done.
    pub(crate) async fn declare(&self, route: &Route) -> Result<(), DeclareError> {
        if self.has(route) {
            return Ok(());
        }
        self.declare_now(&route.declares).await?;
        if let Some(name) = &route.declared_as {
            self.known.declared.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        }
        Ok(())
    }

    /// Declares objects, in the order in which it is called.
    pub(crate) async fn declare_now(&self, declares: &[Declare]) -> Result<(), DeclareError> {
        let mut kept = self.known.declarer.lock().await;
        *kept = Some(self.session.meanwhile(declare_all(&self.session, kept.take(), declares)).await?);
        Ok(())
    }

    /// Deletes a queue that nobody consumes, in the order in which it is called.
    pub(crate) async fn delete(&self, queue: &str, removal: Removal) -> Result<(), DeclareError> {
        let mut kept = self.known.declarer.lock().await;
        let deleted = async {
            let channel = declare_all(&self.session, kept.take(), &[]).await?;
            let result = delete_unused(&channel, queue, removal).await;
            *kept = Some(channel);
            result
        };
        self.session.meanwhile(deleted).await
    }
}

/// Keeps the gate: opens channels on every incarnation of the connection, closes it while the broker blocks.
pub(crate) async fn keep(
    mut link: watch::Receiver<LinkState>,
    gate: ClosedWhenDropped,
    mut paused: watch::Receiver<bool>,
    refused: Arc<Notify>,
    wrecks: Wrecks,
) {
    let ClosedWhenDropped { gate, incarnations } = &gate;
    let mut backoff = Backoff::default();
    loop {
        let state = link.borrow_and_update().clone();
        let session = match state {
            LinkState::Up(session) => session,
            LinkState::Down(down) => {
                gate.send_replace(Gate::Down(down));
                if link.changed().await.is_err() {
                    break;
                }
                continue;
            }
            LinkState::Closed => break,
        };
        match session.meanwhile(Lane::open(session.clone(), &wrecks)).await {
            Ok(lane) => {
                let opened = Instant::now();
                incarnations.fetch_add(1, Ordering::Relaxed);
                hold_open(gate, Arc::new(lane), &mut paused, &refused, &wrecks).await;
                if opened.elapsed() > Duration::from_secs(1) {
                    backoff.reset();
                    continue;
                }
            }
            Err(error) => match session.channel_limit(&error) {
                Some(limit) => {
                    warn!(error = %limit, "no channel to publish on, retrying");
                    gate.send_replace(Gate::Down(Down { attempts: 0, cause: Some(limit), gave_up: false }));
                    // Not at once when the connection is back: the broker may have closed it for this try.
                    let closed = link.wait_for(|state| matches!(state, LinkState::Closed));
                    let _ = timeout(LIMIT_PAUSE, closed).await;
                    continue;
                }
                None => debug!(error = error::text(&error), "no channel to publish on"),
            },
        }
        // The connection may live on when the broker ended a channel; then this does not spin.
        tokio::select! {
            () = sleep(backoff.next(&mut rand::rng())) => {}
            _ = link.changed() => {}
        }
    }
}

/// The gate, which closes with its keeper, also when that ends with its runtime.
pub(crate) struct ClosedWhenDropped {
    pub(crate) gate: watch::Sender<Gate>,
    /// How often it was opened by a new connection.
    pub(crate) incarnations: Arc<AtomicU32>,
}

impl Drop for ClosedWhenDropped {
    fn drop(&mut self) {
        self.gate.send_replace(Gate::Closed);
    }
}

async fn hold_open(
    gate: &watch::Sender<Gate>,
    mut lane: Arc<Lane>,
    paused: &mut watch::Receiver<bool>,
    refused: &Notify,
    wrecks: &Wrecks,
) {
    let mut blocked = lane.session.blocked.clone();
    let mut renewed = Instant::now();
    loop {
        let reason = blocked.borrow_and_update().clone();
        gate.send_replace(match reason {
            Some(reason) => Gate::Blocked(reason),
            None if *paused.borrow_and_update() => Gate::Blocked("publishing is paused by this program".into()),
            None => Gate::Open(lane.clone()),
        });
        tokio::select! {
            () = lane.session.ended() => break,
            // Whoever has a message for the channel that is gone waits for the lane that follows; others do not notice.
            gone = lane.broken() => match lane.mended(gone, wrecks).await {
                Ok(mended) => lane = Arc::new(mended),
                Err(error) => {
                    debug!(error = error::text(&error), "no channel to publish on in place of one that is gone");
                    break;
                }
            },
            // What is on its way on the old channels is still confirmed there.
            () = refused.notified() => if renewed.elapsed() > RENEWAL {
                debug!("the broker answers basic.nack; new channels are opened to publish on");
                let session = lane.session.clone();
                match session.meanwhile(Lane::open(session.clone(), wrecks)).await {
                    Ok(fresh) => lane = Arc::new(fresh),
                    Err(_) => break,
                }
                renewed = Instant::now();
            },
            changed = paused.changed() => if changed.is_err() {
                lane.session.ended().await;
                break;
            },
            changed = blocked.changed() => if changed.is_err() {
                lane.session.ended().await;
                break;
            },
        }
    }
    gate.send_replace(Gate::Down(Down { attempts: 0, cause: None, gave_up: false }));
}
