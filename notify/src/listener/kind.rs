//! What a listener listens on, and the run of any kind of listener.

use std::{future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use oxlo_serving::{Dispatch, Failed, Limits, Run, RunOptions, Shutdown, Source, due};
use oxlo_transport::{ListenOptions, Listener, Notification, Priority, Target, Transport, TransportError};
use tokio_util::sync::CancellationToken;

use super::{
    error::ListenError,
    report::ListenReport,
    running::{End, RunningListener},
};

/// What a listener listens on, and its limits.
#[derive(Clone)]
pub(crate) struct ListenerSpec {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) on: Vec<(Target, Priority)>,
    pub(crate) pool: Option<Arc<str>>,
    pub(crate) transient: bool,
    /// Whether notifications may be redelivered.
    pub(crate) requeues: bool,
    pub(crate) prefetch: u16,
    pub(crate) concurrency: usize,
    /// How many notifications a job has at most.
    pub(crate) batch_size: usize,
    pub(crate) grace: Duration,
}

impl ListenerSpec {
    /// The topics, for messages.
    fn topics(&self) -> String {
        let mut topics: Vec<String> = self.on.iter().map(|(target, _)| target.to_string()).collect();
        topics.dedup();
        topics.join(", ")
    }

    /// The topics and the pool, for logs.
    fn place(&self) -> String {
        let pool = self.pool.as_ref().map_or_else(String::new, |pool| format!(" in pool {pool}"));
        format!("{}{pool}", self.topics())
    }

    fn priorities(&self) -> String {
        let priorities: Vec<&str> = Priority::ALL
            .into_iter()
            .filter(|priority| self.on.iter().any(|(_, on)| on == priority))
            .map(Priority::as_str)
            .collect();
        priorities.join(", ")
    }
}

/// One kind of listener: how it subscribes, and how it dispatches.
pub(crate) trait Kind {
    type Dispatch: Dispatch<Report = ListenReport>;
    type Source: Source<<Self::Dispatch as Dispatch>::Message>;

    fn spec(&self) -> &ListenerSpec;

    fn dispatch(&self, shutdown: Shutdown) -> Self::Dispatch;

    fn source(&self) -> Self::Source;
}

/// Subscribes to notifications, one by one.
pub(crate) struct NotificationSource(pub(crate) ListenerSpec);

#[async_trait]
impl Source<Notification> for NotificationSource {
    async fn subscribe(&self, _: u64) -> Result<Box<dyn Listener<Notification>>, TransportError> {
        let Self(spec) = self;
        let options = ListenOptions::new()
            .with_prefetch(spec.prefetch)
            .with_transient(spec.transient)
            .with_deferrable(spec.requeues);
        Ok(due(spec.transport.listen_for_notifications(&spec.on, spec.pool.as_deref(), &options).await?, &options))
    }
}

/// Subscribes.
async fn subscribe<K: Kind>(kind: &K) -> Result<Run<K::Dispatch>, ListenError> {
    let (spec, source, shutdown) = (kind.spec(), kind.source(), Shutdown::default());
    let mut listener = source.subscribe(0).await.map_err(|source| ListenError::Listen { on: spec.topics(), source })?;
    if let Some(prefetch) = listener.prefetch().filter(|most| usize::from(*most) < spec.batch_size) {
        listener.stop().await;
        listener.close().await;
        let reason = format!(
            "the transport limits the prefetch of each queue to {prefetch}, less than a batch of {}, which could never \
             become full; raise the limit in the transport's URL, or make the batch smaller",
            spec.batch_size
        );
        return Err(ListenError::Option { option: "prefetch", reason });
    }
    let options = RunOptions {
        name: format!("listener on {}", spec.place()).into(),
        started: format!("listening on {}: {}", spec.place(), spec.priorities()),
        concurrency: spec.concurrency,
        grace: spec.grace,
        limits: Limits::default(),
        shutdown: shutdown.clone(),
        stop: CancellationToken::new(),
    };
    Ok(Run::new(kind.dispatch(shutdown), options, listener, source))
}

fn listened(on: String, end: Result<ListenReport, Failed<ListenReport>>) -> End {
    end.map_err(|Failed { error: source, report }| ListenError::Receive { on, source, report })
}

/// Subscribes, and runs on a task of its own.
pub(crate) async fn start<K: Kind>(kind: &K) -> Result<RunningListener, ListenError> {
    let (spec, run) = (kind.spec(), subscribe(kind).await?);
    let on = spec.topics();
    Ok(RunningListener { run: run.spawn(format!("listener on {}", spec.place()), |end| listened(on, end)) })
}

/// Subscribes, and runs until `shutdown` resolves or the transport is closed; stops at once when `force` resolves.
pub(crate) async fn serve<K: Kind>(kind: &K, shutdown: impl Future, force: impl Future) -> End {
    let run = subscribe(kind).await?;
    listened(kind.spec().topics(), run.until(shutdown, force).await)
}
