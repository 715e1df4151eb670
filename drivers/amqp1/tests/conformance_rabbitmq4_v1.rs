//! The suite that every driver runs, here on RabbitMQ 4 by its native AMQP 1.0 and addresses of version 1.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use oxlo_driver_amqp1::Amqp1Driver;
use oxlo_test_support::Amqp1Product;
use oxlo_transport::{Registry, Settings, Transport, conformance::Harness};

#[derive(Debug)]
struct RabbitMq4(String);

impl RabbitMq4 {
    async fn start() -> Self {
        Self(Amqp1Product::RabbitMq4.shared_url().await)
    }
}

#[async_trait::async_trait]
impl Harness for RabbitMq4 {
    async fn connect(&self, settings: Settings) -> Arc<dyn Transport> {
        Registry::new()
            .with(Amqp1Driver)
            .transport(format!("{}/?address_profile=rabbitmq", self.0))
            .settings(settings)
            .connect()
            .await
            .unwrap()
    }
}

oxlo_transport::conformance_suite!(RabbitMq4::start().await);
