//! Child processes that can be killed: the suite's test binary again, running one part.
//!
//! A suite whose rows need them invokes [`child_parts!`](crate::child_parts) in a module `child`.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use oxlo::{AckPolicy, Args, Endpoint, RPCServer, Target};
use oxlo_test_support::{Event, History, Outcome, eventually};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Semaphore,
};

use crate::{Caller, SOON, TOPIC, service::service_that};

const URL: &str = "OXLO_FAULTS_URL";
const POLICY: &str = "OXLO_FAULTS_POLICY";
/// Time limit for a process to start and connect.
const START: Duration = Duration::from_secs(60);
/// The timeout of the call of [`Child::call`]. Its server retries the reply for this long after the caller was killed.
const PENDING: Duration = Duration::from_secs(10);
/// The timeout of a call of [`Child::call_by`].
const PATIENCE: Duration = Duration::from_secs(10);
const MARK: &str = "oxlo-child ";

/// Declares the ignored tests that a suite's children run.
#[macro_export]
macro_rules! child_parts {
    () => {
        /// A part of a row, not a test: does nothing without its environment variables.
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[ignore = "a part of other tests"]
        async fn serves() {
            $crate::child::serves().await;
        }

        /// As [`serves`].
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[ignore = "a part of other tests"]
        async fn calls() {
            $crate::child::calls().await;
        }

        /// As [`serves`].
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[ignore = "a part of other tests"]
        async fn calls_all_the_time() {
            $crate::child::calls_all_the_time().await;
        }
    };
}

/// A child process, killed when dropped. The runs that it reports are recorded.
#[derive(Debug)]
pub struct Child {
    child: std::process::Child,
    lines: Arc<AtomicUsize>,
    ready: Arc<AtomicUsize>,
    jumps: Arc<AtomicUsize>,
    reader: Option<JoinHandle<()>>,
}

impl Child {
    /// As [`serve`](Self::serve), with a wall clock whose offset from the real one is read from the file `clock`.
    pub async fn serve_by(clock: &Path, url: &str, history: &History) -> Self {
        Self::start("child::serves", &[(URL, url)], Some(clock), history).await
    }

    /// A caller with such a clock that calls without a pause; each call takes 200 ms.
    pub async fn call_by(clock: &Path, url: &str, history: &History) -> Self {
        Self::start("child::calls_all_the_time", &[(URL, url)], Some(clock), history).await
    }

    /// A server of the topic, named `child`. Returns when it serves.
    pub async fn serve(url: &str, policy: &str, history: &History) -> Self {
        Self::start("child::serves", &[(URL, url), (POLICY, policy)], None, history).await
    }

    /// A caller with a call in flight that takes three seconds.
    pub async fn call(url: &str, history: &History) -> Self {
        Self::start("child::calls", &[(URL, url)], None, history).await
    }

    async fn start(part: &str, environment: &[(&str, &str)], clock: Option<&Path>, history: &History) -> Self {
        // A killed process cannot delete its queues; they expire.
        let environment: Vec<(&str, String)> = environment
            .iter()
            .map(|(name, value)| match *name {
                URL if value.starts_with("amqp") => (URL, (*value).to_owned()),
                URL if value.contains('?') => (URL, format!("{value}&rabbit_transient_queues_ttl=1")),
                URL => (URL, format!("{value}?rabbit_transient_queues_ttl=1")),
                name => (name, (*value).to_owned()),
            })
            .collect();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", part, "--ignored", "--nocapture", "--test-threads=1"]);
        if let Some(clock) = clock {
            // Only the wall clock: a jump does not change the monotonic one.
            command.env("LD_PRELOAD", faketime()).env("FAKETIME_TIMESTAMP_FILE", clock);
            command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        command.envs(environment).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let [lines, ready, jumps] = [const { AtomicUsize::new(0) }; 3].map(Arc::new);
        let (ran, is_ready, jumped, history) = (lines.clone(), ready.clone(), jumps.clone(), history.clone());
        let reader = thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // The test harness may have written to the same line before.
                let Some((_, said)) = line.split_once(MARK) else { continue };
                match said.split_once(' ') {
                    Some(("ran", id)) => {
                        history.executed(id);
                        ran.fetch_add(1, Ordering::SeqCst);
                    }
                    Some(("called", id)) => {
                        // The process is killed before the call ends.
                        history.record(Event::Called { id: id.into(), timeout: PENDING });
                        history.record(Event::Ended { id: id.into(), outcome: Outcome::Dropped });
                        ran.fetch_add(1, Ordering::SeqCst);
                    }
                    Some(("asked", id)) => {
                        history.record(Event::Called { id: id.into(), timeout: PATIENCE });
                    }
                    Some(("answered", id)) => {
                        history.record(Event::Ended { id: id.into(), outcome: Outcome::Replied(id.into()) });
                        ran.fetch_add(1, Ordering::SeqCst);
                    }
                    Some(("failed", said)) => {
                        let id = said.split(' ').next().unwrap_or_default().to_owned();
                        history.record(Event::Ended { id, outcome: Outcome::Unknown });
                    }
                    Some(("jumped", _)) => {
                        jumped.fetch_add(1, Ordering::SeqCst);
                    }
                    _ => {
                        is_ready.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }
        });
        let this = Self { child, lines, ready, jumps, reader: Some(reader) };
        eventually(START, "the child is ready", async || this.ready.load(Ordering::SeqCst), |count| *count > 0).await;
        this
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until its clock has jumped this many times.
    pub async fn jumped(&self, times: usize) {
        let jumps = async || self.jumps.load(Ordering::SeqCst);
        eventually(SOON, "the clock jumps", jumps, |jumps| *jumps >= times).await;
    }

    /// How many runs, calls and answers it has reported.
    pub fn done(&self) -> usize {
        self.lines.load(Ordering::SeqCst)
    }

    /// Waits until [`done`](Self::done) is `times` at least.
    pub async fn does(&self, times: usize) {
        eventually(SOON, "the child goes on", async || self.done(), |done| *done >= times).await;
    }

    /// Whether it is running.
    pub fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it has ended by itself and everything it reported is recorded.
    pub async fn ended(&mut self) {
        eventually(2 * SOON, "the child ends", async || self.lives(), |lives| !lives).await;
        self.kill();
    }

    /// Kills it with SIGKILL. Everything it reported is recorded when this returns.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The path of libfaketime in Debian's package `libfaketime`.
fn faketime() -> std::path::PathBuf {
    let libraries = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    libraries
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists())
        .expect("libfaketime is not installed: apt-get install libfaketime, or run tests/run")
}

/// Reports every jump of the wall clock by more than a minute.
async fn watch_the_clock() {
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let (mut wall, mut steady) = (now(), Instant::now());
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if now().abs_diff(wall + steady.elapsed()) > Duration::from_secs(60) {
            say("jumped now");
        }
        (wall, steady) = (now(), Instant::now());
    }
}

/// After how many milliseconds `abort` ends its process.
#[derive(serde::Deserialize)]
struct When {
    ms: u64,
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "\n{MARK}{text}").and_then(|()| out.flush());
}

#[doc(hidden)]
pub async fn serves() {
    let Ok(url) = std::env::var(URL) else { return };
    let policy = match std::env::var(POLICY).as_deref() {
        Ok("AfterReply") => AckPolicy::AfterReply,
        _ => AckPolicy::BeforeDispatch,
    };
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    let transport = oxlo::connect(url).await.unwrap();
    let deadly = Endpoint::new("1.0").method("abort", async |Args(when): Args<When>| -> Result<(), oxlo::Failure> {
        tokio::time::sleep(Duration::from_millis(when.ms)).await;
        std::process::abort()
    });
    let server = RPCServer::builder(transport.clone(), Target::topic(TOPIC).server("child"))
        // Reported before the reply is sent: every answered call was reported, whenever this process is killed.
        .endpoint(service_that(|id| say(&format!("ran {id}")), Arc::new(Semaphore::new(0))))
        .endpoint(deadly)
        .ack_policy(policy)
        .start()
        .await
        .unwrap();
    say("ready");
    tokio::select! {
        () = watch_the_clock() => {}
        _ = terminate.recv() => {}
    }
    server.stop();
    server.wait().await.unwrap();
    transport.close().await;
}

#[doc(hidden)]
pub async fn calls() {
    let Ok(url) = std::env::var(URL) else { return };
    let caller = Caller::new(oxlo::connect(url).await.unwrap(), &History::new());
    say("ready");
    let id = format!("child-{}", std::process::id());
    say(&format!("called {id}"));
    let _ = caller.call_as("echo", &id, 3000, PENDING).await;
}

#[doc(hidden)]
pub async fn calls_all_the_time() {
    let Ok(url) = std::env::var(URL) else { return };
    let caller = Caller::new(oxlo::connect(url).await.unwrap(), &History::new());
    let call = async |id: String| {
        say(&format!("asked {id}"));
        match caller.call_as("echo", &id, 200, PATIENCE).await {
            Ok(()) => say(&format!("answered {id}")),
            Err(error) => say(&format!("failed {id} {error}")),
        }
    };
    call(Caller::fresh_id()).await;
    say("ready");
    let calls = async {
        loop {
            call(Caller::fresh_id()).await;
        }
    };
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    tokio::select! {
        () = calls => {}
        () = watch_the_clock() => {}
        _ = terminate.recv() => {}
    }
}
