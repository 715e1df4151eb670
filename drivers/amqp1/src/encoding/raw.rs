//! Encoded values, read in place.

use super::length::{Malformed, Reader, length, number, skip};

/// A well-formed encoded value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw<'a>(&'a [u8]);

impl<'a> Raw<'a> {
    /// Splits `bytes` after the value at its front.
    ///
    /// # Errors
    ///
    /// As [`length`].
    pub(crate) fn first(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        Self::first_for(bytes, Reader::Raw)
    }

    /// As [`first`](Self::first), for a value that `reader` will read.
    ///
    /// # Errors
    ///
    /// As [`length`].
    pub(crate) fn first_for(bytes: &'a [u8], reader: Reader) -> Result<(Self, &'a [u8]), Malformed> {
        let (value, rest) = bytes.split_at(length(bytes, reader)?);
        Ok((Self(value), rest))
    }

    /// The descriptor and the value of a value that is described by a number.
    pub(crate) fn described(self) -> Option<(u64, Self)> {
        let (&0, rest) = self.0.split_first()? else { return None };
        let (descriptor, value) = Self::first_of_described(rest)?;
        Some((descriptor.unsigned()?, Self(value)))
    }

    /// The descriptor and the value of a value that is described by a symbol.
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

    /// Its encoded bytes.
    pub(crate) fn encoded(self) -> &'a [u8] {
        self.0
    }

    /// The elements of a list, or the alternating keys and values of a map; empty for any other value.
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

    /// The bytes of a string, which may not be UTF-8.
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

/// The iterator of [`Raw::elements`].
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
