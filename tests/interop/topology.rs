//! A Rust server and client declare the same objects at the broker as Python's, name for name and argument for argument.

use std::collections::BTreeMap;

use oxlo_test_support::{TestVhost, VhostAdmin, eventually, without_default_type, without_ids};
use serde_json::{Value, json};

use crate::{
    fixture::{Ask, SOON, ask, call, client_on, connect, python_client, python_server},
    twin::Twin,
};

/// The number of consumers of each queue, with random names replaced.
async fn consumers(vhost: &VhostAdmin) -> BTreeMap<String, u64> {
    vhost.queues().await.into_iter().map(|it| (without_ids(&it.name), it.consumers)).collect()
}

/// Waits until both sides have equally many consumers on the same queues; the broker and Python's threads take a moment.
async fn consumed_alike(ours: &VhostAdmin, theirs: &VhostAdmin) {
    let both = async || (consumers(ours).await, consumers(theirs).await);
    eventually(SOON, "both consume the same", both, |(ours, theirs)| ours == theirs).await;
}

/// A server and a caller in each language, each language in its own vhost.
async fn compare(options: &str) -> Value {
    let (ours, theirs) = tokio::join!(TestVhost::new(), TestVhost::new());
    let (our_url, their_url) = (format!("{}?{options}", ours.url()), format!("{}?{options}", theirs.url()));
    let (_server, mut caller) = tokio::join!(python_server(&their_url, "s1"), python_client(&their_url));
    assert_eq!(caller.ok(call("whoami", json!({}))).await, "s1");
    let _twin = Twin::start(&our_url, "s1").await;
    let transport = connect(&our_url).await;
    assert_eq!(ask(&client_on(&transport), "whoami", json!({})).await, "s1");
    consumed_alike(&ours, &theirs).await;
    let golden = theirs.declared().await;
    assert_eq!(ours.declared().await, golden, "with {options:?}");
    golden
}

fn queue<'a>(golden: &'a Value, name: &str) -> &'a Value {
    golden["queues"].as_array().unwrap().iter().find(|queue| queue["name"] == name).unwrap()
}

#[tokio::test]
async fn the_topology_of_default_options_is_pythons() {
    let golden = compare("").await;
    let names: Vec<&str> =
        golden["queues"].as_array().unwrap().iter().map(|queue| queue["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["reply_H", "t", "t.s1", "t_fanout_H"]);
    assert_eq!(without_default_type(&queue(&golden, "reply_H")["arguments"]), json!({"x-expires": 1_800_000}));
}

#[tokio::test]
async fn the_topology_of_durable_queues_is_pythons() {
    let golden = compare("amqp_durable_queues=true").await;
    assert_eq!(queue(&golden, "t")["durable"], true);
    assert_eq!(queue(&golden, "t_fanout_H")["durable"], false);
}

#[tokio::test]
async fn the_topology_of_quorum_queues_is_pythons() {
    let golden = compare("rabbit_quorum_queue=true").await;
    assert_eq!(queue(&golden, "t")["arguments"]["x-queue-type"], "quorum");
}

#[tokio::test]
async fn the_topology_of_quorum_queues_with_limits_is_pythons() {
    let golden =
        compare("rabbit_quorum_queue=true&rabbit_quorum_delivery_limit=4&rabbit_transient_quorum_queue=true").await;
    assert_eq!(queue(&golden, "t")["arguments"]["x-delivery-limit"], 4);
    assert_eq!(queue(&golden, "reply_H")["arguments"]["x-queue-type"], "quorum");
}

#[tokio::test]
async fn the_topology_of_short_lived_transient_queues_is_pythons() {
    let golden = compare("rabbit_transient_queues_ttl=60").await;
    assert_eq!(without_default_type(&queue(&golden, "reply_H")["arguments"]), json!({"x-expires": 60_000}));
    assert_eq!(without_default_type(&queue(&golden, "t_fanout_H")["arguments"]), json!({"x-expires": 60_000}));
}

#[tokio::test]
async fn the_topology_of_auto_deleted_queues_is_pythons() {
    let golden = compare("amqp_auto_delete=true").await;
    assert_eq!(queue(&golden, "t")["auto_delete"], true);
}

/// A server that stops deletes its own queues, and leaves the shared ones.
#[tokio::test]
async fn what_an_ended_rust_server_leaves_is_what_python_leaves() {
    let (ours, theirs) = tokio::join!(TestVhost::new(), TestVhost::new());
    python_server(&theirs.url(), "s1").await.finish().await;
    Twin::start(&ours.url(), "s1").await.end().await;
    consumed_alike(&ours, &theirs).await;
    assert_eq!(ours.declared().await, theirs.declared().await);
}
