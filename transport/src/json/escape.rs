//! Escaping of text within text: the inner message as a JSON string.
//!
//! Both directions process eight bytes at a time: most of a message needs no escape, and escapes are clustered.

/// Appends `text` to `out` as a JSON string with quotes, in ASCII only, as Python's `json.dumps` does.
///
/// Quote, backslash, `\n`, `\r`, `\t`, `\f` and `\b` have short escapes; any other character outside of space to `~` becomes
/// `\uXXXX` in lower-case hexadecimal, above U+FFFF a pair of surrogates. Usually one pass with one allocation.
pub fn escape_into(out: &mut Vec<u8>, text: &str) {
    // About every tenth byte of an inner message is a quote.
    out.reserve(text.len() + text.len() / 8 + 10);
    out.push(b'"');
    escape_contents_into(out, text);
    out.push(b'"');
}

/// As [`escape_into`], without the surrounding quotes.
pub fn escape_contents_into(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let plain = copy_plain(out, *chunk);
        at += plain;
        if plain < 8 {
            at += escape_one(out, text, at);
        }
    }
    while at < bytes.len() {
        at += escape_one(out, text, at);
    }
}

/// Decodes the contents of a string at the start of `bytes`, appends them to `out`, and returns the position of the closing
/// quote. `None` if the string is invalid or in an unusual form: bytes beyond ASCII, a control character, a lone surrogate.
pub fn unescape_into(out: &mut Vec<u8>, bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        if let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
            let plain = copy_plain(out, *chunk);
            at += plain;
            if plain == 8 {
                continue;
            }
        }
        match *bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => {
                let short = match *bytes.get(at + 1)? {
                    found @ (b'"' | b'\\' | b'/') => found,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'f' => 0x0c,
                    b'b' => 0x08,
                    b'u' => {
                        let (found, length) = unicode(bytes.get(at..)?)?;
                        out.extend_from_slice(found.encode_utf8(&mut [0; 4]).as_bytes());
                        at += length;
                        continue;
                    }
                    _ => return None,
                };
                out.push(short);
                at += 2;
            }
            byte @ b' '..=0x7f => {
                out.push(byte);
                at += 1;
            }
            _ => return None,
        }
    }
}

/// Whether `text` needs no escapes in a JSON string.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| PLAIN[usize::from(byte)])
}

/// Appends the bytes before the first one that needs an escape, and returns their number.
fn copy_plain(out: &mut Vec<u8>, chunk: [u8; 8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let word = u64::from_le_bytes(chunk);
    let is = |byte: u8| {
        let word = word ^ (ONES * u64::from(byte));
        word.wrapping_sub(ONES) & !word
    };
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    // A borrow can only mark bytes above the first stop, so the lowest mark is correct.
    let stops = (word | control | is(b'"') | is(b'\\') | is(0x7f)) & HIGHS;
    let plain = (stops.trailing_zeros() / 8) as usize;
    // All eight are written and the rest truncated: a copy of fixed length is a single store.
    out.extend_from_slice(&chunk);
    out.truncate(out.len() - (8 - plain));
    plain
}

/// Appends the escaped character at `at`, and returns its length in the text in bytes.
fn escape_one(out: &mut Vec<u8>, text: &str, at: usize) -> usize {
    let byte = text.as_bytes()[at];
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x0c => b'f',
        0x08 => b'b',
        _ if PLAIN[usize::from(byte)] => {
            out.push(byte);
            return 1;
        }
        _ => {
            let found = text[at..].chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
            for unit in found.encode_utf16(&mut [0; 2]) {
                push_unit(out, *unit);
            }
            return found.len_utf8();
        }
    };
    out.extend_from_slice(&[b'\\', short]);
    1
}

const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        plain[byte as usize] = byte != b'"' && byte != b'\\';
        byte += 1;
    }
    plain
};

fn push_unit(out: &mut Vec<u8>, unit: u16) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digit = |shift: u16| HEX[usize::from(unit >> shift & 0xF)];
    out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
}

/// The character encoded at the start of a text that begins with `\uXXXX`, and the length of the escape in bytes.
fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
    };
    let first = unit(0)?;
    if let Some(found) = char::from_u32(first) {
        return Some((found, 6));
    }
    let second = unit(6).filter(|unit| (0xDC00..0xE000).contains(unit))?;
    let found =
        char::from_u32(0x1_0000 + (first.checked_sub(0xD800).filter(|high| *high < 0x400)? << 10) + (second - 0xDC00));
    found.map(|found| (found, 12))
}
