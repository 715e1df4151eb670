//! The parts of the driver that parse untrusted bytes, for the fuzz targets. Not part of the API.

use std::{sync::Arc, time::Duration};

use amq_protocol::protocol::{BasicProperties, basic::parse_properties};
use bytes::Bytes;
use oxlo_driver_kit::deferral::Way;
use oxlo_wire::envelope::Poison;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    properties::{self, CompressionAlgorithm, DeliveryHistory},
    publish::ledger::Ledger,
    stream::{
        guard::{
            content_header::{self, Inspection},
            table::{self, TableError},
        },
        ports::{Allowance, Ports},
        received::Received,
        replay,
    },
};

/// Maximum levels of tables and arrays in a field table.
pub const MAX_DEPTH: usize = table::MAX_DEPTH;

/// The guard's verdict on the entries of a field table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The table passes.
    Passes,
    /// More than [`MAX_DEPTH`] levels.
    TooDeep,
    /// lapin cannot parse it.
    Malformed,
}

/// Checks the entries of a field table.
#[must_use]
pub fn check_table(entries: &[u8]) -> Verdict {
    match table::check(entries) {
        Ok(()) => Verdict::Passes,
        Err(TableError::TooDeep) => Verdict::TooDeep,
        Err(TableError::Malformed) => Verdict::Malformed,
    }
}

/// The payload of a content header as lapin gets it in a frame with `room` bytes; `None` if it is truncated.
#[must_use]
pub fn content_header(payload: &[u8], room: usize) -> Option<Vec<u8>> {
    match content_header::inspect(payload, room).ok()? {
        Inspection::Clean => Some(payload.to_vec()),
        Inspection::Repaired(_, payload) => Some(payload),
    }
}

/// The bytes that lapin gets of a stream, the number of changed frames, and the error at the end.
#[must_use]
pub fn stream(input: &[u8], arrivals: &[usize]) -> (Vec<u8>, usize, Option<String>) {
    let (output, changed, error) = replay::replay(input, arrivals);
    (output, changed, error.map(|error| error.to_string()))
}

/// The delivery tag and the body of a message.
pub type Tagged = (u64, Vec<u8>);

/// Replays a stream with ports for the messages of channel 1 and the confirms of channel 2: returns the messages, the
/// number of changed frames, and the error at the end.
#[must_use]
pub fn ports(input: &[u8], arrivals: &[usize]) -> (Vec<Tagged>, usize, Option<String>) {
    const ANY: Allowance = Allowance { messages: usize::MAX, body: usize::MAX };
    let ports = Ports::default();
    let mut inbox = ports.consume(1, ANY);
    ports.publish(2, &Ledger::new(Arc::default(), mpsc::unbounded_channel().0));
    let (_, changed, error) = replay::replay_with(&ports, input, arrivals);
    let messages = std::iter::from_fn(|| inbox.try_recv().ok()).map(|message| (message.tag, message.body)).collect();
    (messages, changed, error.map(|error| error.to_string()))
}

/// The text of a received message.
///
/// # Errors
///
/// [`Poison`], as for any message.
pub fn body(properties: &BasicProperties, data: Vec<u8>, limit: usize) -> Result<Bytes, Poison> {
    properties::body(&received(properties), data.into(), limit)
}

/// The properties and the body of a new message, with compression 0 (none), 1 (zlib) or 2 (bzip2).
#[must_use]
pub fn outgoing(body: &[u8], compression: u8) -> (BasicProperties, Vec<u8>) {
    let algorithms = [None, Some(CompressionAlgorithm::Zlib), Some(CompressionAlgorithm::Bzip2)];
    let compression = algorithms[usize::from(compression) % 3];
    let compressed = compression.map_or_else(|| body.to_vec(), |algorithm| properties::compress(body, algorithm));
    let written = properties::outgoing(Uuid::nil(), None, compression);
    (parse_properties(written.as_slice()).map(|(_, properties)| properties).unwrap_or_default(), compressed)
}

/// The expiration of a message.
#[must_use]
pub fn expiration(properties: &BasicProperties) -> Option<Duration> {
    properties::expiration(&received(properties))
}

/// How often a message was redelivered, and whether that is the broker's count.
#[must_use]
pub fn redeliveries(properties: &BasicProperties) -> (u32, bool) {
    let DeliveryHistory { counted, way } = properties::history(&received(properties));
    (counted.unwrap_or(way.redeliveries), counted.is_some())
}

/// The properties of a message that is sent to its queue once more.
#[must_use]
pub fn resent(properties: &BasicProperties, id: u128, redeliveries: u32) -> BasicProperties {
    let way = Way { redeliveries, ..Way::default() };
    properties::resent(&received(properties), Uuid::from_u128(id), way, None)
}

/// The message id, if it is one of oxlo's.
#[must_use]
pub fn message_id(properties: &BasicProperties) -> Option<u128> {
    properties::message_id(&received(properties)).map(|id| id.as_u128())
}

/// The offset of a message in its stream.
#[must_use]
pub fn stream_offset(properties: &BasicProperties) -> Option<i64> {
    properties::stream_offset(&received(properties))
}

fn received(properties: &BasicProperties) -> Received {
    Received::new(&properties::encode(properties).unwrap_or_default())
}
