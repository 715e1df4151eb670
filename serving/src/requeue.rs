//! When and how often a requeued message is delivered again.

use std::time::Duration;

use oxlo_transport::{Deferral, Settle};
use rand::Rng;

/// The policy for messages that a handler requeued or failed on: pauses that double, and a limit.
#[derive(Clone, Copy, Debug)]
pub struct Requeue {
    /// The pause before the second redelivery. The first one has no pause, because another consumer may be idle.
    pub first: Duration,
    /// The longest pause.
    pub most: Duration,
    /// The most redeliveries.
    pub limit: u32,
}

impl Requeue {
    /// For requests: another server may accept one, and its caller learns nothing meanwhile, so pauses stay short.
    pub const REQUESTS: Self = Self { first: Duration::from_millis(250), most: Duration::from_secs(1), limit: 100 };

    /// For notifications: about ten minutes in total.
    pub const NOTIFICATIONS: Self =
        Self { first: Duration::from_millis(250), most: Duration::from_secs(60), limit: 20 };

    /// Whether a message may be redelivered once more.
    #[must_use]
    pub fn allows(&self, redeliveries: u32) -> bool {
        redeliveries < self.limit
    }

    /// Puts a message at the end of its queue, due after the pause.
    pub fn defer(&self, settle: Settle, redeliveries: u32) {
        settle.defer(self.pause(redeliveries, &mut rand::rng()));
    }

    /// Between half of a pause and all of it, so that messages that failed together are not redelivered together.
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
