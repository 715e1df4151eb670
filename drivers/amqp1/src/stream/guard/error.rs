//! Why a peer's bytes are not let through.

use std::sync::Arc;

use super::bounds::{MOST_PARTIAL, MOST_TRANSFERS};
use crate::scan::Malformed;

/// Why a peer's bytes are not let through.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum GuardError {
    /// It speaks something else.
    #[error("{0}")]
    OtherProtocol(Arc<str>),
    /// A frame that cannot be one.
    #[error("the broker sent a frame that cannot be read: {0}")]
    Frame(&'static str),
    /// A performative that cannot be one.
    #[error("the broker sent a performative that cannot be read: {0}")]
    Performative(#[from] Malformed),
    /// More outcomes than there can be.
    #[error("the broker told the outcome of {named} deliveries, of which at most {known} can be unsettled")]
    Dispositions {
        /// How many it named.
        named: u64,
        /// How many there can be.
        known: u32,
    },
    /// A message in more transfers than any has.
    #[error("the broker sent a message in more than {MOST_TRANSFERS} transfers")]
    Transfers,
    /// More messages that are not complete than there can be links.
    #[error("the broker sent parts of more than {MOST_PARTIAL} messages at a time")]
    Partial,
}

impl GuardError {
    /// Whether another attempt must end the same way.
    pub(crate) fn is_permanent(&self) -> bool {
        matches!(self, Self::OtherProtocol(_))
    }
}
