//! How old a request is when it arrives, without clocks that agree.
//!
//! `expiration` counts from the moment when the broker reads a message, and what is left of it is not told to whoever
//! takes it. So a request that waited in a queue, or in the socket of a frozen broker, could run long after its caller
//! gave up. Our own requests carry a UUIDv7 as their id, whose time is the sender's when it handed the message over.
//! Sender and receiver disagree about the time, but by the same amount for every message of one sender; the fastest
//! message there was shows that amount, and whatever another one took longer is its age.
//!
//! * A sender is known by its reply queue. Its first message has no age, because there is nothing to compare it with.
//! * Both sides count from one reading of the clock at the start, so that a clock that is set does not matter. A machine
//!   that was suspended does: then all its messages seem late by the same amount. An age that stays the same over
//!   messages sent in the course of `STANDING` is therefore taken for a difference of the clocks, and no age. (So is a
//!   queue that stays equally long all the time: its requests are then judged by `expiration` alone.)
//! * Messages of others (Python's ids say no time, or there are none) have no age.

use std::{
    collections::HashMap,
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use uuid::{NoContext, Timestamp, Uuid};

/// Ages within this of each other are the same: what networks and schedulers add.
const NOISE: i64 = 100;
/// How long an age must stay the same to be none.
const STANDING: i64 = 2000;
/// How many senders are remembered.
const MOST: usize = 4096;

/// An id that says when it was made, by this process's steady clock.
#[must_use]
pub fn stamped_id() -> Uuid {
    let now = steady_now();
    Uuid::new_v7(Timestamp::from_unix(NoContext, now.as_secs(), now.subsec_nanos()))
}

/// Since 1970, as the clock said when it was first asked, and steady from then on.
#[must_use]
pub fn steady_now() -> Duration {
    static BEGIN: OnceLock<(Instant, Duration)> = OnceLock::new();
    let (begun, at) = BEGIN.get_or_init(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        (Instant::now(), now)
    });
    *at + begun.elapsed()
}

/// When an id was made, by its maker's clock.
#[must_use]
pub fn stamp(id: Uuid) -> Option<Duration> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    (id.get_version_num() == 7).then(|| Duration::new(seconds, nanos))
}

/// The ages of messages, by sender. Shared by all listeners of a transport.
#[derive(Debug, Default)]
pub struct Lateness(Mutex<HashMap<String, Sender>>);

#[derive(Debug)]
struct Sender {
    /// The least difference between receiving and sending, in milliseconds: the clocks' and the fastest way.
    least: i64,
    /// Since which message (sent at, difference) the difference has been about the same and more than the least.
    standing: Option<(i64, i64)>,
    heard: i64,
}

impl Lateness {
    /// How much longer this message took than its sender's fastest one.
    pub fn age(&self, sender: &str, sent: Duration, received: Duration) -> Duration {
        let (sent, received) = (milliseconds(sent), milliseconds(received));
        let mut senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = senders.get_mut(sender) {
            return known.age(sent, received);
        }
        if senders.len() >= MOST {
            // Half of them at a time, so that this is rare.
            let mut heard: Vec<i64> = senders.values().map(|sender| sender.heard).collect();
            let (_, middle, _) = heard.select_nth_unstable(MOST / 2);
            let middle = *middle;
            senders.retain(|_, sender| sender.heard > middle);
        }
        let known = Sender { least: received.saturating_sub(sent), standing: None, heard: received };
        senders.insert(sender.to_owned(), known);
        Duration::ZERO
    }
}

impl Sender {
    fn age(&mut self, sent: i64, received: i64) -> Duration {
        self.heard = received;
        let difference = received.saturating_sub(sent);
        let age = difference.saturating_sub(self.least);
        if age < 0 {
            self.least = difference;
        }
        if age <= NOISE {
            self.standing = None;
            return Duration::from_millis(u64::try_from(age).unwrap_or(0));
        }
        match self.standing {
            Some((since, then)) if difference.abs_diff(then) <= NOISE.unsigned_abs() => {
                if sent.saturating_sub(since) >= STANDING {
                    (self.least, self.standing) = (difference, None);
                    return Duration::ZERO;
                }
            }
            _ => self.standing = Some((sent, difference)),
        }
        Duration::from_millis(u64::try_from(age).unwrap_or(0))
    }
}

fn milliseconds(since_1970: Duration) -> i64 {
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A receiver whose clock is behind or ahead of its senders'.
    struct Receiver {
        lateness: Lateness,
        skew: i64,
    }

    impl Receiver {
        fn new(skew: i64) -> Self {
            Self { lateness: Lateness::default(), skew }
        }

        fn age(&self, sent: i64, received: i64) -> u64 {
            let at = |time: i64| Duration::from_millis(u64::try_from(1_000_000_000 + time).unwrap());
            let age = self.lateness.age("reply_a", at(sent), at(received + self.skew));
            u64::try_from(age.as_millis()).unwrap()
        }
    }

    #[test]
    fn clocks_need_not_agree() {
        for skew in [-3_600_000, 0, 86_400_000] {
            let receiver = Receiver::new(skew);
            assert_eq!(receiver.age(0, 5), 0, "nothing to compare with");
            assert_eq!(receiver.age(100, 103), 0, "the fastest so far");
            assert_eq!(receiver.age(200, 213), 10);
            assert_eq!(receiver.age(300, 5_303), 5_000);
        }
    }

    #[test]
    fn a_thawed_broker_hands_out_old_requests_with_their_ages() {
        let receiver = Receiver::new(77);
        receiver.age(0, 1);
        let ages: Vec<u64> = (1..=5).map(|second| receiver.age(second * 1000, 10_001)).collect();
        assert_eq!(ages, [9000, 8000, 7000, 6000, 5000]);
        assert_eq!(receiver.age(11_000, 11_001), 0);
    }

    #[test]
    fn a_growing_backlog_ages() {
        let receiver = Receiver::new(0);
        receiver.age(0, 1);
        for message in 1..100 {
            assert_eq!(receiver.age(message * 10, message * 100 + 1), u64::try_from(message * 90).unwrap());
        }
    }

    #[test]
    fn a_sender_that_was_suspended_is_late_for_two_seconds_only() {
        let receiver = Receiver::new(0);
        receiver.age(0, 1);
        let ages: Vec<u64> = (0..40).map(|n| receiver.age(n * 100, n * 100 + 60_001)).collect();
        assert!(ages[..20].iter().all(|age| *age == 60_000), "{ages:?}");
        assert!(ages[20..].iter().all(|age| *age == 0), "{ages:?}");
        assert_eq!(receiver.age(5000, 65_601), 600, "and then measured anew");
    }

    #[test]
    fn senders_are_apart_and_their_number_is_bounded() {
        let lateness = Lateness::default();
        let second = Duration::from_secs(1);
        lateness.age("reply_a", second, second);
        assert_eq!(lateness.age("reply_b", second, 10 * second), Duration::ZERO);
        assert_eq!(lateness.age("reply_a", second, 10 * second), 9 * second);
        for number in 0..10_000_u32 {
            lateness.age(&format!("reply_{number}"), second, second + Duration::from_millis(number.into()));
        }
        assert!(lateness.0.lock().unwrap().len() <= MOST);
    }

    #[test]
    fn ids_say_when_they_were_made() {
        let before = steady_now();
        let stamp = stamp(stamped_id()).unwrap();
        assert!(stamp + Duration::from_millis(1) >= before && stamp <= steady_now(), "{before:?} {stamp:?}");
        assert_eq!(super::stamp(Uuid::new_v4()), None);
        assert_eq!(super::stamp(Uuid::from_u128(7)), None);
    }
}
