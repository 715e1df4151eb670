//! When to connect, and to which host: the decisions of reconnecting, without a socket.

use std::{num::NonZeroUsize, time::Duration};

use oxlo_transport::{Backoff, jitter};
use rand::{Rng, seq::SliceRandom};
use tokio::time::Instant;

/// The pure half of a reconnecting connection: told what happened, it says what to do next.
///
/// The driver starts with [`start`](Self::start), does what [`Next`] says, and reports each outcome by
/// [`failed`](Self::failed), [`connected`](Self::connected) or [`lost`](Self::lost). A host is an index into the driver's
/// own list. Nothing here sleeps, and the generator is the caller's, so a test decides both time and chance.
///
/// # The rules
///
/// * **Cycles.** Hosts are taken in turn; a cycle tries each exactly once. After a failure and after a loss the next host
///   is taken, never the same one while there is another.
/// * **The first cycle**, at the start or after the loss of a stable connection, goes through the hosts quickly: at the
///   start without a pause, later with a pause drawn from 0 to 100 ms before each, so that a thousand clients that were
///   dropped together do not come back together.
/// * **Later cycles** wait between 0 and 100 ms from host to host and take one step of full-jitter backoff (100 ms
///   doubling to 5 s, without end) before each cycle. Two attempts begin at least 500 ms apart, so a client makes at most
///   two per second whatever the number of hosts.
/// * **A connection that lasted less than a second** counts as a failed attempt: a broker that accepts and drops at once
///   is not hammered. A longer one resets backoff and cycle.
/// * **Nobody listens.** Where the host's kernel [refused](Self::refused) the connection, a later cycle waits at most
///   600 ms: such an attempt costs nobody anything, and a broker that was restarted is found within that time. Once it
///   accepts and fails otherwise, the full backoff holds.
/// * **Permanent errors** (credentials, virtual host, TLS, protocol) end the matter only before the first connection: once
///   a cycle is through with at least one of them and no connection, the answer is [`Next::GiveUp`]. After that they are
///   taken for a passing state of the broker: beyond the first cycle the attempt that follows one comes 5 s or more later.
#[derive(Debug, Clone)]
pub struct Supervisor {
    order: Vec<usize>,
    failover: Failover,
    /// Index into `order` of the attempt that is under way or was last.
    at: usize,
    /// Attempts of this cycle, the one under way included.
    tried: usize,
    first_cycle: bool,
    ever_connected: bool,
    connected_at: Option<Instant>,
    attempt_begins: Option<Instant>,
    /// The host that failed for good in this cycle, if one did.
    permanent: Option<usize>,
    backoff: Backoff,
    /// Whether somebody chose the backoff: then it holds in every case.
    own_pace: bool,
}

/// Which host comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// The list is shuffled once, so that clients with the same list spread over it. oslo.messaging's way.
    #[default]
    Shuffled,
    /// The list is taken as it was written.
    AsGiven,
}

/// In which order later cycles go through the hosts: oslo.messaging's `kombu_failover_strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Failover {
    /// Always the same order.
    #[default]
    RoundRobin,
    /// A new order for each cycle.
    Shuffle,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Wait for `after` (zero: do not wait), then try this host.
    Connect {
        /// Index of the host.
        host: usize,
        /// How long to wait first.
        after: Duration,
    },
    /// Stop: nothing was ever connected, every host was tried, and this one failed for a reason that will not pass.
    /// Its error is the one to report.
    GiveUp {
        /// Index of the host that failed for good.
        host: usize,
    },
}

/// Two attempts beyond the first cycle begin at least so far apart.
const ATTEMPT_GAP: Duration = Duration::from_millis(500);
/// After a permanent error beyond the first cycle: at least so long until the next attempt begins.
const PERMANENT_GAP: Duration = Duration::from_secs(5);
/// A connection that lasted so long was a good one.
const STABLE: Duration = Duration::from_secs(1);
/// Longest wait before a cycle when the last attempt was refused by the host's kernel.
const REFUSED_CAP: Duration = Duration::from_millis(600);
/// Most of the random pause that is added to every wait.
const SPREAD: Duration = Duration::from_millis(100);

impl Supervisor {
    /// A supervisor over `hosts` hosts that has not begun.
    pub fn new<R: Rng + ?Sized>(hosts: NonZeroUsize, start: Start, failover: Failover, rng: &mut R) -> Self {
        let mut order: Vec<usize> = (0..hosts.get()).collect();
        if start == Start::Shuffled {
            order.shuffle(rng);
        }
        Self {
            order,
            failover,
            at: 0,
            tried: 0,
            first_cycle: true,
            ever_connected: false,
            connected_at: None,
            attempt_begins: None,
            permanent: None,
            backoff: Backoff::default(),
            own_pace: false,
        }
    }

    /// Paces later cycles by `backoff`, in place of 100 ms doubling to 5 s.
    #[must_use]
    pub fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.own_pace = backoff != Backoff::default();
        self.backoff = backoff;
        self
    }

    /// The first thing to do: try the first host at once.
    pub fn start(&mut self, now: Instant) -> Next {
        self.tried = 1;
        self.connect(now, Duration::ZERO)
    }

    /// The attempt failed, or took longer than the driver gives it. `permanent` says that the same attempt would fail
    /// again: wrong credentials, unknown virtual host, refused certificate, another protocol.
    pub fn failed<R: Rng + ?Sized>(&mut self, permanent: bool, now: Instant, rng: &mut R) -> Next {
        self.after_failure(permanent, Duration::MAX, now, rng)
    }

    /// The attempt failed because nobody listens there: the host's kernel said so at once.
    pub fn refused<R: Rng + ?Sized>(&mut self, now: Instant, rng: &mut R) -> Next {
        self.after_failure(false, if self.own_pace { Duration::MAX } else { REFUSED_CAP }, now, rng)
    }

    fn after_failure<R: Rng + ?Sized>(&mut self, permanent: bool, cap: Duration, now: Instant, rng: &mut R) -> Next {
        if permanent {
            self.permanent = Some(self.order[self.at]);
        }
        let cycle_is_through = self.tried >= self.order.len();
        if cycle_is_through
            && !self.ever_connected
            && let Some(host) = self.permanent
        {
            return Next::GiveUp { host };
        }

        let mut wait = Duration::ZERO;
        if cycle_is_through {
            self.first_cycle = false;
            wait = self.backoff.next(rng).min(cap);
        }
        let gap = match (self.first_cycle, permanent) {
            (true, _) => Duration::ZERO,
            (false, true) => PERMANENT_GAP,
            (false, false) => {
                self.attempt_begins.map_or(Duration::ZERO, |begun| (begun + ATTEMPT_GAP).saturating_duration_since(now))
            }
        };
        let quick = self.first_cycle && !self.ever_connected;
        let spread = if quick { Duration::ZERO } else { jitter(rng, SPREAD) };

        if cycle_is_through {
            self.begin_cycle(rng);
        } else {
            self.at = (self.at + 1) % self.order.len();
            self.tried += 1;
        }
        self.connect(now, wait.max(gap + spread))
    }

    /// The attempt succeeded: the connection is open and ready for use.
    pub fn connected(&mut self, now: Instant) {
        self.ever_connected = true;
        self.connected_at = Some(now);
    }

    /// The connection that was reported by [`connected`](Self::connected) is gone.
    pub fn lost<R: Rng + ?Sized>(&mut self, now: Instant, rng: &mut R) -> Next {
        let lasted = self.connected_at.take().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if lasted < STABLE {
            return self.failed(false, now, rng);
        }
        self.backoff.reset();
        self.first_cycle = true;
        self.begin_cycle(rng);
        let spread = jitter(rng, SPREAD);
        self.connect(now, spread)
    }

    /// The host that is being tried or was last.
    #[must_use]
    pub fn host(&self) -> usize {
        self.order[self.at]
    }

    /// Whether a connection was ever reported: from then on nothing is given up.
    #[must_use]
    pub fn has_ever_connected(&self) -> bool {
        self.ever_connected
    }

    fn connect(&mut self, now: Instant, after: Duration) -> Next {
        self.attempt_begins = Some(now + after);
        Next::Connect { host: self.host(), after }
    }

    fn begin_cycle<R: Rng + ?Sized>(&mut self, rng: &mut R) {
        self.permanent = None;
        self.tried = 1;
        match self.failover {
            Failover::RoundRobin => self.at = (self.at + 1) % self.order.len(),
            Failover::Shuffle => {
                let last = self.host();
                self.order.shuffle(rng);
                if self.order[0] == last {
                    // Swapping with any other place keeps the host that just failed from coming first again.
                    let other = self.order.len() - 1;
                    self.order.swap(0, other);
                }
                self.at = 0;
            }
        }
    }
}

#[cfg(test)]
#[path = "supervisor_tests.rs"]
mod tests;
