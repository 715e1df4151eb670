//! Walking through encoded AMQP 1.0 values without recursion and without building anything (AMQP 1.0, part 1.2-1.6).
//!
//! A compound value says its size twice: in bytes, and in elements. A value is taken for well-formed only if both agree,
//! so that whatever another parser goes by, it sees the nesting that was counted here.

/// Deepest nesting of lists, maps, arrays and described values that is let through.
pub(crate) const DEEPEST: usize = 32;
/// Most elements of an array whose elements take no bytes: memory that costs the sender nothing.
const MOST_EMPTY: usize = 1024;

/// Why a value is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// It ends before it is complete.
    #[error("it is cut short")]
    Short,
    /// It is nested too deeply.
    #[error("it is nested deeper than {DEEPEST} levels")]
    TooDeep,
    /// Its encoding contradicts itself.
    #[error("its encoding contradicts itself")]
    Contradiction,
    /// It uses a type that AMQP 1.0 does not know.
    #[error("it has a type that AMQP 1.0 does not know")]
    UnknownType,
    /// It has an array that is legal, and that `serde_amqp` reads otherwise than it was written.
    #[error("it has an empty array, or one of values with values in them")]
    Array,
}

/// Who is to read a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// This crate, by [`Raw`].
    Us,
    /// `serde_amqp`. Of an empty array it takes the type of the elements for the next value, and of lists, maps and
    /// described values in arrays it reads the types a second time: what follows would be bytes in another place than
    /// they were counted, with any nesting.
    SerdeAmqp,
}

/// A value that is not complete yet.
struct Open {
    /// Elements that are still to come.
    left: usize,
    /// Where it must end.
    end: usize,
    /// In an array, the constructor that all elements share.
    element: Option<u8>,
    depth: usize,
}

/// How many bytes the one value at the beginning of `bytes` takes.
///
/// # Errors
///
/// [`Malformed`]; the value is then not to be given to a parser that trusts it.
pub(crate) fn length(bytes: &[u8], reader: For) -> Result<usize, Malformed> {
    // Most values hold no others.
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
        // Whatever is complete now may complete what it is in.
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

/// Reads a constructor with its descriptors, and how many levels these are.
fn constructor(bytes: &[u8], at: &mut usize) -> Result<(u8, usize), Malformed> {
    let mut levels = 0;
    loop {
        let code = byte(bytes, at)?;
        if code != 0 {
            return Ok((code, levels));
        }
        levels += 1;
        if levels > DEEPEST {
            return Err(Malformed::TooDeep);
        }
        // Descriptors are symbols or numbers; nobody uses others, and they would nest as well.
        let descriptor = byte(bytes, at)?;
        if !matches!(descriptor, 0x44 | 0x53 | 0x80 | 0xa3 | 0xb3) {
            return Err(Malformed::UnknownType);
        }
        skip(bytes, at, descriptor)?;
    }
}

/// Takes the data of a value with the constructor `code`, or opens it if it has elements.
fn begin(
    bytes: &[u8],
    at: &mut usize,
    code: u8,
    depth: usize,
    reader: For,
    open: &mut Vec<Open>,
) -> Result<(), Malformed> {
    if code < 0xc0 {
        if depth > DEEPEST {
            return Err(Malformed::TooDeep);
        }
        return skip(bytes, at, code);
    }
    let depth = depth + 1;
    if depth > DEEPEST {
        return Err(Malformed::TooDeep);
    }
    let wide = match code {
        0xc0 | 0xc1 | 0xe0 => false,
        0xd0 | 0xd1 | 0xf0 => true,
        _ => return Err(Malformed::UnknownType),
    };
    let size = number(bytes, at, wide)?;
    let end = at.checked_add(size).filter(|end| *end <= bytes.len()).ok_or(Malformed::Short)?;
    let count = number(bytes, at, wide)?;
    let is_array = matches!(code, 0xe0 | 0xf0);
    let mut levels = 0;
    let mut element = None;
    if is_array {
        let (code, described) = constructor(bytes, at)?;
        (element, levels) = (Some(code), described);
        if reader == For::SerdeAmqp && (count == 0 || levels > 0 || code >= 0xc0) {
            return Err(Malformed::Array);
        }
        if let Some(width) = fixed_width(code) {
            if width == 0 && count > MOST_EMPTY {
                return Err(Malformed::Contradiction);
            }
            // All at once: the count may be four thousand million.
            *at = count.checked_mul(width).and_then(|bytes| at.checked_add(bytes)).ok_or(Malformed::Contradiction)?;
            open.push(Open { left: 0, end, element: None, depth: depth + levels });
            return if depth + levels > DEEPEST { Err(Malformed::TooDeep) } else { Ok(()) };
        }
    }
    // Keys without a value are an error by 1.6.23, and serde_amqp counts below zero.
    let is_map = matches!(code, 0xc1 | 0xd1);
    if *at > end || count > end - *at || (is_map && count % 2 != 0) {
        return Err(Malformed::Contradiction);
    }
    open.push(Open { left: count, end, element, depth: depth + levels });
    Ok(())
}

/// Skips the data of a value without elements.
fn skip(bytes: &[u8], at: &mut usize, code: u8) -> Result<(), Malformed> {
    let length = match fixed_width(code) {
        Some(width) => width,
        None => match code {
            0xa0 | 0xa1 | 0xa3 => number(bytes, at, false)?,
            0xb0 | 0xb1 | 0xb3 => number(bytes, at, true)?,
            _ => return Err(Malformed::UnknownType),
        },
    };
    *at = at.checked_add(length).filter(|end| *end <= bytes.len()).ok_or(Malformed::Short)?;
    Ok(())
}

/// How many bytes of data follow a constructor of fixed width.
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
    let byte = bytes.get(*at).ok_or(Malformed::Short)?;
    *at += 1;
    Ok(*byte)
}

fn number(bytes: &[u8], at: &mut usize, wide: bool) -> Result<usize, Malformed> {
    if !wide {
        return byte(bytes, at).map(usize::from);
    }
    let number = bytes.get(*at..*at + 4).and_then(|bytes| bytes.try_into().ok()).ok_or(Malformed::Short)?;
    *at += 4;
    usize::try_from(u32::from_be_bytes(number)).map_err(|_| Malformed::Contradiction)
}

/// A value as it lies in a message, well-formed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw<'a>(&'a [u8]);

impl<'a> Raw<'a> {
    /// The value at the beginning of `bytes`, and what follows it.
    ///
    /// # Errors
    ///
    /// As [`length`].
    pub(crate) fn first(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        Self::first_for(bytes, For::Us)
    }

    /// The same of bytes that `reader` is to read.
    ///
    /// # Errors
    ///
    /// As [`length`].
    pub(crate) fn first_for(bytes: &'a [u8], reader: For) -> Result<(Self, &'a [u8]), Malformed> {
        let (value, rest) = bytes.split_at(length(bytes, reader)?);
        Ok((Self(value), rest))
    }

    /// The number that describes it, and what it describes; `None` if it is not described by a number.
    pub(crate) fn described(self) -> Option<(u64, Self)> {
        let (&0, rest) = self.0.split_first()? else { return None };
        let (descriptor, value) = Self::first_of_described(rest)?;
        Some((descriptor.unsigned()?, Self(value)))
    }

    /// The symbol that describes it, and what it describes.
    pub(crate) fn described_by_symbol(self) -> Option<(&'a [u8], Self)> {
        let (&0, rest) = self.0.split_first()? else { return None };
        let (descriptor, value) = Self::first_of_described(rest)?;
        Some((descriptor.bytes(&[0xa3, 0xb3])?, Self(value)))
    }

    fn first_of_described(rest: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let mut at = 1;
        skip(rest, &mut at, *rest.first()?).ok()?;
        let (descriptor, value) = rest.split_at(at);
        Some((Self(descriptor), value))
    }

    /// Its encoding.
    pub(crate) fn encoded(self) -> &'a [u8] {
        self.0
    }

    /// The elements of a list, or keys and values of a map, in turn; empty for anything else.
    pub(crate) fn elements(self) -> Elements<'a> {
        let (skip, count) = match self.0.first() {
            Some(0xc0 | 0xc1) => (3, self.0.get(2).map_or(0, |count| usize::from(*count))),
            Some(0xd0 | 0xd1) => (9, number(self.0, &mut 5, true).unwrap_or(0)),
            _ => (self.0.len(), 0),
        };
        Elements { rest: self.0.get(skip..).unwrap_or_default(), left: count }
    }

    /// An unsigned number of any width.
    pub(crate) fn unsigned(self) -> Option<u64> {
        let (code, data) = self.0.split_first()?;
        match (code, data) {
            (0x43 | 0x44, []) => Some(0),
            (0x50 | 0x52 | 0x53, [byte]) => Some(u64::from(*byte)),
            (0x60, data) => Some(u64::from(u16::from_be_bytes(data.try_into().ok()?))),
            (0x70, data) => Some(u64::from(u32::from_be_bytes(data.try_into().ok()?))),
            (0x80, data) => Some(u64::from_be_bytes(data.try_into().ok()?)),
            _ => None,
        }
    }

    pub(crate) fn boolean(self) -> Option<bool> {
        match self.0 {
            [0x41] | [0x56, 1] => Some(true),
            [0x42] | [0x56, 0] => Some(false),
            _ => None,
        }
    }

    pub(crate) fn is_null(self) -> bool {
        self.0 == [0x40]
    }

    /// A string or a symbol.
    pub(crate) fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes(&[0xa1, 0xb1, 0xa3, 0xb3])?).ok()
    }

    /// The bytes of a string, whatever they are.
    pub(crate) fn string_bytes(self) -> Option<&'a [u8]> {
        self.bytes(&[0xa1, 0xb1])
    }

    pub(crate) fn binary(self) -> Option<&'a [u8]> {
        self.bytes(&[0xa0, 0xb0])
    }

    pub(crate) fn uuid(self) -> Option<[u8; 16]> {
        match self.0.split_first() {
            Some((0x98, data)) => data.try_into().ok(),
            _ => None,
        }
    }

    fn bytes(self, codes: &[u8]) -> Option<&'a [u8]> {
        let code = self.0.first().filter(|code| codes.contains(code))?;
        self.0.get(if *code < 0xb0 { 2 } else { 5 }..)
    }
}

/// See [`Raw::elements`].
#[derive(Clone, Debug)]
pub(crate) struct Elements<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Raw<'a>;

    fn next(&mut self) -> Option<Raw<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (value, rest) = Raw::first(self.rest).ok()?;
        self.rest = rest;
        Some(value)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn length(bytes: &[u8]) -> Result<usize, Malformed> {
        super::length(bytes, For::Us)
    }

    /// A list in a list in a list.
    fn nested(levels: usize) -> Vec<u8> {
        let mut value = vec![0x45];
        for _ in 1..levels {
            let mut outer = vec![0xd0];
            outer.extend_from_slice(&u32::try_from(value.len() + 4).unwrap().to_be_bytes());
            outer.extend_from_slice(&1_u32.to_be_bytes());
            outer.append(&mut value);
            value = outer;
        }
        value
    }

    #[test]
    fn values_of_all_widths_are_measured() {
        let list = [0xc0, 6, 3, 0x40, 0x52, 7, 0x41, 0x00];
        assert_eq!(length(&list[..7]), Err(Malformed::Short));
        let list = [0xc0, 5, 3, 0x40, 0x52, 7, 0x41, 0xff];
        assert_eq!(length(&list), Ok(7), "what follows is not looked at");
        assert_eq!(length(b"\xa1\x02hi"), Ok(4));
        assert_eq!(length(b"\xb1\0\0\0\x02hi"), Ok(7));
        assert_eq!(length(&[0x98; 17]), Ok(17));
        // Described by a number, and by a symbol.
        assert_eq!(length(&[0, 0x53, 0x24, 0x45]), Ok(4));
        assert_eq!(length(b"\0\xa3\x03abc\x45"), Ok(7));
        // Arrays: of symbols, of described lists, of nothing.
        assert_eq!(length(b"\xe0\x08\x02\xa3\x02ab\x02cd"), Ok(10));
        assert_eq!(length(&[0xe0, 6, 2, 0, 0x53, 0x24, 0x45, 0xff]), Err(Malformed::Contradiction));
        assert_eq!(length(&[0xe0, 5, 2, 0, 0x53, 0x24, 0x45]), Ok(7));
    }

    #[test]
    fn nesting_ends_where_it_should() {
        assert!(length(&nested(DEEPEST)).is_ok());
        assert_eq!(length(&nested(DEEPEST + 2)), Err(Malformed::TooDeep));
        assert_eq!(length(&nested(3_000)), Err(Malformed::TooDeep));
        let described: Vec<u8> = [0, 0x44].repeat(100_000);
        assert_eq!(length(&described), Err(Malformed::TooDeep));
    }

    #[test]
    fn bytes_and_elements_must_agree() {
        for wrong in [
            &[0xc0, 4, 1, 0x40, 0x40, 0x40][..],
            &[0xc0, 2, 2, 0x40, 0x40],
            &[0xc0, 1, 200],
            &[0xd0, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff],
            &[0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x40],
        ] {
            assert_eq!(length(wrong), Err(Malformed::Contradiction), "{wrong:?}");
        }
        assert_eq!(length(&[0xd0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]), Err(Malformed::Short));
        assert_eq!(length(&[0x3f]), Err(Malformed::UnknownType));
        assert_eq!(length(&[]), Err(Malformed::Short));
    }

    #[test]
    fn what_serde_amqp_reads_otherwise_is_not_given_to_it() {
        // To serde_amqp the type of the elements of an empty array begins the next value: here a list of one value, which
        // lies in the binary that follows.
        let deep = nested(3_000);
        let size = u32::try_from(deep.len() + 4).unwrap().to_be_bytes();
        let shifted = [&size[..], &1_u32.to_be_bytes(), &deep].concat();
        let binary = [&[0xb0][..], &u32::try_from(shifted.len()).unwrap().to_be_bytes(), &shifted].concat();
        let fields = [&[0xe0, 2, 0, 0xd0][..], &binary].concat();
        let size = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
        let list = [&[0xd0][..], &size, &2_u32.to_be_bytes(), &fields].concat();
        assert_eq!(length(&list), Ok(list.len()));
        for array in [&list[..], &[0xe0, 5, 2, 0, 0x53, 0x24, 0x45], &[0xe0, 6, 2, 0xc0, 1, 0, 1, 0]] {
            assert_eq!(super::length(array, For::SerdeAmqp), Err(Malformed::Array));
        }
        assert_eq!(super::length(b"\xe0\x08\x02\xa3\x02ab\x02cd", For::SerdeAmqp), Ok(10));
        assert_eq!(length(&[0xc1, 4, 3, 0x40, 0x40, 0x40]), Err(Malformed::Contradiction), "a key without a value");
    }

    #[test]
    fn fields_are_read() {
        let (value, rest) =
            Raw::first(&[0, 0x53, 0x70, 0xc0, 6, 3, 0x41, 0x40, 0x70, 0, 0, 1, 0]).unwrap_or((Raw(&[]), &[]));
        assert!(value.described().is_none() && rest.is_empty(), "six bytes are not enough for three elements");
        let bytes = [0, 0x53, 0x70, 0xc0, 8, 3, 0x41, 0x40, 0x70, 0, 0, 1, 0];
        let (value, _) = Raw::first(&bytes).unwrap();
        let (descriptor, header) = value.described().unwrap();
        let fields: Vec<_> = header.elements().collect();
        assert_eq!((descriptor, fields.len()), (0x70, 3));
        assert_eq!((fields[0].boolean(), fields[1].is_null(), fields[2].unsigned()), (Some(true), true, Some(256)));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(length) = length(&bytes) {
                prop_assert!(length > 0 && length <= bytes.len());
                let (value, _) = Raw::first(&bytes).unwrap();
                let _ = (value.described(), value.text(), value.elements().count());
            }
        }

        #[test]
        fn nothing_that_begins_like_a_value_makes_it_panic(
            bytes in prop::collection::vec(prop::sample::select(&[0_u8, 1, 2, 3, 5, 0x40, 0x45, 0x53, 0xa1, 0xc0, 0xd0, 0xe0, 0xf0][..]), 0..60)
        ) {
            if let Ok(length) = length(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
