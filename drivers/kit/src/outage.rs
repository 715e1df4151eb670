//! The log of a connection that is down: one warning after the first second, then one every half minute.

use std::time::Duration;

use oxlo_transport::TransportError;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::{link::Role, text::chain};

/// An outage that ends within this time is not logged: every restart of a broker has many of them.
const FIRST: Duration = Duration::from_secs(1);
/// The pause between two warnings of one outage.
const PERIOD: Duration = Duration::from_secs(30);

/// The time in which a link has no connection.
#[derive(Debug)]
pub(crate) struct Outage {
    role: Role,
    since: Instant,
    due: Instant,
    attempts: u32,
    /// The last attempt: its host, and why it failed.
    last: Option<(String, String)>,
}

/// One warning.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Report<'a> {
    /// The host that was tried last.
    pub(crate) broker: &'a str,
    /// Attempts that failed since the outage began.
    pub(crate) attempts: u32,
    /// How long the outage has lasted.
    pub(crate) lasting: Duration,
    /// Why the last attempt failed, on one line.
    pub(crate) reason: &'a str,
}

impl Outage {
    /// An outage that begins now.
    pub(crate) fn begin(role: Role, now: Instant) -> Self {
        Self { role, since: now, due: now + FIRST, attempts: 0, last: None }
    }

    /// Notes an attempt that failed.
    pub(crate) fn failed(&mut self, broker: &str, error: &TransportError) {
        self.attempts += 1;
        self.last = Some((broker.to_owned(), chain(error)));
    }

    /// How long it has lasted.
    pub(crate) fn lasting(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// When the next warning is due; `None` as long as no attempt has failed, because there is no reason to give.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.last.as_ref().map(|_| self.due)
    }

    /// The warning, if one is due.
    pub(crate) fn report(&mut self, now: Instant) -> Option<Report<'_>> {
        if now < self.due()? {
            return None;
        }
        self.due = now + PERIOD;
        let (attempts, lasting) = (self.attempts, self.lasting(now));
        let (broker, reason) = self.last.as_ref()?;
        Some(Report { broker, attempts, lasting, reason })
    }

    /// Does `work`, and logs what becomes due meanwhile.
    pub(crate) async fn logged_during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            let due = self.due();
            let warning = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = warning => self.log(),
            }
        }
    }

    fn log(&mut self) {
        let role = self.role.name();
        if let Some(Report { broker, attempts, lasting, reason }) = self.report(Instant::now()) {
            warn!(broker, role, attempts, ?lasting, reason, "no connection to the broker, retrying");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refused() -> TransportError {
        TransportError::Unreachable { broker: "mq:1".to_owned(), waited: Duration::ZERO, source: None }
    }

    #[test]
    fn the_first_second_is_silent_and_then_there_is_a_line_every_half_minute() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut outage = Outage::begin(Role::Publish, begun);
        assert_eq!(outage.report(at(9)), None, "there is no reason to give yet");
        outage.failed("mq:1", &refused());
        assert_eq!(outage.report(begun + Duration::from_millis(999)), None);
        outage.failed("mq:2", &refused());
        let first = outage.report(at(1)).unwrap();
        assert_eq!((first.broker, first.attempts, first.lasting), ("mq:2", 2, Duration::from_secs(1)));
        assert!(first.reason.contains("no connection to mq:1"), "{first:?}");
        assert_eq!(outage.report(at(30)), None);
        assert_eq!(outage.report(at(31)).unwrap().lasting, Duration::from_secs(31));
        assert_eq!(outage.due(), Some(at(61)));
    }
}
