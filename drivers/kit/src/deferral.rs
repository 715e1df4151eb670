//! When a message that was sent behind the others is due, as it is written on the wire.
//!
//! Listeners of several machines share a queue, so the time is the wall clock's. A time that no listener would have
//! written (a clock that is wrong, a hostile sender) counts as due.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oxlo_transport::Deferral;
use tokio::time::Instant;

/// What a message says of its way through its queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// How often it came back, as far as its listeners counted that.
    pub redeliveries: u32,
    /// How often it was sent to its queue again, counted as a redelivery or not. Tells copies of one sending from the
    /// next one.
    pub round: u32,
    /// When it is due, in milliseconds since 1970; 0 if it always was.
    pub not_before: i64,
}

impl Way {
    /// What the message says when it is sent again.
    #[must_use]
    pub fn again(self, delay: Duration, counts: bool) -> Self {
        Self {
            redeliveries: self.redeliveries.saturating_add(u32::from(counts)),
            round: self.round.saturating_add(1),
            not_before: if delay.is_zero() { 0 } else { now().saturating_add(millis(delay.min(Deferral::LONGEST))) },
        }
    }

    /// When it is due; `None` if it is.
    #[must_use]
    pub fn due(self) -> Option<Instant> {
        if self.not_before == 0 {
            return None;
        }
        let left = Duration::from_millis(u64::try_from(self.not_before.saturating_sub(now())).ok()?);
        (!left.is_zero() && left <= Deferral::LONGEST).then(|| Instant::now() + left)
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sending_is_a_round_and_only_some_count() {
        let way = Way::default().again(Duration::ZERO, true).again(Duration::ZERO, false);
        assert_eq!(way, Way { redeliveries: 1, round: 2, not_before: 0 });
        assert_eq!(way.due(), None);
    }

    #[test]
    fn a_time_that_nobody_would_write_is_due() {
        let soon = Way::default().again(Duration::from_secs(60), true);
        assert!(soon.due().is_some_and(|due| due > Instant::now()));
        let longest = Way::default().again(Duration::MAX, true);
        assert!(longest.due().is_some_and(|due| due <= Instant::now() + Deferral::LONGEST));
        for not_before in [i64::MIN, -1, 1, i64::MAX] {
            assert_eq!(Way { not_before, ..Way::default() }.due(), None, "{not_before}");
        }
    }
}
