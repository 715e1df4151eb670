//! The suite that every driver runs, here on real RabbitMQs; each case in a vhost of its own.

use std::sync::Arc;

use oxlo_conformance::Harness;
use oxlo_driver_rabbit::RabbitDriver;
use oxlo_test_support::{RabbitVersion, TestVhost};
use oxlo_transport::{Registry, Settings, Transport};

#[derive(Debug)]
struct Rabbit(TestVhost);

impl Rabbit {
    async fn start(version: RabbitVersion) -> Self {
        Self(TestVhost::on(version).await)
    }
}

#[async_trait::async_trait]
impl Harness for Rabbit {
    async fn connect(&self, settings: Settings) -> Arc<dyn Transport> {
        Registry::new().with(RabbitDriver).transport(self.0.url()).settings(settings).connect().await.unwrap()
    }
}

mod rabbitmq_3 {
    use super::*;
    oxlo_conformance::conformance_suite!(Rabbit::start(RabbitVersion::V3).await);
}

mod rabbitmq_4 {
    use super::*;
    oxlo_conformance::conformance_suite!(Rabbit::start(RabbitVersion::V4).await);
}
