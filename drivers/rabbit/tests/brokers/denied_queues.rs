//! A RabbitMQ that denies queues which are neither durable nor exclusive, as 4.3 does unless told otherwise: the error says what helps,
//! and what it says passes the suite that every driver runs.

use std::{sync::Arc, time::Duration};

use oxlo_conformance as conformance;
use oxlo_conformance::Harness;
use oxlo_driver_rabbit::RabbitDriver;
use oxlo_test_support::{Broker, RabbitVersion};
use oxlo_transport::{
    CallOptions, ListenOptions, Payload, Registry, Request, Settings, Target, Transport, TransportError,
};

#[derive(Debug)]
struct Denying {
    broker: Broker,
    options: &'static str,
}

impl Denying {
    async fn start(options: &'static str) -> Self {
        let denied = "deprecated_features.permit.transient_nonexcl_queues = false";
        Self { broker: Broker::builder().version(RabbitVersion::V4).config(denied).start().await, options }
    }
}

#[async_trait::async_trait]
impl Harness for Denying {
    async fn connect(&self, settings: Settings) -> Arc<dyn Transport> {
        let url = self.broker.url() + self.options;
        Registry::new().with(RabbitDriver).transport(url).settings(settings).connect().await.unwrap()
    }
}

const QUORUM: &str = "?rabbit_quorum_queue=true&rabbit_transient_quorum_queue=true";
const DURABLE: &str = "?amqp_durable_queues=true&rabbit_transient_quorum_queue=true";

#[tokio::test]
async fn the_error_names_the_options_that_help() {
    let denying = Denying::start("").await;
    let transport = denying.connect(Settings::default()).await;
    let target = Target::topic("t").server("s");
    let listen = transport.listen(&target, &ListenOptions::new()).await.unwrap_err();
    let request = Request::new("method", Payload::encode(&()).unwrap());
    let call =
        transport.call(&target, request, &CallOptions::new().with_timeout(Duration::from_secs(20))).await.unwrap_err();
    for (refused, object) in [(listen, "queue `t"), (call, "queue `reply_")] {
        let TransportError::Topology { object: refused_object, reason } = &refused else { panic!("{refused:?}") };
        assert!(refused_object.starts_with(object), "{refused}");
        assert!(reason.contains("Feature `transient_nonexcl_queues` is deprecated"), "{refused}");
        for option in ["rabbit_transient_quorum_queue=true", "amqp_durable_queues=true", "rabbit_quorum_queue=true"] {
            assert!(reason.contains(option), "{refused}");
        }
    }
    transport.close().await;
}

#[tokio::test]
async fn quorum_queues_pass_every_case_but_removal() {
    // The broker does not delete a quorum queue on the condition that nobody uses it.
    let removes = |case: &str| case.starts_with("queues::") && case.contains("_removed");
    conformance::run(&Denying::start(QUORUM).await, |case| !removes(case)).await;
}

#[tokio::test]
async fn durable_queues_with_transient_quorum_queues_pass_every_case() {
    conformance::run(&Denying::start(DURABLE).await, |_| true).await;
}
