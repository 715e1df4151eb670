//! The caller of a row: makes calls and casts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use oxlo::{CallError, Context, RPCClient, Target, Transport};
use oxlo_test_support::{Event, History, Outcome, eventually};
use serde_json::json;
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep},
};

use crate::{SECOND, SOON, TOPIC};

/// Makes calls and casts, and records each step.
#[derive(Clone, Debug)]
pub struct Caller {
    client: RPCClient,
    history: History,
    mandatory: bool,
}

impl Caller {
    /// A caller of the service.
    pub fn new(transport: Arc<dyn Transport>, history: &History) -> Self {
        Self::of(transport, Target::topic(TOPIC).version("1.0"), history)
    }

    /// A caller of `target`.
    pub fn of(transport: Arc<dyn Transport>, target: Target, history: &History) -> Self {
        let client = RPCClient::new(transport, target);
        Self { client, history: history.clone(), mandatory: false }
    }

    /// Makes casts mandatory: they fail when no queue takes them. Otherwise the broker confirms and drops them, as oslo's.
    pub fn with_mandatory_casts(&self) -> Self {
        Self { mandatory: true, ..self.clone() }
    }

    /// A unique id for a call or cast.
    pub fn fresh_id() -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes one call whose method takes `ms` milliseconds.
    pub async fn call(&self, ms: u64, timeout: Duration) -> Result<(), CallError> {
        self.call_as("echo", &Self::fresh_id(), ms, timeout).await
    }

    /// Makes one call of `method` under a given id.
    pub async fn call_as(&self, method: &str, id: &str, ms: u64, timeout: Duration) -> Result<(), CallError> {
        // Recorded as dropped when this future is dropped before the call ended.
        let mut open = OpenCall { id: Some(id.to_owned()), history: &self.history };
        self.history.record(Event::Called { id: id.to_owned(), timeout });
        let client = self.client.prepare().timeout(timeout);
        let ended = client.call::<String>(&Context::new(), method, json!({"id": id, "ms": ms})).await;
        let outcome = match &ended {
            Ok(answer) => Outcome::Replied(answer.clone()),
            Err(CallError::Remote { .. }) => Outcome::Failed,
            Err(error) if error.may_have_run() => Outcome::Unknown,
            Err(_) => Outcome::NotRun,
        };
        open.id = None;
        self.history.record(Event::Ended { id: id.to_owned(), outcome });
        ended.map(drop)
    }

    /// Spawns a call of `echo`, and returns it with its id.
    pub fn spawn_call(&self, ms: u64, timeout: Duration) -> (JoinHandle<Result<(), CallError>>, String) {
        let (caller, id) = (self.clone(), Self::fresh_id());
        let its = id.clone();
        (tokio::spawn(async move { caller.call_as("echo", &its, ms, timeout).await }), id)
    }

    /// Makes this many calls at once.
    pub fn spawn_calls(&self, count: usize, ms: u64, timeout: Duration) -> JoinSet<Result<(), CallError>> {
        let mut calls = JoinSet::new();
        for _ in 0..count {
            let caller = self.clone();
            calls.spawn(async move { caller.call(ms, timeout).await });
        }
        calls
    }

    /// The error of a call without a connection: calls until an error says that the method did not run. One of the two
    /// connections notices a fault first, and until the other does it may lose a call.
    pub async fn refusal(&self) -> CallError {
        let call = async || self.call(0, Duration::from_millis(300)).await;
        let refused = |ended: &Result<(), CallError>| ended.as_ref().is_err_and(|error| !error.may_have_run());
        eventually(SOON, "calls are refused", call, refused).await.unwrap_err()
    }

    /// Makes one cast.
    pub async fn cast(&self, timeout: Duration) -> Result<String, CallError> {
        let id = Self::fresh_id();
        self.history.record(Event::Cast { id: id.clone() });
        let client = self.client.prepare().timeout(timeout).mandatory(self.mandatory);
        match client.cast(&Context::new(), "echo", json!({"id": id})).await {
            Ok(()) => {
                self.history.record(Event::Confirmed { id: id.clone() });
                Ok(id)
            }
            Err(error) => {
                self.history.record(Event::CastFailed { id, may_run: error.may_have_run() });
                Err(error)
            }
        }
    }

    /// Calls without a pause in `tasks` tasks, and casts in another, until it is stopped.
    pub fn traffic(&self, tasks: usize, timeout: Duration) -> Traffic {
        let (stop, stopped) = tokio::sync::watch::channel(());
        let mut running = JoinSet::new();
        for task in 0..=tasks {
            let (caller, stopped) = (self.clone(), stopped.clone());
            running.spawn(async move {
                while !stopped.has_changed().unwrap_or(true) {
                    let failed = if task == 0 {
                        caller.cast(timeout).await.is_err()
                    } else {
                        caller.call(0, timeout).await.is_err()
                    };
                    sleep(Duration::from_millis(if failed { 20 } else { 5 })).await;
                }
            });
        }
        Traffic { stop, running }
    }

    /// Marks the fault as over now, calls until one succeeds, and records how long that took.
    pub async fn resumes(&self, within: Duration) -> Duration {
        self.history.record(Event::Healed { within });
        self.resumes_since(Instant::now(), within).await
    }

    /// As [`resumes`](Self::resumes), for a fault whose end at `since` was already recorded.
    pub async fn resumes_since(&self, since: Instant, within: Duration) -> Duration {
        let mut calls = JoinSet::new();
        let give_up = Instant::now() + within + SOON;
        let (mut next, mut error) = (Instant::now(), None);
        let took = loop {
            tokio::select! {
                Some(ended) = calls.join_next() => match ended.unwrap() {
                    Ok(()) => {
                        self.history.record(Event::Resumed);
                        break since.elapsed();
                    }
                    Err(failed) => error = Some(failed),
                },
                () = tokio::time::sleep_until(next) => {
                    next = Instant::now() + Duration::from_millis(50);
                    let caller = self.clone();
                    calls.spawn(async move { caller.call(0, within.max(SECOND)).await });
                }
            }
            assert!(Instant::now() < give_up, "service did not come back: {error:?}");
        };
        while calls.join_next().await.is_some() {}
        took
    }
}

struct OpenCall<'a> {
    id: Option<String>,
    history: &'a History,
}

impl Drop for OpenCall<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.history.record(Event::Ended { id, outcome: Outcome::Dropped });
        }
    }
}

/// Background calls and casts.
#[derive(Debug)]
pub struct Traffic {
    stop: tokio::sync::watch::Sender<()>,
    running: JoinSet<()>,
}

impl Traffic {
    /// Stops, and waits for calls and casts in flight.
    pub async fn stop(mut self) {
        self.stop.send_replace(());
        while let Some(ended) = self.running.join_next().await {
            ended.unwrap();
        }
    }
}
