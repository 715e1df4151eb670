//! References in a value, as in oslo.config: `$name`, `${group.name}`, and `$$` or `\$` for a dollar sign.

use std::borrow::Cow;

/// A part of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Text(&'a str),
    /// The name between `${` and `}`, or after `$`; it may contain dots.
    Reference(&'a str),
}

/// The value with each `\$` replaced by `$$`. A preceding backslash has no special meaning.
pub(super) fn escaped(value: &str) -> Cow<'_, str> {
    if value.contains(r"\$") { Cow::Owned(value.replace(r"\$", "$$")) } else { Cow::Borrowed(value) }
}

/// The parts of an [`escaped`] value, in order. A dollar sign that is not followed by a name is literal.
pub(super) fn parts(value: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        let (before, behind) = (&rest[..at], &rest[at + 1..]);
        if let Some(literal) = behind.strip_prefix('$') {
            parts.push(Part::Text(&rest[..=at]));
            rest = literal;
        } else if let Some((name, after)) = reference(behind) {
            parts.push(Part::Text(before));
            parts.push(Part::Reference(name));
            rest = after;
        } else {
            parts.push(Part::Text(&rest[..=at]));
            rest = behind;
        }
    }
    parts.push(Part::Text(rest));
    parts.retain(|part| *part != Part::Text(""));
    parts
}

/// Parses the name after a dollar sign; returns it and the text after the reference.
fn reference(behind: &str) -> Option<(&str, &str)> {
    let braced = behind.strip_prefix('{');
    let text = braced.unwrap_or(behind);
    if !text.starts_with(|c| c == '_' || is_letter(c)) {
        return None;
    }
    let end = text.find(|c: char| !(c == '_' || c == '.' || c.is_ascii_digit() || is_letter(c))).unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    if braced.is_some() { Some((name, after.strip_prefix('}')?)) } else { Some((name, after)) }
}

/// Python's case-insensitive `[a-z]` matches four letters beyond ASCII.
fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || matches!(c, '\u{130}' | '\u{131}' | '\u{17f}' | '\u{212a}')
}

#[cfg(test)]
mod tests {
    use super::{Part::*, *};

    #[test]
    fn references_and_dollar_signs_are_distinguished() {
        let cases: [(&str, &[Part<'_>]); 8] = [
            ("plain", &[Text("plain")]),
            ("", &[]),
            ("a$b-c", &[Text("a"), Reference("b"), Text("-c")]),
            ("${g.n}x$h.p", &[Reference("g.n"), Text("x"), Reference("h.p")]),
            ("pa$$w", &[Text("pa$"), Text("w")]),
            (r"pa\$w", &[Text("pa$"), Text("w")]),
            (r"\$$b", &[Text("$"), Reference("b")]),
            ("$1 ${ ${b $", &[Text("$"), Text("1 $"), Text("{ $"), Text("{b $")]),
        ];
        for (value, wanted) in cases {
            assert_eq!(parts(&escaped(value)), wanted, "{value}");
        }
    }
}
