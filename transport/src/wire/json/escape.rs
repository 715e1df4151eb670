//! Text within text: the inner message as a JSON string.

/// Appends `text` to `out` as a JSON string, quotes included, in ASCII only: what Python's `json.dumps` writes.
///
/// Quote and backslash, `\n`, `\r`, `\t`, `\f` and `\b` are written short; everything else outside of space to `~` as
/// `\uXXXX` in lower-case hex, beyond U+FFFF as a pair of surrogates. One pass, one growth of `out` in the usual case.
pub fn escape_into(out: &mut Vec<u8>, text: &str) {
    // Every tenth byte of an inner message is a quote.
    out.reserve(text.len() + text.len() / 8 + 2);
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if PLAIN[usize::from(byte)] {
            at += 1;
            continue;
        }
        out.extend_from_slice(&bytes[plain..at]);
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x0c => out.extend_from_slice(b"\\f"),
            0x08 => out.extend_from_slice(b"\\b"),
            _ => {
                let found = text[at..].chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
                for unit in found.encode_utf16(&mut [0; 2]) {
                    push_unit(out, *unit);
                }
                at += found.len_utf8() - 1;
            }
        }
        at += 1;
        plain = at;
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
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
