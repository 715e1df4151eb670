//! What each broker takes for syntax in an address, beside what the schemes of addresses put there themselves. Pure.

use std::{borrow::Cow, fmt::Write};

use crate::address::Profile;

/// How names are written into the addresses of a broker.
pub(crate) struct Syntax {
    /// Which characters of a name are written as the hexadecimal numbers of their bytes, in the manner of URLs.
    escapes: fn(char) -> bool,
    /// Whether a control character would come through as it is.
    pub(crate) refuses_control: bool,
    /// Bytes that the name of a queue and a routing key may have.
    pub(crate) longest: usize,
}

impl Syntax {
    pub(crate) fn of(profile: Profile) -> Self {
        let (escapes, refuses_control, longest): (fn(char) -> bool, bool, usize) = match profile {
            Profile::Qpid | Profile::Router => (|_| false, true, usize::MAX),
            // Several destinations, wildcards, options; and names are trimmed. It decodes nothing, so the address is longer
            // than the name at both ends.
            Profile::ActiveMq => (
                |character| matches!(character, ',' | '*' | '>' | '?' | '%' | ' ') || character.is_control(),
                false,
                usize::MAX,
            ),
            // The parts of a URL's path, which it decodes. It answers nothing to an address outside ASCII.
            Profile::RabbitMq => (|character| !is_unreserved(character), false, 255),
            // Whole names are escaped where they become parts of an address.
            Profile::RabbitMq4 => (|_| false, false, 255),
        };
        Self { escapes, refuses_control, longest }
    }

    /// A name as a part of an address.
    pub(crate) fn write<'a>(&self, part: &'a str) -> Cow<'a, str> {
        if !part.contains(self.escapes) {
            return part.into();
        }
        let mut written = String::with_capacity(part.len() + 16);
        for character in part.chars() {
            if (self.escapes)(character) {
                let mut bytes = [0; 4];
                for byte in character.encode_utf8(&mut bytes).bytes() {
                    // Writing to a string does not fail.
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
