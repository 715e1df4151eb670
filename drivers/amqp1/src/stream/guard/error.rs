//! Why the guard ends a connection.

use std::sync::Arc;

use super::bounds::{MAX_PARTIAL, MAX_TRANSFERS};
use crate::encoding::Malformed;

/// Why the guard ends a connection.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum GuardError {
    /// The peer speaks another protocol.
    #[error("{0}")]
    OtherProtocol(Arc<str>),
    /// An invalid frame.
    #[error("cannot read a frame: {0}")]
    Frame(&'static str),
    /// An invalid performative.
    #[error("cannot read a performative of the broker: {0}")]
    Performative(#[from] Malformed),
    /// More outcomes than deliveries.
    #[error("the broker sent the outcome of {named} deliveries, but at most {known} can be unsettled")]
    Dispositions {
        /// The number of ids that it named.
        named: u64,
        /// The number of ids that it may name.
        known: u32,
    },
    /// Too many transfers of one message.
    #[error("the broker sent a message in more than {MAX_TRANSFERS} transfers")]
    Transfers,
    /// Too many incomplete messages.
    #[error("the broker sent parts of more than {MAX_PARTIAL} messages at a time")]
    Partial,
}

impl GuardError {
    /// Whether another attempt would fail the same way.
    pub(crate) fn is_permanent(&self) -> bool {
        matches!(self, Self::OtherProtocol(_))
    }
}
