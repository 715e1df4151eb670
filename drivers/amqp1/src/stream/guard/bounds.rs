//! Limits on the work and the memory that a peer can cause in fe2o3-amqp. Each of these numbers is free for the peer to
//! choose.

use std::collections::HashMap;

use super::GuardError;
use crate::encoding::Raw;

/// Ids that the broker's dispositions may name for each delivery, in either direction. It names a delivery once or
/// twice: when its outcome is known, and when it is settled.
const IDS_PER_DELIVERY: u32 = 4;
/// Ids that they may name in total, whatever was sent before. At most 4096 sent messages await their outcome.
const MAX_IDS: u32 = 1 << 17;
/// Ids that they may name on a new connection.
const INITIAL_IDS: u32 = 64;
/// Messages that may be incomplete at a time; fe2o3-amqp keeps all of them.
pub(super) const MAX_PARTIAL: usize = 1 << 16;
/// Transfers of one message; fe2o3-amqp keeps all of them.
pub(super) const MAX_TRANSFERS: u32 = 1 << 15;

/// What was sent so far, where it limits what may follow.
#[derive(Debug)]
pub(super) struct Bounds {
    /// The largest message in bytes that passes whole.
    message_max: usize,
    /// Bytes and transfers so far of incomplete messages, by channel and handle.
    partial: HashMap<(u16, u64), (usize, u32)>,
    /// Ids that the broker's dispositions may still name.
    ids: u32,
}

impl Bounds {
    pub(super) fn new(message_max: usize) -> Self {
        Self { message_max, partial: HashMap::new(), ids: INITIAL_IDS }
    }

    /// Counts deliveries, in either direction.
    pub(super) fn count_deliveries(&mut self, deliveries: u32) {
        self.ids = self.ids.saturating_add(deliveries.saturating_mul(IDS_PER_DELIVERY)).min(MAX_IDS);
    }

    /// Starts a link with this handle.
    pub(super) fn attach(&mut self, channel: u16, handle: u64) {
        self.partial.remove(&(channel, handle));
    }

    /// Checks a disposition: it must not name more ids than there are deliveries.
    pub(super) fn check_disposition(&mut self, fields: Raw<'_>) -> Result<(), GuardError> {
        let mut ids = fields.elements().skip(1);
        let first = ids.next().and_then(Raw::unsigned).unwrap_or(0);
        let last = ids.next().and_then(Raw::unsigned).unwrap_or(first);
        // A range that goes backwards or wraps around is empty in fe2o3-amqp.
        let named = last.saturating_sub(first).saturating_add(1);
        let left = u32::try_from(named).ok().and_then(|named| self.ids.checked_sub(named));
        self.ids = left.ok_or(GuardError::Dispositions { named, known: self.ids })?;
        Ok(())
    }

    /// The part of a transfer's payload that passes: nothing beyond the largest message. A truncated message cannot be
    /// read and is refused as too large.
    ///
    /// # Errors
    ///
    /// `Transfers` or `Partial` beyond those limits.
    pub(super) fn admit<'a>(
        &mut self,
        channel: u16,
        fields: Raw<'_>,
        payload: &'a [u8],
    ) -> Result<&'a [u8], GuardError> {
        let mut fields = fields.elements();
        let handle = fields.next().and_then(Raw::unsigned).unwrap_or(0);
        let more = fields.nth(4).and_then(Raw::boolean).unwrap_or(false);
        let aborted = fields.nth(3).and_then(Raw::boolean).unwrap_or(false);
        let (before, transfers) = self.partial.get(&(channel, handle)).copied().unwrap_or((0, 0));
        let admitted = payload.len().min(self.message_max.saturating_sub(before));
        if more && !aborted {
            if transfers >= MAX_TRANSFERS {
                return Err(GuardError::Transfers);
            }
            self.partial.insert((channel, handle), (before + admitted, transfers + 1));
            if self.partial.len() > MAX_PARTIAL {
                return Err(GuardError::Partial);
            }
        } else {
            self.partial.remove(&(channel, handle));
            self.count_deliveries(1);
        }
        Ok(&payload[..admitted])
    }
}
