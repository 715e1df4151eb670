//! Rows 9, 12, 13 and 14: faults of a three-node cluster.

use std::time::Duration;

use oxlo::{CallError, Target, TransportError};
use oxlo_faults_kit::{Caller, SECOND, SOON, TOPIC, leave_queue, state};
use oxlo_test_support::{Cluster, Event, History, Outcome, VhostAdmin, eventually};
use tokio::time::{Instant, sleep};

use crate::scene::{reply_queue, stage_on};

/// Limit from a node's death or partition to the first successful call through the other two: an election and a
/// reconnect.
const FAILOVER: Duration = Duration::from_secs(5);
const QUORUM: &str = "?rabbit_quorum_queue=true";

/// Casts sequentially, and returns the slowest confirm and the number of failed casts.
async fn casts_for(caller: &Caller, time: Duration) -> (Duration, usize) {
    let (begun, mut slowest, mut failed) = (Instant::now(), Duration::ZERO, 0);
    while begun.elapsed() < time {
        let sent = Instant::now();
        if caller.cast(SOON).await.is_err() {
            failed += 1;
        }
        slowest = slowest.max(sent.elapsed());
        sleep(Duration::from_millis(10)).await;
    }
    (slowest, failed)
}

/// The longest time without a successful call, with continuous callers.
fn longest_gap(history: &History, since: Duration) -> Duration {
    let (mut last, mut longest) = (since, Duration::ZERO);
    for record in history.records().iter().filter(|record| record.at > since) {
        if matches!(&record.event, Event::Ended { outcome: Outcome::Replied(_), .. }) {
            longest = longest.max(record.at.saturating_sub(last));
            last = record.at;
        }
    }
    longest
}

/// The time of the latest event.
fn now(history: &History) -> Duration {
    history.records().last().map_or(Duration::ZERO, |record| record.at)
}

/// A queue declared as oxlo declares it, on a given node.
async fn declare_on(cluster: &Cluster, node: usize, vhost: &VhostAdmin, options: &str) {
    let url = cluster.url_of(&[node]) + vhost.name().trim_start_matches('/') + options;
    let transport = oxlo::connect(url).await.unwrap();
    leave_queue(&transport, Target::topic(TOPIC).server("one")).await;
    transport.close().await;
    assert_eq!(cluster.leader(vhost, TOPIC).await, Some(node));
}

/// The node of a classic queue dies; callers and servers are on the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_09_node_of_a_classic_queue_dies() {
    let cluster = Cluster::start().await;
    durable_queue_without_its_node(&cluster).await;
    cluster.whole().await;
    transient_queue_without_its_node(&cluster).await;
}

/// A durable queue stays on its node: calls fail at once as undeliverable, and both sides use the queue again when the node is
/// back.
async fn durable_queue_without_its_node(cluster: &Cluster) {
    const DURABLE: &str = "?amqp_durable_queues=true";
    let admin = cluster.node(1);
    declare_on(cluster, 0, admin, DURABLE).await;
    let stage = stage_on(admin, &(cluster.url_of(&[1, 2]) + DURABLE)).await;
    let traffic = stage.caller.with_mandatory_casts().traffic(2, 30 * SECOND);
    sleep(Duration::from_millis(500)).await;
    stage.history.record(Event::Disrupted);
    cluster.node(0).kill().await;
    let tells = async || stage.caller.call(0, SECOND).await;
    let told = |ended: &Result<(), CallError>| {
        matches!(ended, Err(CallError::Transport { error: TransportError::Undeliverable { .. }, .. }))
    };
    let _ = eventually(SOON, "calls are undeliverable", tells, told).await;
    let mut latencies = Vec::new();
    for _ in 0..20 {
        let begun = Instant::now();
        let error = stage.caller.call(0, SECOND).await.unwrap_err();
        latencies.push(begun.elapsed());
        assert!(
            matches!(error, CallError::Transport { error: TransportError::Undeliverable { .. }, .. })
                && !error.may_have_run(),
            "{error}"
        );
    }
    latencies.sort();
    println!("figures: a call to a queue whose node is dead failed after {:?} (median of 20)", latencies[10]);
    stage.lag.in_time("a call to a queue whose node is dead fails", latencies[10], Duration::from_millis(50));
    cluster.node(0).restart().await;
    // The server tries again after pauses of up to 5 s.
    let took = stage.caller.resumes(7 * SECOND).await;
    println!("figures: service on a durable classic queue was back {took:?} after its node");
    traffic.stop().await;
    stage.close().await;
}

/// A queue that does not survive its node is declared again on another one. Its messages are lost, so only calls are made.
async fn transient_queue_without_its_node(cluster: &Cluster) {
    let vhost = cluster.node(1).add_vhost("transient").await;
    declare_on(cluster, 0, &vhost, "").await;
    let url = cluster.url_of(&[1, 2]) + vhost.name();
    let stage = stage_on(&vhost, &url).await;
    stage.history.record(Event::Disrupted);
    cluster.node(0).kill().await;
    let took = stage.caller.resumes(FAILOVER).await;
    println!("figures: service on a transient classic queue was back {took:?} after its node died");
    let moved = cluster.leader(&vhost, TOPIC).await;
    assert!(moved.is_some_and(|node| node != 0), "the queue is on another node: {moved:?}");
    cluster.node(0).restart().await;
    stage.caller.call(0, SOON).await.unwrap();
    stage.close().await;
}

/// The node with the caller's reply queue and the leader of the servers' queue is partitioned from the two others. It pauses;
/// clients with the other hosts continue there, and a caller with this host only is served again when the node is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_12_partition() {
    let cluster = Cluster::start().await;
    let url = cluster.url() + QUORUM;
    let stage = stage_on(cluster.node(0), &url).await;
    let replies = reply_queue(cluster.node(0)).await;
    let cut = cluster.leader(cluster.node(0), &replies).await.unwrap();
    cluster.lead(cut, cluster.node(0), TOPIC).await;
    let stuck = oxlo::connect(cluster.url_of(&[cut]) + QUORUM).await.unwrap();
    let on_minority = Caller::new(stuck.clone(), &stage.history);
    on_minority.call(0, SOON).await.unwrap();
    let traffic = stage.caller.traffic(4, 20 * SECOND);
    sleep(Duration::from_millis(500)).await;

    stage.history.record(Event::Disrupted);
    cluster.partition(cut).await;
    let took = stage.caller.resumes(FAILOVER).await;
    println!("figures: service went on {took:?} after the node of the caller and of the queue's leader was cut off");
    let paused = async || cluster.serves(cut).await;
    eventually(SOON, "the minority is paused", paused, |serves| !serves).await;
    state(&stuck, "disconnected").await;
    let alone = on_minority.refusal().await;
    assert!(matches!(alone, CallError::Transport { error: TransportError::Unreachable { .. }, .. }), "{alone}");
    // During the partition, casts are confirmed by the majority.
    let (slowest, failed) = casts_for(&stage.caller, 2 * SECOND).await;
    println!("figures: casts during the partition: {failed} failed, slowest confirm {slowest:?}");
    assert_eq!(failed, 0);

    stage.history.record(Event::Disrupted);
    cluster.heal(cut).await;
    let serves = async || cluster.serves(cut).await;
    eventually(Duration::from_secs(60), "the node is back", serves, |serves| *serves).await;
    let took = on_minority.resumes(2 * SECOND).await;
    println!("figures: a caller that knows the minority's host only was served {took:?} after the node was back");
    cluster.whole().await;
    traffic.stop().await;
    stuck.close().await;
    stage.close().await;
}

/// The leader of a quorum queue is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_13_leader_loss() {
    let cluster = Cluster::start().await;
    // Seen from followers: nothing but a confirm that takes a little longer.
    let admin = cluster.node(1);
    declare_on(&cluster, 0, admin, QUORUM).await;
    let stage = stage_on(admin, &(cluster.url_of(&[1, 2]) + QUORUM)).await;
    cluster.whole().await;
    cluster.lead(0, admin, TOPIC).await;
    let traffic = stage.caller.traffic(2, 10 * SECOND);
    stage.history.record(Event::Disrupted);
    let (killed, (slowest, failed)) = tokio::join!(cluster.node(0).kill(), casts_for(&stage.caller, 3 * SECOND));
    let () = killed;
    println!(
        "figures: leader of a quorum queue killed, seen from followers: {failed} casts failed, slowest confirm {slowest:?}"
    );
    assert_eq!(failed, 0);
    assert!(slowest < 5 * SECOND, "{slowest:?}");
    stage.caller.resumes(SECOND).await;
    traffic.stop().await;
    let summary = stage.close().await;
    assert_eq!(summary.replied, summary.calls, "nobody noticed: {summary:?}");
    cluster.node(0).restart().await;
    cluster.whole().await;

    // With all three hosts in the URL, and the caller on the leader's node. Twice, because what a channel makes of an election
    // depends on its moment: some refuse everything from then on.
    for _ in 0..2 {
        let stage = stage_on(admin, &(cluster.url() + QUORUM)).await;
        let replies = reply_queue(admin).await;
        let leader = cluster.leader(admin, &replies).await.unwrap();
        cluster.lead(leader, admin, TOPIC).await;
        let traffic = stage.caller.traffic(4, 10 * SECOND);
        sleep(Duration::from_millis(300)).await;
        stage.history.record(Event::Disrupted);
        cluster.node(leader).kill().await;
        let took = stage.caller.resumes(FAILOVER).await;
        println!(
            "figures: service was back {took:?} after the node of the caller and of the queue's leader was killed"
        );
        cluster.node(leader).restart().await;
        cluster.whole().await;
        traffic.stop().await;
        stage.close().await;
    }
}

/// Each node is restarted in turn, as for an upgrade.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_14_rolling_restart() {
    let cluster = Cluster::start().await;
    let stage = stage_on(cluster.node(0), &(cluster.url() + QUORUM)).await;
    let traffic = stage.caller.traffic(4, 10 * SECOND);
    let accepted =
        || (0..3).map(|node| cluster.node(node).log().matches("accepting AMQP connection").count()).sum::<usize>();
    let (begun, before) = (Instant::now(), accepted());
    let since = now(&stage.history);
    for node in 0..3 {
        stage.history.record(Event::Disrupted);
        cluster.node(node).stop().await;
        stage.history.record(Event::Disrupted);
        stage.caller.resumes(FAILOVER).await;
        cluster.node(node).restart().await;
        cluster.whole().await;
    }
    let gap = longest_gap(&stage.history, since);
    println!("figures: rolling restart of three nodes, the longest time without a successful call: {gap:?}");
    assert!(gap < FAILOVER, "{gap:?}");
    let (took, connections) = (begun.elapsed(), accepted() - before);
    // Two connections for each of two transports; at worst each of them moves each time.
    println!("figures: rolling restart of three nodes in {took:?}: {connections} connections opened by two transports");
    assert!(connections as f64 <= 2.0 * 2.0 * took.as_secs_f64(), "{connections} in {took:?}");
    assert!(connections <= 3 * 4 + 4, "{connections} connections were opened, 12 are needed at most");
    traffic.stop().await;
    stage.close().await;
}
