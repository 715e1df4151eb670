//! What every row stands on: a server and a caller whose doings are recorded, and the count of what must not be left.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use oxlo::{
    AckPolicy, Args, CallError, Context, Endpoint, Failure, RPCClient, RPCServer, RunningServer, Target, Transport,
};
use oxlo_test_support::{Event, History, Outcome, Rules, Summary, VhostAdmin, eventually};
use serde_json::json;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

pub(crate) const TOPIC: &str = "service";
/// For what takes moments unless something is broken.
pub(crate) const SOON: Duration = Duration::from_secs(20);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What a method of the service is asked to do.
#[derive(serde::Deserialize)]
pub(crate) struct Work {
    pub(crate) id: String,
    /// How long it takes.
    #[serde(default)]
    pub(crate) ms: u64,
}

/// The service: `echo` records that it runs, takes its time, and answers with its call's id.
pub(crate) fn service(history: &History) -> Endpoint {
    let (runs, panics) = (history.clone(), history.clone());
    Endpoint::new("1.0")
        .method("echo", move |_: Context, Args(work): Args<Work>| {
            let history = runs.clone();
            async move {
                history.executed(&work.id);
                if work.ms > 0 {
                    sleep(Duration::from_millis(work.ms)).await;
                }
                Ok::<_, Failure>(work.id)
            }
        })
        .method("panic", move |_: Context, Args(work): Args<Work>| {
            let history = panics.clone();
            async move {
                history.executed(&work.id);
                if work.ms == 0 {
                    panic!("as asked");
                }
                Ok::<_, Failure>(work.id)
            }
        })
}

/// Makes calls and casts of which each step is recorded.
#[derive(Clone)]
pub(crate) struct Caller {
    client: RPCClient,
    history: History,
    mandatory: bool,
}

impl Caller {
    pub(crate) fn new(transport: Arc<dyn Transport>, history: &History) -> Self {
        Self::of(transport, Target::topic(TOPIC).version("1.0"), history)
    }

    /// Of whoever serves `target`.
    pub(crate) fn of(transport: Arc<dyn Transport>, target: Target, history: &History) -> Self {
        let client = RPCClient::new(transport, target);
        Self { client, history: history.clone(), mandatory: false }
    }

    /// Whose casts fail when no queue takes them. Without that the broker confirms them and drops them, as oslo's.
    pub(crate) fn with_mandatory_casts(&self) -> Self {
        Self { mandatory: true, ..self.clone() }
    }

    pub(crate) fn fresh_id() -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// One call that takes its server `ms` milliseconds.
    pub(crate) async fn call(&self, ms: u64, timeout: Duration) -> Result<(), CallError> {
        self.call_as("echo", &Self::fresh_id(), ms, timeout).await
    }

    pub(crate) async fn call_as(&self, method: &str, id: &str, ms: u64, timeout: Duration) -> Result<(), CallError> {
        // Recorded as dropped when this future is dropped before the call ended.
        let mut open = OpenCall { id: Some(id.to_owned()), history: &self.history };
        self.history.record(Event::Called { id: id.to_owned(), timeout });
        let client = self.client.prepare().timeout(timeout);
        let ended = client.call::<String>(&Context::new(), method, json!({"id": id, "ms": ms})).await;
        let outcome = match &ended {
            Ok(answer) => Outcome::Replied(answer.clone()),
            Err(CallError::Remote(_) | CallError::RemoteError { .. }) => Outcome::Failed,
            Err(error) if error.may_have_run() => Outcome::Unknown,
            Err(_) => Outcome::NotRun,
        };
        open.id = None;
        self.history.record(Event::Ended { id: id.to_owned(), outcome });
        ended.map(drop)
    }

    /// One cast.
    pub(crate) async fn cast(&self, timeout: Duration) -> Result<String, CallError> {
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

    /// Calls without a pause in `tasks` tasks, and casts in another, until it is told to stop.
    pub(crate) fn traffic(&self, tasks: usize, timeout: Duration) -> Traffic {
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

    /// The fault is over now: calls until one succeeds, and records how long that took.
    pub(crate) async fn resumes(&self, within: Duration) -> Duration {
        self.history.record(Event::Healed { within });
        self.resumes_since(Instant::now(), within).await
    }

    /// As [`resumes`](Self::resumes), for a fault that was over at `since`, which was recorded.
    pub(crate) async fn resumes_since(&self, since: Instant, within: Duration) -> Duration {
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

/// Calls and casts that go on in the background.
pub(crate) struct Traffic {
    stop: tokio::sync::watch::Sender<()>,
    running: JoinSet<()>,
}

impl Traffic {
    /// Lets what is under way end.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(());
        while let Some(ended) = self.running.join_next().await {
            ended.unwrap();
        }
    }
}

/// Rows count threads and memory of the process, so that one row runs at a time.
pub(crate) async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

/// What is counted before a row and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) tasks: u64,
    io_threads: u64,
    pub(crate) sockets: u64,
}

impl Count {
    pub(crate) fn now() -> Self {
        Self {
            tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks() as u64,
            io_threads: io_threads(),
            sockets: sockets(),
        }
    }
}

/// Threads of lapin's.
pub(crate) fn io_threads() -> u64 {
    let names = fs::read_dir("/proc/self/task").unwrap().flatten();
    names
        .filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.starts_with("lapin")))
        .count() as u64
}

fn sockets() -> u64 {
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))).count()
        as u64
}

/// Resident memory of this process in bytes.
pub(crate) fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Calls that a transport still waits for, as it says itself.
pub(crate) fn pending_calls(transport: &Arc<dyn Transport>) -> u64 {
    let text = format!("{transport:?}");
    let (_, rest) = text.split_once("waiting: ").unwrap_or_else(|| panic!("no count of pending calls in {text}"));
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

/// A server and a caller, each on a transport of its own.
pub(crate) struct Stage {
    pub(crate) history: History,
    pub(crate) caller: Caller,
    pub(crate) client: Arc<dyn Transport>,
    pub(crate) servers: Arc<dyn Transport>,
    pub(crate) server: RunningServer,
    admin: VhostAdmin,
    before: Count,
    lag: Lag,
    _alone: MutexGuard<'static, ()>,
}

impl Stage {
    /// Both on `url`.
    pub(crate) async fn on(admin: &VhostAdmin, url: &str) -> Self {
        Self::with(admin, url, url, AckPolicy::BeforeDispatch).await
    }

    pub(crate) async fn with(admin: &VhostAdmin, server_url: &str, client_url: &str, policy: AckPolicy) -> Self {
        let alone = alone().await;
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let history = History::new();
        let before = Count::now();
        let lag = Lag::measure();
        let servers = oxlo::connect(server_url).await.unwrap();
        let server = RPCServer::builder(servers.clone(), Target::topic(TOPIC).server("one"))
            .endpoint(service(&history))
            .ack_policy(policy)
            .start()
            .await
            .unwrap();
        let client = oxlo::connect(client_url).await.unwrap();
        let caller = Caller::new(client.clone(), &history);
        // The reply queue is declared with the first call; faults begin with everything in place.
        caller.call(0, SOON).await.unwrap();
        Self { history, caller, client, servers, server, admin: admin.clone(), before, lag, _alone: alone }
    }

    /// Names of the queues that belong to one transport alone.
    pub(crate) async fn own_queues(admin: &VhostAdmin) -> Vec<String> {
        let own = |name: &String| name.starts_with("reply_") || name.contains("_fanout_");
        admin.queues().await.into_iter().map(|queue| queue.name).filter(own).collect()
    }

    /// The name of the caller's reply queue.
    pub(crate) async fn reply_queue(&self) -> String {
        let queues = Self::own_queues(&self.admin).await;
        queues.into_iter().find(|name| name.starts_with("reply_")).unwrap()
    }

    /// Ends everything, and holds the row against the invariants.
    pub(crate) async fn close(self) -> Summary {
        self.close_by(Rules::default()).await
    }

    pub(crate) async fn close_by(self, rules: Rules) -> Summary {
        let Self { history, caller, client, servers, server, admin, before, lag, _alone } = self;
        history.left("pending calls", 0, pending_calls(&client));
        let slack = rules.slack + lag.longest();
        drop(caller);
        server.stop();
        server.wait().await.unwrap();
        client.close().await;
        servers.close().await;
        drop((client, servers, server));
        let gone = async || (Self::own_queues(&admin).await, admin.connections().await.len());
        let (queues, connections) = settled(gone, |(queues, connections)| queues.is_empty() && *connections == 0).await;
        history.left("queues of a transport alone", 0, queues.len() as u64);
        history.left("connections", 0, connections as u64);
        let fine = |now: &Count| {
            now.tasks <= before.tasks && now.io_threads <= before.io_threads && now.sockets <= before.sockets
        };
        let after = settled(async || Count::now(), fine).await;
        history.left("tasks", before.tasks, after.tasks);
        history.left("threads of lapin", before.io_threads, after.io_threads);
        history.left("sockets", before.sockets, after.sockets);
        history.verify(&Rules { slack, ..rules })
    }
}

/// The value once it is `fine`, or the last one after a while: for the checker to judge.
pub(crate) async fn settled<T>(mut probe: impl AsyncFnMut() -> T, fine: impl Fn(&T) -> bool) -> T {
    let give_up = Instant::now() + Duration::from_secs(8);
    loop {
        let value = probe().await;
        if fine(&value) || Instant::now() > give_up {
            return value;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// How late this runtime wakes tasks up, so that a busy machine is not taken for a late library.
pub(crate) struct Lag {
    longest: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Lag {
    pub(crate) fn measure() -> Self {
        let longest = Arc::new(AtomicU64::new(0));
        let kept = longest.clone();
        let task = tokio::spawn(async move {
            loop {
                let due = Instant::now() + Duration::from_millis(10);
                tokio::time::sleep_until(due).await;
                kept.fetch_max(due.elapsed().as_millis() as u64, Ordering::Relaxed);
            }
        });
        Self { longest, task }
    }

    pub(crate) fn longest(self) -> Duration {
        self.task.abort();
        Duration::from_millis(self.longest.load(Ordering::Relaxed))
    }
}

/// Waits until a transport's state is `wanted`, a word of its `Display`.
pub(crate) async fn state(transport: &Arc<dyn Transport>, wanted: &str) -> String {
    let mut state = transport.state();
    let seen = tokio::time::timeout(SOON, state.wait_for(|state| state.to_string().starts_with(wanted))).await;
    seen.unwrap_or_else(|_| panic!("the state did not become {wanted}: {:?}", transport.state().borrow()))
        .unwrap()
        .to_string()
}

/// What a call is told when there is no connection. Of two connections one is the first to notice, and until the other does
/// it may take a call with it.
pub(crate) async fn refusal(caller: &Caller) -> CallError {
    loop {
        match caller.call(0, Duration::from_millis(300)).await.unwrap_err() {
            CallError::ConnectionLost { .. } => {}
            refused => return refused,
        }
    }
}

/// Waits until something ran.
pub(crate) async fn ran(history: &History, id: &str) {
    eventually(SOON, "the method runs", async || history.executions(id), |runs| *runs > 0).await;
}
