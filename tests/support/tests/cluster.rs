//! The cluster of three nodes: it forms, and a partitioned node rejoins.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use oxlo_test_support::{Cluster, eventually};

const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_pauses_and_comes_back() {
    let begun = Instant::now();
    let cluster = Cluster::start().await;
    println!("three nodes form a cluster in {:?}", begun.elapsed());
    assert!(cluster.url().matches("guest:guest@127.0.0.1:").count() == 3, "{}", cluster.url());
    for node in 0..3 {
        assert!(cluster.serves(node).await);
    }
    let begun = Instant::now();
    cluster.partition(1).await;
    eventually(SOON, "the minority pauses", async || cluster.serves(1).await, |serves| !serves).await;
    println!("paused after {:?}", begun.elapsed());
    assert!(cluster.node(1).log().contains("minority"), "{}", cluster.node(1).log());
    for majority in Cluster::others(1) {
        assert!(cluster.serves(majority).await, "the majority goes on");
    }
    let begun = Instant::now();
    cluster.heal(1).await;
    cluster.whole().await;
    println!("whole again after {:?}", begun.elapsed());
}
