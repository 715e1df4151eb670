//! More addresses than a broker allows sessions, and names that a broker takes for syntax.

use std::{sync::Arc, time::Duration};

use oxlo_driver_amqp1::Amqp1Driver;
use oxlo_test_support::{Amqp1Product, TestVhost};
use oxlo_transport::{
    CallOptions, ListenOptions, Listener, Payload, Registry, Reply, Request, Target, Transport, TransportError,
};
use tokio::task::JoinSet;

const SOON: Duration = Duration::from_secs(30);
/// RabbitMQ 4 allows 64 sessions.
const MANY: usize = 80;
/// Names with what some broker takes for syntax.
const HOSTILE: &[&str] = &[
    "a,b",
    "*",
    ">",
    "#",
    "a.*",
    "a.>",
    "a?b=c",
    "a b",
    "a%2Cb",
    "a/b",
    "queue://a",
    "topic://a",
    "\u{e4}\u{6f22}",
    "a:b",
    "a@b",
    "a&b",
];

struct At {
    url: String,
    /// Removed when dropped.
    _vhost: Option<TestVhost>,
}

impl At {
    async fn shared(product: Amqp1Product) -> Self {
        Self { url: product.shared_url().await, _vhost: None }
    }

    /// RabbitMQ 3.10 with its plugin.
    async fn rabbitmq_3() -> Self {
        let vhost = TestVhost::new().await;
        Self { url: vhost.amqp1_url(), _vhost: Some(vhost) }
    }

    async fn connect(&self) -> Arc<dyn Transport> {
        Registry::new().with(Amqp1Driver).transport(&self.url).connect().await.unwrap()
    }
}

fn topic() -> String {
    format!("limits-{}", uuid::Uuid::new_v4().simple())
}

/// Answers with the server's name.
fn serve(mut listener: Box<dyn Listener<Request>>, name: String) {
    tokio::spawn(async move {
        while let Ok(delivery) = listener.recv().await {
            delivery.settle.ack();
            let reply = Reply::Result(Payload::encode(&name).unwrap());
            let _ = delivery.replier.unwrap().reply(reply).await;
        }
    });
}

async fn listen(transport: &Arc<dyn Transport>, on: Target) -> Box<dyn Listener<Request>> {
    transport.listen(&on, &ListenOptions::new()).await.unwrap()
}

/// The name of the server that answers.
async fn call(transport: &Arc<dyn Transport>, to: &Target) -> Result<String, TransportError> {
    let request = Request::new("name", Payload::empty_object());
    match transport.call(to, request, &CallOptions::new().with_timeout(SOON)).await? {
        Reply::Result(name) => Ok(name.decode().unwrap()),
        failure => panic!("{failure:?}"),
    }
}

/// One transport has many named servers, another calls them all, twice.
async fn many_named_servers(at: At) {
    let (server, client, topic) = (at.connect().await, at.connect().await, topic());
    let named = |number: usize| Target::topic(topic.as_str()).server(format!("s{number}"));
    let mut starting = JoinSet::new();
    for number in 0..MANY {
        let (server, on) = (server.clone(), named(number));
        starting.spawn(async move { serve(listen(&server, on).await, format!("s{number}")) });
    }
    starting.join_all().await;
    for _ in 0..2 {
        let mut calls = JoinSet::new();
        for number in 0..MANY {
            let (client, to) = (client.clone(), named(number));
            calls.spawn(async move { assert_eq!(call(&client, &to).await.unwrap(), format!("s{number}")) });
        }
        calls.join_all().await;
    }
    client.close().await;
    server.close().await;
}

/// One server answers many callers, each with an address for replies of its own.
async fn many_callers(at: At) {
    let (server, to) = (at.connect().await, Target::topic(topic()));
    serve(listen(&server, to.clone().server("s")).await, "s".to_owned());
    let mut callers = Vec::new();
    for _ in 0..MANY {
        let client = at.connect().await;
        assert_eq!(call(&client, &to).await.unwrap(), "s");
        callers.push(client);
    }
    // The first ones again: a place that was given away is got back.
    for client in &callers[..5] {
        assert_eq!(call(client, &to).await.unwrap(), "s");
    }
    for client in callers {
        client.close().await;
    }
    server.close().await;
}

/// Sessions come and go faster than a broker may take them down.
async fn sessions_in_quick_succession(at: At) {
    let (server, topic) = (at.connect().await, topic());
    let state = server.state();
    for number in 0..MANY {
        listen(&server, Target::topic(topic.as_str()).server(format!("s{number}"))).await.close().await;
    }
    assert!(!state.has_changed().unwrap(), "the connection was lost: {:?}", *state.borrow());
    server.close().await;
}

/// Servers and topics of hostile names get what is meant for them, once, and nothing else.
async fn hostile_names(at: At) {
    let (server, client, topic) = (at.connect().await, at.connect().await, topic());
    for name in HOSTILE {
        let on = Target::topic(topic.as_str()).server(*name);
        serve(listen(&server, on).await, (*name).to_owned());
        let on = Target::topic(format!("{topic}{name}")).server("s");
        serve(listen(&server, on).await, format!("topic {name}"));
    }
    for name in HOSTILE {
        assert_eq!(call(&client, &Target::topic(topic.as_str()).server(*name)).await.unwrap(), *name);
        assert_eq!(call(&client, &Target::topic(format!("{topic}{name}"))).await.unwrap(), format!("topic {name}"));
    }
    client.close().await;
    server.close().await;
}

macro_rules! on_each_broker {
    ($($case:ident)+) => {
        mod rabbitmq_3 {
            use super::*;
            $(#[tokio::test]
            async fn $case() {
                super::$case(At::rabbitmq_3().await).await;
            })+
        }

        mod rabbitmq_4 {
            use super::*;
            $(#[tokio::test]
            async fn $case() {
                super::$case(At::shared(Amqp1Product::RabbitMq4).await).await;
            })+
        }

        mod activemq {
            use super::*;
            $(#[tokio::test]
            async fn $case() {
                super::$case(At::shared(Amqp1Product::ActiveMq).await).await;
            })+
        }
    };
}

on_each_broker! { many_named_servers many_callers sessions_in_quick_succession hostile_names }
