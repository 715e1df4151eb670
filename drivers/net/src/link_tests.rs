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
    type Custody = ();

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
