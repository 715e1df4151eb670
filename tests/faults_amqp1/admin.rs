//! Rows 5, 8 and 10: actions of administrators.

use std::time::Duration;

use oxlo_faults_kit::{
    SECOND, SOON, Stage, TOPIC,
    rows::{
        admin::{queues_deleted, reply_queue_deleted},
        network::SETTLED,
    },
};
use oxlo_test_support::{Amqp1Broker, Amqp1Product, Broker, Event, TestVhost, eventually};
use tokio::time::sleep;

use crate::{BACK, rabbitmq, url_of};

const PIDS: &str = "Pids = [rabbit_connection_sup:reader(Sup) || Ref <- maps:keys(ranch:info()), Sup <- ranch:procs(Ref, connections)], ";

/// The processes of the AMQP 1.0 connections.
async fn connections(broker: &Broker) -> Vec<String> {
    let pids = "[list_to_binary(pid_to_list(Pid)) || Pid <- Pids, is_pid(Pid)].";
    broker.control().eval(&format!("{PIDS} {pids}")).await
}

/// Closes every AMQP 1.0 connection as an administrator does.
async fn close_connections(broker: &Broker) {
    let close = format!("{PIDS} [catch rabbit_reader:shutdown(Pid, \"maintenance\") || Pid <- Pids], ok.");
    broker.control().eval::<String>(&close).await;
}

/// RabbitMQ 3 reports the end of a link only after three seconds.
const SLOW: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_05_connections_closed_by_an_administrator() {
    let broker = rabbitmq().start().await;
    let stage = Stage::on(&url_of(&broker)).await;
    let traffic = stage.caller.traffic(2, 5 * SECOND);
    for _ in 0..3 {
        sleep(SETTLED).await;
        let all = async || connections(&broker).await;
        let before = eventually(SOON, "each side has both its connections", all, |all| all.len() == 4).await;
        stage.history.record(Event::Disrupted);
        close_connections(&broker).await;
        stage.history.record(Event::Disrupted);
        let took = stage.caller.resumes(BACK).await;
        // RabbitMQ takes seconds for it, during which it keeps delivering and ignores dispositions.
        eventually(2 * SOON, "the closed connections are gone", all, |all| !all.iter().any(|it| before.contains(it)))
            .await;
        stage.history.record(Event::Disrupted);
        println!("figures: service resumed {took:?} after an admin close");
    }
    traffic.stop().await;
    stage.close().await;
}

fn queues() -> [String; 2] {
    [format!("unicast.openstack.{TOPIC}"), format!("exclusive.openstack.{TOPIC}.one")]
}

/// The broker detaches the links of a queue that is deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_08_queue_deleted_under_its_consumer() {
    let vhost = TestVhost::new().await;
    let stage = Stage::on(&vhost.amqp1_url()).await;
    queues_deleted(stage, queues(), SLOW, async |queue| assert!(vhost.delete_queue(&queue).await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_08_queue_deleted_under_its_consumer_on_rabbitmq_4() {
    let broker = Amqp1Broker::start(Amqp1Product::RabbitMq4).await;
    let stage = Stage::on(&broker.url()).await;
    queues_deleted(stage, queues(), BACK, async |queue| drop(broker.ctl(&["delete_queue", &queue]).await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_10_reply_queue_gone_with_calls_pending() {
    let vhost = TestVhost::new().await;
    let stage = Stage::on(&vhost.amqp1_url()).await;
    let queues = vhost.queues().await;
    let reply = queues.into_iter().map(|queue| queue.name).find(|name| name.starts_with("reply_")).unwrap();
    let delete = async || assert!(vhost.delete_queue(&reply).await);
    reply_queue_deleted(stage, SLOW, delete).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_10_reply_queue_gone_with_calls_pending_on_rabbitmq_4() {
    let broker = Amqp1Broker::start(Amqp1Product::RabbitMq4).await;
    let stage = Stage::on(&broker.url()).await;
    let queues = broker.ctl(&["--quiet", "list_queues", "name"]).await;
    let reply = queues.lines().find(|name| name.starts_with("reply_")).unwrap();
    reply_queue_deleted(stage, BACK, async || drop(broker.ctl(&["delete_queue", reply]).await)).await;
}
