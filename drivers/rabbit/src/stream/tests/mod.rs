//! Tests of the stream as a whole, and their helpers.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cost;
mod guarding;
mod layering;
mod porting;
mod streaming;
pub(crate) mod tls;
pub(crate) mod wire;

use std::{sync::Arc, time::Duration};

use oxlo_driver_kit::socket::{self, ConnectError, Peer};
use uuid::Uuid;

use super::{ChannelClose, GuardedStream, ports::ConfirmSink};

/// Connects to a peer and guards the stream, on which lapin consumes; `frame_max` as for [`GuardedStream::new`].
pub(crate) async fn connect(peer: &Peer, frame_max: u32, limit: Duration) -> Result<GuardedStream, ConnectError> {
    let stream = GuardedStream::new(socket::connect(peer, limit).await?, frame_max);
    stream.handle().ports().let_lapin_consume();
    Ok(stream)
}

/// A sink for a channel on which nothing is in flight.
pub(crate) struct EmptySink;

impl ConfirmSink for EmptySink {
    fn confirmed(&self, _: u64, _: bool, _: bool) {}

    fn returned(&self, _: Uuid) -> bool {
        false
    }

    fn channel_closed(&self, _: ChannelClose) {}

    fn connection_lost(&self) {}
}

pub(crate) fn sink() -> Arc<EmptySink> {
    Arc::new(EmptySink)
}
