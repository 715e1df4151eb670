//! Heartbeats of monitored calls: they tell the caller that its method still runs, whatever the handler does.

use oxlo_transport::{Replier, listener::Caller};
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval_at},
};

/// The replier of a request whose method runs. Dropping it stops the heartbeats.
pub(crate) enum Heartbeats {
    /// The caller asked for no heartbeats, or there is no caller.
    Silent(Option<Replier>),
    /// A separate task holds the replier, so that a handler that never yields cannot stop the heartbeats.
    Beating { stop: oneshot::Sender<()>, task: JoinHandle<Replier>, caller: Option<Caller> },
}

impl Heartbeats {
    /// Starts to send heartbeats if the caller asked for them, the first one after one interval.
    pub(crate) async fn start(replier: Option<Replier>) -> Self {
        let Some(replier) = replier else { return Self::Silent(None) };
        match replier.heartbeat_interval() {
            Some(every) if !every.is_zero() => {
                let (stop, stopped) = oneshot::channel();
                let caller = replier.caller();
                let task = tokio::spawn(beat(replier, every, stopped));
                // The runtime's worker thread keeps the task that it spawned last to itself. That task must set its timer
                // before a handler that never yields takes the thread.
                tokio::task::yield_now().await;
                Self::Beating { stop, task, caller }
            }
            _ => Self::Silent(Some(replier)),
        }
    }

    /// The caller that waits for the reply, for logs.
    pub(crate) fn caller(&self) -> Option<Caller> {
        match self {
            Self::Silent(replier) => replier.as_ref()?.caller(),
            Self::Beating { caller, .. } => caller.clone(),
        }
    }

    /// Stops the heartbeats and returns the replier. A heartbeat that is being sent is cancelled: the reply replaces it.
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
                tracing::debug!(%error, "a heartbeat could not be sent, sending no more for this call");
                let _ = stopped.await;
                return replier;
            },
        }
    }
}
