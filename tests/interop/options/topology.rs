//! Both servers declare under the same options, each in its own vhost; the results must be equal.

use oxlo_test_support::{TestVhost, without_default_type};
use serde_json::{Value, json};

use super::{connect, python_server, server};

async fn compare(options: &str, further: &[&str]) -> Value {
    let (ours, theirs) = tokio::join!(TestVhost::new(), TestVhost::new());
    let their_url = format!("{}?{options}", theirs.url());
    let _python = python_server(&their_url, further).await;
    let transport = connect(&format!("{}?{options}", ours.url())).await;
    let _server = server(&transport, "s1").await;
    let golden = theirs.declared().await;
    assert_eq!(ours.declared().await, golden, "with {options}");
    golden
}

fn arguments(golden: &Value, queue: &str) -> Value {
    let queues = golden["queues"].as_array().unwrap();
    let found = queues.iter().find(|it| it["name"] == queue).unwrap_or_else(|| panic!("no {queue} in {queues:?}"));
    without_default_type(&found["arguments"])
}

#[tokio::test]
async fn mirrored_queues_are_pythons() {
    let golden = compare("rabbit_ha_queues=true", &[]).await;
    assert_eq!(arguments(&golden, "t")["x-ha-policy"], "all");
    assert_eq!(arguments(&golden, "t_fanout_H")["x-ha-policy"], "all");
}

#[tokio::test]
async fn quorum_queues_with_every_limit_are_pythons() {
    let limits = "rabbit_quorum_queue=true&rabbit_quorum_delivery_limit=4&rabbit_quorum_max_memory_length=1000\
                  &rabbit_quorum_max_memory_bytes=100000";
    let golden = compare(limits, &[]).await;
    let expected = json!({
        "x-queue-type": "quorum", "x-delivery-limit": 4, "x-max-in-memory-length": 1000, "x-max-in-memory-bytes": 100_000,
    });
    assert_eq!(arguments(&golden, "t"), expected);
}

#[tokio::test]
async fn transient_queues_that_never_expire_are_pythons() {
    let golden = compare("rabbit_transient_queues_ttl=0", &[]).await;
    assert_eq!(arguments(&golden, "t_fanout_H"), json!({}));
}

#[tokio::test]
async fn transient_quorum_queues_are_pythons() {
    let golden =
        compare("rabbit_transient_quorum_queue=true&rabbit_transient_queues_ttl=60&amqp_durable_queues=1", &[]);
    assert_eq!(arguments(&golden.await, "t_fanout_H")["x-queue-type"], "quorum");
}

#[tokio::test]
async fn what_does_not_shape_the_topology_leaves_it_as_it_is() {
    let options = "rabbit_qos_prefetch_count=7&enable_cancel_on_failover=true&heartbeat_timeout_threshold=30\
                   &heartbeat_rate=3&kombu_reconnect_delay=0.5&rabbit_login_method=PLAIN&kombu_compression=bzip2";
    compare(options, &[]).await;
}

#[tokio::test]
async fn the_stream_of_a_topic_is_pythons() {
    let options = "rabbit_stream_fanout=true&rabbit_transient_quorum_queue=true&rabbit_qos_prefetch_count=10";
    let golden = compare(options, &[]).await;
    assert_eq!(arguments(&golden, "t_fanout"), json!({"x-queue-type": "stream", "x-max-age": "1800s"}));
}

#[tokio::test]
async fn stable_names_are_pythons() {
    let (folder, name) = (tempfile::tempdir().unwrap(), format!("p{}", std::process::id()));
    let lock_path = format!("lock_path={}", folder.path().display());
    let options = format!("use_queue_manager=true&hostname=oxlo-interop&processname={name}");
    let golden = compare(&options, &["[oslo_concurrency]", &lock_path]).await;
    arguments(&golden, &format!("t_fanout_oxlo-interop:{name}:1"));
    let _ = std::fs::remove_file(format!("/dev/shm/oxlo-interop_{name}_qmanager"));
}
