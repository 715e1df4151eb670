//! The first bytes of a connection: is the peer an AMQP 0-9-1 broker?

use std::fmt;

/// As many bytes as a TLS record header, "HTTP/" and "SSH-2" have.
const SHORTEST: usize = 5;

/// What a peer speaks that does not begin with a method frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Looks {
    /// A protocol header of AMQP 1.0, plain or SASL.
    Amqp10,
    /// A protocol header of another AMQP: the peer refuses 0-9-1.
    OtherAmqp([u8; 4]),
    /// A TLS record: an alert about our plain bytes.
    Tls,
    /// An HTTP answer.
    Http,
    /// An SSH banner.
    Ssh,
    /// Something else, with the bytes seen (5 at most).
    Unknown(Vec<u8>),
}

impl fmt::Display for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Amqp10 => f.write_str("the peer speaks AMQP 1.0: use amqp:// or amqps:// for it"),
            Self::OtherAmqp([id, major, minor, revision]) => write!(
                f,
                "the peer refuses AMQP 0-9-1 and offers the protocol header AMQP {id}.{major}.{minor}.{revision}"
            ),
            Self::Tls => f.write_str("the peer answers in TLS: use rabbits:// for this port"),
            Self::Http => f.write_str("the peer answers in HTTP: this is no AMQP port"),
            Self::Ssh => f.write_str("the peer answers in SSH: this is no AMQP port"),
            Self::Unknown(bytes) => {
                write!(f, "the peer does not speak AMQP 0-9-1: it began with {}", bytes.escape_ascii())
            }
        }
    }
}

/// What the first bytes say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Preface {
    /// A method frame, as AMQP 0-9-1 begins.
    Amqp091,
    /// That many bytes are needed to tell.
    Need(usize),
    /// Another protocol.
    Other(Looks),
}

/// Judges the first bytes of a connection.
pub(crate) fn judge(first: &[u8]) -> Preface {
    let enough = match first.first() {
        None => 1,
        Some(1) => return Preface::Amqp091,
        Some(b'A') => 8,
        Some(_) => SHORTEST,
    };
    if first.len() < enough { Preface::Need(enough) } else { Preface::Other(looks(first)) }
}

/// What a peer looks like by all that it said, however short.
pub(crate) fn looks(first: &[u8]) -> Looks {
    match first {
        [b'A', b'M', b'Q', b'P', _, 1, 0, 0, ..] => Looks::Amqp10,
        [b'A', b'M', b'Q', b'P', id, major, minor, revision, ..] => Looks::OtherAmqp([*id, *major, *minor, *revision]),
        // Content types change_cipher_spec to heartbeat, then the record's version 3.x.
        [0x14..=0x18, 3, ..] => Looks::Tls,
        _ if first.starts_with(b"HTTP/") => Looks::Http,
        _ if first.starts_with(b"SSH-") => Looks::Ssh,
        _ => Looks::Unknown(first.iter().copied().take(SHORTEST).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_frame_is_amqp_0_9_1() {
        assert_eq!(judge(&[1]), Preface::Amqp091);
        assert_eq!(judge(&[]), Preface::Need(1));
    }

    #[test]
    fn other_protocols_are_named() {
        for (first, expected) in [
            (&b"AMQP\x00\x01\x00\x00"[..], Looks::Amqp10),
            (b"AMQP\x03\x01\x00\x00more", Looks::Amqp10),
            (b"AMQP\x00\x00\x09\x01", Looks::OtherAmqp([0, 0, 9, 1])),
            (b"AMQP\x01\x01\x08\x00", Looks::OtherAmqp([1, 1, 8, 0])),
            (b"\x15\x03\x03\x00\x02\x02\x46", Looks::Tls),
            (b"HTTP/1.1 400 Bad Request\r\n", Looks::Http),
            (b"SSH-2.0-OpenSSH", Looks::Ssh),
            (b"-ERR unknown", Looks::Unknown(b"-ERR ".to_vec())),
        ] {
            assert_eq!(judge(first), Preface::Other(expected), "{first:?}");
        }
    }

    #[test]
    fn a_protocol_header_is_judged_whole() {
        for length in 1..8 {
            assert_eq!(judge(&b"AMQP\x00\x01\x00\x00"[..length]), Preface::Need(8));
        }
        assert_eq!(judge(b"HTT"), Preface::Need(5));
    }
}
