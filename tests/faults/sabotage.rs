//! The checker detects a broken driver: these tests run one row again in a process whose driver lacks one part (see
//! `sabotage` in the driver), and that process must fail for the right reason.

use oxlo::{AckPolicy, Context, RPCClient, Target};
use oxlo_faults_kit::{SECOND, SOON, ran};
use oxlo_test_support::{Event, Rules, TestVhost, verdict};
use tokio::task::JoinSet;

use crate::scene::{stage_on, stage_with};

/// Row 69 with lapin's frame size set to the negotiated one.
#[test]
fn buffers_of_lapins_that_add_up_are_noticed() {
    let said = verdict("admin::row_69_memory_after_ten_reconnects", "frame_max").expect("the row passes");
    assert!(said.contains("KiB more for each transport"), "{said}");
}

fn goes_red(part: &str, broken: &str, wanted: &str) {
    let part = format!("sabotage::{part}");
    assert_eq!(verdict(&part, "nothing"), None, "the row passes with a driver that is whole");
    let said = verdict(&part, broken).unwrap_or_else(|| panic!("the checker did not notice the broken {broken}"));
    assert!(said.contains("invariants are violated") && said.contains(wanted), "{said}");
}

#[test]
fn a_missing_duplicate_filter_is_noticed() {
    goes_red("redelivery", "duplicates", "I3: ");
}

#[test]
fn returns_that_are_paired_as_lapin_pairs_them_are_noticed() {
    goes_red("unroutable", "returns", "though its error says that it did not");
}

#[test]
fn leaked_pending_calls_are_noticed() {
    goes_red("unroutable", "pending", "pending calls are left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a part of other tests"]
async fn redelivery() {
    let vhost = TestVhost::new().await;
    let stage = stage_with(&vhost, &vhost.url(), &vhost.url(), AckPolicy::AfterReply).await;
    let (call, id) = stage.caller.spawn_call(2500, SOON);
    ran(&stage.history, &id).await;
    stage.history.record(Event::Disrupted);
    vhost.close_all_connections("maintenance").await;
    call.await.unwrap().unwrap();
    stage.close_by(Rules { exactly_once: true, ..Rules::default() }).await;
}

/// One of four calls goes to a topic without a server; the others are answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a part of other tests"]
async fn unroutable() {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    // A driver that is broken lets some of these wait for their timeout.
    let nobody = RPCClient::new(stage.client.clone(), Target::topic("nobody")).timeout(10 * SECOND);
    let mut calls = JoinSet::new();
    for number in 0..2000 {
        let (caller, nobody) = (stage.caller.clone(), nobody.clone());
        calls.spawn(async move {
            if number % 4 == 0 {
                let _ = nobody.call::<()>(&Context::new(), "nothing", ()).await;
            } else {
                let _ = caller.call(0, SOON).await;
            }
        });
    }
    calls.join_all().await;
    stage.close().await;
}
