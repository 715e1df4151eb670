//! Bodies in character sets other than UTF-8, decoded as in py-amqp and kombu: by the property `content_encoding`.

use std::borrow::Cow;

/// Converts a body to UTF-8. A body that is invalid in its `content_encoding`, or whose encoding is unknown, is returned
/// unchanged: Python also treats it as UTF-8 then.
///
/// Supported are UTF-16 and UTF-32, with a byte order mark (little-endian without one) or with `le` or `be` in the name,
/// Latin-1, and UTF-8 with a byte order mark (`utf-8-sig`), each under Python's names.
#[must_use]
pub fn to_utf8<'a>(body: &'a [u8], content_encoding: Option<&str>) -> Cow<'a, [u8]> {
    // The common case.
    let Some(name) = content_encoding.filter(|name| !matches!(*name, "utf-8" | "")) else {
        return Cow::Borrowed(body);
    };
    decode(body, name).map_or(Cow::Borrowed(body), |text| Cow::Owned(text.into_bytes()))
}

fn decode(body: &[u8], name: &str) -> Option<String> {
    // No supported name is longer.
    if name.len() > 16 {
        return None;
    }
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    match name.as_str() {
        "utf8sig" => String::from_utf8(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).to_vec()).ok(),
        "utf16" | "u16" => match body {
            [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
            [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
            rest => utf16(rest, u16::from_le_bytes),
        },
        "utf16le" | "unicodelittleunmarked" => utf16(body, u16::from_le_bytes),
        "utf16be" | "unicodebigunmarked" => utf16(body, u16::from_be_bytes),
        "utf32" | "u32" => match body {
            [0, 0, 0xfe, 0xff, rest @ ..] => utf32(rest, u32::from_be_bytes),
            [0xff, 0xfe, 0, 0, rest @ ..] => utf32(rest, u32::from_le_bytes),
            rest => utf32(rest, u32::from_le_bytes),
        },
        "utf32le" => utf32(body, u32::from_le_bytes),
        "utf32be" => utf32(body, u32::from_be_bytes),
        "latin1" | "latin" | "iso88591" | "88591" | "cp819" | "l1" => {
            Some(body.iter().copied().map(char::from).collect())
        }
        _ => None,
    }
}

fn utf16(body: &[u8], read: fn([u8; 2]) -> u16) -> Option<String> {
    let (units, []) = body.as_chunks::<2>() else { return None };
    char::decode_utf16(units.iter().copied().map(read)).collect::<Result<_, _>>().ok()
}

fn utf32(body: &[u8], read: fn([u8; 4]) -> u32) -> Option<String> {
    let (units, []) = body.as_chunks::<4>() else { return None };
    units.iter().map(|unit| char::from_u32(read(*unit))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8], name: &str) -> String {
        String::from_utf8_lossy(&to_utf8(body, Some(name))).into_owned()
    }

    fn bytes_of<const N: usize>(text: &str, width: impl Fn(char) -> Vec<[u8; N]>) -> Vec<u8> {
        text.chars().flat_map(width).flatten().collect()
    }

    #[test]
    fn a_body_is_decoded_by_its_encoding_as_in_python() {
        const TEXT: &str = "{\"a\": \"é😀\"}";
        let little: Vec<u8> = TEXT.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = TEXT.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let wide_little = bytes_of(TEXT, |c| vec![u32::from(c).to_le_bytes()]);
        let wide_big = bytes_of(TEXT, |c| vec![u32::from(c).to_be_bytes()]);
        for (body, name) in [
            (little.clone(), "utf-16"),
            ([&[0xff, 0xfe][..], &little].concat(), "UTF-16"),
            ([&[0xfe, 0xff][..], &big].concat(), "utf_16"),
            (little, "utf-16le"),
            (big, "utf-16-be"),
            (wide_little.clone(), "utf-32"),
            ([&[0, 0, 0xfe, 0xff][..], &wide_big].concat(), "utf32"),
            (wide_little, "utf-32-le"),
            (wide_big, "utf-32be"),
            ([b"\xef\xbb\xbf", TEXT.as_bytes()].concat(), "utf-8-sig"),
            (TEXT.as_bytes().to_vec(), "utf-8"),
            (TEXT.as_bytes().to_vec(), "utf8"),
            // What does not decode, and what is not known, is UTF-8.
            (TEXT.as_bytes().to_vec(), "us-ascii"),
            (TEXT.as_bytes().to_vec(), "binary"),
            (TEXT.as_bytes().to_vec(), "nonsense-of-a-name-that-is-long"),
        ] {
            assert_eq!(read(&body, name), TEXT, "{name}");
        }
        assert_eq!(read(b"{\"a\": \"\xe9\"}", "ISO-8859-1"), "{\"a\": \"é\"}");
        assert_eq!(read("é".as_bytes(), "latin-1"), "Ã©", "as in Python");
        assert!(matches!(to_utf8(b"{}", None), Cow::Borrowed(b"{}")));
    }

    #[test]
    fn an_invalid_body_is_unchanged() {
        for (body, name) in [(&b"{}\0"[..], "utf-16"), (b"\x00\xd8", "utf-16le"), (b"\0\0\x11\0\0", "utf-32")] {
            assert_eq!(&*to_utf8(body, Some(name)), body, "{name}");
        }
        assert_eq!(&*to_utf8(b"\x11\0\0\0", Some("utf-32-be")), b"\x11\0\0\0", "not a valid code point");
    }
}
