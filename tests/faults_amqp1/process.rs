//! Rows 28, 29 and 40: processes that end.

use std::process::Command;

use oxlo_test_support::{Rules, TestVhost};
use tokio::task::JoinSet;

use crate::{child::Child, kit::SOON, stage::Stage};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_40_sigterm_with_calls_in_flight() {
    let vhost = TestVhost::new().await;
    let stage = Stage::on(&vhost.amqp1_url()).await;
    let mut child = Child::serve(&vhost.amqp1_url(), "BeforeDispatch", &stage.history).await;
    let mut calls = JoinSet::new();
    for _ in 0..40 {
        let caller = stage.caller.clone();
        calls.spawn(async move { caller.call(1000, SOON).await });
    }
    child.runs_something().await;
    let told = Command::new("kill").args(["-TERM", &child.pid().to_string()]).status().unwrap();
    assert!(told.success());
    while let Some(ended) = calls.join_next().await {
        ended.unwrap().unwrap();
    }
    child.ended().await;
    stage.close_by(Rules { exactly_once: true, ..Rules::default() }).await;
}
