//! The suite that every driver runs.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use oxlo_driver_memory::MemoryDriver;
use oxlo_transport::{Registry, Settings, Transport, conformance::Harness};

#[derive(Debug)]
struct Memory;

#[async_trait::async_trait]
impl Harness for Memory {
    async fn connect(&self, settings: Settings) -> Arc<dyn Transport> {
        Registry::new().with(MemoryDriver).transport("memory://conformance").settings(settings).connect().await.unwrap()
    }
}

oxlo_transport::conformance_suite!(Memory);
