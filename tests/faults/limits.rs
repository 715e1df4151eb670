//! Rows 50 to 52 and 57: the broker's limits, and a drained node.

use std::error::Error;

use oxlo::{RPCServer, Retry, RunningServer, ServeError, Target, Transport, TransportError};
use oxlo_faults_kit::{
    SOON, Stage,
    rows::away::{self, CONNECT_TIMEOUT},
    service,
};
use oxlo_test_support::{Broker, History, TestVhost, eventually};
use tokio::time::timeout;

use crate::scene::stage_on;

fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

async fn serve(transport: &std::sync::Arc<dyn Transport>, topic: &str) -> Result<RunningServer, ServeError> {
    let target = Target::topic(topic).server("s");
    let server = RPCServer::builder(transport.clone(), target).endpoint(service(&History::new()));
    timeout(CONNECT_TIMEOUT, server.start()).await.unwrap_or_else(|_| panic!("{topic}: the limit made the start hang"))
}

async fn end(server: RunningServer) {
    server.stop();
    server.wait().await.unwrap();
}

/// Starts servers on one transport until one is refused, which must fail at once.
async fn until_refused(transport: &std::sync::Arc<dyn Transport>) -> (Vec<RunningServer>, String) {
    let mut running = Vec::new();
    loop {
        match serve(transport, &format!("t{}", running.len())).await {
            Ok(server) => running.push(server),
            Err(error) => return (running, chain(&error)),
        }
        assert!(running.len() < 20, "no limit");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_50_as_many_channels_as_a_connection_may_have() {
    let broker = Broker::builder().config("channel_max = 6").start().await;
    let stage = stage_on(&broker, &broker.url()).await;
    let transport = oxlo::connect(broker.url()).await.unwrap();
    let (mut running, refused) = until_refused(&transport).await;
    assert!(running.len() >= 3, "{refused}");
    assert!(
        refused.contains("refused a channel: all 6 channels that the broker allows on one connection"),
        "{refused}"
    );
    // The others keep serving, and one that stops makes room.
    assert!(running.iter().all(RunningServer::is_ready));
    end(running.pop().unwrap()).await;
    let late = async || serve(&transport, "late").await.ok();
    running.extend(eventually(SOON, "there is room again", late, Option::is_some).await);
    for server in running {
        end(server).await;
    }
    transport.close().await;

    // Too few channels to publish on: refused when connecting.
    broker.control().eval::<String>("application:set_env(rabbit, channel_max, 1).").await;
    let error = timeout(CONNECT_TIMEOUT, oxlo::connect(broker.url())).await.expect("it is said in time").unwrap_err();
    assert!(error.to_string().contains("refused a channel: all 1 channels"), "{error}");
    broker.control().eval::<String>("application:set_env(rabbit, channel_max, 6).").await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_51_as_many_channels_as_a_user_may_have() {
    let broker = Broker::start().await;
    broker.add_user("u", "pw", &["/"]).await;
    let stage = stage_on(&broker, &broker.url()).await;
    let transport = oxlo::connect(broker.url().replace("guest:guest", "u:pw")).await.unwrap();
    let first = serve(&transport, "first").await.unwrap();
    broker.ctl(&["set_user_limits", "u", "{\"max-channels\": 3}"]).await;
    let refused = match serve(&transport, "second").await {
        Ok(_) => panic!("it was not refused"),
        Err(error) => chain(&error),
    };
    assert!(refused.contains("refused a channel: too many channels are open"), "{refused}");
    assert!(refused.contains("maximum allowed user limit of (3)"), "{refused}");
    // The broker closed the connection for it. Earlier servers are served again.
    eventually(SOON, "the first server is back", async || first.is_ready(), |ready| *ready).await;
    broker.ctl(&["clear_user_limits", "u", "all"]).await;
    let second = serve(&transport, "second").await.unwrap();
    end(first).await;
    end(second).await;
    transport.close().await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_52_as_many_connections_as_a_virtual_host_may_have() {
    let vhost = TestVhost::new().await;
    limit_connections(&vhost, "0").await;
    away::a_limit_of_connections(&vhost.url(), vhost.port(), "connection limit (0) is reached", async || {
        limit_connections(&vhost, "-1").await;
    })
    .await;
}

async fn limit_connections(vhost: &TestVhost, limit: &str) {
    let set = format!(
        "ok = rabbit_vhost_limit:set(<<\"{}\">>, [{{<<\"max-connections\">>, {limit}}}], <<\"test\">>), ok.",
        vhost.name()
    );
    vhost.control().eval::<String>(&set).await;
}

/// A drained node closes its connections and its ports; waiting clients are served when it is revived.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_57_a_node_that_is_drained_and_revived() {
    let broker = Broker::start().await;
    let stage = Stage::on(&broker.url()).await.watching(&broker);
    let control = broker.control();
    control.eval::<bool>("rabbit_maintenance:drain() =:= ok.").await;
    let error = oxlo::connect(broker.url()).await.unwrap_err();
    assert!(matches!(error, TransportError::Unreachable { .. }) || error.is_retryable(), "{error}");
    let waiting = oxlo::builder(broker.url()).connect_retry(Retry::Forever);
    let waiting = tokio::spawn(async move { waiting.connect().await });
    stage.caller.refusal().await;
    assert!(!waiting.is_finished());
    control.eval::<bool>("rabbit_maintenance:revive() =:= ok.").await;
    let transport = timeout(SOON, waiting).await.expect("it connects").unwrap().unwrap();
    transport.close().await;
    stage.caller.resumes(SOON).await;
    stage.close().await;
}
