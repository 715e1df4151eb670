//! The members of an object, without decoding their values.

use std::borrow::Cow;

use super::{Limits, error::JsonError, scan::Scanner};

/// Calls `member` with the key and the raw value of each member of the object in `text`, in order.
///
/// The whole text is checked in the same single pass: grammar, depth, and that nothing follows the object. Values are
/// slices of `text` without surrounding white space, ready for [`from_str`](super::from_str) or for forwarding; keys are
/// decoded, and borrowed if they have no escapes. A repeated key is reported each time; in Python the last value counts.
/// Only keys with escapes allocate.
///
/// If the result is an error, `member` may have been called for the part before the error.
///
/// # Errors
///
/// [`JsonError`] if the text is not JSON in Python's sense, is not an object, or exceeds the limits.
pub fn raw_members<'a>(
    text: &'a str,
    limits: Limits,
    mut member: impl FnMut(Cow<'a, str>, &'a str),
) -> Result<(), JsonError> {
    limits.check_length(text.len())?;
    let mut scanner = Scanner::new(text, limits);
    let walked = (|| {
        if limits.max_depth == 0 {
            // The scanner reports the error.
            return scanner.skip_value(0);
        }
        scanner.expect(b'{', "expected an object")?;
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
                    scanner.expect(b'}', "expected , or }")?;
                    return scanner.end();
                }
            }
        }
    })();
    walked.map_err(|fault| fault.place(text.as_bytes()))
}
