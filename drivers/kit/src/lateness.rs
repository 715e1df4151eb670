//! How old a request is when it arrives, without clocks that agree.
//!
//! `expiration` counts from the moment when the broker reads a message, and what is left of it is not told to whoever
//! takes it. So a request that waited in a queue, or in the socket of a frozen broker, could run long after its caller
//! gave up. Our own requests carry a UUIDv7 as their id, whose time is the sender's when it handed the message over.
//! Sender and receiver disagree about the time, but by the same amount for every message of one sender; the fastest
//! message there was shows that amount, and whatever another one took longer is its age.
//!
//! * A sender is known by its reply queue and by the instance in its ids ([`stamped_id`]), so that a peer that only
//!   knows the name of a reply queue cannot change what is known of its owner. The first message of a sender has no age,
//!   because there is nothing to compare it with.
//! * A message that took much less time than any before it may be forged, or the first one that did not wait. It counts
//!   only once a second one confirms it.
//! * No message is older than the two clocks say it is: whatever the comparison says, a request that the clocks call
//!   young is never late. So lateness goes unnoticed where the sender's clock is ahead.
//! * Both sides count from one reading of the clock at the start, so that a clock that is set does not matter. A machine
//!   that was suspended does: then all its messages seem late by the same amount. An age that stays the same over
//!   messages sent in the course of `STANDING` is therefore taken for a difference of the clocks, and no age. (So is a
//!   queue that stays equally long all the time: its requests are then judged by `expiration` alone.)
//! * Messages of others (Python's ids carry no time, or there are none) have no age.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use uuid::{Builder, Uuid};

/// Ages within this of each other are the same: what networks and schedulers add.
const NOISE: i64 = 100;
/// How long an age must stay the same to be none, and how much faster than all before a message may be to count at once.
const STANDING: i64 = 2000;
/// How many senders are remembered.
const MOST: usize = 4096;

/// An id that says when it was made, by this process's steady clock, and in which instance of a program.
///
/// It is a UUIDv7 (RFC 9562, section 5.7): 48 bits of time, then 32 of its 74 random bits are the same in all ids that
/// this process makes.
#[must_use]
pub fn stamped_id() -> Uuid {
    static INSTANCE: OnceLock<[u8; 4]> = OnceLock::new();
    let [a, b, c, d] = *INSTANCE.get_or_init(rand::random);
    let millis = u64::try_from(steady_now().as_millis()).unwrap_or(u64::MAX);
    let mut bits: [u8; 10] = rand::random();
    // The variant takes the upper two bits of the third byte.
    bits[3..7].copy_from_slice(&[a, b, c, d]);
    Builder::from_unix_timestamp_millis(millis, &bits).into_uuid()
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

/// Who made an id, and when by its own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    instance: [u8; 4],
    millis: i64,
}

impl Stamp {
    /// Reads an id; `None` unless it is a UUIDv7.
    #[must_use]
    pub fn from_id(id: Uuid) -> Option<Self> {
        let (seconds, nanos) = id.get_timestamp()?.to_unix();
        let &[.., a, b, c, d, _, _, _] = id.as_bytes();
        let millis = milliseconds(Duration::new(seconds, nanos));
        (id.get_version_num() == 7).then_some(Self { instance: [a, b, c, d], millis })
    }
}

/// The ages of messages, by sender. Shared by all listeners of a transport.
#[derive(Debug, Default)]
pub struct Lateness {
    /// By the hash of a sender's reply queue and instance; the hash is keyed, so no peer can choose it.
    senders: Mutex<HashMap<u64, Sender>>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Sender {
    /// The least difference between receiving and sending, in milliseconds: the clocks' and the fastest way.
    least: i64,
    /// A difference far below the least, until a second message confirms it.
    falling: Option<i64>,
    /// Since which message (sent at, difference) the difference has been about the same and more than the least.
    standing: Option<(i64, i64)>,
    heard: i64,
}

impl Lateness {
    /// How much longer a message took than the fastest one of its sender, and at most what the clocks say.
    ///
    /// `sender` is the name of its reply queue, `received` is [`steady_now`].
    pub fn age(&self, sender: &str, sent: Stamp, received: Duration) -> Duration {
        let name = self.hasher.hash_one((sender, sent.instance));
        let (sent, received) = (sent.millis, milliseconds(received));
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = senders.get_mut(&name) {
            return known.age(sent, received);
        }
        if senders.len() >= MOST {
            // Half of them at a time, so that this is rare.
            let mut heard: Vec<i64> = senders.values().map(|sender| sender.heard).collect();
            let (_, middle, _) = heard.select_nth_unstable(MOST / 2);
            let middle = *middle;
            senders.retain(|_, sender| sender.heard > middle);
        }
        let least = received.saturating_sub(sent);
        senders.insert(name, Sender { least, falling: None, standing: None, heard: received });
        Duration::ZERO
    }
}

impl Sender {
    fn age(&mut self, sent: i64, received: i64) -> Duration {
        self.heard = received;
        let difference = received.saturating_sub(sent);
        let age = self.compared(sent, difference).min(difference);
        Duration::from_millis(u64::try_from(age).unwrap_or(0))
    }

    /// How much larger the difference is than the least one, which it may change.
    fn compared(&mut self, sent: i64, difference: i64) -> i64 {
        let age = difference.saturating_sub(self.least);
        if age < 0 {
            match self.falling.take() {
                _ if age >= -STANDING => self.least = difference,
                Some(before) if difference.abs_diff(before) <= STANDING.unsigned_abs() => {
                    self.least = difference.max(before);
                }
                _ => self.falling = Some(difference),
            }
        }
        if age <= NOISE {
            self.standing = None;
            return age;
        }
        match self.standing {
            Some((since, then)) if difference.abs_diff(then) <= NOISE.unsigned_abs() => {
                if sent.saturating_sub(since) >= STANDING {
                    (self.least, self.standing) = (difference, None);
                    return 0;
                }
            }
            _ => self.standing = Some((sent, difference)),
        }
        age
    }
}

fn milliseconds(since_1970: Duration) -> i64 {
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const FOREVER: i64 = 1 << 40;

    fn stamp(instance: u8, millis: i64) -> Stamp {
        Stamp { instance: [instance; 4], millis }
    }

    fn at(millis: i64) -> Duration {
        Duration::from_millis(u64::try_from(millis).unwrap())
    }

    /// A receiver whose clock is ahead of its senders'.
    struct Receiver {
        lateness: Lateness,
        ahead: i64,
    }

    impl Receiver {
        fn new(ahead: i64) -> Self {
            Self { lateness: Lateness::default(), ahead }
        }

        fn age(&self, sent: i64, received: i64) -> u64 {
            self.age_of(0, sent, received)
        }

        fn age_of(&self, instance: u8, sent: i64, received: i64) -> u64 {
            let sent = stamp(instance, FOREVER + sent);
            let age = self.lateness.age("reply_a", sent, at(FOREVER + received + self.ahead));
            u64::try_from(age.as_millis()).unwrap()
        }
    }

    #[test]
    fn clocks_need_not_agree() {
        for ahead in [0, 86_400_000] {
            let receiver = Receiver::new(ahead);
            assert_eq!(receiver.age(0, 5), 0, "nothing to compare with");
            assert_eq!(receiver.age(100, 103), 0, "the fastest so far");
            assert_eq!(receiver.age(200, 213), 10);
            assert_eq!(receiver.age(300, 5_303), 5_000);
        }
    }

    #[test]
    fn a_request_that_the_clocks_call_young_is_never_late() {
        let receiver = Receiver::new(-3_600_000);
        receiver.age(0, 1);
        assert_eq!(receiver.age(100, 60_101), 0, "the sender's clock is an hour ahead");
        assert_eq!(receiver.age(200, 3_600_700), 500);
    }

    #[test]
    fn a_forged_id_from_the_future_makes_no_honest_request_late() {
        for ahead in [-100, 0, 100, 86_400_000] {
            let receiver = Receiver::new(ahead);
            receiver.age(0, 1);
            for round in 1..50 {
                let now = round * 100;
                receiver.age_of(1, now + 3_600_000 * round, now);
                assert_eq!(receiver.age(now, now + 1), 0, "another instance is another sender");
            }
            receiver.age(9_000 + 3_600_000, 9_000);
            assert_eq!(receiver.age(9_000, 9_001), 0, "one alone counts for nothing");
        }
    }

    #[test]
    fn the_first_message_may_have_waited_long() {
        let receiver = Receiver::new(500_000);
        receiver.age(0, 60_000);
        assert_eq!([receiver.age(60_100, 60_101), receiver.age(60_200, 60_203)], [0, 0]);
        assert_eq!(receiver.age(60_300, 65_303), 5_000, "two fast ones tell what fast is");
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
        assert_eq!(receiver.age(5000, 65_601), 600, "compared with the new least");
    }

    #[test]
    fn senders_are_apart_and_their_number_is_bounded() {
        let lateness = Lateness::default();
        let sent = stamp(0, 1000);
        lateness.age("reply_a", sent, at(1000));
        assert_eq!(lateness.age("reply_b", sent, at(10_000)), Duration::ZERO);
        assert_eq!(lateness.age("reply_a", sent, at(10_000)), at(9000));
        for number in 0..10_000_u32 {
            lateness.age(&format!("reply_{number}"), sent, at(1000 + i64::from(number)));
        }
        assert!(lateness.senders.lock().unwrap().len() <= MOST);
    }

    #[test]
    fn ids_say_who_made_them_and_when() {
        let before = milliseconds(steady_now());
        let (first, second) = (stamped_id(), stamped_id());
        let stamps = [first, second].map(|id| Stamp::from_id(id).unwrap());
        assert_ne!(first, second);
        assert_eq!(stamps[0].instance, stamps[1].instance);
        assert_ne!(stamps[0].instance, Stamp::from_id(Uuid::now_v7()).unwrap().instance);
        let after = milliseconds(steady_now());
        assert!(stamps.iter().all(|stamp| (before..=after).contains(&stamp.millis)), "{before} {stamps:?} {after}");
        assert_eq!(Stamp::from_id(Uuid::new_v4()), None);
        assert_eq!(Stamp::from_id(Uuid::from_u128(7)), None);
    }
}
