//! Rows 44 to 49: messages that the broker refuses. RabbitMQ answers such a publish by closing its channel, with everything
//! else that was in flight on it. Only the sender of the refused message may notice, and it is told the broker's words.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use oxlo::{
    AckPolicy, Args, CallError, Context, Endpoint, Failure, RPCClient, RPCServer, RunningServer, Target, Transport,
    TransportError,
    notify::{Messaging, Notifier},
};
use oxlo_faults_kit::{Caller, SECOND, SOON, service};
use oxlo_test_support::{Broker, eventually};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::scene::{connections, stage_on, stage_with};

/// The largest message that the row's broker accepts, in bytes, and a larger body.
const LIMIT: &str = "max_message_size = 1000000";
const BEYOND: usize = 2_000_000;

#[derive(serde::Deserialize)]
struct Big {
    size: usize,
}

#[derive(serde::Deserialize)]
struct Said {
    text: String,
}

/// Calls during a fault, none of which may fail.
struct Beside {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<(usize, Duration)>,
}

impl Beside {
    /// Calls sequentially in two tasks.
    fn begin(caller: &Caller) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for _ in 0..2 {
            let (caller, stop) = (caller.clone(), stop.clone());
            tasks.spawn(async move {
                let (mut answered, mut slowest) = (0, Duration::ZERO);
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    if let Err(error) = caller.call(0, SOON).await {
                        panic!("a call beside the refused message failed: {error}");
                    }
                    (answered, slowest) = (answered + 1, slowest.max(begun.elapsed()));
                }
                (answered, slowest)
            });
        }
        Self { stop, tasks }
    }

    async fn end(mut self, what: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut answered, mut slowest) = (0, Duration::ZERO);
        while let Some(ended) = self.tasks.join_next().await {
            let (calls, longest) = ended.unwrap();
            (answered, slowest) = (answered + calls, slowest.max(longest));
        }
        println!("figures: {what}: {answered} calls beside it answered, none failed, the slowest took {slowest:?}");
        assert!(answered > 0);
    }
}

/// How often the broker has closed a channel because of a publish.
fn closed_channels(broker: &Broker) -> usize {
    broker.log().matches("operation basic.publish caused a channel exception").count()
}

/// Lets `name` configure and read everything, and write to exchanges that match `write`.
async fn user_who_writes(broker: &Broker, name: &str, write: &str) -> String {
    broker.add_user(name, "pw", &["/"]).await;
    let permissions = format!(
        "rabbit_auth_backend_internal:set_permissions(<<\"{name}\">>, <<\"/\">>, <<\".*\">>, <<\"{write}\">>, <<\".*\">>, <<\"oxlo\">>)."
    );
    broker.control().eval::<String>(&permissions).await;
    broker.url().replace("guest:guest", &format!("{name}:pw"))
}

/// Asserts that the sender got the broker's text, and that the error says that nothing ran.
fn refused(error: &CallError, wanted: &str, words: &[&str]) {
    let CallError::Transport { error: TransportError::MessageRefused { code, .. }, .. } = error else {
        panic!("not told as refused: {error:?}")
    };
    assert_eq!(code.as_ref(), wanted, "{error}");
    assert!(!error.may_have_run() && !error.is_retryable(), "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
}

async fn serve(transport: &Arc<dyn Transport>, topic: &str, endpoint: Endpoint) -> RunningServer {
    let target = Target::topic(topic.to_owned()).server("one");
    RPCServer::builder(transport.clone(), target).endpoint(endpoint).start().await.unwrap()
}

async fn ended(server: RunningServer) {
    server.stop();
    server.wait().await.unwrap();
}

/// The exchange of a fanout goes with its last listener: at any moment the broker may refuse a cast to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_44_fanout_to_a_topic_whose_only_server_restarts() {
    const REFUSALS: usize = 5;
    let broker = Broker::start().await;
    let stage = stage_on(&broker, &broker.url()).await;
    let restarting = oxlo::connect(broker.url()).await.unwrap();
    ended(serve(&restarting, "restarting", service(&stage.history)).await).await;
    let before = connections(&broker).await;
    let beside = Beside::begin(&stage.caller);
    let stop = Arc::new(AtomicBool::new(false));
    let mut casting = JoinSet::new();
    for _ in 0..4 {
        let client = RPCClient::new(stage.client.clone(), Target::topic("restarting").fanout(true));
        let stop = stop.clone();
        casting.spawn(async move {
            let mut casts = 0;
            while !stop.load(Ordering::Relaxed) {
                let cast = client.cast(&Context::new(), "echo", json!({"id": "fanout"})).await;
                assert!(cast.is_ok(), "a fanout to nobody failed: {cast:?}");
                casts += 1;
            }
            casts
        });
    }
    let begun = Instant::now();
    while closed_channels(&broker) < REFUSALS {
        assert!(begun.elapsed() < 2 * SOON, "the broker refused {} casts only", closed_channels(&broker));
        let quiet = Endpoint::new("1.0").method("echo", async || Ok::<_, Failure>(()));
        ended(serve(&restarting, "restarting", quiet).await).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut casts = 0;
    while let Some(ended) = casting.join_next().await {
        casts += ended.unwrap();
    }
    beside.end(&format!("{casts} fanouts, of which the broker refused {}", closed_channels(&broker))).await;
    assert_eq!(connections(&broker).await, before, "no connection was lost");
    restarting.close().await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_45_a_reply_that_the_broker_refuses() {
    let broker = Broker::builder().config(LIMIT).start().await;
    let stage = stage_on(&broker, &broker.url()).await;
    let endpoint =
        Endpoint::new("1.0").method("big", async |Args(big): Args<Big>| Ok::<_, Failure>("x".repeat(big.size)));
    let server = serve(&stage.servers, "big", endpoint).await;
    let client = RPCClient::new(stage.client.clone(), Target::topic("big")).timeout(SOON);
    let before = connections(&broker).await;
    let beside = Beside::begin(&stage.caller);
    for _ in 0..5 {
        let begun = Instant::now();
        let failed = client.call::<String>(&Context::new(), "big", json!({"size": BEYOND})).await.unwrap_err();
        println!("figures: a reply of 2 MB became a failure after {:?}", begun.elapsed());
        stage.lag.in_time("the failure", begun.elapsed(), 2 * SECOND);
        let text = failed.to_string();
        assert!(matches!(failed, CallError::Remote { .. }), "{failed:?}");
        for word in ["refused the reply", "message size 2000", "1000000"] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
    client.call::<String>(&Context::new(), "big", json!({"size": 9})).await.unwrap();
    beside.end("replies above the broker's limit").await;
    assert_eq!(connections(&broker).await, before, "no connection was lost");
    assert!(closed_channels(&broker) >= 5);
    ended(server).await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_45_a_request_that_the_broker_refuses() {
    let broker = Broker::builder().config(LIMIT).start().await;
    let stage = stage_on(&broker, &broker.url()).await;
    let client = RPCClient::new(stage.client.clone(), Target::topic(oxlo_faults_kit::TOPIC)).timeout(SOON);
    let large = json!({"id": "x".repeat(BEYOND)});
    let before = connections(&broker).await;
    let beside = Beside::begin(&stage.caller);
    let words = ["message size 2000", "1000000", "max_message_size"];
    for _ in 0..3 {
        let begun = Instant::now();
        let failed = client.call::<String>(&Context::new(), "echo", large.clone()).await.unwrap_err();
        refused(&failed, "406", &words);
        println!("figures: a call of 2 MB was refused after {:?}", begun.elapsed());
        stage.lag.in_time("a refused call", begun.elapsed(), 2 * SECOND);
        let begun = Instant::now();
        let failed = client.cast(&Context::new(), "echo", large.clone()).await.unwrap_err();
        refused(&failed, "406", &words);
        println!("figures: a cast of 2 MB was refused after {:?}", begun.elapsed());
        stage.lag.in_time("a refused cast", begun.elapsed(), 2 * SECOND);
    }
    beside.end("requests above the broker's limit").await;
    assert_eq!(connections(&broker).await, before, "no connection was lost");
    stage.close().await;
}

/// The reply is lost, counted, and logged once; later replies are sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_46_a_notification_that_the_broker_refuses() {
    let broker = Broker::builder().config(LIMIT).start().await;
    let stage = stage_on(&broker, &broker.url()).await;
    let notifier = Notifier::builder("svc.host").driver(Messaging::new(stage.client.clone())).build().unwrap();
    let before = connections(&broker).await;
    let beside = Beside::begin(&stage.caller);
    let _ = notifier.info(&Context::new(), "too.big", "x".repeat(BEYOND)).await.unwrap();
    let _ = notifier.info(&Context::new(), "small", "x").await.unwrap();
    let settled = eventually(
        SOON,
        "both notifications are settled",
        async || notifier.stats(),
        |stats| stats.failed == 1 && stats.sent == 1,
    );
    let stats = settled.await;
    assert_eq!(stats.retried, 0, "{stats:?}");
    assert_eq!(closed_channels(&broker), 1);
    notifier.close().await.unwrap();
    beside.end("a notification above the broker's limit").await;
    assert_eq!(connections(&broker).await, before, "no connection was lost");
    for queue in ["notifications.info"] {
        broker.delete_queue(queue).await;
    }
    stage.close().await;
}

/// A user may write to some exchanges only. Of 200 calls in flight on the channel that a cast to another one ends, each is
/// answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_47_no_permission_to_write_to_an_exchange() {
    let broker = Broker::start().await;
    let url = user_who_writes(&broker, "u", "^(openstack|amq.default)$").await;
    let stage = stage_with(&broker, &broker.url(), &url, AckPolicy::BeforeDispatch).await;
    let bad = RPCClient::new(stage.client.clone(), Target::topic("x").exchange("neutron")).timeout(SOON);
    let before = connections(&broker).await;
    for round in 0..10 {
        let mut calls = stage.caller.spawn_calls(200, 0, SOON);
        let words = ["ACCESS_REFUSED", "'neutron'", "refused for user 'u'"];
        let begun = Instant::now();
        let failed = if round % 2 == 0 {
            bad.cast(&Context::new(), "m", ()).await.unwrap_err()
        } else {
            bad.call::<()>(&Context::new(), "m", ()).await.unwrap_err()
        };
        refused(&failed, "403", &words);
        println!("figures: a refusal among 200 calls took {:?}", begun.elapsed());
        while let Some(ended) = calls.join_next().await {
            ended.unwrap().unwrap();
        }
    }
    assert_eq!(connections(&broker).await, before, "no connection was lost");
    assert!(closed_channels(&broker) >= 10);
    stage.close().await;
}

/// The broker's text is cut off before it says which exchange it was: the message is found by sending each alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_47_a_refusal_that_does_not_say_of_what() {
    let broker = Broker::start().await;
    let url = user_who_writes(&broker, "u", "^(openstack|amq.default)$").await;
    let stage = stage_with(&broker, &broker.url(), &url, AckPolicy::BeforeDispatch).await;
    let long = "n".repeat(250);
    let bad = RPCClient::new(stage.client.clone(), Target::topic("x").exchange(long)).timeout(SOON);
    let before = connections(&broker).await;
    for _ in 0..3 {
        let mut calls = stage.caller.spawn_calls(50, 0, SOON);
        let failed = bad.cast(&Context::new(), "m", ()).await.unwrap_err();
        refused(&failed, "403", &["ACCESS_REFUSED"]);
        while let Some(ended) = calls.join_next().await {
            ended.unwrap().unwrap();
        }
        stage.caller.cast(SOON).await.unwrap();
    }
    assert_eq!(connections(&broker).await, before, "no connection was lost");
    stage.close().await;
}

/// A server that may not write to the default exchange cannot reply; its own calls are answered all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_48_no_permission_to_reply() {
    let broker = Broker::start().await;
    let url = user_who_writes(&broker, "u", "^(openstack|mute.*)$").await;
    let stage = stage_with(&broker, &broker.url(), &url, AckPolicy::BeforeDispatch).await;
    let quiet = Endpoint::new("1.0").method("answer", async || Ok::<_, Failure>(7));
    let mute = serve(&stage.client, "mute", quiet).await;
    let asking = oxlo::connect(broker.url()).await.unwrap();
    let client = RPCClient::new(asking.clone(), Target::topic("mute")).timeout(SECOND);
    let _ = client.call::<i64>(&Context::new(), "answer", ()).await;
    let before = connections(&broker).await;
    let beside = Beside::begin(&stage.caller);
    for _ in 0..3 {
        let mut calls = JoinSet::new();
        for _ in 0..10 {
            let client = client.clone();
            calls.spawn(async move { client.call::<i64>(&Context::new(), "answer", ()).await });
        }
        while let Some(ended) = calls.join_next().await {
            let failed = ended.unwrap();
            assert!(
                matches!(failed, Err(CallError::Transport { error: TransportError::TimedOut { .. }, .. })),
                "{failed:?}"
            );
        }
    }
    beside.end("replies without permission").await;
    assert_eq!(connections(&broker).await, before, "no connection was lost");
    assert!(closed_channels(&broker) > 0);
    ended(mute).await;
    asking.close().await;
    stage.close().await;
}

/// RabbitMQ refuses an expiration of more than ten years.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_49_a_timeout_of_decades() {
    let broker = Broker::start().await;
    let stage = stage_on(&broker, &broker.url()).await;
    stage.caller.call(0, Duration::from_secs(999_999_999)).await.unwrap();
    assert_eq!(closed_channels(&broker), 0);
    stage.close().await;
}

/// The smallest frames that AMQP 0-9-1 allows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_49_a_broker_that_takes_small_frames_only() {
    let broker = Broker::builder().config("frame_max = 4096").start().await;
    let stage = stage_on(&broker, &broker.url()).await;
    let client = RPCClient::new(stage.client.clone(), Target::topic("large")).timeout(SOON);
    let echo = Endpoint::new("1.0").method("echo", async |Args(said): Args<Said>| Ok::<_, Failure>(said.text));
    let server = serve(&stage.servers, "large", echo).await;
    let large = "x".repeat(100_000);
    assert_eq!(client.call::<String>(&Context::new(), "echo", json!({"text": large})).await.unwrap(), large);
    let traffic = stage.caller.traffic(2, SOON);
    sleep(Duration::from_millis(300)).await;
    traffic.stop().await;
    ended(server).await;
    stage.close().await;
}
