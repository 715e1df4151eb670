//! Faults of the broker itself.

use std::time::Duration;

use oxlo::{CallError, TransportError};
use oxlo_test_support::{Broker, Event, eventually, port_opens, resident};
use tokio::time::Instant;

use crate::{SECOND, SOON, Stage, ran, state};

/// Row 1: the broker is killed; calls are refused.
pub async fn killed(broker: &Broker, stage: &Stage) {
    stage.history.record(Event::Disrupted);
    broker.kill().await;
    state(&stage.client, "disconnected").await;
    let refused = stage.caller.refusal().await;
    assert!(matches!(refused, CallError::Transport { error: TransportError::Unreachable { .. }, .. }), "{refused}");
}

/// Row 1: it is restarted. Service is restored `within` this time after its port opened.
pub async fn started_again(broker: &Broker, stage: &Stage, within: Duration) {
    let back = async {
        let since = port_opens(broker.port()).await;
        stage.history.record(Event::Healed { within });
        stage.caller.resumes_since(since, within).await
    };
    let ((), took) = tokio::join!(broker.restart(), back);
    println!("figures: from port open to the first successful call after a SIGKILL: {took:?}");
}

/// Row 2: a frozen broker accepts bytes and does not answer; this is detected within two heartbeats of 2 s. Requests written to
/// its socket are delivered when it thaws, long after their callers gave up, and do not run.
pub async fn frozen(broker: &Broker, stage: Stage) {
    const CALLS: usize = 20;
    for _ in 0..5 {
        stage.caller.call(0, SOON).await.unwrap();
    }
    broker.freeze();
    stage.history.record(Event::Disrupted);
    let begun = Instant::now();
    let mut calls = stage.caller.spawn_calls(CALLS, 0, SECOND);
    while let Some(ended) = calls.join_next().await {
        let error = ended.unwrap().unwrap_err();
        assert!(error.may_have_run(), "it was written into the socket: {error}");
    }
    stage.lag.in_time("calls end by their own timeout", begun.elapsed(), Duration::from_millis(1500));
    state(&stage.client, "disconnected").await;
    noticed("frozen broker", begun.elapsed(), &stage, Duration::from_millis(4500));
    // Both connections must notice before it thaws, or one of them loses a call when it does.
    stage.caller.refusal().await;
    broker.thaw();
    stage.caller.resumes(6 * SECOND).await;
    let summary = stage.close().await;
    assert!(summary.unknown >= CALLS, "{summary:?}");
    println!("figures: executions of calls that had timed out: 0 of {}", summary.unknown);
}

/// Prints and checks how long a fault went unnoticed, with heartbeats of 2 s.
pub fn noticed(what: &str, took: Duration, stage: &Stage, limit: Duration) {
    println!("figures: {what} noticed after {:.2} times the 2 s", took.as_secs_f64() / 2.0);
    stage.lag.in_time("the fault is noticed", took, limit);
}

/// Row 11: while the broker blocks publishers, `count` concurrent calls end in time, and none of them runs afterwards. A reply that
/// is due then is sent when the alarm ends; service is restored `within`. If the broker `tells` of the alarm, no call is sent.
pub async fn alarm(stage: Stage, count: usize, tells: bool, within: Duration, raise: impl AsyncFn(bool)) {
    let (running, id) = stage.caller.spawn_call(1500, 2 * SOON);
    ran(&stage.history, &id).await;
    raise(true).await;
    // The alarm reaches the connections after a moment, in any order; and the broker notifies a connection only when it
    // publishes.
    let call = async || stage.caller.call(0, SECOND).await;
    let reached = |ended: &Result<(), CallError>| match ended {
        Ok(()) => false,
        Err(error) => !tells || matches!(error, CallError::Transport { error: TransportError::Blocked { .. }, .. }),
    };
    let _ = eventually(2 * SOON, "the alarm reaches the caller", call, reached).await;
    let memory = resident();
    let (mut calls, begun, mut unsent) = (stage.caller.spawn_calls(count, 0, SECOND), Instant::now(), 0);
    while let Some(ended) = calls.join_next().await {
        let error = ended.unwrap().unwrap_err();
        unsent += usize::from(!error.may_have_run());
        assert!(
            !tells || matches!(error, CallError::Transport { error: TransportError::Blocked { .. }, .. }),
            "{error}"
        );
    }
    println!("figures: {count} calls during an alarm ended after {:?}, {unsent} as not sent", begun.elapsed());
    assert!(!tells || unsent == count, "{unsent}");
    stage.history.record(Event::Memory { before: memory, after: resident(), bound: 64 << 20 });
    raise(false).await;
    running.await.unwrap().unwrap();
    stage.caller.resumes(within).await;
    stage.close().await;
}
