//! AMQP 0-9-1: header tables of messages, and the interpretation of properties.

use amq_protocol::{
    frame::{AMQPContentHeader, AMQPFrame, WriteContext, gen_frame, parse_frame},
    protocol::BasicProperties,
    types::AMQPValue,
};
use oxlo_driver_rabbit::__fuzz::{self as driver, MAX_DEPTH, Verdict};
use oxlo_wire::envelope::Poison;

use crate::stack::roomy;

/// The entries of a header table.
pub(crate) fn check_table(entries: &[u8]) {
    let (deepest, whole) = roomy(entries.len(), || {
        let mut reader = Reader { rest: entries, deepest: 0 };
        let whole = reader.entries(1).is_some();
        (reader.deepest, whole)
    });
    let verdict = driver::check_table(entries);
    // Both parse from front to back, so nesting before the first syntax error is too deep for both.
    let wanted = match (deepest > MAX_DEPTH, whole) {
        (true, _) => Verdict::TooDeep,
        (false, true) => Verdict::Passes,
        (false, false) => Verdict::Malformed,
    };
    assert_eq!(verdict, wanted, "{deepest} levels, well-formed: {whole}");

    let payload = [&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0][..], &length(entries.len()), entries].concat();
    let parse = || parsed(&payload).is_some();
    match verdict {
        // On the current stack, which is as small as that of a small thread.
        Verdict::Passes => assert!(parse(), "lapin would close the connection"),
        Verdict::Malformed => assert!(!roomy(entries.len(), parse), "lapin accepts a table that the guard drops"),
        Verdict::TooDeep => {}
    }
}

/// A recursive parser of field tables, equivalent to lapin's.
struct Reader<'a> {
    rest: &'a [u8],
    deepest: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }

    fn prefixed(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.take(4)?.try_into().unwrap());
        self.take(length as usize)
    }

    fn entries(&mut self, depth: usize) -> Option<()> {
        self.deepest = self.deepest.max(depth);
        while !self.rest.is_empty() {
            let key = self.take(1)?[0];
            str::from_utf8(self.take(usize::from(key))?).ok()?;
            self.value(depth)?;
        }
        Some(())
    }

    fn elements(&mut self, depth: usize) -> Option<()> {
        self.deepest = self.deepest.max(depth);
        while !self.rest.is_empty() {
            self.value(depth)?;
        }
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        let width = match self.take(1)?[0] {
            kind @ (b'F' | b'A') => {
                let mut inner = Reader { rest: self.prefixed()?, deepest: self.deepest };
                let whole = if kind == b'F' { inner.entries(depth + 1) } else { inner.elements(depth + 1) };
                self.deepest = inner.deepest;
                return whole;
            }
            b'S' | b'x' => return self.prefixed().map(drop),
            b'V' => 0,
            b't' | b'b' | b'B' => 1,
            b's' | b'U' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'L' | b'l' | b'd' | b'T' => 8,
            _ => return None,
        };
        self.take(width).map(drop)
    }
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap().to_be_bytes()
}

/// The payload of a content header frame as lapin parses it.
fn parsed(payload: &[u8]) -> Option<BasicProperties> {
    let frame = [&[2, 0, 1][..], &length(payload.len()), payload, &[0xCE]].concat();
    match parse_frame(&frame[..]) {
        Ok((rest, AMQPFrame::Header(_, header))) => rest.is_empty().then_some(header.properties),
        _ => None,
    }
}

/// The payload as lapin encodes it.
fn written(properties: &BasicProperties) -> Vec<u8> {
    let header = AMQPContentHeader { class_id: 60, body_size: 0, properties: properties.clone() };
    let frame = AMQPFrame::Header(1, header);
    let context = gen_frame(&frame)(WriteContext::from(Vec::new())).unwrap();
    let frame = context.write;
    frame[7..frame.len() - 1].to_vec()
}

const LIMIT: usize = 2_000;
const ROOM: usize = 4_088;

/// Property flags, the length of the properties, the properties, and a body.
pub(crate) fn check_mapping(data: &[u8]) {
    let Some((&[high, low, a, b], rest)) = data.split_first_chunk::<4>() else { return };
    let (properties, body) = rest.split_at(rest.len().min(usize::from(u16::from_be_bytes([a, b]))));
    let payload = [&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, high, low][..], properties].concat();
    let passed = driver::content_header(&payload, ROOM).expect("the fixed part is present");
    assert!(passed.len() <= payload.len() && passed.len() <= ROOM);
    assert_eq!(driver::content_header(&passed, ROOM).as_ref(), Some(&passed), "the guard is idempotent");
    let properties = parsed(&passed).expect("lapin would close the connection");
    if let Some(read) = parsed_shallow(&payload) {
        assert!(payload.len() > ROOM || properties == read || has_nan(&passed), "a valid header was changed");
    }
    mapped(&properties, body);
    for packing in 0..if body.len() % 16 == 0 { 3 } else { 2 } {
        let (properties, packed) = driver::outgoing(body, packing);
        assert_eq!(parsed(&written(&properties)).as_ref(), Some(&properties));
        match driver::body(&properties, packed, LIMIT) {
            Ok(read) => assert_eq!(read, body),
            Err(Poison::TooLarge { limit, .. }) => assert!(limit == LIMIT && body.len() + 100 > LIMIT),
            Err(other) => panic!("a body compressed by oxlo is refused: {other}"),
        }
    }
}

/// A header whose table has few levels, as lapin parses it.
fn parsed_shallow(payload: &[u8]) -> Option<BasicProperties> {
    let levels = payload.iter().filter(|octet| matches!(octet, b'F' | b'A')).count();
    if levels < MAX_DEPTH { parsed(payload) } else { None }
}

/// Whether the properties contain a NaN, which is not equal to itself.
fn has_nan(payload: &[u8]) -> bool {
    payload.contains(&b'f') || payload.contains(&b'd')
}

fn mapped(properties: &BasicProperties, body: &[u8]) {
    let text = |text: &Option<amq_protocol::types::ShortString>| text.as_ref().map(|text| text.as_str().to_owned());
    let header = |name: &str| properties.headers().as_ref().and_then(|headers| headers.inner().get(name));

    match driver::body(properties, body.to_vec(), LIMIT) {
        Ok(read) => {
            assert_eq!(text(properties.content_type()).as_deref(), Some("application/json"));
            assert!(read.len() <= LIMIT);
            if !matches!(header("compression"), Some(AMQPValue::LongString(_) | AMQPValue::ShortString(_))) {
                assert_eq!(read, body);
            }
        }
        Err(Poison::TooLarge { size, limit }) => assert!(size > limit && limit == LIMIT),
        Err(Poison::Properties { reason }) => assert!(reason.chars().count() < 200, "{reason}"),
        Err(other) => panic!("not an error of the properties: {other}"),
    }

    let digits = text(properties.expiration()).filter(|text| text.trim_start_matches('+').len() < 19);
    if let Some(digits) = digits {
        let plain = digits.strip_prefix('+').unwrap_or(&digits);
        let number = !plain.is_empty() && plain.bytes().all(|digit| digit.is_ascii_digit());
        let found = driver::expiration(properties).map(|left| left.as_millis().to_string());
        let wanted =
            number.then(|| plain.trim_start_matches('0')).map(|plain| if plain.is_empty() { "0" } else { plain });
        assert_eq!(found.as_deref(), wanted);
    }
    let offset = match header("x-stream-offset") {
        Some(AMQPValue::LongLongInt(offset)) => Some(*offset),
        _ => None,
    };
    assert_eq!(driver::stream_offset(properties), offset);

    let again = driver::resent(properties, 7, 41);
    assert_eq!(driver::message_id(&again), Some(7));
    // The broker's redelivery count restarts when a message is sent again.
    assert_eq!(driver::redeliveries(&again), (41, false));
    assert_eq!(again.reply_to(), properties.reply_to());
    assert_eq!(again.content_type(), properties.content_type());
    assert_eq!(again.expiration(), properties.expiration());
    let kept = written(&again);
    assert_eq!(
        driver::content_header(&kept, usize::MAX).as_ref(),
        Some(&kept),
        "an encoded header would not be accepted"
    );
}
