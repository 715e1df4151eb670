//! AMQP 1.0: values, messages, and a broker's bytes before fe2o3-amqp.

use std::time::Duration;

use bytes::Bytes;
use oxlo_driver_amqp1::__fuzz::{self as driver, GROWTH, MAX_DEPTH};
use serde_amqp::Value;

use crate::{pieces::Pieces, stack::roomy};

/// Checks one encoded value, followed by any bytes.
pub(crate) fn check_value(data: &[u8]) {
    let (deepest, wanted) = reference(data);
    let found = driver::length(data);
    match (found, wanted) {
        (Ok(found), Some(wanted)) => {
            assert!(found == wanted && deepest <= MAX_DEPTH, "{found} bytes, {wanted} wanted, {deepest} levels");
            if driver::is_safe_for_serde_amqp(data) {
                parses(&data[..found]);
            }
        }
        (Err(too_deep), Some(_)) => {
            assert!(too_deep && deepest > MAX_DEPTH, "a valid value of {deepest} levels is refused")
        }
        // With several errors, each parser may report a different one.
        (Err(_), None) => {}
        (Ok(found), None) => panic!("{found} bytes of an invalid value are accepted"),
    }
}

/// Checks that fe2o3-amqp's parser does not overflow this stack, and sees no more levels than were counted. Its other errors
/// are ignored.
fn parses(value: &[u8]) {
    if let Ok(read) = serde_amqp::from_slice::<Value>(value) {
        assert!(levels(&read) <= MAX_DEPTH, "fe2o3-amqp parses {} levels", levels(&read));
    }
}

fn levels(value: &Value) -> usize {
    let most = |values: &mut dyn Iterator<Item = &Value>| 1 + values.map(levels).max().unwrap_or(0);
    match value {
        Value::Described(described) => 1 + levels(&described.value),
        // `list0` is empty and does not count as a level.
        Value::List(list) if list.is_empty() => 0,
        Value::List(list) => most(&mut list.iter()),
        Value::Array(array) => most(&mut array.0.iter()),
        Value::Map(map) => most(&mut map.iter().flat_map(|(key, value)| [key, value])),
        _ => 0,
    }
}

/// The levels of a value, as far as it was parsed, and its length in bytes if it is valid.
fn reference(data: &[u8]) -> (usize, Option<usize>) {
    roomy(data.len(), || {
        let mut reader = Reader { bytes: data, at: 0, deepest: 0 };
        let sound = reader.value(0).is_some();
        (reader.deepest, sound.then_some(reader.at))
    })
}

/// A recursive parser of values (AMQP 1.0, 1.2 to 1.6).
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    deepest: usize,
}

impl Reader<'_> {
    fn number(&mut self, octets: usize) -> Option<usize> {
        let read = self.bytes.get(self.at..self.at.checked_add(octets)?)?;
        self.at += octets;
        Some(read.iter().fold(0, |number, octet| number << 8 | usize::from(*octet)))
    }

    fn skip(&mut self, octets: usize) -> Option<()> {
        self.at = self.at.checked_add(octets).filter(|at| *at <= self.bytes.len())?;
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        let (code, depth) = self.constructor(depth)?;
        self.data(code, depth)
    }

    /// The constructor after any descriptors, each of which counts as a level.
    fn constructor(&mut self, mut depth: usize) -> Option<(usize, usize)> {
        loop {
            let code = self.number(1)?;
            if code != 0 {
                return Some((code, depth));
            }
            depth += 1;
            self.deepest = self.deepest.max(depth);
            match self.number(1)? {
                0x44 => {}
                0x53 => self.skip(1)?,
                0x80 => self.skip(8)?,
                0xa3 => {
                    let length = self.number(1)?;
                    self.skip(length)?;
                }
                0xb3 => {
                    let length = self.number(4)?;
                    self.skip(length)?;
                }
                // Legal, but no implementation writes it.
                _ => return None,
            }
        }
    }

    fn data(&mut self, code: usize, depth: usize) -> Option<()> {
        self.deepest = self.deepest.max(depth);
        if let Some(width) = fixed(code) {
            return self.skip(width);
        }
        match code {
            0xa0 | 0xa1 | 0xa3 => {
                let length = self.number(1)?;
                self.skip(length)
            }
            0xb0 | 0xb1 | 0xb3 => {
                let length = self.number(4)?;
                self.skip(length)
            }
            0xc0 | 0xc1 | 0xd0 | 0xd1 | 0xe0 | 0xf0 => self.compound(code, depth + 1),
            _ => None,
        }
    }

    fn compound(&mut self, code: usize, depth: usize) -> Option<()> {
        self.deepest = self.deepest.max(depth);
        let octets = if code < 0xd0 || code == 0xe0 { 1 } else { 4 };
        let size = self.number(octets)?;
        let end = self.at.checked_add(size).filter(|end| *end <= self.bytes.len())?;
        let count = self.number(octets)?;
        // Each key has a value (1.6.23).
        if matches!(code, 0xc1 | 0xd1) && count % 2 != 0 {
            return None;
        }
        if code >= 0xe0 {
            let (element, depth) = self.constructor(depth)?;
            self.deepest = self.deepest.max(depth);
            match fixed(element) {
                // Elements without bytes would cost memory but nothing on the wire.
                Some(0) if count > 1024 => return None,
                Some(width) => self.skip(count.checked_mul(width)?)?,
                None => {
                    for _ in 0..count {
                        self.data(element, depth)?;
                        (self.at <= end).then_some(())?;
                    }
                }
            }
        } else {
            for _ in 0..count {
                self.value(depth)?;
                (self.at <= end).then_some(())?;
            }
        }
        (self.at == end).then_some(())
    }
}

fn fixed(code: usize) -> Option<usize> {
    match (code >> 4, code & 15) {
        (4, 0..=5) => Some(0),
        (5, 0..=6) => Some(1),
        (6, 0 | 1) => Some(2),
        (7, 0..=4) => Some(4),
        (8, 0..=4) => Some(8),
        (9, 4 | 8) => Some(16),
        _ => None,
    }
}

/// Checks a message in the encoding of AMQP 1.0.
pub(crate) fn check_message(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(message) = driver::read(&bytes) {
        let (mut rest, mut bodies) = (data, 0);
        while !rest.is_empty() {
            let (deepest, length) = reference(rest);
            assert!(deepest <= MAX_DEPTH, "a section of {deepest} levels was accepted");
            let (section, after) = rest.split_at(length.expect("an invalid section was accepted"));
            assert_eq!(section[0], 0, "a section without a descriptor was accepted");
            bodies += usize::from(matches!(section[..3], [0, 0x53, 0x75 | 0x77]));
            rest = after;
        }
        assert!(bodies <= 1);
        assert!(!message.redelivered || message.redeliveries > 0);
        if let Some(body) = &message.body {
            assert!(bytes.as_ptr_range().contains(&body.as_ptr()) || body.is_empty(), "the body was copied");
            let json = String::from_utf8_lossy(body).into_owned();
            let again = driver::read(&driver::reply("a", Some(&json), "c").into()).unwrap();
            assert_eq!((again.body, again.correlation_id), (Some(json.into()), Some(driver::shown("c"))));
        }
    }

    let mut pieces = Pieces::of(data);
    let (to, json, id, reply_to) = (pieces.text(), pieces.text(), pieces.text(), pieces.text());
    let ttl = Duration::from_millis(to.len() as u64 + 1);
    let read =
        driver::read(&driver::call(&to, &json, &id, &reply_to, ttl).into()).expect("encoded messages are accepted");
    let wanted = driver::Message {
        ttl: Some(ttl),
        message_id: Some(driver::shown(&id)),
        reply_to: Some(reply_to),
        body: Some(json.into()),
        ..driver::Message::default()
    };
    assert_eq!(read, wanted);
    let beat = driver::read(&driver::reply(&to, None, &id).into()).expect("encoded messages are accepted");
    assert_eq!((beat.body, beat.correlation_id), (None, Some(driver::shown(&id))));
}

type Outcome = (Vec<u8>, Option<String>);

const FRAME_MAX: u32 = 4_096;
const MESSAGE_MAX: usize = 1_000;

/// The input is the chunking of the bytes, then the bytes: verbatim, or each part as the body of a frame.
pub(crate) fn check_stream(data: &[u8]) {
    let Some((&[_, chunk], _)) = data.split_first_chunk::<2>() else { return };
    let input = amqp1_bytes(data);
    let whole = driver::stream(&input, usize::MAX, FRAME_MAX, MESSAGE_MAX);
    let piecewise = driver::stream(&input, usize::from(chunk) + 1, FRAME_MAX, MESSAGE_MAX);
    // With fewer bytes, the error names the other protocol less precisely.
    let other_protocol = |(_, error): &Outcome| error.as_ref().is_some_and(|error| error.starts_with("the peer "));
    if !other_protocol(&piecewise) || !other_protocol(&whole) {
        assert_eq!(piecewise, whole, "the result depends on the chunking");
    }
    let mut output = &whole.0[..];
    while !output.is_empty() {
        output = if output.starts_with(b"AMQP") { &output[8..] } else { passed(output) };
    }
}

/// The broker's bytes for an input of the target `amqp1_stream`.
#[must_use]
pub fn amqp1_bytes(data: &[u8]) -> Vec<u8> {
    let Some((&[how, _], bytes)) = data.split_first_chunk::<2>() else { return Vec::new() };
    let mut input = match how & 3 {
        0 => Vec::new(),
        1 => b"AMQP\x03\x01\x00\x00".to_vec(),
        _ => b"AMQP\x00\x01\x00\x00".to_vec(),
    };
    let kind = how & 1;
    if how & 4 == 0 {
        input.extend_from_slice(bytes);
    } else {
        frames(&mut input, kind, bytes);
    }
    input
}

/// Checks that fe2o3-amqp's parser handles a frame that passed the guard. Returns the remaining bytes.
fn passed(output: &[u8]) -> &[u8] {
    let size = u32::from_be_bytes(output[..4].try_into().unwrap());
    assert!((8..=FRAME_MAX + GROWTH).contains(&size) && output[4] == 2);
    let (frame, rest) = output.split_at(size as usize);
    let body = &frame[8..];
    if body.is_empty() {
        return rest;
    }
    let (deepest, length) = reference(body);
    assert!(deepest <= MAX_DEPTH, "a performative of {deepest} levels was accepted");
    let (performative, payload) = body.split_at(length.expect("an invalid performative was accepted"));
    parses(performative);
    if !payload.is_empty() {
        // A data section is opaque bytes to a parser.
        let (section, length) = payload.split_first_chunk::<4>().unwrap();
        assert_eq!(section, &[0x00, 0x53, 0x75, 0xb0]);
        let length = u32::from_be_bytes(length[..4].try_into().unwrap()) as usize;
        assert!(length == payload.len() - 8 && length <= MESSAGE_MAX);
    }
    rest
}

/// Parts with a header: one octet for the performative, two for the length.
fn frames(out: &mut Vec<u8>, kind: u8, mut bytes: &[u8]) {
    while let Some((&[code, high, low], rest)) = bytes.split_first_chunk::<3>() {
        let (content, rest) = rest.split_at(rest.len().min(usize::from(u16::from_be_bytes([high, low]))));
        bytes = rest;
        let described: &[u8] = match code {
            0 => &[],
            // A transfer with handle 0 and its payload, with or without `more`.
            1 => &[0, 0x53, 0x14, 0xc0, 8, 6, 0x43, 0x43, 0x40, 0x43, 0x41, 0x41],
            2 => &[0, 0x53, 0x14, 0xc0, 8, 6, 0x43, 0x43, 0x40, 0x43, 0x41, 0x42],
            _ => &[0, 0x53, code],
        };
        let size = u32::try_from(8 + described.len() + content.len()).unwrap();
        out.extend_from_slice(&size.to_be_bytes());
        out.extend_from_slice(&[2, kind, 0, 0]);
        out.extend_from_slice(described);
        out.extend_from_slice(content);
    }
}
