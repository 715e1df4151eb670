//! How much a peer may have fe2o3-amqp do and keep. Each number here is the peer's to choose, and costs it nothing.

use std::collections::HashMap;

use super::GuardError;
use crate::scan::Raw;

/// How many ids a broker's dispositions may name for each delivery that was sent, by it or by us. It names a delivery once
/// or twice: when its outcome is known, and when it is settled.
const IDS_PER_DELIVERY: u32 = 4;
/// How many ids they may name at once, whatever was sent before. At most 4096 messages of ours wait for their outcome.
const MOST_IDS: u32 = 1 << 17;
/// How many ids they may name on a new connection.
const FIRST_IDS: u32 = 64;
/// How many messages may be incomplete at a time, and in how many transfers one may come; fe2o3-amqp keeps them all.
pub(super) const MOST_PARTIAL: usize = 1 << 16;
pub(super) const MOST_TRANSFERS: u32 = 1 << 15;

/// What was sent so far, as far as it bounds what may follow.
#[derive(Debug)]
pub(super) struct Bounds {
    /// The largest message that is let through whole.
    message_max: usize,
    /// Bytes and transfers so far of messages whose transfers are not complete, by channel and handle.
    partial: HashMap<(u16, u64), (usize, u32)>,
    /// How many ids the broker's dispositions may still name: fe2o3-amqp looks up each, and the range is the broker's.
    ids: u32,
}

impl Bounds {
    pub(super) fn new(message_max: usize) -> Self {
        Self { message_max, partial: HashMap::new(), ids: FIRST_IDS }
    }

    /// So many deliveries were sent, by either end.
    pub(super) fn delivered(&mut self, deliveries: u32) {
        self.ids = self.ids.saturating_add(deliveries.saturating_mul(IDS_PER_DELIVERY)).min(MOST_IDS);
    }

    /// A link has this handle from now on.
    pub(super) fn attached(&mut self, channel: u16, handle: u64) {
        self.partial.remove(&(channel, handle));
    }

    /// Admits a disposition, if there can be so many deliveries.
    pub(super) fn settles(&mut self, fields: Raw<'_>) -> Result<(), GuardError> {
        let mut ids = fields.elements().skip(1);
        let first = ids.next().and_then(Raw::unsigned).unwrap_or(0);
        let last = ids.next().and_then(Raw::unsigned).unwrap_or(first);
        // fe2o3-amqp takes a range that goes backwards, or around, for empty.
        let named = last.saturating_sub(first).saturating_add(1);
        let left = u32::try_from(named).ok().and_then(|named| self.ids.checked_sub(named));
        self.ids = left.ok_or(GuardError::Dispositions { named, known: self.ids })?;
        Ok(())
    }

    /// The part of a transfer's payload that is let through: all of it, or none beyond the largest message. A message that
    /// is cut cannot be read and is refused as too large.
    ///
    /// # Errors
    ///
    /// `Transfers` or `Partial` if there are more of those than there can be.
    pub(super) fn admitted<'a>(
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
            if transfers >= MOST_TRANSFERS {
                return Err(GuardError::Transfers);
            }
            self.partial.insert((channel, handle), (before + admitted, transfers + 1));
            if self.partial.len() > MOST_PARTIAL {
                return Err(GuardError::Partial);
            }
        } else {
            self.partial.remove(&(channel, handle));
            self.delivered(1);
        }
        Ok(&payload[..admitted])
    }
}
