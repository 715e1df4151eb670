//! The suite that every driver runs.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use oxlo_conformance::Harness;
use oxlo_driver_memory::MemoryDriver;
use oxlo_transport::{Registry, Settings, Transport};

/// What follows the name of the bus.
#[derive(Debug)]
struct Memory(&'static str);

#[async_trait::async_trait]
impl Harness for Memory {
    async fn connect(&self, settings: Settings) -> Arc<dyn Transport> {
        let url = format!("memory://conformance{}", self.0);
        Registry::new().with(MemoryDriver).transport(url).settings(settings).connect().await.unwrap()
    }
}

oxlo_conformance::conformance_suite!(Memory(""));

/// As on RabbitMQ, where queues are named by topic alone.
mod sharing_exchanges {
    use super::Memory;

    oxlo_conformance::conformance_suite!(Memory("-shared?exchanges=shared"));
}
