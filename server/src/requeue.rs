//! When and how often a message comes again that a handler did not want, or failed on.

use std::time::Duration;

use oxlo_transport::{Deferral, Settle};
use rand::Rng;

/// Pauses that double, and a limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requeue {
    /// The pause before the second time; before the first one there is none, because another listener may be idle.
    pub(crate) first: Duration,
    /// What no pause exceeds.
    pub(crate) most: Duration,
    /// How often it comes again.
    pub(crate) limit: u32,
}

impl Requeue {
    /// Of a server's requests: another server may want one, and nobody tells a caller meanwhile that it is not forgotten, so
    /// pauses stay short.
    pub(crate) const REQUESTS: Self =
        Self { first: Duration::from_millis(250), most: Duration::from_secs(1), limit: 100 };

    /// Of notifications: about ten minutes in all.
    pub(crate) const NOTIFICATIONS: Self =
        Self { first: Duration::from_millis(250), most: Duration::from_secs(60), limit: 20 };

    /// Whether a message that came back so often may come again.
    pub(crate) fn allows(&self, redeliveries: u32) -> bool {
        redeliveries < self.limit
    }

    /// Sends a message behind the others of its queue.
    pub(crate) fn defer(&self, settle: Settle, redeliveries: u32) {
        settle.defer(self.pause(redeliveries, &mut rand::rng()));
    }

    /// Between half of a pause and all of it, so that what failed together does not come again together.
    fn pause(&self, redeliveries: u32, rng: &mut impl Rng) -> Duration {
        let Some(doublings) = redeliveries.checked_sub(1) else { return Duration::ZERO };
        let whole = self.first.saturating_mul(1 << doublings.min(30)).min(self.most).min(Deferral::LONGEST);
        whole.mul_f64(rng.random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_limit() {
        let requeue = Requeue::NOTIFICATIONS;
        let mut rng = rand::rng();
        assert_eq!(requeue.pause(0, &mut rng), Duration::ZERO);
        for (redeliveries, whole) in [(1, 250), (2, 500), (8, 32_000), (9, 60_000), (u32::MAX, 60_000)] {
            let whole = Duration::from_millis(whole);
            let pause = requeue.pause(redeliveries, &mut rng);
            assert!(pause >= whole / 2 && pause <= whole, "{redeliveries}: {pause:?}");
        }
        assert!(requeue.allows(19) && !requeue.allows(20));
    }
}
