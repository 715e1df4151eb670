//! Why the guard ends a connection.

use super::{MAX_UNSOLICITED, preface::PeerProtocol, table};

/// Why the guard ends a connection: the peer violates AMQP 0-9-1, or speaks another protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GuardError {
    /// The peer's first bytes belong to another protocol.
    #[error("{0}")]
    OtherProtocol(PeerProtocol),
    /// A frame beyond the negotiated size.
    #[error("the broker sent a {what} frame of {size} bytes, the limit is {limit}")]
    FrameTooLarge {
        /// The type of the frame.
        what: &'static str,
        /// Its size in bytes, head and end octet included.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A frame without the frame-end octet: frame boundaries are lost.
    #[error("the broker sent a frame that ends in octet {0:#04x} instead of 0xce")]
    FrameEnd(u8),
    /// An unknown frame type.
    #[error("the broker sent a frame of unknown type {0}")]
    FrameType(u8),
    /// A frame that is too short for its type.
    #[error("the broker sent a truncated {0} frame")]
    CutShort(&'static str),
    /// Server properties in `connection.start` that lapin cannot parse.
    #[error("the server properties in connection.start are {}", match .0 {
        table::TableError::TooDeep => "nested deeper than 32 tables",
        table::TableError::Malformed => "malformed",
    })]
    ServerProperties(table::TableError),
    /// A client method with a field table, which lapin would parse before refusing it.
    #[error("the broker sent method {class}.{method}, which only clients may send")]
    ClientMethod {
        /// The class id.
        class: u16,
        /// The method id.
        method: u16,
    },
    /// A content frame out of order.
    #[error("the broker sent {0}")]
    OutOfStep(&'static str),
    /// More messages than the prefetch allows.
    #[error("the broker ignores the prefetch: it sent more than {0} unacknowledged messages")]
    BeyondPrefetch(usize),
    /// More returned messages than are in flight.
    #[error("the broker returned more messages than are in flight")]
    TooManyReturns,
    /// More unsolicited methods than lapin can process.
    #[error("the broker sent more than {MAX_UNSOLICITED} unsolicited methods within ten seconds")]
    TooManyUnsolicited,
}

impl GuardError {
    /// Whether another attempt at the same address would fail the same way.
    pub(crate) fn is_permanent(&self) -> bool {
        matches!(self, Self::OtherProtocol(_))
    }
}
