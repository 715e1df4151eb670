//! What a transport does when its broker is the wrong one, refuses it, dies or falls silent.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{sync::Arc, time::Duration};

use oxlo_driver_amqp1::Amqp1Driver;
use oxlo_test_support::{Amqp1Broker, Amqp1Product, Broker, PortLease, PythonPeer, eventually};
use oxlo_transport::{
    CallOptions, ConnectionState, ListenOptions, Payload, Registry, Reply, Request, SendOptions, Target, Transport,
    TransportError, error::Refusal,
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
    assert!(refused.to_string().contains("this broker speaks AMQP 0-9-1, use rabbit://"), "{refused}");
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
