//! Processes that are terminated.

use std::process::Command;

use oxlo_test_support::Rules;

use crate::{SOON, Stage, child::Child};

/// Row 40: a server receives SIGTERM with calls in flight, which are answered.
pub async fn sigterm(stage: Stage, url: &str) {
    let mut child = Child::serve(url, "BeforeDispatch", &stage.history).await;
    let mut calls = stage.caller.spawn_calls(40, 1000, SOON);
    child.does(1).await;
    let told = Command::new("kill").args(["-TERM", &child.pid().to_string()]).status().unwrap();
    assert!(told.success());
    while let Some(ended) = calls.join_next().await {
        ended.unwrap().unwrap();
    }
    child.ended().await;
    stage.close_by(Rules { exactly_once: true, ..Rules::default() }).await;
}
