//! What a server and its listeners log, as an operator with `info` on reads it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod captured;
#[path = "../fake/mod.rs"]
mod fake;
mod foreign;
mod listeners;
mod servers;
mod silence;

use std::sync::Arc;

use oxlo_driver_memory::MemoryDriver;
use oxlo_transport::{Registry, Transport};
use uuid::Uuid;

/// A transport on a bus of its own.
async fn bus() -> Arc<dyn Transport> {
    let url = format!("memory://{}", Uuid::new_v4().simple());
    Registry::new().with(MemoryDriver).transport(url).connect().await.unwrap()
}
