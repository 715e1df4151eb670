//! The characters of an address that have a meaning to each broker, beside those that the addressing schemes use. Pure.

use std::{borrow::Cow, fmt::Write};

use super::Profile;

/// How names are written into the addresses of a broker.
pub(crate) struct Syntax {
    /// The characters that are percent-encoded.
    escapes: fn(char) -> bool,
    /// Whether a control character would pass unchanged, so that it must be refused.
    pub(crate) refuses_control: bool,
    /// Maximum bytes of a queue's name and of a routing key.
    pub(crate) max_length: usize,
}

impl Syntax {
    pub(crate) fn new(profile: Profile) -> Self {
        let (escapes, refuses_control, max_length): (fn(char) -> bool, bool, usize) = match profile {
            Profile::Qpid | Profile::Router => (|_| false, true, usize::MAX),
            // Lists of destinations, wildcards, options; and it trims names. It decodes nothing, so that both ends use
            // the encoded name.
            Profile::ActiveMq => (
                |character| matches!(character, ',' | '*' | '>' | '?' | '%' | ' ') || character.is_control(),
                false,
                usize::MAX,
            ),
            // The segments of a URL's path, which it decodes. It does not answer an address outside ASCII.
            Profile::RabbitMq => (|character| !is_unreserved(character), false, 255),
            // `escaped` encodes whole names.
            Profile::RabbitMq4 => (|_| false, false, 255),
        };
        Self { escapes, refuses_control, max_length }
    }

    /// A name as a part of an address.
    pub(crate) fn escape<'a>(&self, part: &'a str) -> Cow<'a, str> {
        if !part.contains(self.escapes) {
            return part.into();
        }
        let mut written = String::with_capacity(part.len() + 16);
        for character in part.chars() {
            if (self.escapes)(character) {
                let mut bytes = [0; 4];
                for byte in character.encode_utf8(&mut bytes).bytes() {
                    // Infallible on a string.
                    let _ = write!(written, "%{byte:02X}");
                }
            } else {
                written.push(character);
            }
        }
        written.into()
    }
}

fn is_unreserved(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_' | '~')
}
