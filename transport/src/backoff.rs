//! Exponential backoff with full jitter.

use std::time::Duration;

use rand::Rng;

/// An exponential backoff with full jitter: the n-th delay is uniformly distributed between zero and `base * 2^n`, at most
/// `cap`.
///
/// Full jitter distributes clients that lost their broker at the same instant over the whole interval, so that they do not
/// all reconnect to a restarted broker at once. The sequence never ends: after the cap is reached, every further delay lies
/// between zero and the cap.
///
/// A pure value: it contains neither a clock nor a random number generator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    steps: u32,
}

impl Backoff {
    /// The default upper bound of the first delay.
    pub const BASE: Duration = Duration::from_millis(100);
    /// The default upper bound of all delays.
    pub const CAP: Duration = Duration::from_secs(5);

    /// Creates a backoff whose first delay is at most `base`, and all delays at most `cap`.
    #[must_use]
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, steps: 0 }
    }

    /// Returns the next delay and advances the sequence.
    pub fn next<R: Rng + ?Sized>(&mut self, rng: &mut R) -> Duration {
        let wait = jitter(rng, self.ceiling());
        self.steps = self.steps.saturating_add(1);
        wait
    }

    /// The upper bound of the next delay.
    #[must_use]
    pub fn ceiling(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.steps).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }

    /// Restarts the sequence, as after a success.
    pub fn reset(&mut self) {
        self.steps = 0;
    }
}

impl Default for Backoff {
    /// 100 ms doubling to 5 s.
    fn default() -> Self {
        Self::new(Self::BASE, Self::CAP)
    }
}

/// A uniformly distributed duration from zero to `most`, both included.
pub fn jitter<R: Rng + ?Sized>(rng: &mut R, most: Duration) -> Duration {
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(rng.random_range(0..=nanos))
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn ceilings_double_to_the_cap_and_stay() {
        let mut backoff = Backoff::default();
        let mut rng = StdRng::seed_from_u64(1);
        let mut seen = Vec::new();
        for _ in 0..8 {
            seen.push(backoff.ceiling().as_millis());
            backoff.next(&mut rng);
        }
        assert_eq!(seen, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        backoff.reset();
        assert_eq!(backoff, Backoff::default());
    }

    #[test]
    fn every_delay_is_below_its_ceiling_even_after_many_steps() {
        let mut backoff = Backoff::default();
        let mut rng = StdRng::seed_from_u64(2);
        for _ in 0..10_000 {
            let ceiling = backoff.ceiling();
            assert!(backoff.next(&mut rng) <= ceiling);
            assert!(ceiling <= Backoff::CAP);
        }
    }

    #[test]
    fn the_jitter_is_full() {
        let mut rng = StdRng::seed_from_u64(3);
        let most = Duration::from_secs(5);
        let drawn: Vec<f64> = (0..20_000).map(|_| jitter(&mut rng, most).as_secs_f64()).collect();
        for tenth in 0..10 {
            let low = f64::from(tenth) * 0.5;
            let share = drawn.iter().filter(|wait| (low..low + 0.5).contains(*wait)).count();
            assert!((1_700..2_300).contains(&share), "{share} of 20000 waits in [{low}, {low} + 0.5)");
        }
    }

    #[test]
    fn a_base_of_zero_or_above_the_cap_is_allowed() {
        let mut rng = StdRng::seed_from_u64(4);
        assert_eq!(Backoff::new(Duration::ZERO, Backoff::CAP).next(&mut rng), Duration::ZERO);
        let cap = Duration::from_millis(10);
        assert_eq!(Backoff::new(Duration::MAX, cap).ceiling(), cap);
    }
}
