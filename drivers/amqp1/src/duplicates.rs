//! The duplicate filter that all listeners of a transport share.
//!
//! A call comes twice when its first delivery was not settled before the connection was lost: the broker hands it out again,
//! maybe to us, while the method still runs. A second delivery is never handed on; it is settled as the first one is, so that
//! a request that is still being worked on is not accepted too early.
//!
//! Only calls have a name on this wire: oslo gives casts and notifications none.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use oxlo_transport::{Settlement, parts::dedup::Dedup};
use tokio::time::Instant;

/// Settles one delivery.
pub(crate) type Settler = Box<dyn FnOnce(Settlement) + Send>;

#[derive(Default)]
pub(crate) struct Duplicates(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    ids: Dedup,
    unsettled: HashMap<String, Vec<Settler>>,
}

impl fmt::Debug for Duplicates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Duplicates").finish_non_exhaustive()
    }
}

impl Duplicates {
    /// Whether this is the first delivery of the message. If not, it will be settled as the first one is, or is settled.
    pub(crate) fn is_first(&self, id: &str, settler: Settler) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.ids.insert(id, Instant::now()) {
            seen.unsettled.insert(id.to_owned(), vec![settler]);
            return true;
        }
        match seen.unsettled.get_mut(id) {
            Some(deliveries) => deliveries.push(settler),
            None => {
                drop(seen);
                settler(Settlement::Ack);
            }
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
            settler(settlement);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;

    fn settler(told: &mpsc::Sender<(u32, Settlement)>, tag: u32) -> Settler {
        let told = told.clone();
        Box::new(move |settlement| told.send((tag, settlement)).unwrap())
    }

    #[test]
    fn a_duplicate_of_what_is_done_is_accepted() {
        let (told, settled) = mpsc::channel();
        let duplicates = Duplicates::default();
        assert!(duplicates.is_first("a", settler(&told, 1)));
        duplicates.settle("a", Settlement::Ack);
        assert!(!duplicates.is_first("a", settler(&told, 2)));
        assert_eq!(settled.try_iter().collect::<Vec<_>>(), [(1, Settlement::Ack), (2, Settlement::Ack)]);
    }

    #[test]
    fn a_duplicate_of_what_is_being_done_waits_for_it() {
        let (told, settled) = mpsc::channel();
        let duplicates = Arc::new(Duplicates::default());
        assert!(duplicates.is_first("a", settler(&told, 1)));
        assert!(!duplicates.is_first("a", settler(&told, 2)));
        assert_eq!(settled.try_iter().count(), 0);
        duplicates.settle("a", Settlement::Reject);
        assert_eq!(settled.try_iter().collect::<Vec<_>>(), [(1, Settlement::Reject), (2, Settlement::Reject)]);
    }

    #[test]
    fn what_went_back_is_no_duplicate() {
        let (told, settled) = mpsc::channel();
        let duplicates = Duplicates::default();
        assert!(duplicates.is_first("a", settler(&told, 1)));
        duplicates.settle("a", Settlement::Requeue);
        assert!(duplicates.is_first("a", settler(&told, 2)));
        assert_eq!(settled.try_iter().collect::<Vec<_>>(), [(1, Settlement::Requeue)]);
    }
}
