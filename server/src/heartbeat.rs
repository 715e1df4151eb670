//! Heartbeats of monitored calls: the caller hears that its method still runs, however the handler behaves.

use oxlo_transport::{Replier, listener::Caller};
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval_at},
};

/// The replier of a request whose method runs. Dropping it ends the heartbeats.
pub(crate) enum Heartbeats {
    /// The caller wants to hear nothing before the reply, or there is no caller.
    Silent(Option<Replier>),
    /// A task of its own holds the replier, so that a handler that never yields does not silence it.
    Beating { stop: oneshot::Sender<()>, task: JoinHandle<Replier>, caller: Option<Caller> },
}

impl Heartbeats {
    /// Begins to send heartbeats if the caller asked for them, the first after one interval.
    pub(crate) async fn start(replier: Option<Replier>) -> Self {
        let Some(replier) = replier else { return Self::Silent(None) };
        match replier.heartbeat_interval() {
            Some(every) if !every.is_zero() => {
                let (stop, stopped) = oneshot::channel();
                let caller = replier.caller();
                let task = tokio::spawn(beat(replier, every, stopped));
                // A worker keeps the task it spawned last to itself. It has to have set its timer before a handler that
                // never yields takes that worker.
                tokio::task::yield_now().await;
                Self::Beating { stop, task, caller }
            }
            _ => Self::Silent(Some(replier)),
        }
    }

    /// Who waits for the reply, for logs.
    pub(crate) fn caller(&self) -> Option<Caller> {
        match self {
            Self::Silent(replier) => replier.as_ref()?.caller(),
            Self::Beating { caller, .. } => caller.clone(),
        }
    }

    /// Ends the heartbeats and gives the replier back. A heartbeat that is on its way is given up: the reply says more.
    pub(crate) async fn end(self) -> Option<Replier> {
        match self {
            Self::Silent(replier) => replier,
            Self::Beating { stop, task, .. } => {
                drop(stop);
                task.await
                    .inspect_err(|error| tracing::error!(%error, "the heartbeat task ended without its replier"))
                    .ok()
            }
        }
    }
}

async fn beat(replier: Replier, every: std::time::Duration, mut stopped: oneshot::Receiver<()>) -> Replier {
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => return replier,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            biased;
            _ = &mut stopped => return replier,
            sent = replier.heartbeat() => if let Err(error) = sent {
                tracing::debug!(%error, "a heartbeat could not be sent; there are no more for this call");
                let _ = stopped.await;
                return replier;
            },
        }
    }
}
