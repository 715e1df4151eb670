//! Python's oslo.messaging 14.9 with its AMQP 1.0 driver, both ways: on ActiveMQ, and on a small broker of Proton's that does
//! what ActiveMQ does not. There Python runs as it is, without a user and thus without SASL, and takes its addresses from what
//! the broker calls itself: legacy ones, or the routable ones of a router.

use std::{sync::Arc, time::Duration};

use oxlo_driver_amqp1::Amqp1Driver;
use oxlo_test_support::{Amqp1Product, PortLease, PythonPeer, eventually};
use oxlo_transport::{
    CallOptions, Context, ListenOptions, Notification, NotificationFormat, Payload, Priority, Registry, Reply, Request,
    SendOptions, Target, Transport,
};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);

/// What both talk through.
#[derive(Clone, Copy, PartialEq)]
enum Ground {
    ActiveMq,
    Legacy,
    Router,
}

struct Pair {
    oxlo: Arc<dyn Transport>,
    python: PythonPeer,
    /// Where Python serves; it takes notifications at the topic with `-notes`.
    topic: String,
    _broker: Option<(PythonPeer, PortLease)>,
}

/// A broker of the test's own, and its URL.
async fn proton(product: Option<&str>) -> (PythonPeer, PortLease, String) {
    let port = PortLease::take();
    let number = port.port().to_string();
    let mut arguments = vec!["--port", &number];
    arguments.extend(product.into_iter().flat_map(|product| ["--product", product]));
    let mut broker = PythonPeer::spawn("amqp1_broker.py", &arguments);
    broker.expect_ready().await;
    let connects = async || tokio::net::TcpStream::connect(("127.0.0.1", port.port())).await.is_ok();
    eventually(SOON, "the broker takes connections", connects, |connects| *connects).await;
    let url = format!("amqp://127.0.0.1:{number}");
    (broker, port, url)
}

async fn pair(name: &str, ground: Ground) -> Pair {
    let (url, broker) = match ground {
        Ground::ActiveMq => (Amqp1Product::ActiveMq.shared_url().await, None),
        Ground::Legacy | Ground::Router => {
            let (broker, port, url) = proton((ground == Ground::Router).then_some("qpid-dispatch-router")).await;
            (url, Some((broker, port)))
        }
    };
    let topic = format!("{name}-{}", std::process::id());
    // Without a user Python's driver says no SASL at all, which ActiveMQ does not let in; any user is let in.
    let pythons = if broker.is_none() { url.replace("amqp://", "amqp://python:python@") } else { url.clone() };
    let mut python_arguments = vec!["--url", &pythons, "--topic", &topic, "--server", "python"];
    if ground == Ground::ActiveMq {
        python_arguments.push("--activemq");
    }
    let mut python = PythonPeer::spawn("amqp1_peer.py", &python_arguments);
    python.expect_ready().await;
    let oxlo = Registry::new().with(Amqp1Driver).transport(&url).connect().await.unwrap();
    Pair { oxlo, python, topic, _broker: broker }
}

fn request(method: &str, args: &Value) -> Request {
    Request {
        context: Context::new().with("user", "oxlo"),
        version: Some("1.2".into()),
        ..Request::new(method, Payload::encode(args).unwrap())
    }
}

fn patient() -> CallOptions {
    CallOptions::new().with_timeout(SOON)
}

#[tokio::test]
async fn oxlo_calls_python_on_activemq() {
    oxlo_calls_python(pair("called", Ground::ActiveMq).await).await;
}

#[tokio::test]
async fn oxlo_calls_python_by_legacy_addresses() {
    oxlo_calls_python(pair("called-legacy", Ground::Legacy).await).await;
}

#[tokio::test]
async fn oxlo_calls_python_by_routable_addresses() {
    oxlo_calls_python(pair("called-routable", Ground::Router).await).await;
}

async fn oxlo_calls_python(mut it: Pair) {
    let to = Target::topic(it.topic.as_str());
    // A Python server says that it is ready before its links are attached.
    let first = it.oxlo.call(&to, request("echo", &json!({"value": "Zoë"})), &patient()).await.unwrap();
    let Reply::Result(result) = first else { panic!("{first:?}") };
    assert_eq!(result.decode::<Value>().unwrap(), json!(["oxlo", "Zoë"]));
    let failed =
        it.oxlo.call(&to.clone().server("python"), request("fail", &json!({"message": "no"})), &patient()).await;
    let Reply::Failure(failure) = failed.unwrap() else { panic!("it did not fail") };
    assert_eq!((failure.class.as_str(), failure.args), ("ValueError", vec![json!("no"), json!(42)]));
    // Heartbeats come every two seconds: one may be two seconds late.
    let monitored = patient().with_monitor_timeout(Some(Duration::from_secs(4)));
    let slow = it.oxlo.call(&to, request("slow", &json!({"seconds": 6})), &monitored).await.unwrap();
    assert!(matches!(&slow, Reply::Result(result) if result.as_bytes() == "\"slept\""), "{slow:?}");
    it.oxlo.cast(&to.clone().fanout(true), request("note", &json!({"value": 1})), &SendOptions::new()).await.unwrap();
    it.oxlo.cast(&to, request("note", &json!({"value": 2})), &SendOptions::new()).await.unwrap();
    let notification = Notification {
        context: Context::new(),
        message_id: "eeb3f9e5-8738-42f5-9121-35de9d0c26e7".into(),
        publisher_id: "oxlo.host".into(),
        event_type: "it.happened".into(),
        priority: Priority::Info,
        payload: Payload::encode(&json!({"k": 1})).unwrap(),
        timestamp: "2026-01-02 03:04:05.678901".into(),
        format: NotificationFormat::V2,
    };
    let notes = Target::topic(format!("{}-notes", it.topic));
    it.oxlo.notify(&notes, notification, &SendOptions::new()).await.unwrap();
    let everything = [json!(1), json!(2), json!(["oxlo.host", "it.happened", {"k": 1}])];
    eventually(
        SOON,
        "Python has seen the casts and the notification",
        async || it.python.request(json!({"op": "seen"})).await["ok"].as_array().cloned().unwrap_or_default(),
        |seen| everything.iter().all(|wanted| seen.contains(wanted)),
    )
    .await;
}

#[tokio::test]
async fn python_calls_oxlo_on_activemq() {
    python_calls_oxlo(pair("calling", Ground::ActiveMq).await).await;
}

#[tokio::test]
async fn python_calls_oxlo_by_legacy_addresses() {
    python_calls_oxlo(pair("calling-legacy", Ground::Legacy).await).await;
}

#[tokio::test]
async fn python_calls_oxlo_by_routable_addresses() {
    python_calls_oxlo(pair("calling-routable", Ground::Router).await).await;
}

async fn python_calls_oxlo(mut it: Pair) {
    let topic = format!("{}-oxlo", it.topic);
    let on = Target::topic(topic.as_str()).server("oxlo");
    let mut listener = it.oxlo.listen(&on, &ListenOptions::new()).await.unwrap();
    let (noted, mut notes) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(delivery) = listener.recv().await {
            delivery.settle.ack();
            let noted = noted.clone();
            tokio::spawn(async move {
                let message = delivery.message;
                let Some(replier) = delivery.replier else {
                    return drop(noted.send(message.args.decode::<Value>().unwrap()));
                };
                let reply = match &*message.method {
                    "echo" => Reply::Result(message.args),
                    "slow" => {
                        for _ in 0..3 {
                            tokio::time::sleep(replier.heartbeat_interval().expect("it is monitored")).await;
                            replier.heartbeat().await.unwrap();
                        }
                        Reply::Result(Payload::encode("slept").unwrap())
                    }
                    _ => Reply::Failure(Box::new(oxlo_transport::Failure::builtin("ValueError", "refused"))),
                };
                replier.reply(reply).await.unwrap();
            });
        }
    });
    let call = |method: &str, monitor: Value| json!({"op": "call", "topic": topic, "server": "oxlo", "method": method, "args": {"a": "é"}, "monitor": monitor});
    assert_eq!(it.python.request(call("echo", json!(null))).await, json!({"ok": {"a": "é"}}));
    assert_eq!(it.python.request(call("slow", json!(4))).await, json!({"ok": "slept"}));
    let failed = it.python.request(call("fail", json!(null))).await;
    assert!(failed["error"]["message"].as_str().unwrap().contains("refused"), "{failed}");
    for fanout in [true, false] {
        let cast =
            json!({"op": "cast", "topic": topic, "fanout": fanout, "method": "note", "args": {"fanout": fanout}});
        assert_eq!(it.python.request(cast).await, json!({"ok": null}));
        let note = tokio::time::timeout(SOON, notes.recv()).await.expect("the cast did not come").unwrap();
        assert_eq!(note, json!({"fanout": fanout}));
    }
    let told = Target::topic(format!("{topic}-told"));
    let on = [(told, Priority::Info)];
    let mut listener = it.oxlo.listen_for_notifications(&on, None, &ListenOptions::new()).await.unwrap();
    let notify = json!({"op": "notify", "topic": format!("{topic}-told"), "event": "it.happened", "payload": {"k": 1}});
    assert_eq!(it.python.request(notify).await, json!({"ok": null}));
    let got = tokio::time::timeout(SOON, listener.recv()).await.expect("the notification did not come").unwrap();
    got.settle.ack();
    assert_eq!((&*got.message.event_type, &*got.message.publisher_id), ("it.happened", "python.host"));
}
