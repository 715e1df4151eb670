//! Failing notifications on every driver: redelivered behind the others, up to their limit.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use oxlo::{
    Context, Target, Transport,
    notify::{
        BatchEndpoint, BatchListener, Body, Messaging, NotificationEndpoint, NotificationListener,
        NotificationListenerBuilder, Notifier, Priority, Received, RunningListener,
    },
};
use oxlo_test_support::{PythonPeer, TestVhost, eventually};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::fixture::{PATIENCE, ask, connect, python, seen};

/// Limit for handling the others while some fail. Alone they take a tenth of it.
const MEANWHILE: Duration = Duration::from_secs(8);

/// How often handlers failed, and how often they did not.
#[derive(Clone, Debug, Default)]
struct Runs(Arc<(AtomicUsize, AtomicUsize)>);

impl Runs {
    fn failed(&self) -> usize {
        self.0.0.load(Relaxed)
    }

    fn handled(&self) -> usize {
        self.0.1.load(Relaxed)
    }

    /// Fails on payloads that are `true`.
    fn endpoint(&self) -> NotificationEndpoint {
        let runs = self.0.clone();
        NotificationEndpoint::new().info(move |Body(fails): Body<bool>| {
            if fails { &runs.0 } else { &runs.1 }.fetch_add(1, Relaxed);
            async move { if fails { Err("not now") } else { Ok(()) } }
        })
    }
}

async fn send(transport: &Arc<dyn Transport>, topic: &str, failing: usize, others: usize) {
    let messaging = Messaging::new(transport.clone()).topics([topic.to_owned()]);
    let notifier = Notifier::builder("p").driver(messaging).in_flight(1).build().unwrap();
    for number in 0..failing + others {
        notifier.info(&Context::new(), "evt", number < failing).await.unwrap();
    }
    notifier.close().await.unwrap();
}

fn builder(transport: &Arc<dyn Transport>, topic: &str, runs: &Runs) -> NotificationListenerBuilder {
    NotificationListener::builder(transport.clone())
        .target(Target::topic(topic.to_owned()))
        .allow_requeue(true)
        .endpoint(runs.endpoint())
}

async fn end(listener: RunningListener) -> oxlo::notify::ListenReport {
    listener.stop();
    listener.wait().await.unwrap()
}

/// The failing notifications are first in the queue, and more than a listener holds.
async fn failing_ones_starve_nobody(transport: Arc<dyn Transport>) {
    for (concurrency, failing, others) in [(64, 200, 400), (2, 20, 100)] {
        let topic = format!("starve-{}-{concurrency}", uuid());
        send(&transport, &topic, failing, others).await;
        let runs = Runs::default();
        let begun = Instant::now();
        let listener = builder(&transport, &topic, &runs).concurrency(concurrency).start().await.unwrap();
        let handled = async || runs.handled();
        eventually(MEANWHILE, "the others are handled", handled, |handled| *handled == others).await;
        println!("figures: {others} beside {failing} that fail, concurrency {concurrency}: {:?}", begun.elapsed());
        let failed = async || runs.failed();
        eventually(PATIENCE, "the others come again", failed, |failed| *failed >= 2 * failing).await;
        let report = end(listener).await;
        assert_eq!((report.handled, report.rejected), (others as u64, 0));
        // A duplicate would have been handled again.
        assert_eq!(runs.handled(), others);
        let rest = Runs::default();
        let last = builder(&transport, &topic, &rest).requeue_limit(1).start().await.unwrap();
        eventually(PATIENCE, "all of them are there", async || rest.failed(), |failed| *failed == failing).await;
        assert_eq!(end(last).await.rejected, failing as u64);
        assert_eq!(rest.handled(), 0);
    }
}

fn uuid() -> String {
    // Brokers are shared between tests; topics must not be.
    format!("{}-{:?}", std::process::id(), std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap())
        .replace(['.', 's'], "")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_ones_starve_nobody_on_memory() {
    failing_ones_starve_nobody(oxlo::connect("memory://starving").await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_ones_starve_nobody_on_rabbitmq() {
    let vhost = TestVhost::new().await;
    failing_ones_starve_nobody(connect(&vhost).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_ones_starve_nobody_in_quorum_queues() {
    let vhost = TestVhost::new().await;
    failing_ones_starve_nobody(oxlo::connect(vhost.url() + "?rabbit_quorum_queue=1").await.unwrap()).await;
}

mod amqp1 {
    use oxlo_test_support::Amqp1Product;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn failing_ones_starve_nobody_on_rabbitmq_3() {
        let vhost = TestVhost::new().await;
        failing_ones_starve_nobody(oxlo::connect(vhost.amqp1_url()).await.unwrap()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn failing_ones_starve_nobody_on_rabbitmq_4() {
        let url = Amqp1Product::RabbitMq4.shared_url().await;
        failing_ones_starve_nobody(oxlo::connect(url).await.unwrap()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn failing_ones_starve_nobody_on_activemq() {
        let url = Amqp1Product::ActiveMq.shared_url().await;
        failing_ones_starve_nobody(oxlo::connect(url).await.unwrap()).await;
    }

    #[tokio::test]
    async fn a_batch_above_the_credit_of_the_url_is_refused() {
        let vhost = TestVhost::new().await;
        batch_above_the_limit(vhost.amqp1_url() + "&notify_server_credit=5").await;
    }
}

/// Python receives what oxlo deferred, once each, and what oxlo holds is requeued when it stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_reads_what_was_sent_again() {
    let vhost = TestVhost::new().await;
    let transport = connect(&vhost).await;
    send(&transport, "notifications", 5, 0).await;
    let runs = Runs::default();
    let minute = Duration::from_secs(60);
    let listener = builder(&transport, "notifications", &runs).requeue_backoff(minute, minute).start().await.unwrap();
    eventually(PATIENCE, "each came twice", async || runs.failed(), |failed| *failed == 10).await;
    end(listener).await;
    let mut peer: PythonPeer = python("listener.py", &vhost.url(), &["--topics", "notifications"]).await;
    let all = seen(&mut peer, 5).await;
    assert_eq!(all.len(), 5);
    for it in &all {
        assert_eq!(
            (&it["payload"], &it["event_type"], &it["publisher_id"]),
            (&json!(true), &json!("evt"), &json!("p"))
        );
    }
    let left = async || vhost.queue("notifications.info").await.map(|it| it.messages);
    eventually(PATIENCE, "nothing is left", left, |left| *left == Some(0)).await;
    assert_eq!(ask(&mut peer, json!({"op": "seen"})).await.as_array().unwrap().len(), 5, "one came twice");
    peer.finish().await;
}

/// At the limit the notification is rejected, and the broker dead-letters it as configured.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_reaches_its_limit_is_dead_lettered() {
    let vhost = TestVhost::new().await;
    let transport = connect(&vhost).await;
    let graveyard = "grave.info";
    send(&transport, "grave", 0, 0).await;
    let buried = Runs::default();
    let sexton = NotificationListener::builder(transport.clone())
        .target(Target::topic("grave"))
        .endpoint(buried.endpoint())
        .start()
        .await
        .unwrap();
    let policy = format!(
        "ok = rabbit_policy:set(<<\"{}\">>, <<\"dead\">>, <<\"^mortal\">>, [{{<<\"dead-letter-exchange\">>, <<>>}}, \
         {{<<\"dead-letter-routing-key\">>, <<\"{graveyard}\">>}}], 0, <<\"queues\">>, <<\"oxlo\">>), ok.",
        vhost.name()
    );
    vhost.control().eval::<String>(&policy).await;
    send(&transport, "mortal", 3, 1).await;
    let runs = Runs::default();
    let short = Duration::from_millis(20);
    let listener =
        builder(&transport, "mortal", &runs).requeue_backoff(short, short).requeue_limit(3).start().await.unwrap();
    eventually(PATIENCE, "they are dead-lettered", async || buried.failed(), |buried| *buried == 3).await;
    assert_eq!((runs.failed(), runs.handled(), buried.handled()), (12, 1, 0));
    let report = end(listener).await;
    assert_eq!((report.failed, report.rejected, report.handled), (9, 3, 1));
    end(sexton).await;
}

async fn batch_above_the_limit(url: String) {
    let endpoint = BatchEndpoint::new().on(Priority::Info, |_: Vec<Received<Value>>| async {});
    let transport = oxlo::connect(url).await.unwrap();
    let refused = BatchListener::builder(transport).endpoint(endpoint).size(10).start().await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "option `prefetch`: the transport limits the prefetch of each queue to 5, less than a batch of 10, which could \
         never become full; raise the limit in the transport's URL, or make the batch smaller"
    );
}

#[tokio::test]
async fn a_batch_above_the_prefetch_of_the_url_is_refused() {
    let vhost = TestVhost::new().await;
    batch_above_the_limit(vhost.url() + "?rabbit_qos_prefetch_count=5").await;
}
