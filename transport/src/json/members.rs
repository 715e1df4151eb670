//! One level of an object, without touching what is inside.

use std::borrow::Cow;

use super::{Limits, error::JsonError, scan::Scanner};

/// Calls `member` with each key and the raw text of its value, in order, for the one object that `text` holds.
///
/// The whole text is checked in the same single pass: grammar, depth, and that nothing follows the object. Values are
/// slices of `text` without the white space around them, ready for [`from_str`](super::from_str) or for passing on; keys are
/// decoded, and borrowed when they have no escapes. A key that comes twice is reported twice; in Python the last counts.
/// Nothing is allocated but for keys with escapes.
///
/// When the result is an error, `member` may have been called for the part before it.
///
/// # Errors
///
/// [`JsonError`] when the text is not JSON in Python's sense, is no object, or exceeds the limits.
pub fn raw_members<'a>(
    text: &'a str,
    limits: Limits,
    mut member: impl FnMut(Cow<'a, str>, &'a str),
) -> Result<(), JsonError> {
    limits.check_length(text.len())?;
    let mut scanner = Scanner::new(text, limits);
    let walked = (|| {
        if limits.max_depth == 0 {
            // Lets the scanner word the refusal.
            return scanner.skip_value(0);
        }
        scanner.expect(b'{', "wanted an object")?;
        if scanner.peek() == Some(b'}') {
            scanner.take();
            return scanner.end();
        }
        loop {
            let key = scanner.key()?;
            let value = scanner.raw_value(1)?;
            member(key, value);
            match scanner.peek() {
                Some(b',') => scanner.take(),
                _ => {
                    scanner.expect(b'}', "wanted , or }")?;
                    return scanner.end();
                }
            }
        }
    })();
    walked.map_err(|fault| fault.place(text.as_bytes()))
}
