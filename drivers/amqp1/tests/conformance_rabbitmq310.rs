//! The suite that every driver runs, here on RabbitMQ 3.10 with its AMQP 1.0 plugin; each case in a vhost of its own.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use oxlo_driver_amqp1::Amqp1Driver;
use oxlo_test_support::TestVhost;
use oxlo_transport::{Registry, Settings, Transport, conformance::Harness};

#[derive(Debug)]
struct RabbitMq310(TestVhost);

impl RabbitMq310 {
    async fn start() -> Self {
        Self(TestVhost::new().await)
    }
}

#[async_trait::async_trait]
impl Harness for RabbitMq310 {
    async fn connect(&self, settings: Settings) -> Arc<dyn Transport> {
        Registry::new().with(Amqp1Driver).transport(self.0.amqp1_url()).settings(settings).connect().await.unwrap()
    }
}

oxlo_transport::conformance_suite!(RabbitMq310::start().await);
