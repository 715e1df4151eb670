//! Notices that every place is taken and nothing ends, which otherwise looks like a server without work.

use std::time::Duration;

use tokio::time::Instant;

/// How long nothing must end before it is reported. Well below the default timeout of a call, so that the report comes
/// before the callers' own timeouts hide a server that waits for itself.
const STALLED: Duration = Duration::from_secs(10);

/// How long after a report the next one may come.
const AGAIN: Duration = Duration::from_secs(60);

/// Watches the places of one run.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    /// Since when all places are taken and nothing has ended, and how many had ended then.
    since: Option<(Instant, u64)>,
    reported: Option<Instant>,
}

impl Stall {
    /// `ended` counts what has ended so far. Returns how long nothing has ended, when that is to be reported.
    pub(crate) fn look(&mut self, now: Instant, all_taken: bool, ended: u64) -> Option<Duration> {
        if !all_taken {
            self.since = None;
            return None;
        }
        let since = match self.since {
            Some((since, then)) if then == ended => since,
            _ => {
                self.since = Some((now, ended));
                now
            }
        };
        let stalled = now.saturating_duration_since(since);
        let recently = self.reported.is_some_and(|reported| now.saturating_duration_since(reported) < AGAIN);
        if stalled < STALLED || recently {
            return None;
        }
        self.reported = Some(now);
        Some(stalled)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_stall_is_reported_after_ten_seconds_and_then_each_minute() {
        let (mut stall, begun) = (Stall::default(), Instant::now());
        let reports: Vec<u32> =
            (0..140).filter(|seconds| stall.look(begun + SECOND * *seconds, true, 7).is_some()).collect();
        assert_eq!(reports, [10, 70, 130]);
    }

    #[test]
    fn a_free_place_or_a_request_that_ends_is_no_stall() {
        let (mut stall, begun) = (Stall::default(), Instant::now());
        let mut busy = Stall::default();
        for seconds in 0..200 {
            assert_eq!(stall.look(begun + SECOND * seconds, seconds % 9 != 0, 0), None);
            assert_eq!(busy.look(begun + SECOND * seconds, true, u64::from(seconds / 9)), None);
        }
    }
}
