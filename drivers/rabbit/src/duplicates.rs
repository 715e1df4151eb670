//! The duplicate filter that all listeners of a transport share.
//!
//! A message comes twice when its first delivery was not acknowledged before the connection was lost, or when its
//! sender published it again. A second delivery is never handed out; it is settled as the first one is, so that one
//! that is still being worked on is not acknowledged too early.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use oxlo_transport::{Settlement, parts::dedup::Dedup};
use tokio::{sync::mpsc, time::Instant};

use crate::sabotage;

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

impl Settler {
    pub(crate) fn settle(self, settlement: Settlement) {
        // The listener may be gone; the broker then gives the message to another.
        let _ = self.sender.send(Settled { epoch: self.epoch, tag: self.tag, settlement });
    }
}

#[derive(Debug, Default)]
pub(crate) struct Duplicates(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    ids: Dedup,
    unsettled: HashMap<String, Vec<Settler>>,
}

impl Duplicates {
    /// Whether this is the first delivery of the message. If not, it will be settled as the first one is, or is settled.
    pub(crate) fn is_first(&self, id: &str, settler: Settler) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.ids.insert(id, Instant::now()) || sabotage::breaks("duplicates") {
            seen.unsettled.insert(id.to_owned(), vec![settler]);
            return true;
        }
        match seen.unsettled.get_mut(id) {
            Some(deliveries) => deliveries.push(settler),
            None => settler.settle(Settlement::Ack),
        }
        false
    }

    /// Settles every delivery of a message. One that goes back is no duplicate when it comes again.
    pub(crate) fn settle(&self, id: &str, settlement: Settlement) {
        let deliveries = {
            let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if settlement == Settlement::Requeue {
                seen.ids.forget(id);
            }
            seen.unsettled.remove(id)
        };
        for settler in deliveries.into_iter().flatten() {
            settler.settle(settlement);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settler(sender: &mpsc::UnboundedSender<Settled>, tag: u64) -> Settler {
        Settler { sender: sender.clone(), epoch: 0, tag }
    }

    fn settled(receiver: &mut mpsc::UnboundedReceiver<Settled>) -> Vec<(u64, Settlement)> {
        std::iter::from_fn(|| receiver.try_recv().ok()).map(|settled| (settled.tag, settled.settlement)).collect()
    }

    #[tokio::test]
    async fn a_duplicate_of_what_is_done_is_acknowledged() {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let duplicates = Duplicates::default();
        assert!(duplicates.is_first("a", settler(&sender, 1)));
        duplicates.settle("a", Settlement::Ack);
        assert!(!duplicates.is_first("a", settler(&sender, 2)));
        assert_eq!(settled(&mut receiver), [(1, Settlement::Ack), (2, Settlement::Ack)]);
    }

    #[tokio::test]
    async fn a_duplicate_of_what_is_being_done_waits_for_it() {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let duplicates = Duplicates::default();
        assert!(duplicates.is_first("a", settler(&sender, 1)));
        assert!(!duplicates.is_first("a", settler(&sender, 2)));
        assert_eq!(settled(&mut receiver), []);
        duplicates.settle("a", Settlement::Reject);
        assert_eq!(settled(&mut receiver), [(1, Settlement::Reject), (2, Settlement::Reject)]);
    }

    #[tokio::test]
    async fn what_went_back_is_no_duplicate() {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let duplicates = Duplicates::default();
        assert!(duplicates.is_first("a", settler(&sender, 1)));
        duplicates.settle("a", Settlement::Requeue);
        assert!(duplicates.is_first("a", settler(&sender, 2)));
        assert_eq!(settled(&mut receiver), [(1, Settlement::Requeue)]);
    }
}
