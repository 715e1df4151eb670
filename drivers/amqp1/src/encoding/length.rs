//! Measures encoded values without recursion and without allocating for them (AMQP 1.0 parts 1.2 to 1.6).
//!
//! A compound value states its size in bytes and in elements. A value is well-formed only if both agree, so that every
//! parser sees the nesting that was counted here, whichever size it uses.

/// Maximum nesting of lists, maps, arrays and described values.
pub(crate) const MAX_DEPTH: usize = 32;
/// Maximum elements of an array whose elements take no bytes: they cost memory here and nothing at the sender.
const MAX_EMPTY_ELEMENTS: usize = 1024;

/// Why a value is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// It ends before it is complete.
    #[error("it is truncated")]
    Truncated,
    /// It is nested too deeply.
    #[error("it is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// Its sizes contradict each other.
    #[error("its sizes contradict each other")]
    Contradiction,
    /// It has a type that AMQP 1.0 does not define.
    #[error("it has a type that AMQP 1.0 does not define")]
    UnknownType,
    /// It has a valid array that `serde_amqp` misreads.
    #[error("it has an empty array or an array of compound values")]
    Array,
}

/// The parser that will read a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// This crate, with [`Raw`](super::Raw).
    Raw,
    /// `serde_amqp`, which misreads some arrays ([`fe2o3_internals`](crate::fe2o3_internals)). The bytes that follow
    /// would be read from another place than they were counted at, with any nesting.
    SerdeAmqp,
}

/// A compound value whose end is not reached.
struct Open {
    /// Elements still to come.
    left: usize,
    /// The position at which it must end.
    end: usize,
    /// In an array, the constructor that all elements share.
    element: Option<u8>,
    depth: usize,
}

/// Bytes of the value at the front of `bytes`.
///
/// # Errors
///
/// [`Malformed`]; such a value must not reach a parser that trusts it.
pub(crate) fn length(bytes: &[u8], reader: Reader) -> Result<usize, Malformed> {
    // Most values are not compound.
    if let Some(&code @ 1..0xc0) = bytes.first() {
        let mut at = 1;
        return skip(bytes, &mut at, code).map(|()| at);
    }
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    loop {
        let depth = open.last().map_or(0, |outer| outer.depth);
        let (code, levels) = constructor(bytes, &mut at)?;
        begin(bytes, &mut at, code, depth + levels, reader, &mut open)?;
        // A complete value may complete the values around it.
        loop {
            let Some(inner) = open.last_mut() else { return Ok(at) };
            if inner.left == 0 {
                if at != inner.end {
                    return Err(Malformed::Contradiction);
                }
                open.pop();
                continue;
            }
            inner.left -= 1;
            let (element, depth) = (inner.element, inner.depth);
            match element {
                Some(code) => begin(bytes, &mut at, code, depth, reader, &mut open)?,
                None => break,
            }
        }
    }
}

/// Reads a constructor with its descriptors, and returns the number of descriptors as levels.
fn constructor(bytes: &[u8], at: &mut usize) -> Result<(u8, usize), Malformed> {
    let mut levels = 0;
    loop {
        let code = byte(bytes, at)?;
        if code != 0 {
            return Ok((code, levels));
        }
        levels += 1;
        if levels > MAX_DEPTH {
            return Err(Malformed::TooDeep);
        }
        // Descriptors are symbols or numbers in practice; other descriptors could be nested as well.
        let descriptor = byte(bytes, at)?;
        if !matches!(descriptor, 0x44 | 0x53 | 0x80 | 0xa3 | 0xb3) {
            return Err(Malformed::UnknownType);
        }
        skip(bytes, at, descriptor)?;
    }
}

/// Skips the data of a value with the constructor `code`, or opens a compound value.
fn begin(
    bytes: &[u8],
    at: &mut usize,
    code: u8,
    depth: usize,
    reader: Reader,
    open: &mut Vec<Open>,
) -> Result<(), Malformed> {
    if code < 0xc0 {
        if depth > MAX_DEPTH {
            return Err(Malformed::TooDeep);
        }
        return skip(bytes, at, code);
    }
    let depth = depth + 1;
    if depth > MAX_DEPTH {
        return Err(Malformed::TooDeep);
    }
    let wide = match code {
        0xc0 | 0xc1 | 0xe0 => false,
        0xd0 | 0xd1 | 0xf0 => true,
        _ => return Err(Malformed::UnknownType),
    };
    let size = number(bytes, at, wide)?;
    let end = at.checked_add(size).filter(|end| *end <= bytes.len()).ok_or(Malformed::Truncated)?;
    let count = number(bytes, at, wide)?;
    let is_array = matches!(code, 0xe0 | 0xf0);
    let mut levels = 0;
    let mut element = None;
    if is_array {
        let (code, described) = constructor(bytes, at)?;
        (element, levels) = (Some(code), described);
        if reader == Reader::SerdeAmqp && (count == 0 || levels > 0 || code >= 0xc0) {
            return Err(Malformed::Array);
        }
        if let Some(width) = fixed_width(code) {
            if width == 0 && count > MAX_EMPTY_ELEMENTS {
                return Err(Malformed::Contradiction);
            }
            // In one step: the count may be four billion.
            *at = count.checked_mul(width).and_then(|bytes| at.checked_add(bytes)).ok_or(Malformed::Contradiction)?;
            open.push(Open { left: 0, end, element: None, depth: depth + levels });
            return if depth + levels > MAX_DEPTH { Err(Malformed::TooDeep) } else { Ok(()) };
        }
    }
    // A key without a value is an error (AMQP 1.0 part 1.6.23), and serde_amqp counts below zero on it.
    let is_map = matches!(code, 0xc1 | 0xd1);
    if *at > end || count > end - *at || (is_map && count % 2 != 0) {
        return Err(Malformed::Contradiction);
    }
    open.push(Open { left: count, end, element, depth: depth + levels });
    Ok(())
}

/// Skips the data of a value that is not compound.
pub(super) fn skip(bytes: &[u8], at: &mut usize, code: u8) -> Result<(), Malformed> {
    let length = match fixed_width(code) {
        Some(width) => width,
        None => match code {
            0xa0 | 0xa1 | 0xa3 => number(bytes, at, false)?,
            0xb0 | 0xb1 | 0xb3 => number(bytes, at, true)?,
            _ => return Err(Malformed::UnknownType),
        },
    };
    *at = at.checked_add(length).filter(|end| *end <= bytes.len()).ok_or(Malformed::Truncated)?;
    Ok(())
}

/// Bytes of data after a constructor of fixed width.
fn fixed_width(code: u8) -> Option<usize> {
    Some(match code {
        0x40..=0x45 => 0,
        0x50..=0x56 => 1,
        0x60 | 0x61 => 2,
        0x70..=0x74 => 4,
        0x80..=0x84 => 8,
        0x94 | 0x98 => 16,
        _ => return None,
    })
}

fn byte(bytes: &[u8], at: &mut usize) -> Result<u8, Malformed> {
    let byte = bytes.get(*at).ok_or(Malformed::Truncated)?;
    *at += 1;
    Ok(*byte)
}

pub(super) fn number(bytes: &[u8], at: &mut usize, wide: bool) -> Result<usize, Malformed> {
    if !wide {
        return byte(bytes, at).map(usize::from);
    }
    let number = bytes.get(*at..*at + 4).and_then(|bytes| bytes.try_into().ok()).ok_or(Malformed::Truncated)?;
    *at += 4;
    usize::try_from(u32::from_be_bytes(number)).map_err(|_| Malformed::Contradiction)
}
