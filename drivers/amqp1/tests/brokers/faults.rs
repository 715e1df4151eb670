//! What a transport does when its broker is the wrong one, refuses it, dies or falls silent.

use std::{sync::Arc, time::Duration};

use oxlo_driver_amqp1::Amqp1Driver;
use oxlo_test_support::{Amqp1Broker, Amqp1Product, Broker, PortLease, PythonPeer, RabbitVersion, eventually};
use oxlo_transport::{
    CallOptions, ConnectionState, ListenOptions, Payload, Refusal, Registry, Reply, Request, SendOptions, Target,
    Transport, TransportError,
};
use tokio::time::Instant;

const SOON: Duration = Duration::from_secs(30);

async fn connect(url: &str) -> Result<Arc<dyn Transport>, TransportError> {
    Registry::new().with(Amqp1Driver).transport(url).connect().await
}

fn request() -> Request {
    Request::new("echo", Payload::empty_object())
}

/// Answers every request until its transport is closed.
async fn serve(transport: &Arc<dyn Transport>, on: Target) {
    let mut listener = transport.listen(&on, &ListenOptions::new()).await.unwrap();
    tokio::spawn(async move {
        while let Ok(delivery) = listener.recv().await {
            delivery.settle.ack();
            if let Some(replier) = delivery.replier {
                let _ = replier.reply(Reply::Result(delivery.message.args)).await;
            }
        }
    });
}

async fn call(transport: &Arc<dyn Transport>, to: &Target) -> Result<Reply, TransportError> {
    transport.call(to, request(), &CallOptions::new().with_timeout(Duration::from_secs(2))).await
}

async fn works_again(client: &Arc<dyn Transport>, to: &Target) {
    eventually(SOON, "calls work again", async || call(client, to).await.is_ok(), |works| *works).await;
}

#[tokio::test]
async fn a_broker_of_another_protocol_is_named() {
    let broker = Broker::start().await;
    let refused = connect(&format!("amqp://guest:guest@127.0.0.1:{}", broker.port())).await.unwrap_err();
    assert!(matches!(refused, TransportError::Refused { refusal: Refusal::Protocol, .. }), "{refused:?}");
    assert!(refused.to_string().contains("the peer speaks AMQP 0-9-1: use rabbit://"), "{refused}");
}

/// A link that gets no credit holds up nobody but those who send to its address, and those no longer than they said.
#[tokio::test]
async fn without_credit_a_message_is_not_sent() {
    let port = PortLease::take();
    let mut broker = PythonPeer::spawn("amqp1_broker.py", &["--port", &port.port().to_string()]);
    broker.expect_ready().await;
    let url = format!("amqp://127.0.0.1:{}", port.port());
    let connected = eventually(SOON, "the broker is there", async || connect(&url).await, Result::is_ok).await;
    let client = connected.unwrap();
    let blocked = Target::topic("nocredit");
    let options = SendOptions::new().with_timeout(Duration::from_secs(1));
    let begun = Instant::now();
    let elsewhere = Target::topic("open");
    let (one, two, open) = tokio::join!(
        client.cast(&blocked, request(), &options),
        client.cast(&blocked, request(), &options),
        client.cast(&elsewhere, request(), &options),
    );
    for refused in [one, two] {
        assert!(matches!(refused, Err(TransportError::Blocked { .. })), "{refused:?}");
    }
    assert!(open.is_ok(), "{open:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    client.close().await;
}

/// A broker on Proton, and a transport on it.
async fn proton(arguments: &[&str]) -> (PythonPeer, Arc<dyn Transport>) {
    let port = PortLease::take();
    let port = port.port().to_string();
    let mut broker = PythonPeer::spawn("amqp1_broker.py", &[&["--port", &port], arguments].concat());
    broker.expect_ready().await;
    let url = format!("amqp://127.0.0.1:{port}");
    let connected = eventually(SOON, "the broker is there", async || connect(&url).await, Result::is_ok).await;
    (broker, connected.unwrap())
}

/// Row 61: replies to an address without credit hold up a server for a moment, and no stop waits for them.
#[tokio::test]
async fn replies_that_nobody_takes_hold_up_no_server() {
    const CALLS: usize = 20;
    let (_broker, client) = proton(&[]).await;
    let on = Target::topic("astray").server("one");
    let mut listener = client.listen(&on, &ListenOptions::new()).await.unwrap();
    let options = CallOptions::new().with_timeout(Duration::from_secs(600));
    let mut calls = Vec::new();
    for _ in 0..CALLS {
        calls.push(client.start(&on, request(), &options).await.unwrap());
    }
    let begun = Instant::now();
    for _ in 0..CALLS {
        let delivery = tokio::time::timeout(SOON, listener.recv()).await.expect("the calls arrive").unwrap();
        delivery.settle.ack();
        delivery.replier.unwrap().reply(Reply::Result(delivery.message.args)).await.unwrap();
    }
    assert!(begun.elapsed() < SOON, "{CALLS} replies held up their server for {:?}", begun.elapsed());
    let begun = Instant::now();
    listener.close().await;
    client.close().await;
    assert!(begun.elapsed() < SOON, "closing took {:?}", begun.elapsed());
}

/// An attach without answer ends in time, and says so; who sends elsewhere does not notice.
#[tokio::test]
async fn an_attach_that_is_not_answered_ends_at_the_deadline() {
    let (_broker, client) = proton(&[]).await;
    let (silent, elsewhere) = (Target::topic("silent"), Target::topic("open"));
    let options = SendOptions::new().with_timeout(Duration::from_secs(2));
    let begun = Instant::now();
    let (refused, open) =
        tokio::join!(client.cast(&silent, request(), &options), client.cast(&elsewhere, request(), &options),);
    assert!(open.is_ok(), "{open:?}");
    let refused = refused.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(5) && !refused.may_have_run(), "{:?}", begun.elapsed());
    let cause = std::error::Error::source(&refused).and_then(std::error::Error::source).unwrap().to_string();
    assert!(cause.contains("did not answer the attach"), "{cause}");
    client.close().await;
}

/// As for who sends, for who listens.
#[tokio::test]
async fn a_subscription_that_is_not_answered_ends_at_the_deadline() {
    let port = PortLease::take();
    let port = port.port().to_string();
    let mut broker = PythonPeer::spawn("amqp1_broker.py", &["--port", &port]);
    broker.expect_ready().await;
    let url = format!("amqp://127.0.0.1:{port}");
    let mut settings = oxlo_transport::Settings::default();
    settings.response_timeout = Duration::from_secs(7);
    let registry = Registry::new().with(Amqp1Driver);
    let connecting = async || registry.transport(&url).settings(settings.clone()).connect().await;
    let server = eventually(SOON, "the broker is there", connecting, Result::is_ok).await.unwrap();
    let begun = Instant::now();
    let on = Target::topic("silent").server("one");
    let refused = server.listen(&on, &ListenOptions::new()).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let cause = std::error::Error::source(&refused).and_then(std::error::Error::source).unwrap().to_string();
    assert!(cause.contains("silent") && cause.contains("did not answer the attach"), "{cause}");
    server.close().await;
}

/// A session that the broker does not begin is begun on another channel; the connection and its other links stay.
#[tokio::test]
async fn a_session_that_is_lost_is_begun_again_without_its_neighbours_noticing() {
    let (_broker, client) = proton(&["--lose-session", "3"]).await;
    let mut state = client.state();
    state.mark_unchanged();
    let options = SendOptions::new().with_timeout(SOON);
    for topic in ["first", "lost", "third", "first"] {
        client.cast(&Target::topic(topic), request(), &options).await.unwrap();
    }
    assert!(!state.has_changed().unwrap(), "the connection was given up");
    client.close().await;
}

/// One message is refused, in the broker's words; those beside it arrive. The link was only detached, not closed.
#[tokio::test]
async fn a_message_that_is_refused_fails_alone() {
    let (_broker, client) = proton(&[]).await;
    let to = Target::topic("picky");
    let options = SendOptions::new().with_timeout(SOON);
    let long = Request::new("echo", Payload::encode(&serde_json::json!({"text": "x".repeat(5_000)})).unwrap());
    let begun = Instant::now();
    let small = || client.cast(&to, request(), &options);
    let (refused, one, two, three) = tokio::join!(client.cast(&to, long, &options), small(), small(), small());
    let refused = refused.unwrap_err();
    assert!(!refused.may_have_run() && !refused.is_retryable(), "{refused:?}");
    let TransportError::MessageRefused { code, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!(&**code, "amqp:link:message-size-exceeded");
    let told = refused.to_string();
    assert!(told.contains("MessageSizeExceeded") && told.contains("no more than 1000 bytes here"), "{told}");
    for small in [one, two, three] {
        small.unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    client.close().await;
}

/// The same on RabbitMQ, which ends the session for it: a reply that is too long fails its call at once, and that alone.
#[tokio::test]
async fn a_reply_that_rabbitmq_refuses_fails_its_call_alone() {
    let broker = Broker::builder().plugin("rabbitmq_amqp1_0").config("max_message_size = 1000000").start().await;
    let url = format!("amqp://guest:guest@127.0.0.1:{}/", broker.port());
    let (server, client) = (connect(&url).await.unwrap(), connect(&url).await.unwrap());
    let to = Target::topic("large");
    let mut listener = server.listen(&to.clone().server("one"), &ListenOptions::new()).await.unwrap();
    tokio::spawn(async move {
        while let Ok(delivery) = listener.recv().await {
            delivery.settle.ack();
            let text = if &*delivery.message.method == "large" { "x".repeat(2_000_000) } else { "small".into() };
            let reply = Reply::Result(Payload::encode(&text).unwrap());
            tokio::spawn(async move { delivery.replier.unwrap().reply(reply).await });
        }
    });
    let options = CallOptions::new().with_timeout(SOON);
    let call = |method: &str| client.call(&to, Request::new(method, Payload::empty_object()), &options);
    call("small").await.unwrap();
    let begun = Instant::now();
    let (large, one, two) = tokio::join!(call("large"), call("small"), call("small"));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    for small in [one, two] {
        assert!(matches!(small.unwrap(), Reply::Result(_)));
    }
    let Reply::Failure(failure) = large.unwrap() else { panic!("a reply of 2 MB came") };
    assert!(failure.message.contains("the reply was refused"), "{failure:?}");
    client.close().await;
    server.close().await;
}

/// What a user sends where it may not write, and a listener where it may not read, are refused in the broker's words.
async fn without_permission(broker: &Broker, configure: &str, write: &str, may_write: &[&str]) {
    broker.add_user("limited", "limited", &["/"]).await;
    let limit = format!(
        "ok = rabbit_auth_backend_internal:set_permissions(<<\"limited\">>, <<\"/\">>, <<\"{configure}\">>, <<\"{write}\">>, \
         <<\"^(?!.*forbidden).*\">>, <<\"oxlo\">>), <<\"ok\">>."
    );
    broker.control().eval::<String>(&limit).await;
    let client = connect(&format!("amqp://limited:limited@127.0.0.1:{}/", broker.port())).await.unwrap();
    let owner = connect(&format!("amqp://guest:guest@127.0.0.1:{}/", broker.port())).await.unwrap();
    let mut listeners = Vec::new();
    for topic in ["forbidden", "allowed"] {
        listeners.push(owner.listen(&Target::topic(topic).server("one"), &ListenOptions::new()).await.unwrap());
    }
    let options = SendOptions::new().with_timeout(SOON);
    let begun = Instant::now();
    let (forbidden, allowed) = (Target::topic("forbidden"), Target::topic("allowed"));
    let (refused, beside) =
        tokio::join!(client.cast(&forbidden, request(), &options), client.cast(&allowed, request(), &options));
    let refused = refused.unwrap_err();
    assert!(!refused.may_have_run() && !refused.is_retryable(), "{refused:?}");
    assert!(format!("{refused:?}").contains("refused for user 'limited'"), "{refused:?}");
    assert_eq!(beside.is_ok(), may_write.contains(&"allowed"), "{beside:?}");
    let refused = client.listen(&forbidden.server("two"), &ListenOptions::new()).await.unwrap_err();
    assert!(format!("{refused:?}").contains("refused for user 'limited'"), "{refused:?}");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    client.close().await;
    owner.close().await;
}

/// Whoever sends to a queue declares it.
#[tokio::test]
async fn without_permission_on_rabbitmq_3() {
    let broker = Broker::builder().plugin("rabbitmq_amqp1_0").start().await;
    without_permission(&broker, "^(?!.*forbidden).*", ".*", &["allowed"]).await;
}

/// Permissions to write are those of the default exchange, for all queues.
#[tokio::test]
async fn without_permission_on_rabbitmq_4() {
    let broker = Broker::builder().version(RabbitVersion::V4).start().await;
    without_permission(&broker, ".*", "^reply.*", &[]).await;
}

#[tokio::test]
async fn wrong_credentials_are_refused_at_once() {
    let broker = Broker::builder().plugin("rabbitmq_amqp1_0").start().await;
    let begun = Instant::now();
    let refused = connect(&format!("amqp://guest:tooth-fairy@127.0.0.1:{}", broker.port())).await.unwrap_err();
    assert!(matches!(refused, TransportError::Refused { refusal: Refusal::Credentials, .. }), "{refused:?}");
    // RabbitMQ 3 thinks about it for three seconds.
    assert!(begun.elapsed() < SOON && !format!("{refused:?} {refused}").contains("tooth-fairy"));
}

#[tokio::test]
async fn a_broker_that_dies_and_comes_back_is_used_again() {
    let broker = Amqp1Broker::start(Amqp1Product::ActiveMq).await;
    let (server, client) = (connect(&broker.url()).await.unwrap(), connect(&broker.url()).await.unwrap());
    let to = Target::topic("phoenix");
    serve(&server, to.clone().server("one")).await;
    call(&client, &to).await.unwrap();
    // Nobody answers it; its reply address goes with the broker.
    let silent = Target::topic("silent");
    let _listener = server.listen(&silent.clone().server("one"), &ListenOptions::new()).await.unwrap();
    let pending =
        client.start(&silent, request(), &CallOptions::new().with_timeout(Duration::from_secs(60))).await.unwrap();
    broker.kill().await;
    let ended = tokio::time::timeout(SOON, pending).await.expect("a call outlived its reply address");
    assert!(matches!(ended, Err(TransportError::ReplyLost { .. })), "{ended:?}");
    let mut state = client.state();
    let down = |state: &ConnectionState| matches!(state, ConnectionState::Disconnected(_));
    tokio::time::timeout(SOON, state.wait_for(down)).await.expect("the loss goes unnoticed").unwrap();
    broker.restart().await;
    works_again(&client, &to).await;
}

#[tokio::test]
async fn a_frozen_broker_is_noticed_and_used_again() {
    let broker = Amqp1Broker::start(Amqp1Product::ActiveMq).await;
    let url = format!("{}/?idle_timeout=2", broker.url());
    let (server, client) = (connect(&url).await.unwrap(), connect(&url).await.unwrap());
    let to = Target::topic("sleeper");
    serve(&server, to.clone().server("one")).await;
    call(&client, &to).await.unwrap();
    broker.freeze();
    let frozen = Instant::now();
    let ended = call(&client, &to).await;
    assert!(ended.is_err() && frozen.elapsed() < Duration::from_secs(8), "{ended:?} after {:?}", frozen.elapsed());
    let mut state = client.state();
    let down = |state: &ConnectionState| matches!(state, ConnectionState::Disconnected(_));
    tokio::time::timeout(SOON, state.wait_for(down)).await.expect("the freeze goes unnoticed").unwrap();
    broker.thaw();
    works_again(&client, &to).await;
    client.close().await;
    server.close().await;
}
