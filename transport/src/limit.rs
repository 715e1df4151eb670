//! A rate limit for log lines that peers and brokers can cause.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until},
};

/// How many lines one call site logs within [`WINDOW`]. The same default as the Linux kernel's `printk` rate limit.
pub const LINES: u32 = 10;
/// The period over which lines are counted.
pub const WINDOW: Duration = Duration::from_secs(5);

/// The rate limit of one call site, see [`limited!`](crate::limited).
#[derive(Debug)]
pub struct LogLimit(Mutex<Window>);

#[derive(Debug)]
struct Window {
    begun: Option<Instant>,
    lines: u32,
    left_out: u64,
    /// Whether a task will log at the end of the window how many lines were left out.
    reporting: bool,
}

impl LogLimit {
    /// Creates a limit with an empty window.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "it is a static")]
    pub const fn new() -> Self {
        Self(Mutex::new(Window { begun: None, lines: 0, left_out: 0, reporting: false }))
    }

    /// Asks to log a line now. Returns `None` if the line must be left out, else how many lines were left out before it.
    ///
    /// After lines were left out, `report` is called at the end of the window with their number, if there is a tokio
    /// runtime; otherwise the next line carries it.
    pub fn admit(&'static self, report: fn(u64)) -> Option<Option<u64>> {
        let mut window = self.lock();
        let now = Instant::now();
        let admitted = window.admit(now);
        if admitted.is_none()
            && !window.reporting
            && let Ok(runtime) = Handle::try_current()
        {
            window.reporting = true;
            drop(window);
            let task = Reporting(self);
            runtime.spawn(async move {
                let left_out = loop {
                    let ended = task.0.lock().end(Instant::now());
                    match ended {
                        Ok(left_out) => break left_out,
                        Err(over) => sleep_until(over).await,
                    }
                };
                if left_out > 0 {
                    report(left_out);
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

    /// How many lines were left out, or the end of the window if that is not over. The line that reports the number counts
    /// as the first of the next window.
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

/// Allows another task to report, even if the runtime of this one shuts down before the window ends.
struct Reporting(&'static LogLimit);

impl Drop for Reporting {
    fn drop(&mut self) {
        self.0.lock().reporting = false;
    }
}

/// Logs with [`tracing`] an event that peers or brokers can cause, at most 10 lines in 5 s per call site.
///
/// Takes the level, the message, which is a literal without arguments, and fields. The first line after others were left
/// out has their number in the field `left_out`; if none follows, a separate line reports it at the end of the 5 s. A
/// level that is disabled is not counted.
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
            let report = |left_out: u64| $crate::__private::tracing::$level!(
                left_out, "{}", ::std::concat!("further lines were left out: ", $message)
            );
            if let ::std::option::Option::Some(left_out) = LIMIT.admit(report) {
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
    fn the_next_line_reports_how_many_were_left_out() {
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
    fn the_reporting_line_belongs_to_the_next_window() {
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
    async fn the_last_lines_are_reported_at_the_end_of_the_window() {
        static LIMIT: LogLimit = LogLimit::new();
        static REPORTED: Mutex<Vec<u64>> = Mutex::new(Vec::new());
        let report = |left_out| REPORTED.lock().unwrap_or_else(PoisonError::into_inner).push(left_out);
        (0..LINES + 7).for_each(|_| _ = LIMIT.admit(report));
        tokio::time::sleep(2 * WINDOW).await;
        assert_eq!(*REPORTED.lock().unwrap_or_else(PoisonError::into_inner), [7]);
        assert!(!LIMIT.lock().reporting);
    }
}
