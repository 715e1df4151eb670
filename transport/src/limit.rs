//! A bound on what peers and brokers can make the program log.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until},
};

/// How many lines one place of the program logs within [`WINDOW`]: as many as Linux's kernel does.
pub const LINES: u32 = 10;
/// The time in which lines are counted.
pub const WINDOW: Duration = Duration::from_secs(5);

/// The lines of one place of the program, see [`limited!`](crate::limited).
#[derive(Debug)]
pub struct LogLimit(Mutex<Window>);

#[derive(Debug)]
struct Window {
    begun: Option<Instant>,
    lines: u32,
    left_out: u64,
    /// A task logs at the end of the window how many lines were left out.
    told: bool,
}

impl LogLimit {
    /// Nothing was logged yet.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "it is a static")]
    pub const fn new() -> Self {
        Self(Mutex::new(Window { begun: None, lines: 0, left_out: 0, told: false }))
    }

    /// Whether a line may be logged now, and how many were left out before it. If not, `tell` is called at the end of the
    /// window with the number of lines that were left out, if there is a tokio runtime, or the next line tells it.
    pub fn admit(&'static self, tell: fn(u64)) -> Option<Option<u64>> {
        let mut window = self.lock();
        let now = Instant::now();
        let admitted = window.admit(now);
        if admitted.is_none()
            && !window.told
            && let Ok(runtime) = Handle::try_current()
        {
            window.told = true;
            drop(window);
            let told = Told(self);
            runtime.spawn(async move {
                let left_out = loop {
                    let ended = told.0.lock().end(Instant::now());
                    match ended {
                        Ok(left_out) => break left_out,
                        Err(over) => sleep_until(over).await,
                    }
                };
                if left_out > 0 {
                    tell(left_out);
                }
            });
        }
        admitted
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    fn admit(&mut self, now: Instant) -> Option<Option<u64>> {
        if self.is_over(now) {
            (self.begun, self.lines) = (Some(now), 0);
        }
        if self.lines >= LINES {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(Some(std::mem::take(&mut self.left_out)).filter(|left_out| *left_out > 0))
    }

    /// How many lines were left out, once the window is over; until then, when it is. The line that tells it begins the next
    /// window.
    fn end(&mut self, now: Instant) -> Result<u64, Instant> {
        if let Some(begun) = self.begun
            && !self.is_over(now)
        {
            return Err(begun + WINDOW);
        }
        if self.left_out > 0 {
            (self.begun, self.lines) = (Some(now), 1);
        }
        Ok(std::mem::take(&mut self.left_out))
    }

    fn is_over(&self, now: Instant) -> bool {
        self.begun.is_none_or(|begun| begun + WINDOW <= now)
    }
}

/// Also where its runtime ends first, another task may tell.
struct Told(&'static LogLimit);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.lock().told = false;
    }
}

/// Logs by [`tracing`] what peers or brokers cause, 10 lines in 5 s from each place of the program.
///
/// Takes the level, the message, which is a literal without arguments, and fields. The first line after others were left
/// out has their number in the field `left_out`; so has a line at the end of the 5 s, if nothing came since. What is not
/// enabled is not counted.
///
/// ```
/// let reason = "no such encoding";
/// oxlo_transport::limited!(warn, "a message was rejected", %reason, bytes = 7);
/// ```
#[macro_export]
macro_rules! limited {
    ($level:ident, $message:literal $(, $($fields:tt)+)?) => {
        if $crate::__private::tracing::enabled!($crate::limited!(@ $level)) {
            static LIMIT: $crate::limit::LogLimit = $crate::limit::LogLimit::new();
            let tell = |left_out: u64| $crate::__private::tracing::$level!(
                left_out, "{}", ::std::concat!("further lines were left out: ", $message)
            );
            if let ::std::option::Option::Some(left_out) = LIMIT.admit(tell) {
                $crate::__private::tracing::$level!(left_out, $($($fields)+,)? $message);
            }
        }
    };
    (@ error) => { $crate::__private::tracing::Level::ERROR };
    (@ warn) => { $crate::__private::tracing::Level::WARN };
    (@ info) => { $crate::__private::tracing::Level::INFO };
    (@ debug) => { $crate::__private::tracing::Level::DEBUG };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_limit_are_counted_and_told_by_the_next() {
        let LogLimit(window) = LogLimit::new();
        let mut window = window.into_inner().unwrap_or_else(PoisonError::into_inner);
        let begun = Instant::now();
        let logged = (0..30_000).filter(|_| window.admit(begun).is_some()).count();
        assert_eq!(logged, LINES as usize);
        assert_eq!(window.admit(begun + WINDOW - Duration::from_millis(1)), None);
        assert_eq!(window.admit(begun + WINDOW), Some(Some(29_991)));
        assert_eq!(window.admit(begun + WINDOW), Some(None));
    }

    #[test]
    fn the_line_that_tells_belongs_to_the_next_window() {
        let LogLimit(window) = LogLimit::new();
        let mut window = window.into_inner().unwrap_or_else(PoisonError::into_inner);
        let begun = Instant::now();
        (0..LINES + 3).for_each(|_| _ = window.admit(begun));
        let over = begun + WINDOW;
        assert_eq!(window.end(over - Duration::from_nanos(1)), Err(over));
        assert_eq!(window.end(over), Ok(3));
        assert_eq!((0..LINES).filter(|_| window.admit(over).is_some()).count(), LINES as usize - 1);
        assert_eq!(
            window.end(over),
            Err(over + WINDOW),
            "a line that is left out now waits for the end of this window"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_lines_are_told_at_the_end_of_the_window() {
        static LIMIT: LogLimit = LogLimit::new();
        static TOLD: Mutex<Vec<u64>> = Mutex::new(Vec::new());
        let tell = |left_out| TOLD.lock().unwrap_or_else(PoisonError::into_inner).push(left_out);
        (0..LINES + 7).for_each(|_| _ = LIMIT.admit(tell));
        tokio::time::sleep(2 * WINDOW).await;
        assert_eq!(*TOLD.lock().unwrap_or_else(PoisonError::into_inner), [7]);
        assert!(!LIMIT.lock().told);
    }
}
