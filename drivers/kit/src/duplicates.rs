//! The duplicate filter that all listeners of a transport share.
//!
//! A message comes twice when its first delivery was not settled before the connection was lost: the broker hands it out
//! again, maybe to us, while the method still runs; or when its sender published it again. A second delivery is never
//! handed out; it is settled as the first one is, so that one that is still being worked on is not settled too early.

use std::{
    collections::hash_map::Entry,
    fmt,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

use oxlo_transport::Settlement;
use tokio::time::Instant;

use super::{
    dedup::Dedup,
    numbers::{Numbered, Numbers},
};

/// Settles one delivery.
pub trait Settler {
    /// Tells the broker; must not block.
    fn settle(self, settlement: Settlement);
}

impl<F: FnOnce(Settlement)> Settler for F {
    fn settle(self, settlement: Settlement) {
        self(settlement);
    }
}

/// Names a message among those that the listeners of a transport take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name(u128);

/// Which messages were delivered, and who settles those that are being worked on.
pub struct Duplicates<S> {
    numbers: Numbers,
    seen: Mutex<Seen<S>>,
}

struct Seen<S> {
    ids: Dedup,
    unsettled: Numbered<Deliveries<S>>,
}

/// The deliveries of one message; of nearly every one there is only the first.
struct Deliveries<S> {
    first: S,
    again: Vec<S>,
}

impl<S: Settler> Duplicates<S> {
    /// The name of a message, of all that tells it from others: its id, and the queue that it comes from where the same one
    /// comes to several.
    #[must_use]
    pub fn name(&self, parts: impl Hash) -> Name {
        Name(self.numbers.of(parts))
    }

    /// Whether this is the first delivery of the message. If not, it will be settled as the first one is, or is settled.
    pub fn is_first(&self, Name(id): Name, settler: S) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.ids.insert(id, Instant::now()) {
            match seen.unsettled.get_mut(&id) {
                Some(deliveries) => deliveries.again.push(settler),
                None => {
                    drop(seen);
                    settler.settle(Settlement::Ack);
                }
            }
            return false;
        }
        match seen.unsettled.entry(id) {
            // The filter forgot the id, by age or by number, while the message is still being worked on.
            Entry::Occupied(deliveries) => {
                deliveries.into_mut().again.push(settler);
                false
            }
            Entry::Vacant(place) => {
                place.insert(Deliveries { first: settler, again: Vec::new() });
                true
            }
        }
    }

    /// Settles every delivery of a message. One that goes back is no duplicate when it comes again.
    pub fn settle(&self, Name(id): Name, settlement: Settlement) {
        let deliveries = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(settlement, Settlement::Requeue | Settlement::Defer(_)) {
                seen.ids.forget(id);
            }
            seen.unsettled.remove(&id)
        };
        if let Some(Deliveries { first, again }) = deliveries {
            first.settle(settlement);
            again.into_iter().for_each(|settler| settler.settle(settlement));
        }
    }
}

impl<S> Default for Duplicates<S> {
    fn default() -> Self {
        let seen = Seen { ids: Dedup::default(), unsettled: Numbered::default() };
        Self { numbers: Numbers::default(), seen: Mutex::new(seen) }
    }
}

impl<S> fmt::Debug for Duplicates<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Duplicates").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    type Told = mpsc::Sender<(u32, Settlement)>;

    fn settler(told: &Told, tag: u32) -> Box<dyn FnOnce(Settlement)> {
        let told = told.clone();
        Box::new(move |settlement| told.send((tag, settlement)).unwrap())
    }

    #[test]
    fn a_duplicate_of_what_is_done_is_acknowledged() {
        let (told, settled) = mpsc::channel();
        let duplicates = Duplicates::default();
        let a = duplicates.name(("queue", "a"));
        assert!(duplicates.is_first(a, settler(&told, 1)));
        duplicates.settle(a, Settlement::Ack);
        assert!(!duplicates.is_first(duplicates.name(("queue", "a")), settler(&told, 2)));
        assert_eq!(settled.try_iter().collect::<Vec<_>>(), [(1, Settlement::Ack), (2, Settlement::Ack)]);
    }

    #[test]
    fn a_duplicate_of_what_is_being_done_waits_for_it() {
        let (told, settled) = mpsc::channel();
        let duplicates = Duplicates::default();
        let a = duplicates.name("a");
        for tag in 1..=3 {
            assert_eq!(duplicates.is_first(a, settler(&told, tag)), tag == 1);
        }
        assert_eq!(settled.try_iter().count(), 0);
        duplicates.settle(a, Settlement::Reject);
        assert_eq!(settled.try_iter().collect::<Vec<_>>(), [1, 2, 3].map(|tag| (tag, Settlement::Reject)));
    }

    #[test]
    fn what_went_back_is_no_duplicate() {
        let (told, settled) = mpsc::channel();
        let duplicates = Duplicates::default();
        let a = duplicates.name("a");
        assert!(duplicates.is_first(a, settler(&told, 1)));
        duplicates.settle(a, Settlement::Requeue);
        assert!(duplicates.is_first(a, settler(&told, 2)));
        assert_eq!(settled.try_iter().collect::<Vec<_>>(), [(1, Settlement::Requeue)]);
    }

    #[test]
    fn the_same_id_in_another_queue_is_another_message() {
        let (told, _settled) = mpsc::channel();
        let duplicates = Duplicates::default();
        for queue in ["here", "there"] {
            assert!(duplicates.is_first(duplicates.name((queue, "a")), settler(&told, 1)), "{queue}");
        }
    }

    #[test]
    fn a_message_that_outlived_its_id_keeps_its_settler() {
        let (told, settled) = mpsc::channel();
        let duplicates = Duplicates::default();
        let slow = duplicates.name("slow");
        assert!(duplicates.is_first(slow, settler(&told, 0)));
        for other in 1..=u32::try_from(Dedup::CAPACITY).unwrap() {
            let name = duplicates.name(other);
            assert!(duplicates.is_first(name, settler(&told, other)));
            duplicates.settle(name, Settlement::Ack);
        }
        assert_eq!(settled.try_iter().count(), Dedup::CAPACITY);
        assert!(!duplicates.is_first(slow, settler(&told, 9_999)), "it is still being worked on");
        duplicates.settle(slow, Settlement::Ack);
        assert_eq!(settled.try_iter().collect::<Vec<_>>(), [(0, Settlement::Ack), (9_999, Settlement::Ack)]);
    }
}
