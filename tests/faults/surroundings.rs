//! Rows 36, 42 and 43: a clock that jumps, and a kernel that drops packets.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use oxlo::{CallError, Target, TransportError};
use oxlo_faults_kit::{Caller, SECOND, SOON, Stage, TOPIC, child::Child, ran, rows::broker::noticed, state};
use oxlo_test_support::{Broker, Event, Outcome, Rules, TestVhost};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::scene::{connections, stage_on};

/// An hour ahead, two hours back, and right again, in seconds from the real time.
const JUMPS: [&str; 3] = ["+3600", "-3600", "+0"];

fn set(clock: &Path, offset: &str) {
    // Replaced atomically: half a line would be another time.
    let fresh = clock.with_extension("new");
    fs::write(&fresh, format!("{offset}\n")).unwrap();
    fs::rename(&fresh, clock).unwrap();
}

fn clock() -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let clock = folder.path().join("clock");
    set(&clock, "+0");
    (folder, clock)
}

/// The server's clock jumps, with a call under way each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_36_clock_of_the_server_jumps() {
    let vhost = TestVhost::new().await;
    let url = vhost.url() + "?heartbeat_timeout_threshold=2";
    let stage = stage_on(&vhost, &url).await;
    let (_folder, clock) = clock();
    let mut child = Child::serve_by(&clock, &url, &stage.history).await;
    let target = Target::topic(TOPIC).server("child").version("1.0");
    let caller = Caller::of(stage.client.clone(), target, &stage.history);
    caller.call(0, SOON).await.unwrap();
    let before = connections(&vhost).await;
    for (jump, offset) in JUMPS.iter().enumerate() {
        let (under_way, id) = caller.spawn_call(1500, SOON);
        ran(&stage.history, &id).await;
        set(&clock, offset);
        child.jumped(jump + 1).await;
        for _ in 0..10 {
            caller.call(0, SOON).await.unwrap();
        }
        under_way.await.unwrap().unwrap();
    }
    assert_eq!(connections(&vhost).await, before, "no connection was lost");
    child.kill();
    stage.close_by(Rules { exactly_once: true, ..Rules::default() }).await;
}

/// The caller's clock jumps: nothing times out early, and no server treats its requests as late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_36_clock_of_the_client_jumps() {
    let vhost = TestVhost::new().await;
    let url = vhost.url() + "?heartbeat_timeout_threshold=2";
    let stage = stage_on(&vhost, &url).await;
    let (_folder, clock) = clock();
    let mut child = Child::call_by(&clock, &url, &stage.history).await;
    let before = connections(&vhost).await;
    for (jump, offset) in JUMPS.iter().enumerate() {
        set(&clock, offset);
        child.jumped(jump + 1).await;
        child.does(child.done() + 8).await;
    }
    assert_eq!(connections(&vhost).await, before, "no connection was lost");
    child.kill();
    // Its last call has lost its caller.
    let records = stage.history.records();
    let ended =
        |id: &str| records.iter().any(|record| matches!(&record.event, Event::Ended { id: ended, .. } if ended == id));
    for record in &records {
        if let Event::Called { id, .. } = &record.event
            && !ended(id)
        {
            stage.history.record(Event::Ended { id: id.clone(), outcome: Outcome::Dropped });
        }
    }
    let summary = stage.close_by(Rules { exactly_once: true, ..Rules::default() }).await;
    assert_eq!((summary.unknown, summary.not_run), (0, 0), "{summary:?}");
}

const FAULT: &str = "OXLO_FAULTS_NAMESPACE";

#[test]
fn row_42_packets_lost() {
    in_a_namespace_of_its_own("loss");
}

#[test]
fn row_43_packets_dropped_without_a_reset() {
    in_a_namespace_of_its_own("silence");
}

/// Runs [`in_a_namespace`] in a network namespace, where dropped packets affect nothing else.
fn in_a_namespace_of_its_own(fault: &str) {
    let user = fs::metadata("/proc/self").unwrap().uid();
    assert_eq!(user, 0, "only root makes network namespaces; run these tests as tests/run does, as root");
    let script = "ip link set lo up && exec setpriv --pdeathsig KILL -- \"$0\" \"$@\"";
    let ended = Command::new("unshare")
        .args(["--net", "--", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "surroundings::in_a_namespace", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FAULT, fault)
        .stdin(Stdio::null())
        .output()
        .expect("unshare is in Debian's util-linux");
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success() && out.contains("1 passed"), "{out}{err}");
    for line in out.lines().filter(|line| line.contains("figures")) {
        println!("{line}");
    }
}

fn nft(rules: &str) {
    let ended = Command::new("nft")
        .arg(rules)
        .output()
        .expect("nft is not installed: apt-get install nftables, or run tests/run");
    assert!(ended.status.success(), "nft {rules}: {}", String::from_utf8_lossy(&ended.stderr));
}

/// A part of rows 42 and 43, not a test: does nothing without its environment variables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a part of other tests"]
async fn in_a_namespace() {
    let Ok(fault) = std::env::var(FAULT) else { return };
    let broker = Broker::start().await;
    // Random loss must not look like a heartbeat timeout.
    let options = if fault == "loss" { "" } else { "?heartbeat_timeout_threshold=2" };
    let stage = stage_on(&broker, &(broker.url() + options)).await;
    if fault == "loss" {
        loss(&broker, &stage).await
    } else {
        silence(&broker, &stage).await
    }
    stage.close().await;
}

/// Every tenth packet in each direction is lost: calls take longer, and no connection ends.
async fn loss(broker: &Broker, stage: &Stage) {
    let before = connections(broker).await;
    let port = broker.port();
    nft(&format!(
        "add table inet fault; add chain inet fault input {{ type filter hook input priority 0; }};
         add rule inet fault input tcp dport {port} numgen random mod 10 0 drop;
         add rule inet fault input tcp sport {port} numgen random mod 10 0 drop"
    ));
    let (begun, mut slowest) = (Instant::now(), Duration::ZERO);
    for _ in 0..50 {
        let called = Instant::now();
        stage.caller.call(0, SOON).await.unwrap();
        slowest = slowest.max(called.elapsed());
    }
    println!("figures: 50 calls with a tenth of all packets lost took {:?}, the slowest {slowest:?}", begun.elapsed());
    nft("delete table inet fault");
    assert_eq!(connections(broker).await, before, "no connection was lost");
}

/// All packets are dropped silently: a true half-open connection.
async fn silence(broker: &Broker, stage: &Stage) {
    let traffic = stage.caller.traffic(4, SECOND);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let port = broker.port();
    nft("add table inet fault");
    stage.history.record(Event::Disrupted);
    nft(&format!(
        "add chain inet fault input {{ type filter hook input priority 0; }};
         add rule inet fault input tcp dport {port} drop; add rule inet fault input tcp sport {port} drop"
    ));
    let begun = Instant::now();
    state(&stage.client, "disconnected").await;
    noticed("packets dropped by the kernel", begun.elapsed(), stage, Duration::from_millis(4500));
    let ended = stage.caller.refusal().await;
    assert!(matches!(ended, CallError::Transport { error: TransportError::Unreachable { .. }, .. }), "{ended}");
    nft("delete table inet fault");
    // An attempt that was under way waits for the kernel to send its SYN again.
    stage.caller.resumes(6 * SECOND).await;
    traffic.stop().await;
}
