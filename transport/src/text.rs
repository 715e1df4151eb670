//! Text of error messages and logs: foreign text on one line, a chain of causes, the nearest known name.
//!
//! Text from a broker or a peer may contain line breaks, terminal escape sequences and characters that reorder text, with
//! which it could forge log lines. Prose goes through [`one_line`], names go through [`name`], and errors display their
//! text fields through [`line()`].

use std::{borrow::Cow, error::Error, fmt};

/// The maximum number of characters of foreign text in an error.
pub const FOREIGN_TEXT: usize = 500;

/// The maximum number of characters of one error in a [`chain`].
const LINK: usize = 4000;

/// The maximum number of characters of a foreign [`name`].
pub const FOREIGN_NAME: usize = 80;

/// Whether a character is safe in a log: not a control character, not one that hides or reorders text, and no white space
/// except the space.
fn is_plain(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    let invisible = matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    !(invisible || c.is_whitespace() || c.is_control())
}

/// Foreign text with unsafe characters escaped as in Rust (`\n`, `\u{1b}`), truncated after `longest` characters.
///
/// ```
/// use oxlo_transport::text::printable;
///
/// assert_eq!(printable("echo\n2026 ERROR \u{1b}[31m", 80), r"echo\n2026 ERROR \u{1b}[31m");
/// assert_eq!(printable("echo", 2), "ec..");
/// ```
#[must_use]
pub fn printable(text: &str, longest: usize) -> Cow<'_, str> {
    if text.len() <= longest && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len().min(longest) + 16);
    for (at, c) in text.chars().enumerate() {
        if at == longest {
            line.push_str("..");
            break;
        }
        if is_plain(c) {
            line.push(c);
        } else {
            line.extend(c.escape_default());
        }
    }
    Cow::Owned(line)
}

/// A name chosen by a peer (a method, a namespace, a queue), as [`printable`] text of at most 80 characters.
#[must_use]
pub fn name(text: &str) -> Cow<'_, str> {
    printable(text, FOREIGN_NAME)
}

/// A text field of an error, as [`printable`] text of at most 4000 characters.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    printable(text, LINK)
}

/// Foreign text (from a broker, a peer, an operating system) on one line: runs of white space and control characters
/// become one space, and text longer than 500 characters is truncated.
///
/// Every driver applies it to a broker's text before the text becomes part of an error.
///
/// ```
/// use oxlo_transport::text::one_line;
///
/// assert_eq!(one_line("PRECONDITION_FAILED -\r\n\tmessage size\x1b[0m 2000000 "), "PRECONDITION_FAILED - message size [0m 2000000");
/// ```
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    folded(text, FOREIGN_TEXT)
}

/// As [`one_line`], with at most `longest` characters.
#[must_use]
pub fn folded(text: &str, longest: usize) -> Cow<'_, str> {
    let clean = |text: &str| {
        let mut before = ' ';
        let plain = text.chars().all(|c| {
            let double = c == ' ' && before == ' ';
            before = c;
            !double && is_plain(c)
        });
        plain && !text.ends_with(' ')
    };
    if text.len() <= longest && clean(text) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len().min(4 * longest));
    let words = text.split(|c: char| c == ' ' || !is_plain(c)).filter(|word| !word.is_empty());
    let mut left = longest;
    for word in words {
        if !line.is_empty() {
            if left <= 1 {
                line.push_str("..");
                break;
            }
            line.push(' ');
            left -= 1;
        }
        match word.char_indices().nth(left) {
            Some((end, _)) => {
                line.push_str(&word[..end]);
                line.push_str("..");
                break;
            }
            None => {
                line.push_str(word);
                left -= word.chars().count();
            }
        }
    }
    Cow::Owned(line)
}

/// An error and its causes on one line, each fact once: `no connection to h:5672 within 3s: connection refused`.
///
/// This is the `Debug` output of oxlo's errors, so a `main` that returns an error prints it.
///
/// ```
/// use oxlo_transport::{TransportError, text::chain};
///
/// let source = std::io::Error::other("connection\nrefused");
/// let error = TransportError::Unreachable {
///     broker: "h:5672".into(),
///     waited: std::time::Duration::from_secs(3),
///     source: Some(std::sync::Arc::new(source)),
/// };
/// assert_eq!(chain(&error).to_string(), "no connection to h:5672 within 3s: connection refused");
/// assert_eq!(format!("{error:?}"), chain(&error).to_string());
/// ```
pub fn chain<'a>(error: &'a (dyn Error + 'a)) -> impl fmt::Display + 'a {
    Chain(error)
}

struct Chain<'a>(&'a (dyn Error + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = folded(&self.0.to_string(), LINK).into_owned();
        let mut next = self.0.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            let text = folded(&text, LINK);
            if !line.contains(&*text) {
                line.push_str(": ");
                line.push_str(&text);
            }
            next = cause.source();
        }
        f.write_str(&line)
    }
}

/// Implements `Debug` for error types as their [`chain`](text::chain).
#[doc(hidden)]
#[macro_export]
macro_rules! debug_as_chain {
    ($($error:ty),+ $(,)?) => {$(
        impl ::std::fmt::Debug for $error {
            /// The error and its causes on one line.
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&$crate::text::chain(self), f)
            }
        }
    )+};
}

/// The known name with the spelling nearest to `name`, if one is close enough to be a likely typo.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Up to half of the letters of a short name may differ, and a third of a long one.
    let length = name.chars().count();
    let furthest = if length < 4 { length.div_ceil(2) } else { length.div_ceil(3) };
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= furthest)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::TransportError;

    #[test]
    fn foreign_text_stays_on_one_line() {
        for (text, line) in [
            ("", ""),
            ("plain text", "plain text"),
            ("  two\r\n\tlines \u{0}", "two lines"),
            ("a  b", "a b"),
            ("tail ", "tail"),
            ("\u{2028}separated\u{85}", "separated"),
            ("\u{202e}desrever\u{2066}", "desrever"),
        ] {
            assert_eq!(one_line(text), line, "{text:?}");
        }
        assert!(matches!(one_line("plain text"), Cow::Borrowed(_)));
    }

    #[test]
    fn names_are_escaped_and_truncated() {
        for (text, shown) in [
            ("", ""),
            ("plain \u{e9}\u{6f22} \u{1f600}", "plain \u{e9}\u{6f22} \u{1f600}"),
            ("a\r\nb\t", r"a\r\nb\t"),
            ("\u{1b}]0;x\u{7}\u{9b}31m", r"\u{1b}]0;x\u{7}\u{9b}31m"),
            ("\u{202e}x\u{2028}y\u{feff}", r"\u{202e}x\u{2028}y\u{feff}"),
        ] {
            assert_eq!(name(text), shown, "{text:?}");
        }
        assert!(matches!(name("echo"), Cow::Borrowed(_)));
        assert_eq!(name(&"\n".repeat(1_000_000)).len(), FOREIGN_NAME * 2 + 2);
        assert_eq!(line(&"\u{1b}".repeat(1_000_000)).len(), LINK * 6 + 2);
    }

    #[test]
    fn no_error_shows_a_control_character() {
        let foreign = || "forged\n2026 ERROR \u{1b}[31m \u{202e}".to_owned();
        let errors: [TransportError; 6] = [
            TransportError::InvalidTarget { reason: foreign() },
            TransportError::Rejected { routing_key: foreign(), reason: foreign() },
            TransportError::MessageRefused {
                exchange: foreign().into(),
                routing_key: foreign().into(),
                code: foreign().into(),
                reason: foreign().into(),
                may_pass: false,
            },
            TransportError::ReplyLost { queue: foreign() },
            TransportError::MalformedReply { reason: foreign() },
            TransportError::Topology { object: foreign(), reason: foreign() },
        ];
        for error in errors {
            for shown in [error.to_string(), format!("{error:?}")] {
                assert!(shown.contains("forged"), "{shown:?}");
                assert!(!shown.contains(|c: char| c.is_control() || c == '\u{202e}'), "{shown:?}");
            }
        }
    }

    #[test]
    fn foreign_text_is_truncated() {
        assert_eq!(folded("abc def ghi", 7), "abc def..");
        assert_eq!(folded("abc def", 7), "abc def");
        assert_eq!(folded("äöü\nß", 2), "äö..");
        assert_eq!(one_line(&"x ".repeat(100_000)).len(), FOREIGN_TEXT - 1 + 2);
    }

    #[test]
    fn a_chain_states_each_fact_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer: inner")]
        struct Outer(#[source] Inner);

        #[derive(Debug, thiserror::Error)]
        #[error("inner")]
        struct Inner(#[source] std::io::Error);

        let error = Outer(Inner(std::io::Error::other("root\ncause")));
        assert_eq!(chain(&error).to_string(), "outer: inner: root cause");
        let lost = TransportError::ConnectionLost { source: Some(Arc::new(error)) };
        let text = "the connection was lost before the broker confirmed the message: outer: inner: root cause";
        assert_eq!(format!("{lost:?}"), text);
    }

    #[test]
    fn distant_names_are_not_suggested() {
        let known = ["rabbit", "rabbits", "amqp", "memory"];
        for (name, found) in [
            ("rabit", Some("rabbit")),
            ("rabbitmq", Some("rabbit")),
            ("ampq", Some("amqp")),
            ("redis", None),
            ("kafka", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), found, "{name}");
        }
    }
}
