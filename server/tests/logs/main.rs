//! What a server logs at `info` and above.
//!
//! Each test runs in its own process: the limits of log lines and the enabled levels are global.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "../fake/mod.rs"]
mod fake;
mod foreign;
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
