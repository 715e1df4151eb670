//! Tests of the stream as a whole, and what they share.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod child;
mod closing;
mod cost;
mod deep_headers;
mod fake_server;
mod guarding;
mod handshake;
mod porting;
mod publisher;
mod real_broker;
mod real_tls;
mod streaming;
mod tls;
pub(crate) mod wire;

use std::time::Duration;

use oxlo_driver_kit::socket::{self, ConnectError, Peer};

use super::GuardedStream;

/// Dials a peer and guards what comes of it; `frame_max` as for [`GuardedStream::new`].
async fn connect(peer: &Peer, frame_max: u32, limit: Duration) -> Result<GuardedStream, ConnectError> {
    let stream = GuardedStream::new(socket::connect(peer, limit).await?, frame_max);
    stream.handle().ports().let_lapin_consume();
    Ok(stream)
}
