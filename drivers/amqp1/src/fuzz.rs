//! The parts of the driver that parse untrusted bytes, for the fuzz targets. Not part of the API.

use std::time::Duration;

use bytes::Bytes;
use fe2o3_amqp::types::messaging::MessageId;
use oxlo_wire::envelope::Poison;

use crate::{
    encoding, fe2o3_internals, message,
    stream::{
        channel_numbers::ChannelNumbers,
        guard::{Guard, GuardError},
    },
};

/// Maximum nesting of values.
pub const MAX_DEPTH: usize = encoding::MAX_DEPTH;

/// How many bytes a payload grows in the guard at most.
pub const GROWTH: u32 = fe2o3_internals::GROWTH;

/// Bytes of the first value; an error tells whether it is nested too deeply.
///
/// # Errors
///
/// `true` if it is nested too deeply, `false` if it is malformed otherwise.
pub fn length(bytes: &[u8]) -> Result<usize, bool> {
    encoding::length(bytes, encoding::Reader::Raw).map_err(|error| error == encoding::Malformed::TooDeep)
}

/// Whether the first value may reach fe2o3-amqp's parser.
#[must_use]
pub fn is_safe_for_serde_amqp(bytes: &[u8]) -> bool {
    encoding::length(bytes, encoding::Reader::SerdeAmqp).is_ok()
}

/// A received message. The ids are formatted with `Debug`.
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
/// [`Poison`], as for any message.
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

/// An encoded call.
#[must_use]
pub fn call(to: &str, json: &str, message_id: &str, reply_to: &str, ttl: Duration) -> Vec<u8> {
    let mut call = message::call(to, json, message_id, reply_to, tokio::time::Instant::now());
    call.expire_in(ttl);
    call.encoded()
}

/// An encoded reply, or without text a heartbeat of a running method.
#[must_use]
pub fn reply(to: &str, json: Option<&str>, correlation_id: &str) -> Vec<u8> {
    message::reply(to, json, &MessageId::String(correlation_id.to_owned()), None).encoded()
}

/// The bytes that fe2o3-amqp gets of a stream that arrives in chunks of this size, and the error at the end.
#[must_use]
pub fn stream(input: &[u8], chunk: usize, frame_max: u32, message_max: usize) -> (Vec<u8>, Option<String>) {
    let (mut guard, mut numbers) = (Guard::new(frame_max, message_max), ChannelNumbers::default());
    for chunk in input.chunks(chunk.max(1)) {
        guard.inbox().extend_from_slice(chunk);
        if let Err(error) = guard.process(&mut numbers) {
            return (guard.outbox().to_vec(), Some(error.to_string()));
        }
    }
    let error = guard.error_at_end().as_ref().map(GuardError::to_string);
    (guard.outbox().to_vec(), error)
}
