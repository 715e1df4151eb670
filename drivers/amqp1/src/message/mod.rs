//! Messages as oslo's driver writes and reads them (AMQP 1.0 part 3.2).
//!
//! To fe2o3-amqp a message is plain bytes in both directions, and the [stream](crate::stream) under it wraps and
//! unwraps them. Its parser recurses as deep as a message is nested, and it omits fields that have the default of the
//! specification, where RabbitMQ has another default.

mod answer;
mod incoming;
mod outgoing;

pub(crate) use answer::{answer, answered_number};
use fe2o3_amqp::types::messaging::MessageId;
pub(crate) use incoming::{Incoming, read};
pub(crate) use outgoing::{Outgoing, call, cast, reply, resent};

/// The id of a message, and the correlation id of its reply.
pub(crate) type Id = MessageId;

// Descriptors of the sections of a message.
const HEADER: u8 = 0x70;
const PROPERTIES: u8 = 0x73;
const APPLICATION_PROPERTIES: u8 = 0x74;
const DATA: u8 = 0x75;
const VALUE: u8 = 0x77;
const SECTIONS: std::ops::RangeInclusive<u8> = 0x70..=0x78;

/// The application property of a message that was sent to its address more than once: how often, when it is due, and a
/// stamped id of its last sending. A text, because brokers change the types of numbers.
const WAY: &str = "oxlo-way";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
