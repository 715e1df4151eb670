//! Rows 5, 8 and 10: what administrators do.

use std::time::Duration;

use oxlo::CallError;
use oxlo_test_support::{Amqp1Broker, Amqp1Product, Broker, Event, TestVhost};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    kit::{SECOND, SOON, TOPIC},
    stage::{BACK, Stage, rabbitmq, url_of},
};

/// Closes every AMQP 1.0 connection as an administrator does, and returns how many there were.
async fn close_connections(broker: &Broker) -> usize {
    let each =
        "Pids = [rabbit_connection_sup:reader(Sup) || Ref <- maps:keys(ranch:info()), Sup <- ranch:procs(Ref, connections)],
        [catch rabbit_reader:shutdown(Pid, \"maintenance\") || Pid <- Pids], length(Pids).";
    broker.control().eval(each).await
}

/// RabbitMQ 3 says nothing of a link that ends for three seconds.
const SLOW: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_05_connections_closed_by_an_administrator() {
    let broker = rabbitmq().await;
    let stage = Stage::on(&url_of(&broker)).await;
    let traffic = stage.caller.traffic(2, 5 * SECOND);
    for _ in 0..3 {
        // A connection that lasted less than a second counts as a failed attempt.
        sleep(Duration::from_millis(1200)).await;
        stage.history.record(Event::Disrupted);
        assert_eq!(close_connections(&broker).await, 4);
        // RabbitMQ takes seconds over it, in which it goes on delivering and no longer hears what is accepted.
        stage.history.record(Event::Disrupted);
        let took = stage.caller.resumes(BACK).await;
        println!("figures: service resumed {took:?} after an admin close");
    }
    traffic.stop().await;
    stage.close().await;
}

/// The broker detaches the links of a queue that is deleted.
async fn queues_deleted(stage: Stage, limit: Duration, delete: impl AsyncFn(String)) {
    for queue in [format!("unicast.openstack.{TOPIC}"), format!("exclusive.openstack.{TOPIC}.one")] {
        delete(queue.clone()).await;
        stage.history.record(Event::Disrupted);
        let took = stage.caller.resumes(limit).await;
        println!("figures: service resumed {took:?} after queue {queue} was deleted");
    }
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_08_queue_deleted_under_its_consumer() {
    let vhost = TestVhost::new().await;
    let stage = Stage::on(&vhost.amqp1_url()).await;
    queues_deleted(stage, SLOW, async |queue| assert!(vhost.delete_queue(&queue).await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_08_queue_deleted_under_its_consumer_on_rabbitmq_4() {
    let broker = Amqp1Broker::start(Amqp1Product::RabbitMq4).await;
    let stage = Stage::on(&broker.url()).await;
    queues_deleted(stage, BACK, async |queue| drop(broker.ctl(&["delete_queue", &queue]).await)).await;
}

/// The reply queue vanishes while calls wait for what would come into it.
async fn reply_queue_deleted(stage: Stage, limit: Duration, delete: impl AsyncFn()) {
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let caller = stage.caller.clone();
        calls.spawn(async move { caller.call(12_000, 2 * SOON).await });
    }
    sleep(Duration::from_millis(300)).await;
    delete().await;
    let begun = Instant::now();
    while let Some(ended) = calls.join_next().await {
        let error = ended.unwrap().unwrap_err();
        assert!(matches!(&error, CallError::ReplyLost { .. }) && error.may_have_run(), "{error}");
    }
    assert!(begun.elapsed() < limit, "pending calls ended {:?} after their queue", begun.elapsed());
    stage.caller.resumes(limit).await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_10_reply_queue_gone_with_calls_pending() {
    let vhost = TestVhost::new().await;
    let stage = Stage::on(&vhost.amqp1_url()).await;
    let delete = async || {
        let queues = vhost.queues().await;
        let reply = queues.iter().find(|queue| queue.name.starts_with("reply_")).unwrap();
        assert!(vhost.delete_queue(&reply.name).await);
    };
    reply_queue_deleted(stage, SLOW, delete).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_10_reply_queue_gone_with_calls_pending_on_rabbitmq_4() {
    let broker = Amqp1Broker::start(Amqp1Product::RabbitMq4).await;
    let stage = Stage::on(&broker.url()).await;
    let delete = async || {
        let queues = broker.ctl(&["--quiet", "list_queues", "name"]).await;
        let reply = queues.lines().find(|name| name.starts_with("reply_")).unwrap();
        broker.ctl(&["delete_queue", reply]).await;
    };
    reply_queue_deleted(stage, BACK, delete).await;
}
