//! The suite that every driver runs, here on ActiveMQ classic with its AMQP connector.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use oxlo_driver_amqp1::Amqp1Driver;
use oxlo_test_support::Amqp1Product;
use oxlo_transport::{Registry, Settings, Transport, conformance::Harness};

#[derive(Debug)]
struct ActiveMq(String);

impl ActiveMq {
    async fn start() -> Self {
        Self(Amqp1Product::ActiveMq.shared_url().await)
    }
}

#[async_trait::async_trait]
impl Harness for ActiveMq {
    async fn connect(&self, settings: Settings) -> Arc<dyn Transport> {
        Registry::new().with(Amqp1Driver).transport(&self.0).settings(settings).connect().await.unwrap()
    }
}

oxlo_transport::conformance_suite!(ActiveMq::start().await);
