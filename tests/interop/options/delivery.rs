//! Servers that are killed while a method runs: child processes under `AckPolicy::AfterReply`.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use oxlo::{AckPolicy, CallError, Context, Endpoint, Failure, RPCServer, Redelivered, Target};
use oxlo_test_support::TestVhost;

use super::{client, connect};

const URL: &str = "OXLO_TEST_CHILD_URL";

/// The child's program: a server that hangs in its first run of `hang`, and aborts in every run of `die`.
#[tokio::test]
#[ignore = "run by the tests below, as a process of its own"]
async fn child() {
    let url = std::env::var(URL).expect("it is started by the tests below");
    let endpoint = Endpoint::new("1.0")
        .method("hang", async |Redelivered(again): Redelivered| {
            if !again {
                println!("\nchild hangs");
                std::future::pending::<()>().await;
            }
            Ok::<_, Failure>(again)
        })
        .method("die", async || {
            if true {
                std::process::abort();
            }
            Ok::<_, Failure>(())
        });
    let serving = RPCServer::builder(connect(&url).await, Target::topic("t").server("s"))
        .endpoint(endpoint)
        .ack_policy(AckPolicy::AfterReply)
        .redelivery_limit(2)
        .start()
        .await
        .unwrap();
    println!("\nchild is ready");
    serving.wait().await.unwrap();
}

/// A child process, killed with SIGKILL when dropped.
struct Server(Child);

impl Server {
    fn spawn(url: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "options::delivery::child", "--ignored", "--nocapture"])
            .env(URL, url)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self(child);
        server.says("child is ready");
        server
    }

    /// Reads its output up to a line; `false` if it ended before.
    fn says(&mut self, line: &str) -> bool {
        let Some(output) = &mut self.0.stdout else { return false };
        BufReader::with_capacity(1, output).lines().any(|it| it.is_ok_and(|it| it == line))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn spawn(url: &str) -> Server {
    let url = url.to_owned();
    tokio::task::spawn_blocking(move || Server::spawn(&url)).await.unwrap()
}

async fn killed_in_the_middle(options: &str) {
    let vhost = TestVhost::new().await;
    let url = format!("{}?{options}", vhost.url());
    let first = spawn(&url).await;
    let client = client(&connect(&url).await).timeout(Duration::from_secs(120));
    let calling = tokio::spawn(async move { client.call::<bool>(&Context::new(), "hang", ()).await });
    let first = tokio::task::spawn_blocking(move || {
        let mut first = first;
        assert!(first.says("child hangs"));
        first
    });
    drop(first.await.unwrap());
    let _second = spawn(&url).await;
    assert!(calling.await.unwrap().unwrap(), "another server runs it, and knows that it came back");
}

async fn a_crash_loop(options: &str) {
    let vhost = TestVhost::new().await;
    let url = format!("{}?{options}", vhost.url());
    let mut server = spawn(&url).await;
    let client = client(&connect(&url).await).timeout(Duration::from_secs(120));
    let calling = tokio::spawn(async move { client.call::<()>(&Context::new(), "die", ()).await });
    let mut died = 0;
    while !calling.is_finished() {
        if server.0.try_wait().unwrap().is_some() {
            died += 1;
            server = spawn(&url).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let error = calling.await.unwrap().unwrap_err();
    let CallError::Remote { failure, .. } = &error else { panic!("{error:?}") };
    assert!(failure.to_string().contains("redelivered 3 times"), "{failure}");
    assert_eq!(died, 3, "the first run, and as many redeliveries as the limit allows");
    assert_eq!(vhost.queue("t").await.unwrap().messages, 0);
}

#[tokio::test]
async fn a_request_of_a_killed_server_goes_to_another() {
    killed_in_the_middle("amqp_durable_queues=true").await;
}

#[tokio::test]
async fn a_request_of_a_killed_server_goes_to_another_from_a_quorum_queue() {
    killed_in_the_middle("rabbit_quorum_queue=true").await;
}

#[tokio::test]
async fn a_request_that_kills_its_servers_is_given_up() {
    a_crash_loop("amqp_durable_queues=true").await;
}

#[tokio::test]
async fn a_request_that_kills_its_servers_is_given_up_from_a_quorum_queue() {
    a_crash_loop("rabbit_quorum_queue=true").await;
}
