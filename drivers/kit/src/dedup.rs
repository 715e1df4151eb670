//! The filter against duplicates: which `_unique_id`s were seen lately.

use std::{
    collections::{VecDeque, hash_map::Entry},
    time::Duration,
};

use tokio::time::Instant;

use super::numbers::Numbered;

/// Remembers the last ids for a while, to tell a first delivery from a repeated one.
///
/// A publisher that lost its connection before the confirm sends the same message again with the same `_unique_id`, and a
/// broker delivers again what was not acknowledged. oslo.messaging remembers 16 ids per listener; here it is 8192 ids and
/// ten minutes by default. An id that fell out, by number or by age, counts as new.
///
/// Ids are [numbers](super::numbers), so that a peer can neither fill the memory nor make a foreign id look seen. Insert,
/// look-up and forget take constant time.
///
/// There is no lock inside and no clock: the caller holds the one and passes the other.
#[derive(Debug)]
pub struct Dedup {
    capacity: usize,
    max_age: Duration,
    /// id -> the number of the insertion that holds now.
    live: Numbered<u64>,
    /// Insertions, oldest first. One whose number is no longer in `live` was forgotten.
    order: VecDeque<Insertion>,
    next: u64,
}

#[derive(Debug)]
struct Insertion {
    id: u128,
    number: u64,
    at: Instant,
}

impl Dedup {
    /// How many ids are held by default.
    pub const CAPACITY: usize = 8192;
    /// How long an id is held by default.
    pub const MAX_AGE: Duration = Duration::from_secs(600);

    /// A filter that holds at most `capacity` ids (at least one), each for less than `max_age`.
    #[must_use]
    pub fn new(capacity: usize, max_age: Duration) -> Self {
        Self { capacity: capacity.max(1), max_age, live: Numbered::default(), order: VecDeque::new(), next: 0 }
    }

    /// Notes `id` as seen at `now`. True when it was not known: this is its first delivery.
    ///
    /// Seeing an id again does not prolong how long it is held.
    pub fn insert(&mut self, id: u128, now: Instant) -> bool {
        self.expire(now);
        let number = self.next;
        match self.live.entry(id) {
            Entry::Occupied(_) => return false,
            Entry::Vacant(vacant) => vacant.insert(number),
        };
        self.next += 1;
        self.order.push_back(Insertion { id, number, at: now });
        while self.live.len() > self.capacity {
            self.drop_oldest();
        }
        // Forgotten insertions are only marks; sweeping at twice the capacity keeps the cost per insertion constant.
        if self.order.len() > self.capacity.saturating_mul(2) {
            let live = &self.live;
            self.order.retain(|insertion| live.get(&insertion.id) == Some(&insertion.number));
        }
        true
    }

    /// Makes `id` unknown again: the message was given back, and its next delivery is to be handled.
    pub fn forget(&mut self, id: u128) {
        self.live.remove(&id);
    }

    /// How many ids are held, those included whose age has passed since the last insertion.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether no id is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    fn expire(&mut self, now: Instant) {
        while self.order.front().is_some_and(|oldest| now.saturating_duration_since(oldest.at) >= self.max_age) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.order.pop_front()
            && let Entry::Occupied(held) = self.live.entry(oldest.id)
            && *held.get() == oldest.number
        {
            held.remove();
        }
    }
}

impl Default for Dedup {
    fn default() -> Self {
        Self::new(Self::CAPACITY, Self::MAX_AGE)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: u128 = 0x8ace_4157_6c8f_4233_bd85_8831_e990_8f71;

    #[test]
    fn the_second_time_is_a_duplicate_until_forgotten() {
        let (mut dedup, now) = (Dedup::default(), Instant::now());
        for id in [ID, 0, u128::MAX, ID ^ 1, ID.rotate_left(64)] {
            assert!(dedup.insert(id, now), "{id}");
            assert!(!dedup.insert(id, now), "{id}");
        }
        dedup.forget(ID);
        assert!(dedup.insert(ID, now));
        assert!(!dedup.insert(ID, now));
        assert_eq!(dedup.len(), 5);
    }

    #[test]
    fn the_oldest_goes_when_it_is_full() {
        let (mut dedup, now) = (Dedup::new(3, Dedup::MAX_AGE), Instant::now());
        for id in [1, 2, 3, 4] {
            assert!(dedup.insert(id, now));
        }
        assert!(!dedup.insert(2, now));
        assert!(dedup.insert(1, now), "1 fell out when 4 came");
        assert_eq!(dedup.len(), 3);
    }

    #[test]
    fn an_id_is_new_again_after_its_age() {
        let (mut dedup, start) = (Dedup::new(8, Duration::from_secs(600)), Instant::now());
        assert!(dedup.insert(ID, start));
        assert!(!dedup.insert(ID, start + Duration::from_millis(599_999)), "and this look must not prolong it");
        assert!(dedup.insert(ID, start + Duration::from_secs(600)));
        assert_eq!(dedup.len(), 1);
    }

    #[test]
    fn a_clock_read_before_the_lock_may_lag() {
        let (mut dedup, early) = (Dedup::default(), Instant::now());
        assert!(dedup.insert(1, early + Duration::from_secs(1)));
        assert!(!dedup.insert(1, early));
    }

    #[test]
    fn giving_back_again_and_again_neither_grows_nor_evicts() {
        let (mut dedup, now) = (Dedup::new(4, Dedup::MAX_AGE), Instant::now());
        assert!(dedup.insert(ID, now));
        for _ in 0..10_000 {
            assert!(dedup.insert(1, now));
            dedup.forget(1);
        }
        assert!(!dedup.insert(ID, now));
        assert!(dedup.order.len() <= 8, "{} marks", dedup.order.len());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u8),
        Forget(u8),
        Pass(u16),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0_u8..24).prop_map(Step::Insert),
            2 => (0_u8..24).prop_map(Step::Forget),
            1 => (0_u16..400).prop_map(Step::Pass),
        ];
        prop::collection::vec(step, 0..300)
    }

    proptest! {
        /// The model keeps a plain list and searches it.
        #[test]
        fn behaves_as_a_searched_list(steps in steps(), capacity in 1_usize..12) {
            let max_age = Duration::from_secs(600);
            let mut dedup = Dedup::new(capacity, max_age);
            let mut now = Instant::now();
            let mut model: Vec<(u8, Instant)> = Vec::new();
            for step in steps {
                match step {
                    Step::Insert(id) => {
                        model.retain(|(_, at)| now - *at < max_age);
                        let first = model.iter().all(|(known, _)| *known != id);
                        if first {
                            model.push((id, now));
                            if model.len() > capacity {
                                model.remove(0);
                            }
                        }
                        prop_assert_eq!(dedup.insert(u128::from(id), now), first);
                    }
                    Step::Forget(id) => {
                        model.retain(|(known, _)| *known != id);
                        dedup.forget(u128::from(id));
                    }
                    Step::Pass(seconds) => now += Duration::from_secs(u64::from(seconds)),
                }
                prop_assert_eq!(dedup.len(), model.len());
                prop_assert!(dedup.order.len() <= 2 * capacity);
            }
        }
    }
}
