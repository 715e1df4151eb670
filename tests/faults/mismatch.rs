//! Row 6: the broker's 406 for a queue or an exchange that is there with other properties. It closes the channel of the
//! declaration; what happens then is `on_declare_mismatch`'s to say.

use std::sync::Arc;

use oxlo::{CallError, Context, RPCClient, RPCServer, RunningServer, Target, Transport, TransportError};
use oxlo_faults_kit::{Caller, SECOND, SOON, Stage, TOPIC, service};
use oxlo_test_support::{ExchangeInfo, QueueInfo, TestVhost, without_default_type};
use serde_json::{Value, json};

use crate::scene::stage_on;

const ADOPT: &str = "?on_declare_mismatch=adopt";

/// The exchange that clients declare, `openstack`, here durable, deleted with its last binding or not.
async fn exchange_is_there(vhost: &TestVhost, durable: bool, auto_delete: bool) {
    let declare = format!(
        "rabbit_exchange:declare(rabbit_misc:r(<<\"{}\">>, exchange, <<\"openstack\">>), topic, {durable}, {auto_delete}, false, [], <<\"test\">>), ok.",
        vhost.name()
    );
    vhost.control().eval::<String>(&declare).await;
}

/// The service's queue, here with a limit that nobody else declares.
async fn queue_is_there(vhost: &TestVhost) {
    let declare = format!(
        "rabbit_amqqueue:declare(rabbit_misc:r(<<\"{}\">>, queue, <<\"{TOPIC}\">>), true, false, [{{<<\"x-max-length\">>, long, 9}}], none, <<\"test\">>), ok.",
        vhost.name()
    );
    vhost.control().eval::<String>(&declare).await;
}

async fn exchange(vhost: &TestVhost) -> ExchangeInfo {
    vhost.exchanges().await.into_iter().find(|exchange| exchange.name == "openstack").unwrap()
}

async fn queue(vhost: &TestVhost) -> QueueInfo {
    vhost.queue(TOPIC).await.unwrap()
}

async fn serve(transport: &Arc<dyn Transport>, on: &Stage) -> Result<RunningServer, oxlo::ServeError> {
    let target = Target::topic(TOPIC).server("two");
    RPCServer::builder(transport.clone(), target).endpoint(service(&on.history)).start().await
}

/// A stage whose objects are not those of the test: another topic's.
async fn beside() -> (TestVhost, Stage, TestVhost) {
    let (quiet, vhost) = tokio::join!(TestVhost::new(), TestVhost::new());
    let stage = stage_on(&quiet, &quiet.url()).await;
    (quiet, stage, vhost)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_06_an_exchange_with_other_properties_is_an_error() {
    let (_quiet, stage, vhost) = beside().await;
    exchange_is_there(&vhost, true, false).await;
    let before = exchange(&vhost).await;
    let transport = oxlo::connect(vhost.url()).await.unwrap();
    let refused = serve(&transport, &stage).await.map(drop).unwrap_err();
    let text = chain(&refused);
    for part in
        ["exchange `openstack`", "'durable'", "received 'false' but current is 'true'", "on_declare_mismatch=adopt"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let client = RPCClient::new(transport.clone(), Target::topic(TOPIC)).timeout(SOON);
    let refused = client.cast(&Context::new(), "echo", ()).await.unwrap_err();
    assert!(
        matches!(refused, CallError::Transport { error: TransportError::Topology { .. }, .. })
            && !refused.may_have_run(),
        "{refused}"
    );
    assert!(refused.to_string().contains("received 'false' but current is 'true'"), "{refused}");
    assert_eq!(exchange(&vhost).await, before, "it is as it was");
    transport.close().await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_06_a_queue_with_other_properties_is_an_error() {
    let (_quiet, stage, vhost) = beside().await;
    queue_is_there(&vhost).await;
    let before = queue(&vhost).await;
    let transport = oxlo::connect(vhost.url()).await.unwrap();
    let refused = serve(&transport, &stage).await.map(drop).unwrap_err();
    let text = chain(&refused);
    for part in ["queue `service`", "'durable'", "received 'false' but current is 'true'", "delete it first"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let durable = oxlo::connect(vhost.url() + "?amqp_durable_queues=1").await;
    // The exchange was declared in passing, and is not durable.
    let refused = serve(&durable.unwrap(), &stage).await.map(drop).unwrap_err();
    assert!(chain(&refused).contains("exchange `openstack`"), "{}", chain(&refused));
    assert_eq!(queue(&vhost).await, before, "it is as it was");
    transport.close().await;
    stage.close().await;
}

/// Calls go through an exchange and a queue that are others than ours, and both stay as they are; also after connections
/// were lost, and after they were deleted and are there again as we declare them.
async fn adopted(vhost: &TestVhost, stage: &Stage) {
    let transport = oxlo::connect(vhost.url() + ADOPT).await.unwrap();
    let server = serve(&transport, stage).await.unwrap();
    let caller = Caller::new(transport.clone(), &stage.history);
    for _ in 0..3 {
        caller.call(0, SOON).await.unwrap();
        caller.cast(SOON).await.unwrap();
    }
    stage.history.record(oxlo_test_support::Event::Disrupted);
    vhost.close_all_connections("maintenance").await;
    caller.resumes(5 * SECOND).await;
    server.stop();
    server.wait().await.unwrap();
    transport.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_06_an_exchange_with_other_properties_is_adopted_if_asked_for() {
    let (_quiet, stage, vhost) = beside().await;
    exchange_is_there(&vhost, true, false).await;
    let before = exchange(&vhost).await;
    adopted(&vhost, &stage).await;
    assert_eq!(exchange(&vhost).await, before, "it is as it was");
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_06_a_queue_with_other_properties_is_adopted_if_asked_for() {
    let (_quiet, stage, vhost) = beside().await;
    queue_is_there(&vhost).await;
    let before = queue(&vhost).await;
    adopted(&vhost, &stage).await;
    let after = queue(&vhost).await;
    assert_eq!((after.durable, after.arguments), (before.durable, before.arguments), "it is as it was");
    stage.close().await;
}

/// What was adopted and is then deleted is declared as this transport's options say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_06_what_was_adopted_and_deleted_is_declared_anew() {
    let (_quiet, stage, vhost) = beside().await;
    queue_is_there(&vhost).await;
    let transport = oxlo::connect(vhost.url() + ADOPT).await.unwrap();
    let server = serve(&transport, &stage).await.unwrap();
    let caller = Caller::new(transport.clone(), &stage.history);
    caller.call(0, SOON).await.unwrap();
    assert!(vhost.delete_queue(TOPIC).await);
    caller.resumes(5 * SECOND).await;
    let ours = queue(&vhost).await;
    let arguments = without_default_type(&Value::Object(ours.arguments.clone()));
    assert!(!ours.durable && arguments == json!({}), "{ours:?}");
    server.stop();
    server.wait().await.unwrap();
    transport.close().await;
    stage.close().await;
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}
