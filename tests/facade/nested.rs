//! Calls made within a handler, on every driver that transmits the caller's deadline.

use std::{sync::Arc, time::Duration};

use oxlo::{
    CallError, Context, Deadline, Endpoint, Failure, RPCClient, RPCServer, RunningServer, State, Target, Transport,
    TransportError,
};
use serde_json::json;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

#[derive(serde::Deserialize)]
struct How {
    how: String,
}

/// Answers with its remaining deadline in milliseconds.
async fn back(transport: &Arc<dyn Transport>, topic: &str) -> RunningServer {
    let endpoint = Endpoint::new("1.0").method("left", async |deadline: Deadline| {
        let left = deadline.remaining().expect("a call has a deadline");
        Ok::<_, Failure>(u64::try_from(left.as_millis()).unwrap())
    });
    let target = Target::topic(topic).server("back");
    RPCServer::builder(transport.clone(), target).endpoint(endpoint).start().await.unwrap()
}

/// Calls the back server in several ways.
async fn front(transport: &Arc<dyn Transport>, topic: &str, back: RPCClient) -> RunningServer {
    let ask = async |deadline: Deadline, oxlo::Args(How { how }): oxlo::Args<How>, State(back): State<RPCClient>| {
        let ctxt = Context::new();
        let client = match how.as_str() {
            "within" => back.prepare().within(deadline),
            "inherited" => back.prepare().inherit_deadline(true),
            "shorter" => back.prepare().inherit_deadline(true).timeout(SECOND),
            "not" => back.prepare().inherit_deadline(true).without_deadline(),
            "spawned" => {
                let back = back.prepare().inherit_deadline(true);
                let task = deadline.scope(async move { back.call::<u64>(&ctxt, "left", ()).await });
                return tokio::spawn(task).await.unwrap().map_err(Failure::from);
            }
            _ => back,
        };
        client.call::<u64>(&ctxt, "left", ()).await.map_err(Failure::from)
    };
    let endpoint = Endpoint::new("1.0").with_state(back).method("ask", ask);
    let target = Target::topic(topic).server("front");
    RPCServer::builder(transport.clone(), target).endpoint(endpoint).start().await.unwrap()
}

/// The caller waits 20 s; a call's default is 60 s, so an inherited deadline is recognised.
async fn nested_calls_inherit_what_is_left(url: &str, options: &[(&str, std::ops::RangeInclusive<u64>)]) {
    // Brokers are shared by all tests.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let topic = format!("nested-{}-{}", std::process::id(), now.as_nanos());
    let (front_topic, back_topic) = (format!("{topic}-front"), format!("{topic}-back"));
    let transport = oxlo::connect(url).await.unwrap();
    let behind = back(&transport, &back_topic).await;
    let before = front(&transport, &front_topic, RPCClient::new(transport.clone(), Target::topic(back_topic))).await;
    let client = RPCClient::new(transport.clone(), Target::topic(front_topic)).timeout(20 * SECOND);
    for (how, wanted) in options {
        let left: u64 = client.call(&Context::new(), "ask", json!({ "how": how })).await.unwrap();
        assert!(wanted.contains(&left), "{how}: {left} ms left, wanted {wanted:?}");
    }
    for server in [before, behind] {
        server.stop();
        server.wait().await.unwrap();
    }
    transport.close().await;
}

/// Ranges that allow for a busy machine.
#[cfg(feature = "brokers")]
fn on_a_broker() -> Vec<(&'static str, std::ops::RangeInclusive<u64>)> {
    vec![
        ("within", 5_000..=20_000),
        ("inherited", 5_000..=20_000),
        ("spawned", 5_000..=20_000),
        ("shorter", 0..=1_000),
        ("not", 30_000..=60_000),
        ("by default", 30_000..=60_000),
    ]
}

#[tokio::test(start_paused = true)]
async fn on_memory() {
    let exact = [
        ("within", 20_000..=20_000),
        ("inherited", 20_000..=20_000),
        ("spawned", 20_000..=20_000),
        ("shorter", 1_000..=1_000),
        ("not", 60_000..=60_000),
        ("by default", 60_000..=60_000),
    ];
    nested_calls_inherit_what_is_left("memory://nested", &exact).await;
}

#[cfg(feature = "brokers")]
#[tokio::test]
async fn on_rabbit() {
    let vhost = oxlo_test_support::TestVhost::new().await;
    nested_calls_inherit_what_is_left(&vhost.url(), &on_a_broker()).await;
}

#[cfg(feature = "brokers")]
mod on_amqp1 {
    use oxlo_test_support::{Amqp1Product, TestVhost};

    use super::{nested_calls_inherit_what_is_left, on_a_broker};

    #[tokio::test]
    async fn rabbitmq_3() {
        let vhost = TestVhost::new().await;
        nested_calls_inherit_what_is_left(&vhost.amqp1_url(), &on_a_broker()).await;
    }

    #[tokio::test]
    async fn rabbitmq_4() {
        nested_calls_inherit_what_is_left(&Amqp1Product::RabbitMq4.shared_url().await, &on_a_broker()).await;
    }

    #[tokio::test]
    async fn activemq() {
        nested_calls_inherit_what_is_left(&Amqp1Product::ActiveMq.shared_url().await, &on_a_broker()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_nested_call_ends_with_the_call_that_it_is_made_for() {
    let transport = oxlo::connect("memory://nested-late").await.unwrap();
    let endless = Endpoint::new("1.0").method("endless", async || std::future::pending::<Result<(), Failure>>().await);
    let behind = Target::topic("behind").server("one");
    let _behind = RPCServer::builder(transport.clone(), behind).endpoint(endless).start().await.unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let inner = RPCClient::new(transport.clone(), Target::topic("behind"));
    let ask = move |deadline: Deadline| {
        let (inner, tell) = (inner.prepare().within(deadline), tell.clone());
        async move {
            let begun = Instant::now();
            let first = inner.call::<()>(&Context::new(), "endless", ()).await.unwrap_err();
            let second = inner.call::<()>(&Context::new(), "endless", ()).await.unwrap_err();
            let cast = inner.cast(&Context::new(), "endless", ()).await.unwrap_err();
            tell.send((begun.elapsed(), first, second, cast)).unwrap();
            Ok::<_, Failure>(())
        }
    };
    let front = Target::topic("front").server("one");
    let front = RPCServer::builder(transport.clone(), front).endpoint(Endpoint::new("1.0").method("ask", ask));
    let _front = front.start().await.unwrap();
    let client = RPCClient::new(transport, Target::topic("front")).timeout(5 * SECOND);
    let ended = client.call::<()>(&Context::new(), "ask", ()).await.unwrap_err();
    assert!(matches!(ended, CallError::Transport { error: TransportError::TimedOut { .. }, .. }), "{ended}");
    let (took, first, second, cast) = told.recv().await.unwrap();
    assert_eq!(took.as_secs(), 5);
    assert!(
        matches!(first, CallError::Transport { error: TransportError::TimedOut { .. }, .. }) && first.may_have_run(),
        "{first}"
    );
    for refused in [second, cast] {
        assert!(matches!(refused, CallError::DeadlinePassed { .. }) && !refused.may_have_run(), "{refused}");
        assert!(!refused.is_retryable());
        assert!(refused.to_string().ends_with("has passed; nothing was sent"), "{refused}");
        assert_eq!(refused.to_failure().class, "MessagingTimeout");
    }
}

#[tokio::test]
async fn a_blocking_method_inherits_too_and_outside_of_handlers_nothing_is_inherited() {
    let transport = oxlo::connect("memory://nested-blocking").await.unwrap();
    #[allow(clippy::result_large_err)]
    let endpoint = Endpoint::new("1.0").blocking_method("own", |deadline: Deadline| {
        assert!(deadline.0.is_some() && Deadline::current() == deadline);
        Ok::<_, Failure>(())
    });
    let target = Target::topic("blocking").server("one");
    let _server = RPCServer::builder(transport.clone(), target).endpoint(endpoint).start().await.unwrap();
    let client = RPCClient::new(transport, Target::topic("blocking")).inherit_deadline(true);
    client.call::<()>(&Context::new(), "own", ()).await.unwrap();
    assert_eq!(Deadline::current(), Deadline(None));
}
