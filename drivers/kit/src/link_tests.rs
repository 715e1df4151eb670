#![allow(clippy::unwrap_used)]

use std::{collections::VecDeque, sync::Mutex};

use tokio::sync::mpsc;

use super::*;

/// Attempts end as the script says, and then without an answer.
struct Scripted {
    script: Mutex<VecDeque<Result<(), AttemptError>>>,
    log: mpsc::UnboundedSender<String>,
    lost: Arc<tokio::sync::Notify>,
}

impl Dialler for Scripted {
    const SYSTEM: &'static str = "test";
    type Session = usize;
    type ConnectionGuard = ();

    async fn open(&self, host: usize) -> Result<(Arc<usize>, ()), AttemptError> {
        self.log.send(format!("open {host}")).unwrap();
        let next = self.script.lock().unwrap().pop_front();
        match next {
            Some(Ok(())) => Ok((Arc::new(host), ())),
            Some(Err(error)) => Err(error),
            None => std::future::pending().await,
        }
    }

    async fn follow(&self, _: &usize, (): &mut ()) -> String {
        self.lost.notified().await;
        "cut".to_owned()
    }

    fn abandon(&self, host: &usize, (): ()) {
        let _ = self.log.send(format!("abandon {host}"));
    }

    async fn farewell(&self, host: &usize, (): ()) {
        let _ = self.log.send(format!("farewell {host}"));
    }
}

struct Rig {
    link: Link<usize>,
    log: mpsc::UnboundedReceiver<String>,
    lost: Arc<tokio::sync::Notify>,
}

impl Rig {
    fn new(hosts: usize, script: Vec<Result<(), AttemptError>>, news: &watch::Sender<()>) -> Self {
        let (sender, log) = mpsc::unbounded_channel();
        let lost = Arc::new(tokio::sync::Notify::new());
        let dialler = Scripted { script: Mutex::new(script.into()), log: sender, lost: lost.clone() };
        let plan = Plan {
            role: Role::Publish,
            places: (0..hosts).map(|host| format!("mq{host}:1")).collect(),
            failover: Failover::RoundRobin,
            pace: Pace::default(),
        };
        let link = Link::spawn(dialler, plan, news);
        link.begin();
        Self { link, log, lost }
    }

    fn alone(hosts: usize, script: Vec<Result<(), AttemptError>>) -> Self {
        Self::new(hosts, script, &watch::Sender::new(()))
    }

    /// What was done so far.
    fn log(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.log.try_recv().ok()).collect()
    }
}

fn passing() -> AttemptError {
    AttemptError::passing("mq:1".to_owned(), Duration::ZERO, None)
}

fn refused(reason: &str) -> AttemptError {
    AttemptError::refused("mq:1".to_owned(), Refusal::Credentials, reason)
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_replaced_and_let_go_of() {
    let mut rig = Rig::alone(1, vec![Ok(()), Err(passing()), Ok(())]);
    rig.link.first_connection(Retry::Times(0)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut state = rig.link.state();
    rig.lost.notify_one();
    let down = state.wait_for(|state| matches!(state, LinkState::Down(_))).await.unwrap().clone();
    let LinkState::Down(Down { cause: Some(cause), .. }) = down else { panic!("{down:?}") };
    assert_eq!(std::error::Error::source(&cause).unwrap().to_string(), "cut");
    connected(&mut state).await.unwrap();
    assert_eq!(rig.log(), ["open 0", "abandon 0", "open 0", "open 0"]);
    rig.link.close().await;
    assert_eq!(rig.log(), ["farewell 0"]);
    assert!(connected(&mut state).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn retries_are_counted_in_rounds_through_the_hosts() {
    let script = (0..4).map(|_| Err(passing())).collect();
    let mut rig = Rig::alone(2, script);
    let error = rig.link.first_connection(Retry::Times(1)).await.unwrap_err();
    assert!(matches!(&error, TransportError::Unreachable { broker, .. } if broker == "mq0:1, mq1:1"), "{error:?}");
    assert_eq!(rig.log().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_though_another_host_failed_last() {
    let rig = Rig::alone(2, vec![Err(refused("no such user")), Err(passing())]);
    let error = rig.link.first_connection(Retry::Forever).await.unwrap_err();
    assert!(matches!(&error, TransportError::Refused { reason, .. } if reason == "no such user"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn after_giving_up_it_asks_again_slowly() {
    let rig = Rig::alone(1, vec![Err(refused("no such user")), Ok(())]);
    let begun = Instant::now();
    rig.link.first_connection(Retry::Forever).await.unwrap_err();
    connected(&mut rig.link.state()).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_without_an_answer_ends() {
    let mut rig = Rig::alone(1, Vec::new());
    let begun = Instant::now();
    let error = rig.link.first_connection(Retry::Times(0)).await.unwrap_err();
    assert!(matches!(error, TransportError::Unreachable { .. }), "{error:?}");
    assert_eq!(begun.elapsed(), ATTEMPT_LIMIT);
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "no answer within 5s");
    assert_eq!(rig.log(), ["open 0"]);
}

#[tokio::test(start_paused = true)]
async fn another_links_success_ends_the_wait() {
    let news = watch::Sender::new(());
    let mut script: Vec<_> = (0..8).map(|_| Err(passing())).collect();
    script.push(Ok(()));
    let waiting = Rig::new(1, script, &news);
    let mut state = waiting.link.state();
    state.wait_for(|state| matches!(state, LinkState::Down(down) if down.attempts == 8)).await.unwrap();
    let begun = Instant::now();
    let other = Rig::new(1, vec![Ok(())], &news);
    other.link.first_connection(Retry::Times(0)).await.unwrap();
    connected(&mut state).await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn closing_ends_an_attempt_and_a_link_that_never_began() {
    let mut rig = Rig::alone(1, Vec::new());
    tokio::time::sleep(Duration::from_secs(1)).await;
    rig.link.close().await;
    assert_eq!(rig.log(), ["open 0"]);
    assert!(matches!(rig.link.first_connection(Retry::Forever).await, Err(TransportError::Closed)));
    let (sender, _log) = mpsc::unbounded_channel();
    let dialler = Scripted { script: Mutex::default(), log: sender, lost: Arc::default() };
    let plan = Plan {
        role: Role::Consume,
        places: vec!["mq:1".to_owned()],
        failover: Failover::RoundRobin,
        pace: Pace::default(),
    };
    Link::spawn(dialler, plan, &watch::Sender::new(())).close().await;
}

/// What is logged on this thread while the guard lives.
fn logged() -> (Arc<Mutex<Vec<u8>>>, tracing::subscriber::DefaultGuard) {
    #[derive(Clone)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Arc::new(Mutex::new(Vec::new()));
    let buffer = Buffer(log.clone());
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .with_writer(move || buffer.clone())
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}

fn lines(log: &Mutex<Vec<u8>>) -> Vec<String> {
    String::from_utf8(log.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
}

fn unreachable_because(why: &'static str) -> AttemptError {
    let source = Arc::new(std::io::Error::other(why));
    AttemptError::passing("mq0:1".to_owned(), Duration::ZERO, Some(source))
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_broker_is_logged_after_a_second_and_then_every_half_minute() {
    let (log, _guard) = logged();
    let script = (0..400).map(|_| Err(unreachable_because("no route to host"))).collect();
    let rig = Rig::alone(1, script);
    let waiting = rig.link.first_connection(Retry::Forever);
    assert!(timeout(Duration::from_millis(990), waiting).await.is_err());
    assert!(lines(&log).is_empty(), "{:?}", lines(&log));
    tokio::time::sleep(Duration::from_secs(39)).await;
    let seen = lines(&log);
    assert_eq!(seen.len(), 2, "{seen:?}");
    for (line, lasting) in seen.iter().zip(["lasting=1", "lasting=31"]) {
        assert!(line.contains("WARN") && line.contains("no connection to the broker, retrying"), "{line}");
        assert!(line.contains("broker=\"mq0:1\"") && line.contains("role=\"publish\""), "{line}");
        assert!(line.contains(lasting) && line.contains("no route to host") && line.contains("attempts="), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_logged_from_the_loss_to_the_new_connection() {
    let (log, _guard) = logged();
    let mut script = vec![Ok(())];
    script.extend((0..30).map(|_| Err(unreachable_because("refused"))));
    script.push(Ok(()));
    let rig = Rig::alone(1, script);
    rig.link.first_connection(Retry::Times(0)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut state = rig.link.state();
    rig.lost.notify_one();
    state.wait_for(|state| matches!(state, LinkState::Down(_))).await.unwrap();
    connected(&mut state).await.unwrap();
    let seen = lines(&log);
    assert!(seen.len() >= 5, "{seen:?}");
    assert!(seen[0].contains("connected") && seen[1].contains("connection lost"), "{seen:?}");
    let last = seen.len() - 1;
    assert!(seen[2..last].iter().all(|line| line.contains("no connection to the broker")), "{seen:?}");
    assert!(seen[last].contains("connected") && seen[last].contains("failed_attempts=30"), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_is_not_logged_as_one() {
    let (log, _guard) = logged();
    let rig = Rig::alone(1, vec![Err(unreachable_because("refused")), Ok(())]);
    rig.link.first_connection(Retry::Forever).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(lines(&log).len(), 1, "{:?}", lines(&log));
}

fn over_the_limit() -> AttemptError {
    AttemptError::refused("mq:1".to_owned(), Refusal::ConnectionLimit, "connection limit (0) is reached")
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_may_pass_is_tried_on() {
    let rig = Rig::alone(1, vec![Err(over_the_limit()), Err(over_the_limit()), Ok(())]);
    rig.link.first_connection(Retry::Forever).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_may_pass_is_told_when_the_retries_are_used_up() {
    let mut rig = Rig::alone(1, vec![Err(over_the_limit()), Err(over_the_limit())]);
    let error = rig.link.first_connection(Retry::Times(1)).await.unwrap_err();
    assert_eq!(error.to_string(), "mq:1 refused the connection: connection limit (0) is reached");
    assert!(error.is_retryable() && !error.may_have_run());
    assert_eq!(rig.log().len(), 2);
}

#[test]
fn a_retry_is_one_more_round_through_all_hosts() {
    let after = |attempts| Down { attempts, ..Down::default() };
    for (hosts, times, attempts) in [(1, 0, 1), (1, 2, 3), (3, 0, 3), (3, 1, 6)] {
        let retry = Retry::Times(times);
        assert!(after(attempts).exhausted(retry, hosts), "{hosts} {times}");
        assert!(!after(attempts - 1).exhausted(retry, hosts), "{hosts} {times}");
    }
    assert!(!after(u32::MAX).exhausted(Retry::Forever, 1));
}
