//! What the broker says when it closes a channel (`channel.close`, AMQP 0-9-1 section 1.5.2.5).

use std::fmt;

/// The arguments of a `channel.close` from the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChannelClose {
    pub(crate) code: u16,
    pub(crate) text: String,
    /// Class and method that caused the close; zeros if none did.
    pub(crate) method: (u16, u16),
}

impl ChannelClose {
    /// Reads the arguments of `channel.close`. Missing parts stay empty: the channel is closed either way.
    pub(crate) fn parse(arguments: &[u8]) -> Self {
        let number = |bytes: &[u8], at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        let length = arguments.get(2).copied().map_or(0, usize::from);
        let text = arguments.get(3..3 + length).unwrap_or_default();
        let method = arguments.get(3 + length..).unwrap_or_default();
        Self {
            code: number(arguments, 0).unwrap_or_default(),
            text: String::from_utf8_lossy(text).into_owned(),
            method: number(method, 0).zip(number(method, 2)).unwrap_or_default(),
        }
    }
}

impl fmt::Display for ChannelClose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.text, self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_arguments_stay_empty() {
        let mut arguments = vec![1, 147, 3];
        arguments.extend_from_slice(b"abc\0\x3c\0\x28");
        let whole = ChannelClose { code: 403, text: "abc".to_owned(), method: (60, 40) };
        assert_eq!(ChannelClose::parse(&arguments), whole);
        assert_eq!(ChannelClose::parse(&arguments[..8]), ChannelClose { method: (0, 0), ..whole });
        assert_eq!(ChannelClose::parse(&arguments[..4]), ChannelClose { code: 403, ..ChannelClose::default() });
        assert_eq!(ChannelClose::parse(&[]), ChannelClose::default());
    }
}
