//! Warnings about the misuse of handles: waiting for a run that nothing stops, and dropping a handle by mistake.

use std::{
    convert::Infallible,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How long `wait()` may wait for a run that nothing has stopped before that is reported.
const UNSTOPPED: Duration = Duration::from_secs(10);

/// Checks how one handle is used.
pub(crate) struct UsageCheck {
    /// The run, for example `server inventory as inventory-1`.
    subject: Arc<str>,
    started: Instant,
    /// The run has limits, so waiting for its end is correct.
    ends_itself: bool,
    reported: AtomicBool,
}

impl UsageCheck {
    pub(crate) fn new(subject: impl Into<Arc<str>>, ends_itself: bool) -> Self {
        Self { subject: subject.into(), started: Instant::now(), ends_itself, reported: AtomicBool::new(false) }
    }

    /// Warns, once for each handle, that `wait()` waits for a run that nothing has stopped. Never resolves.
    pub(crate) async fn waiting(&self, stop: &CancellationToken) -> Infallible {
        if !self.ends_itself && !self.reported.load(Ordering::Relaxed) {
            sleep(UNSTOPPED).await;
            if !stop.is_cancelled() && !self.reported.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "wait() has waited {UNSTOPPED:?} for the end of the {}, and nothing has told it to stop: call \
                     stop() first, or use serve_until() to serve until something else happens",
                    self.subject
                );
            }
        }
        std::future::pending().await
    }

    /// Warns that the handle was dropped while its run was serving.
    pub(crate) fn dropped(&self, stop: &CancellationToken, has_ended: bool) {
        if stop.is_cancelled() || has_ended || std::thread::panicking() {
            return;
        }
        tracing::warn!(
            "the handle of the {} was dropped after {:?} without stop(), so it stops: keep the handle for as long as \
             it is to serve (`let _ = ..` drops at once)",
            self.subject,
            self.started.elapsed()
        );
    }
}

impl fmt::Debug for UsageCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subject)
    }
}
