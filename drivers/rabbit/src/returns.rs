//! Which of our publishes came back.
//!
//! The broker sends a returned message before its confirm. lapin puts returned messages in a queue and gives the
//! oldest one to whatever confirm it settles next, so under pipelining a publish may be handed another's returned
//! message. Every message therefore carries an id of ours, and this decides by id:
//!
//! * A confirm that carried its own message: returned.
//! * A confirm that carried nothing: the queue was empty then, so its own message, if there was one, went with a
//!   confirm that was settled earlier, and is in this batch or an earlier one.
//! * A confirm that carried another's message: its own may still be in the queue. It is held until a later batch
//!   brings a confirm that carried nothing, or until nothing is outstanding.
//!
//! A batch must hold every confirm that is ready at that moment: within it the order is not known.

use std::collections::HashSet;

/// Decides for each publish whether it was returned. `T` is what the caller keeps for a publish.
#[derive(Debug)]
pub(crate) struct Returns<T> {
    returned: HashSet<u128>,
    held: Vec<(u128, T)>,
}

/// One confirm as lapin gives it.
#[derive(Debug)]
pub(crate) struct Confirmed<T> {
    pub(crate) id: u128,
    /// Id of the returned message that it carried.
    pub(crate) carried: Option<u128>,
    pub(crate) item: T,
}

impl<T> Returns<T> {
    pub(crate) fn new() -> Self {
        Self { returned: HashSet::new(), held: Vec::new() }
    }

    /// Takes every confirm that is ready; gives those that are decided, with whether they were returned.
    /// `outstanding` is the number of publishes whose confirm has not come yet.
    pub(crate) fn settle(
        &mut self,
        batch: impl IntoIterator<Item = Confirmed<T>>,
        outstanding: usize,
        mut decided: impl FnMut(T, bool),
    ) {
        let earlier = self.held.len();
        let mut queue_was_empty = false;
        let mut clear = Vec::new();
        for confirmed in batch {
            match confirmed.carried {
                Some(carried) => {
                    self.returned.insert(carried);
                    self.held.push((confirmed.id, confirmed.item));
                }
                None => {
                    queue_was_empty = true;
                    clear.push((confirmed.id, confirmed.item));
                }
            }
        }
        for (id, item) in clear {
            decided(item, self.returned.remove(&id));
        }
        for (place, (id, item)) in std::mem::take(&mut self.held).into_iter().enumerate() {
            if self.returned.remove(&id) {
                decided(item, true);
            } else if outstanding == 0 || (queue_was_empty && place < earlier) {
                decided(item, false);
            } else {
                self.held.push((id, item));
            }
        }
        if outstanding == 0 {
            // What is left came back for publishes that a lost channel has settled otherwise.
            self.returned.clear();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

    use super::*;

    /// lapin's side as it is: returned messages wait in a queue, every settled tag takes the oldest, and a `multiple`
    /// acknowledgement settles its tags in no order.
    #[derive(Default)]
    struct Lapin {
        unsettled: BTreeMap<u128, ()>,
        waiting: VecDeque<u128>,
        ready: Vec<Confirmed<u128>>,
    }

    impl Lapin {
        fn acknowledge(
            &mut self,
            up_to: u128,
            multiple: bool,
            rng: &mut StdRng,
            drain: &mut impl FnMut(Vec<Confirmed<u128>>, usize),
        ) {
            let mut tags: Vec<u128> = self
                .unsettled
                .keys()
                .copied()
                .filter(|tag| if multiple { *tag <= up_to } else { *tag == up_to })
                .collect();
            tags.shuffle(rng);
            for tag in tags {
                self.unsettled.remove(&tag);
                let carried = self.waiting.pop_front();
                self.ready.push(Confirmed { id: tag, carried, item: tag });
                // The pump runs on another thread: it may wake between any two.
                if rng.random_bool(0.3) {
                    let mut batch = std::mem::take(&mut self.ready);
                    batch.shuffle(rng);
                    drain(batch, self.unsettled.len());
                }
            }
        }
    }

    #[test]
    fn no_publish_is_ever_given_anothers_return() {
        for seed in 0..400 {
            let mut rng = StdRng::seed_from_u64(seed);
            let (mut lapin, mut returns) = (Lapin::default(), Returns::new());
            let (mut truth, mut verdicts) = (BTreeMap::new(), BTreeMap::new());
            let mut next = 0_u128;
            let mut drain = |batch: Vec<Confirmed<u128>>, outstanding: usize| {
                returns.settle(batch, outstanding, |id, returned| {
                    assert!(verdicts.insert(id, returned).is_none(), "decided twice");
                });
            };
            while next < 300 {
                for _ in 0..rng.random_range(1..20) {
                    let returned = rng.random_bool(0.3);
                    truth.insert(next, returned);
                    lapin.unsettled.insert(next, ());
                    if returned {
                        lapin.waiting.push_back(next);
                    }
                    next += 1;
                }
                let up_to = next - 1 - rng.random_range(0..3.min(next));
                let multiple = rng.random_bool(0.7);
                lapin.acknowledge(up_to, multiple, &mut rng, &mut drain);
            }
            lapin.acknowledge(next, true, &mut rng, &mut drain);
            let rest = std::mem::take(&mut lapin.ready);
            drain(rest, 0);
            assert_eq!(verdicts, truth, "seed {seed}");
        }
    }
}
