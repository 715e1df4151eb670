//! What of the driver reads hostile bytes, for the fuzz targets. No part of the API.

use std::{sync::Arc, time::Duration};

use amq_protocol::protocol::basic::parse_properties;
use bytes::Bytes;
use lapin::BasicProperties;
use oxlo_driver_kit::deferral::Way;
use oxlo_wire::envelope::Poison;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    confirms::Ledger,
    properties::{self, Noted, Packing},
    received::Received,
    stream::{
        guard::{
            content_header::{self, Inspection},
            table::{self, Flaw},
        },
        ports::{Allowance, Ports},
        replay,
    },
};

/// The levels of tables and arrays that lapin may see.
pub const MAX_DEPTH: usize = table::MAX_DEPTH;

/// The guard's word on the entries of a field table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// lapin may see it.
    Passes,
    /// More than [`MAX_DEPTH`] levels.
    TooDeep,
    /// lapin could not read it.
    Malformed,
}

/// Judges the entries of a field table.
#[must_use]
pub fn judge(entries: &[u8]) -> Verdict {
    match table::check(entries) {
        Ok(()) => Verdict::Passes,
        Err(Flaw::TooDeep) => Verdict::TooDeep,
        Err(Flaw::Malformed) => Verdict::Malformed,
    }
}

/// The payload of a content header as lapin gets it in a frame with so much room; `None` if it is cut short.
#[must_use]
pub fn content_header(payload: &[u8], room: usize) -> Option<Vec<u8>> {
    match content_header::inspect(payload, room).ok()? {
        Inspection::Clean => Some(payload.to_vec()),
        Inspection::Repaired(_, payload) => Some(payload),
    }
}

/// What lapin gets of a stream: the bytes, how many frames were changed, and the error it ended with.
#[must_use]
pub fn stream(input: &[u8], arrivals: &[usize]) -> (Vec<u8>, usize, Option<String>) {
    let (output, changed, error) = replay::replay(input, arrivals);
    (output, changed, error.map(|error| error.to_string()))
}

/// The tag of a message, and its body.
pub type Tagged = (u64, Vec<u8>);

/// What comes out where the messages of channel 1 and the confirms of channel 2 do not go to lapin: the bytes of each
/// message with its tag, how many frames were changed, and the error it ended with.
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

/// The text of a message that came in.
///
/// # Errors
///
/// As for any message.
pub fn body(properties: &BasicProperties, data: Vec<u8>, limit: usize) -> Result<Bytes, Poison> {
    properties::body(&received(properties), data.into(), limit)
}

/// The properties of a message that we send, and its body: as it is, packed by zlib, or by bzip2.
#[must_use]
pub fn outgoing(body: &[u8], packing: u8) -> (BasicProperties, Vec<u8>) {
    let packing = [None, Some(Packing::Zlib), Some(Packing::Bzip2)][usize::from(packing) % 3];
    let packed = packing.map_or_else(|| body.to_vec(), |packing| properties::compress(body, packing));
    let written = properties::outgoing(Uuid::nil(), None, packing);
    (parse_properties(written.as_slice()).map(|(_, properties)| properties).unwrap_or_default(), packed)
}

/// How long a message is of use after the broker read it.
#[must_use]
pub fn expiration(properties: &BasicProperties) -> Option<Duration> {
    properties::expiration(&received(properties))
}

/// How often a message came back, and whether that is the broker's count.
#[must_use]
pub fn redeliveries(properties: &BasicProperties) -> (u32, bool) {
    let Noted { counted, way } = properties::way(&received(properties));
    (counted.unwrap_or(way.redeliveries), counted.is_some())
}

/// The properties of a message that is sent to its queue once more.
#[must_use]
pub fn noted(properties: &BasicProperties, id: u128, redeliveries: u32) -> BasicProperties {
    let way = Way { redeliveries, ..Way::default() };
    properties::again(&received(properties), Uuid::from_u128(id), way, None)
}

/// The id under which we published a message.
#[must_use]
pub fn message_id(properties: &BasicProperties) -> Option<u128> {
    properties::message_id(&received(properties)).map(|id| id.as_u128())
}

/// Where in its stream a message stands.
#[must_use]
pub fn stream_offset(properties: &BasicProperties) -> Option<i64> {
    properties::stream_offset(&received(properties))
}

fn received(properties: &BasicProperties) -> Received {
    Received::new(&properties::as_they_came(properties).unwrap_or_default())
}
