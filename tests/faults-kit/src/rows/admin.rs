//! Actions of administrators.

use std::time::Duration;

use oxlo::{CallError, TransportError};
use oxlo_test_support::{Event, eventually};
use tokio::time::Instant;

use crate::{SOON, Stage};

/// Row 8: queues of the service are deleted under their consumers. Service is restored `within`.
pub async fn queues_deleted(stage: Stage, queues: [String; 2], within: Duration, delete: impl AsyncFn(String)) {
    for queue in queues {
        delete(queue.clone()).await;
        stage.history.record(Event::Disrupted);
        let took = stage.caller.resumes(within).await;
        println!("figures: service resumed {took:?} after queue {queue} was deleted");
    }
    stage.close().await;
}

/// Row 10: the reply queue is deleted while calls wait for their replies. They end `within`, before their methods, which are
/// released afterwards.
pub async fn reply_queue_deleted(stage: Stage, within: Duration, delete: impl AsyncFnOnce()) {
    const CALLS: usize = 20;
    let before = stage.history.runs();
    let mut calls = stage.caller.spawn_calls(CALLS, 600_000, 6 * SOON);
    eventually(SOON, "all of them run", async || stage.history.runs() - before, |runs| *runs == CALLS).await;
    delete().await;
    let begun = Instant::now();
    while let Some(ended) = calls.join_next().await {
        let error = ended.unwrap().unwrap_err();
        assert!(
            matches!(&error, CallError::Transport { error: TransportError::ReplyLost { .. }, .. })
                && error.may_have_run(),
            "{error}"
        );
    }
    stage.lag.in_time("pending calls end after their queue", begun.elapsed(), within);
    stage.release();
    stage.caller.resumes(within).await;
    stage.close().await;
}
