//! The properties of a message, and what they say about its body.
//!
//! What is sent is what Python sends, plus a `message_id`, by which returned messages are told apart and which Python ignores.

use std::{borrow::Cow, io::Read, time::Duration};

use amq_protocol::{frame::WriteContext, protocol::basic::gen_properties};
use bytes::Bytes;
use bzip2::read::{BzDecoder, BzEncoder};
use flate2::{
    Compression,
    read::{ZlibDecoder, ZlibEncoder},
};
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};
use oxlo_driver_kit::deferral::Way;
use oxlo_transport::TransportError;
use oxlo_wire::{charset::to_utf8, envelope::Poison};
use uuid::Uuid;

use crate::{
    received::Received,
    stream::{
        frames::short,
        guard::content_header::{
            CONTENT_ENCODING, CONTENT_TYPE, DELIVERY_MODE, EXPIRATION, HEADERS, MESSAGE_ID, PRIORITY, flag,
        },
    },
};

const JSON: &str = "application/json";
/// kombu calls it gzip; what is inside is a zlib stream (RFC 1950).
const KOMBU_GZIP: &str = "application/x-gzip";
const KOMBU_BZIP2: &str = "application/x-bz2";
const PERSISTENT: u8 = 2;
/// RabbitMQ closes the channel over an expiration of more than ten years.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// kombu's `gzip` and `zlib`.
    Zlib,
    Bzip2,
}

impl Packing {
    fn header(self) -> &'static str {
        match self {
            Self::Zlib => KOMBU_GZIP,
            Self::Bzip2 => KOMBU_BZIP2,
        }
    }
}

/// What every message has.
const ALWAYS: u16 = flag(CONTENT_TYPE)
    | flag(CONTENT_ENCODING)
    | flag(HEADERS)
    | flag(DELIVERY_MODE)
    | flag(PRIORITY)
    | flag(MESSAGE_ID);

/// The properties of a message that we send, as they are on the wire.
pub(crate) fn outgoing(id: Uuid, expiration: Option<Duration>, packing: Option<Packing>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    let flags = if expiration.is_some() { ALWAYS | flag(EXPIRATION) } else { ALWAYS };
    bytes.extend_from_slice(&flags.to_be_bytes());
    short(&mut bytes, JSON);
    short(&mut bytes, "utf-8");
    let table = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    if let Some(packing) = packing {
        short(&mut bytes, "compression");
        bytes.extend_from_slice(b"S\0\0\0");
        short(&mut bytes, packing.header());
    }
    let length = u32::try_from(bytes.len() - table - 4).unwrap_or(u32::MAX);
    bytes[table..table + 4].copy_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&[PERSISTENT, 0]);
    if let Some(timeout) = expiration {
        // Zero would expire at once unless somebody is waiting; a caller with less than a millisecond still calls.
        short(&mut bytes, &timeout.min(LONGEST).as_millis().max(1).to_string());
    }
    short(&mut bytes, id.simple().encode_lower(&mut Uuid::encode_buffer()));
    bytes
}

/// Properties that came, as they are on the wire.
///
/// # Errors
///
/// `InvalidTarget`, which nothing that came can give.
pub(crate) fn as_they_came(properties: &BasicProperties) -> Result<Vec<u8>, TransportError> {
    gen_properties(properties)(WriteContext::from(Vec::new()))
        .map(|written| written.into_inner().0)
        .map_err(|error| TransportError::InvalidTarget { reason: format!("its properties cannot be written: {error}") })
}

/// How many times its own size a body may unpack to. JSON of records that differ packs to a hundredth at most.
const RATIO: usize = 200;
/// As much may be unpacked whatever the ratio, in bytes.
const UNCHECKED: usize = 1 << 20;

/// How many bytes a body of `packed` bytes may unpack to.
fn most_unpacked(packed: usize) -> usize {
    packed.saturating_mul(RATIO).max(UNCHECKED)
}

/// A body as it is to be sent, and how it is packed: not at all where receivers of our kind would refuse it for its ratio.
pub(crate) fn packed(body: Vec<u8>, packing: Option<Packing>) -> (Vec<u8>, Option<Packing>) {
    let Some(packing) = packing else { return (body, None) };
    let packed = compress(&body, packing);
    if body.len() > most_unpacked(packed.len()) { (body, None) } else { (packed, Some(packing)) }
}

/// Packs a body as kombu does.
pub(crate) fn compress(body: &[u8], packing: Packing) -> Vec<u8> {
    let mut packed = Vec::with_capacity(body.len() / 2);
    // Reading from memory and writing to memory: there is nothing that could fail.
    let _ = match packing {
        Packing::Zlib => ZlibEncoder::new(body, Compression::default()).read_to_end(&mut packed),
        Packing::Bzip2 => BzEncoder::new(body, bzip2::Compression::best()).read_to_end(&mut packed),
    };
    packed
}

/// The JSON text of a message that came in, unpacked.
///
/// # Errors
///
/// [`Poison`] if its properties say that it is something else, if it exceeds `limit` bytes, packed or unpacked, or if it
/// unpacks to more than 1 MiB and more than 200 times its size.
pub(crate) fn body(properties: &Received, data: Bytes, limit: usize) -> Result<Bytes, Poison> {
    let content_type = properties.content_type();
    if content_type != Some(JSON) {
        let found = content_type.map_or_else(|| "none".to_owned(), |found| format!("`{}`", clipped(found)));
        return Err(Poison::Properties { reason: format!("content type {found} is not {JSON}") });
    }
    if data.len() > limit {
        return Err(Poison::TooLarge { size: data.len(), limit });
    }
    match compression(properties) {
        None => match to_utf8(&data, properties.content_encoding()) {
            Cow::Owned(text) => Ok(text.into()),
            Cow::Borrowed(_) => Ok(data),
        },
        Some(kind) if kind == KOMBU_GZIP => unpack(ZlibDecoder::new(data.as_ref()), "zlib", data.len(), limit),
        Some(kind) if kind == KOMBU_BZIP2 => unpack(BzDecoder::new(data.as_ref()), "bzip2", data.len(), limit),
        Some(kind) => Err(Poison::Properties { reason: format!("compression `{}` is not supported", clipped(&kind)) }),
    }
}

fn compression(properties: &Received) -> Option<String> {
    match properties.headers()?.inner().get("compression")? {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

fn unpack(packed: impl Read, kind: &str, size: usize, limit: usize) -> Result<Bytes, Poison> {
    let most = most_unpacked(size).min(limit);
    let mut text = Vec::with_capacity(size.saturating_mul(3).min(most));
    // One byte beyond the limit tells a body that is too large from one that just fits.
    match packed.take(most as u64 + 1).read_to_end(&mut text) {
        Ok(unpacked) if unpacked > limit => Err(Poison::TooLarge { size: unpacked, limit }),
        Ok(unpacked) if unpacked > most => Err(Poison::Inflates { packed: size, limit: most }),
        Ok(_) => Ok(text.into()),
        Err(_) => {
            Err(Poison::Properties { reason: format!("the body is no {kind} stream, though its header says so") })
        }
    }
}

fn clipped(text: &str) -> String {
    text.chars().take(64).collect()
}

/// How long after it was read by the broker the message is of no use, as its sender sees it.
pub(crate) fn expiration(properties: &Received) -> Option<Duration> {
    properties.expiration()?.parse().ok().map(Duration::from_millis)
}

/// Where in its stream a message stands, if it came from one.
pub(crate) fn stream_offset(properties: &Received) -> Option<i64> {
    match properties.headers()?.inner().get("x-stream-offset")? {
        AMQPValue::LongLongInt(offset) => Some(*offset),
        _ => None,
    }
}

/// A quorum queue's count of how often it took a message back.
const DELIVERY_COUNT: &str = "x-delivery-count";
/// Our own, where the broker does not count.
const REDELIVERIES: &str = "x-oxlo-redeliveries";
/// How often we sent the message to its queue again.
const ROUND: &str = "x-oxlo-round";
/// When it is due, in milliseconds since 1970.
const NOT_BEFORE: &str = "x-oxlo-not-before";

/// What a message says of its way through its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Noted {
    /// How often the broker says that it came back since it was sent; `None` if the broker does not count.
    pub(crate) counted: Option<u32>,
    /// What those who sent it again wrote.
    pub(crate) way: Way,
}

/// What a message says of its way through its queue.
pub(crate) fn way(properties: &Received) -> Noted {
    let headers = properties.headers();
    let number = |name: &str| match headers.as_ref()?.inner().get(name)? {
        AMQPValue::LongLongInt(number) => Some(*number),
        AMQPValue::LongInt(number) => Some(i64::from(*number)),
        AMQPValue::LongUInt(number) => Some(i64::from(*number)),
        AMQPValue::ShortInt(number) => Some(i64::from(*number)),
        AMQPValue::ShortShortInt(number) => Some(i64::from(*number)),
        AMQPValue::ShortShortUInt(number) => Some(i64::from(*number)),
        _ => None,
    };
    let count = |name| number(name).and_then(|number| u32::try_from(number).ok());
    let way = Way {
        redeliveries: count(REDELIVERIES).unwrap_or(0),
        round: count(ROUND).unwrap_or(0),
        not_before: number(NOT_BEFORE).unwrap_or(0),
    };
    Noted { counted: count(DELIVERY_COUNT), way }
}

/// The properties of a message that is sent to its queue once more, under a new id; `left` is what is left of its time.
pub(crate) fn again(properties: &Received, id: Uuid, way: Way, left: Option<Duration>) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in properties.headers().unwrap_or_default().inner() {
        // The broker begins to count anew.
        if name.as_str() != DELIVERY_COUNT {
            headers.insert(name.clone(), value.clone());
        }
    }
    headers.insert(REDELIVERIES.into(), AMQPValue::LongUInt(way.redeliveries));
    headers.insert(ROUND.into(), AMQPValue::LongUInt(way.round));
    headers.insert(NOT_BEFORE.into(), AMQPValue::LongLongInt(way.not_before));
    let all = properties.all().with_headers(headers).with_message_id(ShortString::from(id.simple().to_string()));
    match left {
        Some(left) => all.with_expiration(left.as_millis().max(1).to_string().into()),
        None => all,
    }
}

/// The id under which we published it, if we did.
pub(crate) fn message_id(properties: &Received) -> Option<Uuid> {
    Uuid::try_parse(properties.message_id()?).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use amq_protocol::protocol::basic::parse_properties;
    use lapin::types::AMQPType;

    use super::*;

    const LIMIT: usize = 1 << 20;

    fn outgoing(id: Uuid, expiration: Option<Duration>, packing: Option<Packing>) -> Received {
        let bytes = super::outgoing(id, expiration, packing);
        let (rest, properties) = parse_properties(bytes.as_slice()).unwrap();
        assert!(rest.is_empty());
        assert_eq!(as_they_came(&properties).unwrap(), bytes);
        received(&properties)
    }

    fn received(properties: &BasicProperties) -> Received {
        let received = Received::new(&as_they_came(properties).unwrap());
        assert_eq!(received.all(), *properties);
        received
    }

    fn json_properties() -> BasicProperties {
        BasicProperties::default().with_content_type(JSON.into())
    }

    #[test]
    fn a_call_carries_what_python_sends_and_a_message_id() {
        let id = Uuid::from_u128(7);
        let properties = outgoing(id, Some(Duration::from_millis(1500)), None);
        let expected = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_content_encoding("utf-8".into())
            .with_headers(FieldTable::default())
            .with_delivery_mode(2)
            .with_priority(0)
            .with_expiration("1500".into())
            .with_message_id("00000000000000000000000000000007".into());
        assert_eq!(properties.all(), expected);
        assert_eq!(message_id(&properties), Some(id));
        assert_eq!(expiration(&properties), Some(Duration::from_millis(1500)));
        assert_eq!(expiration(&outgoing(id, None, None)), None, "a cast does not expire");
        assert_eq!(expiration(&outgoing(id, Some(Duration::from_micros(1)), None)), Some(Duration::from_millis(1)));
        assert_eq!(outgoing(id, Some(Duration::MAX), None).expiration(), Some("315360000000"), "ten years");
    }

    #[test]
    fn only_json_is_read() {
        for (properties, wanted) in [
            (BasicProperties::default(), "content type none is not application/json"),
            (
                BasicProperties::default().with_content_type("text/plain".into()),
                "content type `text/plain` is not application/json",
            ),
            (
                BasicProperties::default().with_content_type("application/octet-stream".into()),
                "content type `application/octet-stream` is not application/json",
            ),
        ] {
            assert_eq!(body(&received(&properties), b"{}".as_slice().into(), LIMIT).unwrap_err().to_string(), wanted);
        }
        for encoding in ["utf-8", "binary"] {
            assert!(
                body(
                    &received(&json_properties().with_content_encoding(encoding.into())),
                    b"{}".as_slice().into(),
                    LIMIT
                )
                .is_ok()
            );
        }
        assert!(body(&received(&json_properties()), b"{}".as_slice().into(), LIMIT).is_ok());
    }

    #[test]
    fn kombus_gzip_is_zlib_both_ways() {
        let packed = compress(b"{\"a\": 1}", Packing::Zlib);
        assert_eq!(packed[0], 0x78, "RFC 1950, not RFC 1952");
        let read = body(&outgoing(Uuid::nil(), None, Some(Packing::Zlib)), packed.into(), LIMIT).unwrap();
        assert_eq!(read, "{\"a\": 1}");
    }

    #[test]
    fn bzip2_goes_both_ways() {
        let packed = compress(b"{\"a\": 1}", Packing::Bzip2);
        assert_eq!(&packed[..3], b"BZh");
        let read = body(&outgoing(Uuid::nil(), None, Some(Packing::Bzip2)), packed.into(), LIMIT).unwrap();
        assert_eq!(read, "{\"a\": 1}");
        let bomb = compress(&vec![b'['; 8 << 20], Packing::Bzip2);
        let refused = body(&outgoing(Uuid::nil(), None, Some(Packing::Bzip2)), bomb.into(), LIMIT).unwrap_err();
        assert!(matches!(refused, Poison::TooLarge { .. }), "{refused}");
    }

    #[test]
    fn a_body_that_unpacks_beyond_the_limit_is_stopped_there() {
        let packed = compress(&vec![b'['; 8 << 20], Packing::Zlib);
        assert!(packed.len() < LIMIT);
        let refused = body(&outgoing(Uuid::nil(), None, Some(Packing::Zlib)), packed.into(), LIMIT).unwrap_err();
        assert!(matches!(refused, Poison::TooLarge { .. }), "{refused}");
    }

    /// Of the same tightness, one on either side of what is always unpacked; and a large one that is packed as usual.
    #[test]
    fn a_body_that_is_packed_too_tightly_is_stopped_early() {
        const MOST: usize = 16 << 20;
        for packing in [Packing::Zlib, Packing::Bzip2] {
            let read =
                |text: &[u8]| body(&outgoing(Uuid::nil(), None, Some(packing)), compress(text, packing).into(), MOST);
            assert_eq!(read(&vec![b'0'; UNCHECKED]).unwrap().len(), UNCHECKED);
            let refused = read(&vec![b'0'; 8 << 20]).unwrap_err();
            assert!(matches!(refused, Poison::Inflates { limit, .. } if limit < 2 * UNCHECKED), "{refused}");
            let records: String =
                (0..100_000).map(|n| format!(r#"{{"id": {n}, "state": "ACTIVE", "host": null}}, "#)).collect();
            assert_eq!(read(records.as_bytes()).unwrap().len(), records.len());
        }
    }

    #[test]
    fn what_would_be_refused_packed_is_sent_as_it_is() {
        for packing in [Packing::Zlib, Packing::Bzip2] {
            let tight = vec![b'0'; 8 << 20];
            assert_eq!(packed(tight.clone(), Some(packing)), (tight, None));
            let usual = vec![b'0'; UNCHECKED];
            assert_eq!(packed(usual.clone(), Some(packing)), (compress(&usual, packing), Some(packing)));
            assert_eq!(packed(usual.clone(), None), (usual, None));
        }
    }

    #[test]
    fn other_compressions_are_named() {
        let mut headers = FieldTable::default();
        headers.insert("compression".into(), AMQPValue::LongString("application/x-lzma".into()));
        assert_eq!(headers.inner()["compression"].get_type(), AMQPType::LongString);
        let refused =
            body(&received(&json_properties().with_headers(headers)), b"BZh9".as_slice().into(), LIMIT).unwrap_err();
        assert_eq!(refused.to_string(), "compression `application/x-lzma` is not supported");
        let torn = body(&outgoing(Uuid::nil(), None, Some(Packing::Zlib)), b"{}".as_slice().into(), LIMIT).unwrap_err();
        assert_eq!(torn.to_string(), "the body is no zlib stream, though its header says so");
    }
}
