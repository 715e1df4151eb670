//! Content headers: whether lapin can parse them, and their replacement if it cannot.

use super::table::{self, TableError};

/// Bytes of the fixed part: class (2), weight (2), body size (8), property flags (2).
const FIXED: usize = 14;
const FLAGS_AT: usize = 12;
const BODY_SIZE_AT: usize = 4;
// Positions of properties in `PROPERTIES`.
pub(crate) const CONTENT_TYPE: usize = 0;
pub(crate) const CONTENT_ENCODING: usize = 1;
pub(crate) const HEADERS: usize = 2;
pub(crate) const DELIVERY_MODE: usize = 3;
pub(crate) const PRIORITY: usize = 4;
pub(crate) const EXPIRATION: usize = 7;
pub(crate) const MESSAGE_ID: usize = 8;

#[derive(Clone, Copy)]
enum Kind {
    ShortString,
    Table,
    Octets(usize),
}

/// The properties of the class `basic` in the order of their flags, from bit 15 down (AMQP 0-9-1 section 4.2.6.1).
const PROPERTIES: [Kind; 14] = [
    Kind::ShortString, // content-type
    Kind::ShortString, // content-encoding
    Kind::Table,       // headers
    Kind::Octets(1),   // delivery-mode
    Kind::Octets(1),   // priority
    Kind::ShortString, // correlation-id
    Kind::ShortString, // reply-to
    Kind::ShortString, // expiration
    Kind::ShortString, // message-id
    Kind::Octets(8),   // timestamp
    Kind::ShortString, // type
    Kind::ShortString, // user-id
    Kind::ShortString, // app-id
    Kind::ShortString, // cluster-id
];

/// Why a frame was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repair {
    /// The header table is nested too deeply.
    TooDeep,
    /// The table, another property or a name is not valid AMQP 0-9-1.
    Malformed,
    /// The frame exceeds `frame_max`.
    TooLarge,
}

impl Repair {
    /// The value of the metric's label `reason`.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::TooDeep => "too_deep",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
        }
    }
}

/// The result of [`inspect`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Inspection {
    /// The payload is valid.
    Clean,
    /// This shorter payload replaces it.
    Repaired(Repair, Vec<u8>),
}

/// The payload is shorter than its fixed part, which brokers write themselves.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CutShort;

/// Checks the payload of a content header frame, which may take at most `room` bytes.
///
/// An invalid header table becomes empty, any other invalid property is dropped, and after a wrong length the rest is
/// dropped. So the message is still delivered, with the properties that could be read.
pub(crate) fn inspect(payload: &[u8], room: usize) -> Result<Inspection, CutShort> {
    let (fixed, mut rest) = payload.split_at_checked(FIXED).ok_or(CutShort)?;
    let flags = u16::from_be_bytes([fixed[FLAGS_AT], fixed[FLAGS_AT + 1]]);
    let mut kept = [None; PROPERTIES.len()];
    let mut reason = (payload.len() > room).then_some(Repair::TooLarge);
    for (slot, kind) in PROPERTIES.iter().enumerate() {
        if flags & flag(slot) == 0 {
            continue;
        }
        let Some(width) = width(*kind, rest) else {
            reason = Some(Repair::Malformed);
            break;
        };
        let (value, behind) = rest.split_at(width);
        rest = behind;
        kept[slot] = match valid(*kind, value) {
            Ok(()) => Some(value),
            Err(flaw) => {
                reason = Some(match flaw {
                    TableError::TooDeep => Repair::TooDeep,
                    TableError::Malformed => Repair::Malformed,
                });
                matches!(kind, Kind::Table).then_some(&[0; 4][..])
            }
        };
    }
    if reason.is_none() && !rest.is_empty() {
        // Bytes behind the last property are a parse error in lapin.
        reason = Some(Repair::Malformed);
    }
    Ok(match reason {
        None => Inspection::Clean,
        Some(reason) => Inspection::Repaired(reason, rebuild(fixed, kept, room)),
    })
}

/// The size of the body, and the properties from their flags on.
pub(crate) fn parts(payload: &[u8]) -> Option<(u64, &[u8])> {
    let size = payload.get(BODY_SIZE_AT..)?.first_chunk()?;
    Some((u64::from_be_bytes(*size), payload.get(FLAGS_AT..)?))
}

/// The `message-id`.
pub(crate) fn message_id(payload: &[u8]) -> Option<&[u8]> {
    property(payload.get(FLAGS_AT..)?, MESSAGE_ID)?.get(1..)
}

/// The encoded value of one of the properties that [`parts`] returns, with its length prefix.
pub(crate) fn property(properties: &[u8], position: usize) -> Option<&[u8]> {
    let (flags, mut rest) = properties.split_first_chunk()?;
    let flags = u16::from_be_bytes(*flags);
    for (slot, kind) in PROPERTIES.iter().enumerate().filter(|(slot, _)| flags & flag(*slot) != 0) {
        let (value, behind) = rest.split_at_checked(width(*kind, rest)?)?;
        if slot == position {
            return Some(value);
        }
        rest = behind;
    }
    None
}

/// The flag of the property at a position.
pub(crate) const fn flag(slot: usize) -> u16 {
    1 << (15 - slot)
}

/// Bytes of a property's value; `None` if the frame ends before it.
fn width(kind: Kind, rest: &[u8]) -> Option<usize> {
    let width = match kind {
        Kind::Octets(width) => width,
        Kind::ShortString => 1 + usize::from(*rest.first()?),
        Kind::Table => 4 + table::long_length(rest).ok()?,
    };
    (width <= rest.len()).then_some(width)
}

fn valid(kind: Kind, value: &[u8]) -> Result<(), TableError> {
    match kind {
        Kind::Octets(_) => Ok(()),
        Kind::ShortString => table::short_string(value).map(drop),
        Kind::Table => table::check(value.get(4..).unwrap_or_default()),
    }
}

fn rebuild(fixed: &[u8], mut kept: [Option<&[u8]>; PROPERTIES.len()], room: usize) -> Vec<u8> {
    let size = |kept: &[Option<&[u8]>]| FIXED + kept.iter().flatten().map(|value| value.len()).sum::<usize>();
    if size(&kept) > room {
        // Without the table a header has at most 2330 bytes, and a frame_max is at least 4096.
        for (kind, value) in PROPERTIES.iter().zip(&mut kept) {
            if matches!(kind, Kind::Table) && value.is_some() {
                *value = Some(&[0; 4]);
            }
        }
    }
    let mut payload = Vec::with_capacity(size(&kept));
    payload.extend_from_slice(&fixed[..FLAGS_AT]);
    let flags =
        kept.iter().enumerate().filter(|(_, value)| value.is_some()).fold(0, |flags, (slot, _)| flags | flag(slot));
    payload.extend_from_slice(&flags.to_be_bytes());
    for value in kept.into_iter().flatten() {
        payload.extend_from_slice(value);
    }
    payload
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::stream::tests::wire::{content_header, nested_tables};

    const ROOM: usize = 131_064;

    #[test]
    fn a_plain_header_is_clean() {
        let payload = content_header(5, 0xFFFC, &every_property(b"\x03key", b"\x02id"));
        // The table's only entry is a key without a value.
        assert!(matches!(inspect(&payload, ROOM), Ok(Inspection::Repaired(Repair::Malformed, _))));
        let payload = content_header(5, 0xFFFC, &every_property(b"\x03keyt\x01", b"\x02id"));
        assert_eq!(inspect(&payload, ROOM), Ok(Inspection::Clean));
        assert_eq!(inspect(&content_header(0, 0, b""), ROOM), Ok(Inspection::Clean));
    }

    #[test]
    fn a_deep_table_becomes_an_empty_one_and_the_rest_stays() {
        let payload = content_header(5, 0xFFFC, &every_property(&nested_tables(900), b"\x02id"));
        let expected = content_header(5, 0xFFFC, &every_property(b"", b"\x02id"));
        assert_eq!(inspect(&payload, ROOM), Ok(Inspection::Repaired(Repair::TooDeep, expected)));
    }

    #[test]
    fn a_property_that_is_not_utf8_is_dropped_alone() {
        let payload = content_header(5, 0x8400, b"\x02\xff\xfe\x02id");
        let expected = content_header(5, 0x0400, b"\x02id");
        assert_eq!(inspect(&payload, ROOM), Ok(Inspection::Repaired(Repair::Malformed, expected)));
    }

    #[test]
    fn a_length_that_lies_drops_what_stands_behind_it() {
        let payload = content_header(5, 0xA400, b"\x02ct\0\0\xff\xff\x02id");
        let expected = content_header(5, 0x8000, b"\x02ct");
        assert_eq!(inspect(&payload, ROOM), Ok(Inspection::Repaired(Repair::Malformed, expected)));
    }

    #[test]
    fn bytes_behind_the_last_property_are_cut() {
        let payload = content_header(5, 0x8000, b"\x02ctmore");
        let expected = content_header(5, 0x8000, b"\x02ct");
        assert_eq!(inspect(&payload, ROOM), Ok(Inspection::Repaired(Repair::Malformed, expected)));
    }

    #[test]
    fn a_header_that_exceeds_frame_max_loses_its_table() {
        let mut table = b"\x01kS\0\0\x20\0".to_vec();
        table.extend(std::iter::repeat_n(b'x', 0x2000));
        let payload = content_header(5, 0xFFFC, &every_property(&table, b"\x02id"));
        let expected = content_header(5, 0xFFFC, &every_property(b"", b"\x02id"));
        assert_eq!(inspect(&payload, 4088), Ok(Inspection::Repaired(Repair::TooLarge, expected)));
    }

    #[test]
    fn a_header_without_its_fixed_part_is_an_error() {
        for length in 0..FIXED {
            assert_eq!(inspect(&vec![0; length], ROOM), Err(CutShort));
        }
    }

    fn every_property(table: &[u8], short: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for kind in PROPERTIES {
            match kind {
                Kind::ShortString => bytes.extend_from_slice(short),
                Kind::Octets(width) => bytes.extend(std::iter::repeat_n(2, width)),
                Kind::Table => {
                    bytes.extend_from_slice(&u32::try_from(table.len()).unwrap().to_be_bytes());
                    bytes.extend_from_slice(table);
                }
            }
        }
        bytes
    }
}
