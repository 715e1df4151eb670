//! Names in the methods that announce a message: `basic.deliver`, `basic.return`, `basic.get-ok`.
//!
//! AMQP 0-9-1 requires UTF-8 in short strings, but a broker forwards the bytes of the publisher, and lapin closes the
//! connection over a routing key that is not UTF-8.

use super::table;

/// The arguments of the methods with names: `None` is a short string, a number is that many octets.
fn layout(class: u16, method: u16) -> Option<&'static [Option<usize>]> {
    match (class, method) {
        // consumer tag, delivery tag and redelivered, exchange, routing key
        (60, 60) => Some(&[None, Some(9), None, None]),
        // reply code, reply text, exchange, routing key
        (60, 50) => Some(&[Some(2), None, None, None]),
        // delivery tag and redelivered, exchange, routing key; the message count follows
        (60, 71) => Some(&[Some(9), None, None]),
        _ => None,
    }
}

/// Whether the method has names that a publisher chose.
pub(super) fn carries_names(class: u16, method: u16) -> bool {
    layout(class, method).is_some()
}

/// The arguments with `?` for every non-ASCII octet of names that are not UTF-8; `None` if all names are UTF-8.
pub(super) fn repair(class: u16, method: u16, arguments: &[u8]) -> Option<Vec<u8>> {
    let mut repaired: Option<Vec<u8>> = None;
    let mut at = 0;
    for part in layout(class, method)? {
        let rest = arguments.get(at..)?;
        let width = match part {
            Some(width) => *width,
            None => 1 + usize::from(*rest.first()?),
        };
        let value = rest.get(..width)?;
        if part.is_none() && table::short_string(value).is_err() {
            let copy = repaired.get_or_insert_with(|| arguments.to_vec());
            for octet in copy.get_mut(at + 1..at + width)? {
                if !octet.is_ascii() {
                    *octet = b'?';
                }
            }
        }
        at += width;
    }
    repaired
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_routing_key_that_is_not_utf8_is_made_ascii() {
        let sent = b"\x03tag\0\0\0\0\0\0\0\x01\0\x02ex\x04k\xff\xc3y";
        let expected = b"\x03tag\0\0\0\0\0\0\0\x01\0\x02ex\x04k??y";
        assert_eq!(repair(60, 60, sent).unwrap(), expected);
        assert_eq!(
            repair(60, 50, b"\x01\x38\x08NO_ROUTE\x02ex\x02\xc3(").unwrap(),
            b"\x01\x38\x08NO_ROUTE\x02ex\x02?("
        );
        assert_eq!(repair(60, 71, b"\0\0\0\0\0\0\0\x01\0\x02ex\x01\x80\0\0\0\0").unwrap()[13], b'?');
    }

    #[test]
    fn utf8_and_what_is_no_delivery_stay() {
        assert_eq!(repair(60, 60, "\x03tag\0\0\0\0\0\0\0\x01\0\x02ex\x05kläy".as_bytes()), None);
        assert_eq!(repair(60, 60, b"\x09cut"), None);
        assert_eq!(repair(60, 21, b"\x01\xff"), None);
    }
}
