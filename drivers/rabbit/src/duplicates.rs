//! Settling one delivery of one channel, and the filter that all listeners of a transport share.

use oxlo_transport::{Settlement, parts::duplicates};
use tokio::sync::mpsc;

/// Which messages were delivered, and who settles those that are being worked on.
pub(crate) type Duplicates = duplicates::Duplicates<Settler>;

/// Settles one delivery of one channel.
#[derive(Clone, Debug)]
pub(crate) struct Settler {
    pub(crate) sender: mpsc::UnboundedSender<Settled>,
    pub(crate) epoch: u64,
    pub(crate) tag: u64,
}

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    /// Incarnation of the channel; settlements of an earlier one are void.
    pub(crate) epoch: u64,
    pub(crate) tag: u64,
    pub(crate) settlement: Settlement,
}

impl duplicates::Settler for Settler {
    fn settle(self, settlement: Settlement) {
        // The listener may be gone; the broker then gives the message to another.
        let _ = self.sender.send(Settled { epoch: self.epoch, tag: self.tag, settlement });
    }
}
