//! Stable names: held by one process, reused by the next, refused while another process holds them.

use oxlo_test_support::TestVhost;

use super::{client, connect, consumed, is_topology, next, note, python_server, server};

fn options(name: &str) -> String {
    format!("use_queue_manager=true&hostname=oxlo-names&processname={name}-{}", std::process::id())
}

async fn fanout_queues(vhost: &TestVhost) -> Vec<String> {
    vhost.queues().await.into_iter().map(|queue| queue.name).filter(|name| name.starts_with("t_fanout_")).collect()
}

#[tokio::test]
async fn a_process_that_comes_back_finds_its_queue_and_what_is_in_it() {
    let vhost = TestVhost::new().await;
    let url = format!("{}?{}", vhost.url(), options("again"));
    let sender = connect(&vhost.url()).await;
    let client = client(&sender);
    let transport = connect(&url).await;
    let (running, _notes) = server(&transport, "a").await;
    let queues = fanout_queues(&vhost).await;
    assert!(queues[0].ends_with(":1") && queues.len() == 1, "{queues:?}");
    running.stop();
    running.wait().await.unwrap();
    transport.close().await;
    note(&client, 5).await;

    let transport = connect(&url).await;
    let (_running, mut notes) = server(&transport, "a").await;
    assert_eq!(next(&mut notes).await, 5);
    assert_eq!(fanout_queues(&vhost).await, queues, "no second queue was made");
}

#[tokio::test]
async fn two_at_once_have_two_names() {
    let vhost = TestVhost::new().await;
    let url = format!("{}?{}", vhost.url(), options("twice"));
    let (one, two) = (connect(&url).await, connect(&url).await);
    let (_a, _) = server(&one, "a").await;
    let (_b, _) = server(&two, "b").await;
    assert_eq!(fanout_queues(&vhost).await.len(), 2);
    let answer: String = client(&one).call(&oxlo::Context::new(), "whoami", ()).await.unwrap();
    assert!(["a", "b"].contains(&answer.as_str()));
    let replies: Vec<_> =
        vhost.queues().await.into_iter().filter(|queue| queue.name.starts_with("reply_oxlo-names:")).collect();
    assert!(replies.len() == 1 && replies[0].name.ends_with(":3"), "{replies:?}");
}

#[tokio::test]
async fn a_name_that_somebody_else_consumes_is_an_error_that_names_the_queue() {
    let vhost = TestVhost::new().await;
    let url = format!("{}?{}", vhost.url(), options("taken"));
    let folder = tempfile::tempdir().unwrap();
    let lock_path = format!("lock_path={}", folder.path().display());
    // Python counts names itself, without oxlo's lock.
    let _python = python_server(&url, &["[oslo_concurrency]", &lock_path]).await;
    let queue = fanout_queues(&vhost).await.remove(0);
    consumed(&vhost, &queue).await;
    let transport = connect(&url).await;
    let refused = oxlo::RPCServer::builder(transport, oxlo::Target::topic("t").server("a"))
        .endpoint(oxlo::Endpoint::new("1.0"))
        .start()
        .await
        .unwrap_err();
    assert!(is_topology(&refused, &format!("queue `{queue}`: another process consumes it")), "{refused:?}");
    let _ = std::fs::remove_file(format!("/dev/shm/oxlo-names_taken-{}_qmanager", std::process::id()));
}
