//! The first bytes of a connection: whether the peer speaks AMQP 0-9-1.

use std::fmt;

/// Bytes of a TLS record header, of "HTTP/" and of "SSH-2".
const SHORTEST: usize = 5;

/// The protocol of a peer that does not start with a method frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PeerProtocol {
    /// A protocol header of AMQP 1.0, plain or SASL.
    Amqp10,
    /// A protocol header of another AMQP version: the peer refuses 0-9-1.
    OtherAmqp([u8; 4]),
    /// A TLS record, an alert about unencrypted bytes.
    Tls,
    /// An HTTP response.
    Http,
    /// An SSH banner.
    Ssh,
    /// Another protocol, with its first bytes (at most 5).
    Unknown(Vec<u8>),
}

impl fmt::Display for PeerProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Amqp10 => f.write_str("the peer speaks AMQP 1.0: use amqp:// or amqps://"),
            Self::OtherAmqp([id, major, minor, revision]) => write!(
                f,
                "the peer refuses AMQP 0-9-1 and offers the protocol header AMQP {id}.{major}.{minor}.{revision}"
            ),
            Self::Tls => f.write_str("the peer answers in TLS: use rabbits:// for this port"),
            Self::Http => f.write_str("the peer answers in HTTP: use the AMQP port of the broker"),
            Self::Ssh => f.write_str("the peer answers in SSH: use the AMQP port of the broker"),
            Self::Unknown(bytes) => {
                write!(f, "the peer does not speak AMQP 0-9-1: its first bytes are {}", bytes.escape_ascii())
            }
        }
    }
}

/// The result of [`check`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Preface {
    /// A method frame, with which AMQP 0-9-1 starts.
    Amqp091,
    /// This many bytes are needed.
    Need(usize),
    /// Another protocol.
    Other(PeerProtocol),
}

/// Checks the first bytes of a connection.
pub(crate) fn check(first: &[u8]) -> Preface {
    let enough = match first.first() {
        None => 1,
        Some(1) => return Preface::Amqp091,
        Some(b'A') => 8,
        Some(_) => SHORTEST,
    };
    if first.len() < enough { Preface::Need(enough) } else { Preface::Other(identify(first)) }
}

/// Identifies the protocol of a peer by all bytes that it sent, however few.
pub(crate) fn identify(first: &[u8]) -> PeerProtocol {
    match first {
        [b'A', b'M', b'Q', b'P', _, 1, 0, 0, ..] => PeerProtocol::Amqp10,
        [b'A', b'M', b'Q', b'P', id, major, minor, revision, ..] => {
            PeerProtocol::OtherAmqp([*id, *major, *minor, *revision])
        }
        // Content types change_cipher_spec to heartbeat, then the record's version 3.x.
        [0x14..=0x18, 3, ..] => PeerProtocol::Tls,
        _ if first.starts_with(b"HTTP/") => PeerProtocol::Http,
        _ if first.starts_with(b"SSH-") => PeerProtocol::Ssh,
        _ => PeerProtocol::Unknown(first.iter().copied().take(SHORTEST).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_frame_is_amqp_0_9_1() {
        assert_eq!(check(&[1]), Preface::Amqp091);
        assert_eq!(check(&[]), Preface::Need(1));
    }

    #[test]
    fn other_protocols_are_named() {
        for (first, expected) in [
            (&b"AMQP\x00\x01\x00\x00"[..], PeerProtocol::Amqp10),
            (b"AMQP\x03\x01\x00\x00more", PeerProtocol::Amqp10),
            (b"AMQP\x00\x00\x09\x01", PeerProtocol::OtherAmqp([0, 0, 9, 1])),
            (b"AMQP\x01\x01\x08\x00", PeerProtocol::OtherAmqp([1, 1, 8, 0])),
            (b"\x15\x03\x03\x00\x02\x02\x46", PeerProtocol::Tls),
            (b"HTTP/1.1 400 Bad Request\r\n", PeerProtocol::Http),
            (b"SSH-2.0-OpenSSH", PeerProtocol::Ssh),
            (b"-ERR unknown", PeerProtocol::Unknown(b"-ERR ".to_vec())),
        ] {
            assert_eq!(check(first), Preface::Other(expected), "{first:?}");
        }
    }

    #[test]
    fn a_protocol_header_is_judged_whole() {
        for length in 1..8 {
            assert_eq!(check(&b"AMQP\x00\x01\x00\x00"[..length]), Preface::Need(8));
        }
        assert_eq!(check(b"HTT"), Preface::Need(5));
    }
}
