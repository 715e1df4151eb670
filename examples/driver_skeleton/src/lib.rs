//! A driver to start from: `files:///path/to/folder` carries requests, replies and notifications as files.
//!
//! Every driver of oxlo has the same five parts. Here each of them is as small as it can be while the driver still passes
//! the conformance suite, so that the parts are easy to see:
//!
//! | module | holds | what a broker adds |
//! |---|---|---|
//! | `config` | what the URL says | hosts, credentials, TLS |
//! | `topology` | the queue that a target means | exchanges, bindings, declarations |
//! | `codec` | messages to bytes and back | message properties, compression |
//! | `session` | publish, take, settle | connections that are re-established, confirms, flow control |
//! | `transport` | [`Transport`] in terms of the other four | |
//! | `listener` | a subscription, and the handles that answer a request | acknowledgements that are coalesced |
//!
//! To write a driver, copy this folder to `drivers/<name>`, replace `session` by the broker's client, and correct the
//! others until `tests/conformance.rs` passes. Start with [`Capabilities`](oxlo_transport::Capabilities) that promise
//! little: the suite checks exactly what they promise. `oxlo-driver-kit` has what drivers on a network share: dialling,
//! TLS, reconnecting, filtering duplicates.
//!
//! The driver works, also between processes, but it is not meant for use: it polls, and nothing notices that a process
//! died while it held messages.

mod codec;
mod config;
mod listener;
mod session;
mod topology;
mod transport;

use std::sync::Arc;

use async_trait::async_trait;
use oxlo_transport::{Driver, Settings, Transport, TransportError, TransportUrl};

/// Connects to `files:///path/to/folder`.
#[derive(Clone, Copy, Debug, Default)]
pub struct FilesDriver;

#[async_trait]
impl Driver for FilesDriver {
    fn schemes(&self) -> &'static [&'static str] {
        &["files"]
    }

    async fn connect(&self, url: &TransportUrl, settings: Settings) -> Result<Arc<dyn Transport>, TransportError> {
        let config = config::Config::read(url)?;
        Ok(Arc::new(transport::FilesTransport::open(config, settings)?))
    }
}
