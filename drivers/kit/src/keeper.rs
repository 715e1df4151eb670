//! The loop behind a [`Link`](crate::link::Link): connect, follow the connection, reconnect.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use oxlo_transport::{TransportError, backoff::jitter, error::Cause};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{
    link::{ATTEMPT_LIMIT, AttemptError, Dialler, Down, LinkState, Plan},
    outage::Outage,
    supervisor::{Next, Start, Supervisor},
    telemetry::connecting,
    text::{chain, said},
};

/// The pause before a broker that refused the connection permanently is tried again.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// Why a connection ended, as one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct LostBecause(String);

/// The cause of an attempt that timed out.
fn silent() -> Cause {
    Arc::new(LostBecause(format!("no answer within {ATTEMPT_LIMIT:?}")))
}

pub(crate) struct Keeper<D: Dialler> {
    dialler: D,
    plan: Plan,
    supervisor: Supervisor,
    news: watch::Sender<()>,
    state: watch::Sender<LinkState<D::Session>>,
    stop: CancellationToken,
}

/// Wakes the tasks that wait for the link when the keeper ends with its runtime.
impl<D: Dialler> Drop for Keeper<D> {
    fn drop(&mut self) {
        self.state.send_replace(LinkState::Closed);
    }
}

impl<D: Dialler> Keeper<D> {
    pub(crate) fn new(
        dialler: D,
        plan: Plan,
        news: watch::Sender<()>,
        state: watch::Sender<LinkState<D::Session>>,
        stop: CancellationToken,
    ) -> Self {
        let hosts = NonZeroUsize::new(plan.places.len()).unwrap_or(NonZeroUsize::MIN);
        let supervisor = Supervisor::new(hosts, Start::Shuffled, plan.failover, &mut rand::rng())
            .with_backoff(plan.pace.backoff.clone());
        Self { dialler, plan, supervisor, news, state, stop }
    }

    /// Waits for `begin`, then keeps the connection until it is told to stop; sets `Closed` last.
    pub(crate) async fn run(mut self, begin: CancellationToken) {
        let stop = self.stop.clone();
        if stop.run_until_cancelled(begin.cancelled()).await.is_some() {
            self.keep(&stop).await;
        }
    }

    async fn keep(&mut self, stop: &CancellationToken) {
        let role = self.plan.role.name();
        let mut next = self.supervisor.start(Instant::now());
        let mut attempts = 0;
        let mut news = self.news.subscribe();
        // Whether the broker could not be reached, so that another link's success makes an attempt worthwhile.
        let mut unreachable = false;
        let mut refusal = None;
        let mut outage = Outage::begin(self.plan.role, Instant::now());
        loop {
            let (host, after) = match next {
                Next::Connect { host, after } => (host, after + self.paced(attempts)),
                // Reported with the failure that led to it. A caller that waits for the first connection closes the link;
                // otherwise it is retried slowly.
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
                    () = sleep(after) => {}
                    Ok(()) = news.changed(), if unreachable => {}
                }
            };
            if stop.run_until_cancelled(outage.logged_during(pause)).await.is_none() {
                break;
            }
            news.mark_unchanged();
            let Some(broker) = self.plan.places.get(host).cloned() else { break };
            let attempt = outage.logged_during(self.attempt(host, &broker));
            let Some(attempt) = stop.run_until_cancelled(attempt).await else { break };
            match attempt {
                Ok((session, mut guard)) => {
                    let after = outage.lasting(Instant::now());
                    info!(broker, role, failed_attempts = attempts, ?after, "connected");
                    attempts = 0;
                    self.supervisor.connected(Instant::now());
                    self.news.send_replace(());
                    self.state.send_replace(LinkState::Up(session.clone()));
                    let Some(cause) = stop.run_until_cancelled(self.dialler.follow(&session, &mut guard)).await else {
                        self.dialler.farewell(&session, guard).await;
                        break;
                    };
                    let cause = said(&cause);
                    warn!(broker, role, cause, "connection lost");
                    metrics::counter!("oxlo_connections_lost_total", "role" => role).increment(1);
                    self.dialler.abandon(&session, guard);
                    let cause = LostBecause(cause);
                    let cause = TransportError::ConnectionLost { source: Some(Arc::new(cause)) };
                    self.state.send_replace(LinkState::Down(Down { attempts, cause: Some(cause), gave_up: false }));
                    news.mark_unchanged();
                    unreachable = false;
                    outage = Outage::begin(self.plan.role, Instant::now());
                    next = self.supervisor.lost(Instant::now(), &mut rand::rng());
                }
                Err(failed) => {
                    attempts += 1;
                    let cause = failed.error;
                    debug!(broker, role, reason = chain(&cause), "no connection");
                    outage.failed(&broker, &cause);
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
                    // The last failure may be another host's; report the one that made it give up.
                    let cause = if gave_up { refusal.take().unwrap_or(cause) } else { cause };
                    self.state.send_replace(LinkState::Down(Down { attempts, cause: Some(cause), gave_up }));
                }
            }
        }
    }

    /// The configured pause beside the supervisor's own; none before the very first attempt.
    fn paced(&self, attempts: u32) -> Duration {
        let pace = &self.plan.pace;
        let first = attempts == 0 && matches!(&*self.state.borrow(), LinkState::Down(Down { cause: None, .. }));
        if first { Duration::ZERO } else { pace.delay + jitter(&mut rand::rng(), pace.splay) }
    }

    async fn attempt(&self, host: usize, broker: &str) -> Result<(Arc<D::Session>, D::ConnectionGuard), AttemptError> {
        let begun = Instant::now();
        // Boxed, because every layer around a future moves and stores it once more, and connecting is rare.
        let opening = Box::pin(async {
            timeout(ATTEMPT_LIMIT, self.dialler.open(host))
                .await
                .unwrap_or_else(|_| Err(AttemptError::passing(broker.to_owned(), begun.elapsed(), Some(silent()))))
        });
        let label = |failed: &AttemptError| failed.error.label();
        connecting(D::SYSTEM, broker, self.plan.role.name(), label, opening).await
    }
}
