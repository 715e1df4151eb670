//! Fanout through a stream: each consumer gets each message once.

use oxlo_test_support::TestVhost;
use serde_json::json;

use super::{client, connect, consumed, next, note, python_server, server};

const STREAM: &str = "rabbit_stream_fanout=true&rabbit_transient_quorum_queue=true&rabbit_qos_prefetch_count=10";

#[tokio::test]
async fn every_server_gets_it_also_two_of_one_transport_and_pythons() {
    let vhost = TestVhost::new().await;
    let url = format!("{}?{STREAM}", vhost.url());
    let mut python = python_server(&url, &[]).await;
    // It gets the messages published from then on.
    consumed(&vhost, "t_fanout").await;
    let transport = connect(&url).await;
    let (_first, mut first) = server(&transport, "a").await;
    let (_second, mut second) = server(&transport, "b").await;
    let client = client(&transport);
    note(&client, 1).await;
    assert_eq!((next(&mut first).await, next(&mut second).await), (1, 1));
    // Python's server has `cast_note`; what it has seen shows that it reads the same stream.
    client.prepare().fanout(true).cast(&oxlo::Context::new(), "cast_note", json!({"x": 7})).await.unwrap();
    let seen = async {
        loop {
            if python.request(json!({"op": "seen"})).await["ok"] == json!([7]) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(super::SOON, seen).await.expect("Python's server never saw the fanout");
}

#[tokio::test]
async fn nothing_is_replayed_after_a_restart_nor_after_a_lost_connection() {
    let vhost = TestVhost::new().await;
    let url = format!("{}?{STREAM}", vhost.url());
    let (sender, before) = (connect(&url).await, connect(&url).await);
    let client = client(&sender);
    let (running, mut notes) = server(&before, "a").await;
    note(&client, 1).await;
    note(&client, 2).await;
    assert_eq!((next(&mut notes).await, next(&mut notes).await), (1, 2));

    // The same process resumes at its offset: messages of the meantime are not lost, earlier ones are not replayed.
    vhost.close_all_connections("a test").await;
    note(&client, 3).await;
    assert_eq!(next(&mut notes).await, 3);
    running.stop();
    running.wait().await.unwrap();
    before.close().await;

    let after = connect(&url).await;
    let (_running, mut notes) = server(&after, "a").await;
    note(&client, 4).await;
    assert_eq!(next(&mut notes).await, 4, "a new process begins with what is said from then on");
}
