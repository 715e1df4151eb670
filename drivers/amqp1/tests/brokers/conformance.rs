//! The suite that every driver runs, here on each broker.

use std::sync::Arc;

use oxlo_conformance::Harness;
use oxlo_driver_amqp1::Amqp1Driver;
use oxlo_test_support::{Amqp1Product, TestVhost};
use oxlo_transport::{Registry, Settings, Transport};

#[derive(Debug)]
struct At {
    url: String,
    /// Removed when dropped.
    _vhost: Option<TestVhost>,
}

impl At {
    /// A broker that all cases share; `options` follow its URL.
    async fn shared(product: Amqp1Product, options: &str) -> Self {
        Self { url: product.shared_url().await + options, _vhost: None }
    }

    /// RabbitMQ 3.10 with its plugin; a virtual host for each case.
    async fn rabbitmq_3() -> Self {
        let vhost = TestVhost::new().await;
        Self { url: vhost.amqp1_url(), _vhost: Some(vhost) }
    }
}

#[async_trait::async_trait]
impl Harness for At {
    async fn connect(&self, settings: Settings) -> Arc<dyn Transport> {
        Registry::new().with(Amqp1Driver).transport(&self.url).settings(settings).connect().await.unwrap()
    }
}

mod rabbitmq_3 {
    use super::*;
    oxlo_conformance::conformance_suite!(At::rabbitmq_3().await);
}

mod rabbitmq_4 {
    use super::*;
    oxlo_conformance::conformance_suite!(At::shared(Amqp1Product::RabbitMq4, "").await);
}

mod rabbitmq_4_with_addresses_of_version_1 {
    use super::*;
    oxlo_conformance::conformance_suite!(At::shared(Amqp1Product::RabbitMq4, "/?address_profile=rabbitmq").await);
}

mod activemq {
    use super::*;
    oxlo_conformance::conformance_suite!(At::shared(Amqp1Product::ActiveMq, "").await);
}
