//! Received messages.

use std::time::Duration;

use bytes::Bytes;
use fe2o3_amqp::types::{
    messaging::MessageId,
    primitives::{Binary, Uuid},
};
use oxlo_driver_kit::deferral::Way;
use oxlo_wire::envelope::Poison;

use super::{APPLICATION_PROPERTIES, DATA, HEADER, Id, PROPERTIES, SECTIONS, VALUE, WAY};
use crate::encoding::{Malformed, Raw};

/// A received message.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    /// How long its sender still waits.
    pub(crate) ttl: Option<Duration>,
    /// Whether the broker delivered it before.
    pub(crate) redelivered: bool,
    /// How often it was redelivered, as far as the broker counts.
    pub(crate) redeliveries: u32,
    /// The application property that the sender of the copy wrote.
    pub(crate) way: Way,
    /// The stamped id of its last sending, if it was sent more than once.
    pub(crate) stamp: Option<uuid::Uuid>,
    pub(crate) message_id: Option<Id>,
    pub(crate) reply_to: Option<String>,
    pub(crate) correlation_id: Option<Id>,
    /// The text; absent if there is no body or the body is null.
    pub(crate) body: Option<Bytes>,
}

impl Incoming {
    /// The reply address and id that identify this message among all messages at the same address, the same at each
    /// delivery; `None` if nothing identifies it. The id of a call is unique at its sender, which the reply address
    /// identifies. For a message without a reply only a UUID counts, and nothing where `everyone` gets a copy.
    pub(crate) fn name(&self, everyone: bool) -> Option<(&str, &Id)> {
        let id = self.message_id.as_ref()?;
        match self.reply_to.as_deref() {
            Some(reply_to) => Some((reply_to, id)),
            None if everyone => None,
            None => matches!(id, Id::String(text) if text.parse::<uuid::Uuid>().is_ok()).then_some(("", id)),
        }
    }
}

/// Reads a message.
///
/// # Errors
///
/// [`Poison`] if the bytes are not a message, or its body is not text.
pub(crate) fn read(bytes: &Bytes) -> Result<Incoming, Poison> {
    let malformed = |fault: Malformed| Poison::Properties { reason: format!("cannot decode the message: {fault}") };
    let mut message = Incoming::default();
    let mut has_body = false;
    let mut rest: &[u8] = bytes;
    while !rest.is_empty() {
        let (section, after) = Raw::first(rest).map_err(malformed)?;
        rest = after;
        let described = section.described().and_then(|(code, value)| Some((u8::try_from(code).ok()?, value)));
        let Some((code, value)) = described.filter(|(code, _)| SECTIONS.contains(code)) else {
            return Err(Poison::Properties {
                reason: "the message has a section that AMQP 1.0 does not define".into(),
            });
        };
        match code {
            HEADER => read_header(&mut message, value),
            PROPERTIES => read_properties(&mut message, value),
            APPLICATION_PROPERTIES => (message.way, message.stamp) = read_way(value).unwrap_or_default(),
            // Several data sections do not tell where the text starts and ends.
            VALUE | DATA if has_body => {
                return Err(Poison::Properties { reason: "the message has more than one body".into() });
            }
            VALUE | DATA => {
                has_body = true;
                message.body = match value.string_bytes().or_else(|| value.binary()) {
                    Some(text) => Some(bytes.slice_ref(text)),
                    None if value.is_null() => None,
                    None => return Err(Poison::Properties { reason: "the body of the message is not text".into() }),
                };
            }
            _ => {}
        }
    }
    Ok(message)
}

fn read_header(message: &mut Incoming, value: Raw<'_>) {
    let mut fields = value.elements().skip(2);
    message.ttl = fields.next().and_then(Raw::unsigned).map(Duration::from_millis);
    let first_acquirer = fields.next().and_then(Raw::boolean);
    let delivery_count = fields.next().and_then(Raw::unsigned).unwrap_or(0);
    message.redelivered = first_acquirer.is_some_and(|first| !first) || delivery_count > 0;
    message.redeliveries = u32::try_from(delivery_count).unwrap_or(u32::MAX).max(u32::from(message.redelivered));
}

fn read_properties(message: &mut Incoming, value: Raw<'_>) {
    let fields: Vec<Raw<'_>> = value.elements().take(6).collect();
    let id = |place: usize| fields.get(place).copied().and_then(id);
    message.message_id = id(0);
    message.reply_to = fields.get(4).and_then(|field| field.text()).map(str::to_owned);
    message.correlation_id = id(5);
}

fn read_way(value: Raw<'_>) -> Option<(Way, Option<uuid::Uuid>)> {
    let mut members = value.elements();
    while let (Some(key), Some(value)) = (members.next(), members.next()) {
        if key.text() == Some(WAY) {
            return value.text().and_then(parse_way);
        }
    }
    None
}

pub(super) fn parse_way(text: &str) -> Option<(Way, Option<uuid::Uuid>)> {
    let mut parts = text.split('/');
    let (redeliveries, round, not_before) = (parts.next()?, parts.next()?, parts.next()?);
    let way = Way {
        redeliveries: redeliveries.parse().ok()?,
        round: round.parse().ok()?,
        not_before: not_before.parse().ok()?,
    };
    Some((way, parts.next().and_then(|stamp| uuid::Uuid::try_parse(stamp).ok())))
}

fn id(value: Raw<'_>) -> Option<Id> {
    value
        .text()
        .map(|text| MessageId::String(text.to_owned()))
        .or_else(|| value.unsigned().map(MessageId::Ulong))
        .or_else(|| value.uuid().map(|bytes| MessageId::Uuid(Uuid::from(bytes))))
        .or_else(|| value.binary().map(|bytes| MessageId::Binary(Binary::from(bytes))))
}
