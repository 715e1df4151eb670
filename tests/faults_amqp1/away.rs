//! Rows 53 and 55: operations while the broker is unavailable.

use oxlo_faults_kit::rows::away;
use oxlo_test_support::TestVhost;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_53_a_stop_while_disconnected_is_remembered() {
    let vhost = TestVhost::new().await;
    away::a_stop_is_remembered(&vhost.amqp1_url(), vhost.port()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_55_the_cause_of_no_connection_is_kept() {
    let vhost = TestVhost::new().await;
    away::the_cause_is_kept(&vhost.amqp1_url(), vhost.port()).await;
}
