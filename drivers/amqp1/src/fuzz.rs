//! What of the driver reads hostile bytes, for the fuzz targets. No part of the API.

use std::time::Duration;

use bytes::Bytes;
use fe2o3_amqp::types::messaging::MessageId;
use oxlo_wire::envelope::Poison;

use crate::{
    message, scan,
    stream::guard::{self, Guard, GuardError},
};

/// The levels of values that a parser may see.
pub const DEEPEST: usize = scan::DEEPEST;

/// How much a payload grows on its way through the guard.
pub const GROWTH: u32 = guard::GROWTH;

/// How many bytes the first value takes; an error says whether it is nested too deeply, for all that was looked at.
///
/// # Errors
///
/// True for too deep, false for every other flaw.
pub fn length(bytes: &[u8]) -> Result<usize, bool> {
    scan::length(bytes, scan::For::Us).map_err(|flaw| flaw == scan::Malformed::TooDeep)
}

/// Whether fe2o3-amqp's parser may see the first value.
#[must_use]
pub fn is_for_others(bytes: &[u8]) -> bool {
    scan::length(bytes, scan::For::SerdeAmqp).is_ok()
}

/// A message: how long it is of use, how often it came back, its id, where its reply goes, which call it belongs to, and
/// its text. The ids as `Debug` writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Message {
    pub ttl: Option<Duration>,
    pub redelivered: bool,
    pub redeliveries: u32,
    pub message_id: Option<String>,
    pub reply_to: Option<String>,
    pub correlation_id: Option<String>,
    pub body: Option<Bytes>,
}

/// Reads a message.
///
/// # Errors
///
/// As for any message.
pub fn read(bytes: &Bytes) -> Result<Message, Poison> {
    let id = |id: MessageId| format!("{id:?}");
    message::read(bytes).map(|read| Message {
        ttl: read.ttl,
        redelivered: read.redelivered,
        redeliveries: read.redeliveries,
        message_id: read.message_id.map(id),
        reply_to: read.reply_to,
        correlation_id: read.correlation_id.map(id),
        body: read.body,
    })
}

/// An id as [`Message`] shows it.
#[must_use]
pub fn shown(id: &str) -> String {
    format!("{:?}", MessageId::String(id.to_owned()))
}

/// A call as it is sent.
#[must_use]
pub fn call(to: &str, json: &str, message_id: &str, reply_to: &str, ttl: Duration) -> Vec<u8> {
    let mut call = message::call(to, json, message_id, reply_to, tokio::time::Instant::now());
    call.expire_in(ttl);
    call.encoded()
}

/// A reply as it is sent, or without text the sign that the method still runs.
#[must_use]
pub fn reply(to: &str, json: Option<&str>, correlation_id: &str) -> Vec<u8> {
    message::reply(to, json, &MessageId::String(correlation_id.to_owned()), None).encoded()
}

/// What fe2o3-amqp gets of a stream that arrives in chunks of the given size, and the error it ended with.
#[must_use]
pub fn stream(input: &[u8], chunk: usize, frame_max: u32, message_max: usize) -> (Vec<u8>, Option<String>) {
    let (mut guard, mut channels) = (Guard::new(frame_max, message_max), crate::stream::channels::Channels::default());
    for chunk in input.chunks(chunk.max(1)) {
        guard.inbox().extend_from_slice(chunk);
        if let Err(error) = guard.work(&mut channels) {
            return (guard.outbox().to_vec(), Some(error.to_string()));
        }
    }
    let ended = guard.ended().as_ref().map(GuardError::to_string);
    (guard.outbox().to_vec(), ended)
}
