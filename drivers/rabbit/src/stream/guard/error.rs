//! Why a stream is given up.

use super::{MOST_UNSOLICITED, preface::Looks, table};

/// Why a stream is given up: the peer breaks AMQP 0-9-1, or does not speak it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GuardError {
    /// The peer's first bytes are those of another protocol.
    #[error("{0}")]
    OtherProtocol(Looks),
    /// lapin would close the connection over it too, with less to say.
    #[error("the broker sent a {what} frame of {size} bytes, {limit} are agreed")]
    FrameTooLarge {
        /// The frame's type.
        what: &'static str,
        /// The frame's bytes, head and end included.
        size: usize,
        /// The limit it breaks.
        limit: usize,
    },
    /// A frame does not end in the frame-end octet: the stream is out of step.
    #[error("the broker sent a frame that ends in octet {0:#04x} instead of 0xce")]
    FrameEnd(u8),
    /// A frame type that AMQP 0-9-1 does not have.
    #[error("the broker sent a frame of unknown type {0}")]
    FrameType(u8),
    /// A frame that is too short for what its type promises.
    #[error("the broker sent a {0} frame that is cut short")]
    CutShort(&'static str),
    /// `connection.start` carries server properties that lapin must not parse.
    #[error("the server properties in connection.start are {}", match .0 {
        table::Flaw::TooDeep => "nested deeper than 32 tables",
        table::Flaw::Malformed => "malformed",
    })]
    ServerProperties(table::Flaw),
    /// A method with a field table that only clients send; lapin would parse it before it refuses it.
    #[error("the broker sent the method {class}.{method}, which only clients send")]
    ClientMethod {
        /// The class id.
        class: u16,
        /// The method id.
        method: u16,
    },
    /// A content frame where none belongs.
    #[error("the broker sent {0}")]
    OutOfStep(&'static str),
    /// More messages than were asked for.
    #[error("the broker ignores the prefetch: it sent more than {0} messages that are not acknowledged")]
    BeyondPrefetch(usize),
    /// More messages came back than are in flight.
    #[error("the broker returned more messages than are in flight")]
    Returned,
    /// More methods that nobody asked for than lapin keeps up with.
    #[error("the broker sent more than {MOST_UNSOLICITED} methods within ten seconds that nobody asked for")]
    Storm,
}

impl GuardError {
    /// Whether another attempt at the same address must end the same way.
    pub(crate) fn is_permanent(&self) -> bool {
        matches!(self, Self::OtherProtocol(_))
    }
}
