//! The tokenizer: Python's JSON grammar, in one forward pass without recursion and without building values.

use std::borrow::Cow;

use super::{JsonErrorKind, Limits, error::Fault};

/// A cursor over text, which returns slices of it.
#[derive(Debug, Clone)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    max_depth: usize,
}

/// The text of a number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number<'a> {
    pub(super) text: &'a str,
    /// Whether the number has neither fraction nor exponent.
    pub(super) integer: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str, limits: Limits) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0, max_depth: limits.max_depth.min(Limits::DEEPEST) }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Checks one value with surrounding white space, up to the end of the text.
    pub(super) fn whole(&mut self) -> Result<(), Fault> {
        self.skip_value(0)?;
        self.end()
    }

    /// Checks that only white space follows.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(Fault::syntax(self.at, "trailing characters after the value")),
        }
    }

    /// The next byte that is not white space, without consuming it.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Consumes the byte returned by [`peek`](Self::peek).
    pub(super) fn take(&mut self) {
        self.at += 1;
    }

    pub(super) fn expect(&mut self, byte: u8, wanted: &'static str) -> Result<(), Fault> {
        match self.peek() {
            Some(found) if found == byte => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(Fault::syntax(self.at, wanted)),
            None => Err(self.incomplete()),
        }
    }

    pub(super) fn incomplete(&self) -> Fault {
        Fault::at(self.bytes.len(), JsonErrorKind::Incomplete)
    }

    fn too_deep(&self) -> Fault {
        Fault::at(self.at, JsonErrorKind::TooDeep { max_depth: self.max_depth })
    }

    /// The text of the next value, without surrounding white space. `depth` is the number of enclosing values.
    pub(super) fn raw_value(&mut self, depth: usize) -> Result<&'a str, Fault> {
        self.peek();
        let begin = self.at;
        self.skip_value(depth)?;
        Ok(&self.text[begin..self.at])
    }

    /// Skips one value of any kind.
    pub(super) fn skip_value(&mut self, depth: usize) -> Result<(), Fault> {
        let mut open = Open::default();
        loop {
            match self.peek() {
                Some(bracket @ (b'[' | b'{')) => {
                    if depth + open.count >= self.max_depth {
                        return Err(self.too_deep());
                    }
                    self.at += 1;
                    let object = bracket == b'{';
                    if self.peek() == Some(if object { b'}' } else { b']' }) {
                        self.at += 1;
                    } else {
                        open.push(object);
                        if object {
                            self.skip_key()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => self.skip_string()?,
                Some(_) => self.skip_scalar()?,
                None => return Err(self.incomplete()),
            }
            loop {
                let Some(object) = open.innermost() else { return Ok(()) };
                match (self.peek(), object) {
                    (Some(b','), _) => {
                        self.at += 1;
                        if object {
                            self.skip_key()?;
                        }
                        break;
                    }
                    (Some(b']'), false) | (Some(b'}'), true) => {
                        self.at += 1;
                        open.count -= 1;
                    }
                    (Some(_), false) => return Err(Fault::syntax(self.at, "expected , or ]")),
                    (Some(_), true) => return Err(Fault::syntax(self.at, "expected , or }")),
                    (None, _) => return Err(self.incomplete()),
                }
            }
        }
    }

    fn skip_key(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => self.skip_string()?,
            Some(_) => return Err(Fault::syntax(self.at, "expected a key in double quotes")),
            None => return Err(self.incomplete()),
        }
        self.expect(b':', "expected : after the key")
    }

    fn skip_scalar(&mut self) -> Result<(), Fault> {
        const WORDS: [&str; 6] = ["true", "false", "null", "NaN", "Infinity", "-Infinity"];
        if matches!(self.bytes.get(self.at), Some(b'0'..=b'9')) || !WORDS.iter().any(|word| self.take_word(word)) {
            let cut = WORDS.iter().any(|word| word.as_bytes().starts_with(&self.bytes[self.at..]));
            return if cut { Err(self.incomplete()) } else { self.number().map(drop) };
        }
        Ok(())
    }

    /// Consumes `word` if it is next: `true`, `false`, `null` and the like.
    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let found = self.bytes[self.at..].starts_with(word.as_bytes());
        if found {
            self.at += word.len();
        }
        found
    }

    /// Consumes `NaN`, `Infinity` or `-Infinity`.
    pub(super) fn special_number(&mut self) -> Option<f64> {
        [("NaN", f64::NAN), ("Infinity", f64::INFINITY), ("-Infinity", f64::NEG_INFINITY)]
            .into_iter()
            .find(|(word, _)| self.take_word(word))
            .map(|(_, number)| number)
    }

    pub(super) fn number(&mut self) -> Result<Number<'a>, Fault> {
        let begin = self.at;
        let mut at = begin;
        let digits = |at: &mut usize| {
            let first = *at;
            while self.bytes.get(*at).is_some_and(u8::is_ascii_digit) {
                *at += 1;
            }
            *at > first
        };
        if self.bytes.get(at) == Some(&b'-') {
            at += 1;
        }
        let failed = |at: usize, place: usize, expected| {
            if at == self.bytes.len() { self.incomplete() } else { Fault::syntax(place, expected) }
        };
        if self.bytes.get(at) == Some(&b'0') {
            at += 1;
        } else if !digits(&mut at) {
            return Err(failed(at, begin, "expected a value"));
        }
        let mut integer = true;
        if self.bytes.get(at) == Some(&b'.') {
            integer = false;
            at += 1;
            if !digits(&mut at) {
                return Err(failed(at, at, "expected a digit after the decimal point"));
            }
        }
        if matches!(self.bytes.get(at), Some(b'e' | b'E')) {
            integer = false;
            at += 1;
            if matches!(self.bytes.get(at), Some(b'+' | b'-')) {
                at += 1;
            }
            if !digits(&mut at) {
                return Err(failed(at, at, "expected a digit in the exponent"));
            }
        }
        self.at = at;
        Ok(Number { text: &self.text[begin..at], integer })
    }

    fn skip_string(&mut self) -> Result<(), Fault> {
        self.raw_string().map(drop)
    }

    /// The text between the quotes, and whether it has escapes. The cursor is at the opening quote.
    fn raw_string(&mut self) -> Result<(&'a str, bool), Fault> {
        let begin = self.at + 1;
        let mut at = begin;
        let mut escaped = false;
        loop {
            at = self.plain_until(at);
            match self.bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok((&self.text[begin..at], escaped));
                }
                Some(b'\\') => {
                    escaped = true;
                    at = self.skip_escape(at)?;
                }
                Some(_) => return Err(Fault::syntax(at, "a control character in a string must be escaped")),
                None => return Err(self.incomplete()),
            }
        }
    }

    /// The position of the first quote, backslash or control character from `at` on.
    fn plain_until(&self, mut at: usize) -> usize {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const HIGHS: u64 = 0x8080_8080_8080_8080;
        let zero_byte = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
        // Eight bytes at a time: most of a message is strings.
        while let Some(chunk) = self.bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_le_bytes(*chunk);
            let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
            let stops =
                control | zero_byte(word ^ (ONES * u64::from(b'"'))) | zero_byte(word ^ (ONES * u64::from(b'\\')));
            if stops != 0 {
                // A borrow can only mark bytes above the first stop, so the lowest mark is correct.
                return at + (stops.trailing_zeros() / 8) as usize;
            }
            at += 8;
        }
        while self.bytes.get(at).is_some_and(|byte| *byte >= 0x20 && !matches!(byte, b'"' | b'\\')) {
            at += 1;
        }
        at
    }

    fn skip_escape(&self, at: usize) -> Result<usize, Fault> {
        match self.bytes.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u') => {
                let digits = &self.bytes[at + 2..self.bytes.len().min(at + 6)];
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(Fault::syntax(at, "expected four hex digits after \\u"));
                }
                if digits.len() < 4 { Err(self.incomplete()) } else { Ok(at + 6) }
            }
            Some(_) => Err(Fault::syntax(at, "unknown escape in a string")),
            None => Err(self.incomplete()),
        }
    }

    /// The next string, decoded. A lone surrogate becomes U+FFFD.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        let (raw, escaped) = self.raw_string()?;
        Ok(if escaped { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) })
    }

    /// The next key; also consumes the colon.
    pub(super) fn key(&mut self) -> Result<Cow<'a, str>, Fault> {
        match self.peek() {
            Some(b'"') => {}
            Some(_) => return Err(Fault::syntax(self.at, "expected a key in double quotes")),
            None => return Err(self.incomplete()),
        }
        let key = self.string()?;
        self.expect(b':', "expected : after the key")?;
        Ok(key)
    }
}

/// The number of values in valid JSON text; stops counting at `most + 1`.
pub(super) fn count_values(text: &str, most: usize) -> usize {
    let mut scanner = Scanner::new(text, Limits::CHECKED);
    let (mut count, mut opened) = (1, false);
    while count <= most
        && let Some(byte) = scanner.peek()
    {
        // Each value except the outermost follows a comma, or is the first of its array or object.
        count += usize::from(byte == b',' || opened && !matches!(byte, b']' | b'}'));
        opened = matches!(byte, b'[' | b'{');
        if byte != b'"' {
            scanner.take();
        } else if scanner.skip_string().is_err() {
            break;
        }
    }
    count
}

/// The open brackets: one bit each, set for an object.
#[derive(Default)]
struct Open {
    bits: [u64; Limits::DEEPEST / 64],
    count: usize,
}

impl Open {
    fn push(&mut self, object: bool) {
        let (word, bit) = (self.count / 64, 1 << (self.count % 64));
        if object {
            self.bits[word] |= bit;
        } else {
            self.bits[word] &= !bit;
        }
        self.count += 1;
    }

    fn innermost(&self) -> Option<bool> {
        let last = self.count.checked_sub(1)?;
        Some(self.bits[last / 64] & (1 << (last % 64)) != 0)
    }
}

/// Decodes a string whose escapes are well formed.
fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(found) = rest.find('\\') {
        out.push_str(&rest[..found]);
        let escape = rest.as_bytes().get(found + 1).copied().unwrap_or(b'\\');
        let mut length = 2;
        match escape {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                length = 6;
                let first = code_unit(&rest[found..]).unwrap_or(0xFFFD);
                let second = code_unit(&rest[found + 6..]).filter(|unit| (0xDC00..0xE000).contains(unit));
                match (first, second) {
                    (0xD800..0xDC00, Some(second)) => {
                        length = 12;
                        let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    _ => out.push(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)),
                }
            }
            plain => out.push(char::from(plain)),
        }
        rest = &rest[found + length..];
    }
    out.push_str(rest);
    out
}

/// The code unit at the start of a text that begins with `\uXXXX`.
fn code_unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok()
}
