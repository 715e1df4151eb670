//! Time that passes when a thread says so, with the part of `tokio::time` that pending calls use.

use std::{
    future::Future,
    ops::{Add, Sub},
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use shuttle::sync::Mutex;

#[derive(Default)]
struct Clock {
    now: Duration,
    sleepers: Vec<(Instant, Waker)>,
}

shuttle::lazy_static! {
    static ref CLOCK: Mutex<Clock> = Mutex::new(Clock::default());
}

/// Lets time pass, and wakes who slept until then.
pub(crate) fn advance(by: Duration) {
    let mut clock = CLOCK.lock().unwrap();
    clock.now += by;
    let now = Instant(clock.now);
    let due: Vec<_> = clock.sleepers.extract_if(.., |(until, _)| *until <= now).collect();
    drop(clock);
    for (_, waker) in due {
        waker.wake();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Duration);

impl Instant {
    pub(crate) fn now() -> Self {
        Self(CLOCK.lock().unwrap().now)
    }

    pub(crate) fn checked_add(self, later: Duration) -> Option<Self> {
        self.0.checked_add(later).map(Self)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0 + later)
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.0 - earlier.0
    }
}

pub(crate) struct Sleep(Instant);

pub(crate) fn sleep_until(until: Instant) -> Sleep {
    Sleep(until)
}

impl Sleep {
    pub(crate) fn reset(mut self: Pin<&mut Self>, until: Instant) {
        self.0 = until;
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut clock = CLOCK.lock().unwrap();
        if self.0.0 <= clock.now {
            return Poll::Ready(());
        }
        clock.sleepers.push((self.0, cx.waker().clone()));
        Poll::Pending
    }
}
