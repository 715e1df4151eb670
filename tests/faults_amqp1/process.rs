//! Row 40: processes that are terminated.

use oxlo_faults_kit::{Stage, rows};
use oxlo_test_support::TestVhost;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_40_sigterm_with_calls_in_flight() {
    let vhost = TestVhost::new().await;
    let stage = Stage::on(&vhost.amqp1_url()).await;
    rows::process::sigterm(stage, &vhost.amqp1_url()).await;
}
