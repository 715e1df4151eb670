//! The broker harness against real RabbitMQ nodes.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use oxlo_test_support::{Authority, Broker, RabbitVersion, TestVhost, Validity, eventually};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
};

const SOON: Duration = Duration::from_secs(30);

async fn accepts(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).await.is_ok()
}

fn runs(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !status.is_empty() && !status.contains(") Z ")
}

#[tokio::test]
async fn a_node_survives_kill_stop_and_restart_on_its_port_and_data() {
    survives_kill_stop_and_restart(RabbitVersion::V3).await;
}

#[tokio::test]
async fn a_node_survives_kill_stop_and_restart_on_its_port_and_data_on_version_4() {
    survives_kill_stop_and_restart(RabbitVersion::V4).await;
}

async fn survives_kill_stop_and_restart(version: RabbitVersion) {
    let broker = Broker::builder().version(version).start().await;
    let port = broker.port();
    assert!(accepts(port).await);
    assert!(broker.queues().await.is_empty());
    broker.add_vhost("kept").await;
    broker.add_user("nova", "secret", &["kept"]).await;

    let first = broker.pid();
    broker.kill().await;
    assert!(!accepts(port).await, "a killed node accepts no clients");
    assert!(!runs(first));

    broker.restart().await;
    assert!(accepts(port).await);
    assert_ne!(broker.pid(), first);
    let vhosts = broker.ctl(&["list_vhosts", "--quiet", "--no-table-headers"]).await;
    assert!(vhosts.lines().any(|vhost| vhost == "kept"), "{vhosts}");
    let users = broker.ctl(&["list_permissions", "-p", "kept", "--quiet"]).await;
    assert!(users.contains("nova"), "{users}");

    broker.stop().await;
    assert!(!accepts(port).await);
    broker.restart().await;
    assert!(accepts(port).await);
}

#[tokio::test]
async fn a_dropped_node_leaves_no_process_and_no_folder() {
    leaves_no_process_and_no_folder(RabbitVersion::V3).await;
}

#[tokio::test]
async fn a_dropped_node_leaves_no_process_and_no_folder_on_version_4() {
    leaves_no_process_and_no_folder(RabbitVersion::V4).await;
}

async fn leaves_no_process_and_no_folder(version: RabbitVersion) {
    let broker = Broker::builder().version(version).start().await;
    let pid = broker.pid();
    let log = broker.log();
    let folder = log.lines().find_map(|line| line.split("config file(s) : ").nth(1)).map(str::to_owned);
    let folder = folder.or_else(|| {
        log.lines().find_map(|line| Some(line.split_once("config file(s)")?.1.split_once(": ")?.1.to_owned()))
    });
    let folder = folder.unwrap_or_else(|| panic!("the log names the folder:\n{log}"));
    let folder = Path::new(folder.trim()).parent().unwrap().to_owned();
    assert!(folder.is_dir());
    let children = below(pid);
    assert!(!children.is_empty(), "an Erlang node has helper processes");

    let unwound = tokio::spawn(async move {
        let _broker = broker;
        panic!("the test fails here");
    });
    assert!(unwound.await.unwrap_err().is_panic());
    assert!(!runs(pid));
    eventually(
        SOON,
        "the helpers have ended",
        async || children.iter().filter(|pid| runs(**pid)).count(),
        |left| *left == 0,
    )
    .await;
    assert!(!folder.exists());
}

fn below(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let threads = std::fs::read_dir(format!("/proc/{}/task", found[next])).into_iter().flatten().flatten();
        for thread in threads {
            let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
        }
        next += 1;
    }
    found.split_off(1)
}

#[tokio::test]
async fn a_frozen_node_keeps_connections_and_answers_nothing_until_it_thaws() {
    keeps_connections_while_frozen(RabbitVersion::V3).await;
}

#[tokio::test]
async fn a_frozen_node_keeps_connections_and_answers_nothing_until_it_thaws_on_version_4() {
    keeps_connections_while_frozen(RabbitVersion::V4).await;
}

async fn keeps_connections_while_frozen(version: RabbitVersion) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let broker = Broker::builder().version(version).start().await;
    broker.freeze();
    let mut client = TcpStream::connect(("127.0.0.1", broker.port())).await.expect("the kernel accepts");
    client.write_all(b"AMQP\x00\x00\x09\x01").await.unwrap();
    let mut byte = [0];
    assert!(tokio::time::timeout(Duration::from_millis(500), client.read(&mut byte)).await.is_err());
    broker.thaw();
    tokio::time::timeout(SOON, client.read_exact(&mut byte)).await.expect("connection.start").unwrap();
    assert_eq!(byte[0], 1, "a method frame");
}

#[tokio::test]
async fn alarms_rise_and_clear() {
    raises_and_clears_alarms(RabbitVersion::V3).await;
}

#[tokio::test]
async fn alarms_rise_and_clear_on_version_4() {
    raises_and_clears_alarms(RabbitVersion::V4).await;
}

async fn raises_and_clears_alarms(version: RabbitVersion) {
    let broker = Broker::builder().version(version).start().await;
    let alarms = || broker.control().eval::<usize>("length(rabbit_alarm:get_alarms()).");
    assert_eq!(alarms().await, 0);
    broker.set_memory_alarm(true).await;
    eventually(SOON, "the memory alarm is up", alarms, |count| *count == 1).await;
    broker.set_memory_alarm(false).await;
    eventually(SOON, "the memory alarm is clear", alarms, |count| *count == 0).await;
    broker.set_disk_alarm(true).await;
    eventually(SOON, "the disk alarm is up", alarms, |count| *count == 1).await;
    broker.set_disk_alarm(false).await;
    eventually(SOON, "the disk alarm is clear", alarms, |count| *count == 0).await;
}

#[tokio::test]
async fn nodes_beside_each_other_form_a_cluster() {
    let first = Broker::start().await;
    let second = Broker::builder().beside(&first).start().await;
    second.join_cluster(&first).await;
    let members: usize = first.control().eval("length(rabbit_mnesia:cluster_nodes(running)).").await;
    assert_eq!(members, 2);
}

#[tokio::test]
async fn extra_configuration_reaches_the_node() {
    let broker = Broker::builder().config("consumer_timeout = 1234").config("log.console.level = debug").start().await;
    let timeout: u64 = broker.control().eval("{ok, T} = application:get_env(rabbit, consumer_timeout), T.").await;
    assert_eq!(timeout, 1234);
}

#[tokio::test]
async fn vhosts_are_fresh_cheap_and_gone_when_dropped() {
    let first = TestVhost::new().await;
    let begun = Instant::now();
    let second = TestVhost::new().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_ne!(first.name(), second.name());
    assert!(first.url().ends_with(&format!(":{}/{}", first.port(), first.name())));
    assert!(first.queues().await.is_empty());
    assert!(first.exchanges().await.is_empty(), "the broker's own exchanges are left out");
    assert!(first.bindings().await.is_empty());
    assert!(first.connections().await.is_empty());
    assert!(!first.delete_queue("nowhere").await);

    let (control, name) = (second.control().clone(), second.name().to_owned());
    drop(second);
    let left: Vec<String> = control.eval("rabbit_vhost:list_names().").await;
    assert!(!left.contains(&name), "{left:?}");
    assert!(left.contains(&first.name().to_owned()));
}

#[tokio::test]
async fn a_killed_test_process_takes_its_node_along() {
    let mut harness = tokio::process::Command::new(env!("CARGO_BIN_EXE_broker"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(harness.stdout.take().unwrap()).lines();
    let mut variables = Vec::new();
    loop {
        match lines.next_line().await.unwrap().as_deref() {
            Some("ready") => break,
            Some(line) => variables.push(line.to_owned()),
            None => panic!("the harness ended before it was ready: {variables:?}"),
        }
    }
    let port: u16 = variables[0].trim_end_matches('/').rsplit_once(':').unwrap().1.parse().unwrap();
    assert!(accepts(port).await);
    let started = below(harness.id().unwrap());
    assert!(started.len() >= 2, "a node, its epmd and helpers: {started:?}");
    harness.kill().await.unwrap();
    eventually(
        SOON,
        "everything has ended",
        async || started.iter().filter(|pid| runs(**pid)).count(),
        |left| *left == 0,
    )
    .await;
    assert!(!accepts(port).await);
}

#[tokio::test]
async fn a_tls_listener_shows_the_certificate_it_was_given() {
    let material = Authority::new().certify("localhost", Validity::Current);
    let broker = Broker::builder().tls(material).start().await;
    let outcome: String = broker
        .control()
        .eval(&format!(
            "{{cacertfile, Ca}} = lists:keyfind(cacertfile, 1, element(2, application:get_env(rabbit, ssl_options))),
             Outcome = ssl:connect(\"localhost\", {}, [{{verify, verify_peer}}, {{cacertfile, Ca}}], 5000),
             iolist_to_binary(io_lib:format(\"~tp\", [Outcome])).",
            broker.tls_port()
        ))
        .await;
    assert!(outcome.starts_with("{ok,"), "{outcome}");
}
