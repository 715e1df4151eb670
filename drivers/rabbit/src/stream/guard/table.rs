//! An iterative check of AMQP field tables, with the type octets as lapin reads them.

/// Maximum levels of tables and arrays in a field table, the table itself included.
///
/// lapin overflows its stack at about 900 levels ([`lapin_internals`](crate::lapin_internals)). Real headers
/// (`x-death`, trace contexts) have 3 or 4.
pub(crate) const MAX_DEPTH: usize = 32;

/// Why a table must not reach lapin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableError {
    /// More than [`MAX_DEPTH`] levels.
    TooDeep,
    /// A length beyond its frame or table, an unknown type octet, or a key that is not UTF-8. lapin would close the
    /// connection, and the broker would deliver the same message again.
    Malformed,
}

#[derive(Clone, Copy)]
struct Level {
    end: usize,
    keyed: bool,
}

/// Checks the entries of a field table, without its length prefix.
pub(crate) fn check(entries: &[u8]) -> Result<(), TableError> {
    let mut levels = [Level { end: entries.len(), keyed: true }; MAX_DEPTH];
    let mut open = 1;
    let mut at = 0;
    while open > 0 {
        let Level { end, keyed } = levels[open - 1];
        if at == end {
            open -= 1;
            continue;
        }
        if keyed {
            at += short_string(&entries[at..end])?;
        }
        let kind = *entries[at..end].first().ok_or(TableError::Malformed)?;
        at += 1;
        match kind {
            b'F' | b'A' => {
                let length = long_length(&entries[at..end])?;
                at += 4;
                if open == MAX_DEPTH {
                    return Err(TableError::TooDeep);
                }
                levels[open] = Level { end: at + length, keyed: kind == b'F' };
                open += 1;
            }
            b'S' | b'x' => at += 4 + long_length(&entries[at..end])?,
            _ => {
                let width = fixed_width(kind).ok_or(TableError::Malformed)?;
                if end - at < width {
                    return Err(TableError::Malformed);
                }
                at += width;
            }
        }
    }
    Ok(())
}

/// Bytes of a short string, with its length octet.
pub(super) fn short_string(bytes: &[u8]) -> Result<usize, TableError> {
    let (length, rest) = bytes.split_first().ok_or(TableError::Malformed)?;
    let text = rest.get(..usize::from(*length)).ok_or(TableError::Malformed)?;
    std::str::from_utf8(text).map_err(|_| TableError::Malformed)?;
    Ok(1 + text.len())
}

/// The length in a four-octet prefix, if that many bytes follow.
pub(super) fn long_length(bytes: &[u8]) -> Result<usize, TableError> {
    let (prefix, rest) = bytes.split_first_chunk::<4>().ok_or(TableError::Malformed)?;
    usize::try_from(u32::from_be_bytes(*prefix))
        .ok()
        .filter(|length| *length <= rest.len())
        .ok_or(TableError::Malformed)
}

/// Bytes of a value with a fixed width. The octets are those of `amq_protocol_types::AMQPType::from_id`, RabbitMQ's
/// dialect: `s` is a number.
fn fixed_width(kind: u8) -> Option<usize> {
    Some(match kind {
        b'V' => 0,
        b't' | b'b' | b'B' => 1,
        b's' | b'U' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'L' | b'l' | b'd' | b'T' => 8,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::tests::wire::{nested_arrays, nested_tables};

    #[test]
    fn thirty_two_levels_pass_and_thirty_three_do_not() {
        for nested in [nested_tables, nested_arrays] {
            // `nested(n)` holds n tables below the outermost one.
            assert_eq!(check(&nested(MAX_DEPTH - 1)), Ok(()));
            assert_eq!(check(&nested(MAX_DEPTH)), Err(TableError::TooDeep));
            assert_eq!(check(&nested(18_000)), Err(TableError::TooDeep));
        }
    }

    #[test]
    fn siblings_are_not_depth() {
        let mut entries = Vec::new();
        for _ in 0..1_000 {
            entries.extend_from_slice(b"\x01kF\0\0\0\0");
        }
        assert_eq!(check(&entries), Ok(()));
    }

    #[test]
    fn what_lapin_would_refuse_is_malformed() {
        for entries in [
            &b"\x05ab"[..],                    // a key longer than the table
            b"\x01k",                          // a key without a value
            b"\x01kZ",                         // an unknown type octet
            b"\x01kI\0\0",                     // a number cut short
            b"\x01kS\0\0\0\x09abc",            // a string longer than the table
            b"\x01kS\xff\xff\xff\xffabc",      // the longest lie
            b"\x01kF\0\0\0\x04\x01aI\0\0\0\0", // a value that leaves its table
            b"\x01kA\0\0\0\x01S",              // an array that ends inside an element
            b"\x02\xff\xfeV",                  // a key that is not UTF-8
        ] {
            assert_eq!(check(entries), Err(TableError::Malformed), "{entries:?}");
        }
    }

    #[test]
    fn every_type_octet_of_rabbitmq_is_known() {
        let mut entries = Vec::new();
        for (kind, width) in [
            (b't', 1),
            (b'b', 1),
            (b'B', 1),
            (b's', 2),
            (b'U', 2),
            (b'u', 2),
            (b'I', 4),
            (b'i', 4),
            (b'L', 8),
            (b'l', 8),
            (b'f', 4),
            (b'd', 8),
            (b'D', 5),
            (b'T', 8),
            (b'V', 0),
            (b'S', 4),
            (b'x', 4),
            (b'A', 4),
            (b'F', 4),
        ] {
            entries.extend_from_slice(&[1, b'k', kind]);
            entries.extend(std::iter::repeat_n(0, width));
        }
        assert_eq!(check(&entries), Ok(()));
    }
}
