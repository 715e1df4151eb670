//! Stall detection: every slot is taken and nothing ends, which otherwise looks like a server without work.

use std::time::Duration;

use tokio::time::Instant;

/// How long no job may end before a stall is reported. Well below the default timeout of a call, so that the report
/// comes before callers time out and hide a server that waits for itself.
const STALLED: Duration = Duration::from_secs(10);

/// The pause between two reports.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// Detects stalls of one run.
#[derive(Debug, Default)]
pub(crate) struct StallDetector {
    /// Since when all slots are taken and no job has ended, and how many had ended by then.
    since: Option<(Instant, u64)>,
    reported: Option<Instant>,
}

impl StallDetector {
    /// Returns how long no job has ended, if that must be reported now. `ended` is the number of jobs that have ended.
    pub(crate) fn check(&mut self, now: Instant, all_taken: bool, ended: u64) -> Option<Duration> {
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
        let recently = self.reported.is_some_and(|reported| now.saturating_duration_since(reported) < REPORT_EVERY);
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
        let (mut stall, begun) = (StallDetector::default(), Instant::now());
        let reports: Vec<u32> =
            (0..140).filter(|seconds| stall.check(begun + SECOND * *seconds, true, 7).is_some()).collect();
        assert_eq!(reports, [10, 70, 130]);
    }

    #[test]
    fn a_free_slot_or_a_job_that_ends_is_no_stall() {
        let (mut stall, begun) = (StallDetector::default(), Instant::now());
        let mut busy = StallDetector::default();
        for seconds in 0..200 {
            assert_eq!(stall.check(begun + SECOND * seconds, seconds % 9 != 0, 0), None);
            assert_eq!(busy.check(begun + SECOND * seconds, true, u64::from(seconds / 9)), None);
        }
    }
}
