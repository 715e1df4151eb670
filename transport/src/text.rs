//! What error messages are made of: foreign text on one line, a chain of causes, the nearest known name.

use std::{borrow::Cow, error::Error, fmt};

/// So many characters of a foreign text are kept in an error.
pub const FOREIGN_TEXT: usize = 500;

/// So many characters of one error in a [`chain`].
const LINK: usize = 4000;

/// Foreign text (of a broker, a peer, an operating system) on one line: runs of white space and control characters
/// become one space, and what is longer than 500 characters is cut.
///
/// Every driver passes through it what a broker says before it becomes part of an error.
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
            !double && (c == ' ' || !(c.is_whitespace() || c.is_control()))
        });
        plain && !text.ends_with(' ')
    };
    if text.len() <= longest && clean(text) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len().min(4 * longest));
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
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
/// The `Debug` of oxlo's errors is this, so that a `main` that returns one prints it.
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

/// Makes the `Debug` of error types their [`chain`](text::chain).
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

/// The known name whose spelling is nearest to `name`, if one is near enough to be meant.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Half of a short name may be wrong, a third of a long one.
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
        ] {
            assert_eq!(one_line(text), line, "{text:?}");
        }
        assert!(matches!(one_line("plain text"), Cow::Borrowed(_)));
    }

    #[test]
    fn and_is_cut() {
        assert_eq!(folded("abc def ghi", 7), "abc def..");
        assert_eq!(folded("abc def", 7), "abc def");
        assert_eq!(folded("äöü\nß", 2), "äö..");
        assert_eq!(one_line(&"x ".repeat(100_000)).len(), FOREIGN_TEXT - 1 + 2);
    }

    #[test]
    fn a_chain_says_each_fact_once() {
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
    fn only_what_is_near_is_nearest() {
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
