//! Whether the broker accepts messages, and the task that keeps that up to date.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use oxlo_transport::Backoff;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};
use tracing::{debug, warn};

use super::{channels::PublishChannels, ledger::ClosedChannels};
use crate::{
    connection::{Down, LinkState},
    consume::LIMIT_PAUSE,
    error,
};

/// The shortest time between two replacements of channels because the broker answers `basic.nack`.
const RENEWAL_INTERVAL: Duration = Duration::from_millis(500);

/// Whether the broker accepts messages.
#[derive(Clone)]
pub(crate) enum PublishState {
    /// It accepts messages on these channels.
    Open(Arc<PublishChannels>),
    /// It accepts none, for this reason.
    Blocked(Arc<str>),
    /// There is no connection.
    Down(Down),
    /// The publisher is closed.
    Closed,
}

impl fmt::Debug for PublishState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open(_) => "Open",
            Self::Blocked(_) => "Blocked",
            Self::Down(_) => "Down",
            Self::Closed => "Closed",
        })
    }
}

/// The sending half of a publisher's state. Dropping it, also with its runtime, closes the publisher.
pub(super) struct StateGuard {
    pub(super) state: watch::Sender<PublishState>,
    /// How often a new connection opened the publisher.
    pub(super) incarnations: Arc<AtomicU32>,
}

impl Drop for StateGuard {
    fn drop(&mut self) {
        self.state.send_replace(PublishState::Closed);
    }
}

/// Keeps the state of a publisher: opens channels on every new connection, and follows alarms and pauses.
pub(super) async fn keep(
    mut link: watch::Receiver<LinkState>,
    guard: StateGuard,
    mut paused: watch::Receiver<bool>,
    refused: Arc<Notify>,
    closed_channels: ClosedChannels,
) {
    let StateGuard { state, incarnations } = &guard;
    let mut backoff = Backoff::default();
    loop {
        let link_state = link.borrow_and_update().clone();
        let session = match link_state {
            LinkState::Up(session) => session,
            LinkState::Down(down) => {
                state.send_replace(PublishState::Down(down));
                if link.changed().await.is_err() {
                    break;
                }
                continue;
            }
            LinkState::Closed => break,
        };
        match session.meanwhile(PublishChannels::open(session.clone(), &closed_channels)).await {
            Ok(channels) => {
                let opened = Instant::now();
                incarnations.fetch_add(1, Ordering::Relaxed);
                keep_open(state, Arc::new(channels), &mut paused, &refused, &closed_channels).await;
                if opened.elapsed() > Duration::from_secs(1) {
                    backoff.reset();
                    continue;
                }
            }
            Err(error) => match session.channel_limit(&error) {
                Some(limit) => {
                    warn!(error = %limit, "cannot open a publishing channel, retrying");
                    state.send_replace(PublishState::Down(Down { attempts: 0, cause: Some(limit), gave_up: false }));
                    // Not at once on the next connection: the broker may have closed the last one for this attempt.
                    let closed = link.wait_for(|state| matches!(state, LinkState::Closed));
                    let _ = timeout(LIMIT_PAUSE, closed).await;
                    continue;
                }
                None => debug!(error = error::text(&error), "cannot open a publishing channel"),
            },
        }
        // The connection may live on after the broker closed a channel; the pause keeps the loop from spinning then.
        tokio::select! {
            () = sleep(backoff.next(&mut rand::rng())) => {}
            _ = link.changed() => {}
        }
    }
}

/// Keeps the state on one connection, until that ends or no channel can be opened.
async fn keep_open(
    state: &watch::Sender<PublishState>,
    mut channels: Arc<PublishChannels>,
    paused: &mut watch::Receiver<bool>,
    refused: &Notify,
    closed_channels: &ClosedChannels,
) {
    let mut blocked = channels.session().blocked.clone();
    let mut renewed = Instant::now();
    loop {
        let reason = blocked.borrow_and_update().clone();
        state.send_replace(match reason {
            Some(reason) => PublishState::Blocked(reason),
            None if *paused.borrow_and_update() => PublishState::Blocked("publishing is paused by this program".into()),
            None => PublishState::Open(channels.clone()),
        });
        tokio::select! {
            () = channels.session().ended() => break,
            // Only messages for the channel that is gone wait for its replacement.
            gone = channels.gone() => match channels.replace(gone, closed_channels).await {
                Ok(replaced) => channels = Arc::new(replaced),
                Err(error) => {
                    debug!(error = error::text(&error), "cannot replace a publishing channel");
                    break;
                }
            },
            // Messages in flight on the old channels are still confirmed there.
            () = refused.notified() => if renewed.elapsed() > RENEWAL_INTERVAL {
                debug!("the broker answers basic.nack, opening new publishing channels");
                let session = channels.session().clone();
                match session.meanwhile(PublishChannels::open(session.clone(), closed_channels)).await {
                    Ok(new) => channels = Arc::new(new),
                    Err(_) => break,
                }
                renewed = Instant::now();
            },
            changed = paused.changed() => if changed.is_err() {
                channels.session().ended().await;
                break;
            },
            changed = blocked.changed() => if changed.is_err() {
                channels.session().ended().await;
                break;
            },
        }
    }
    state.send_replace(PublishState::Down(Down { attempts: 0, cause: None, gave_up: false }));
}
