//! Warnings about handles of running servers and listeners that are used so that the program hangs, or serves nothing.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How long somebody waits for the end of what nobody stopped before that is reported.
const UNSTOPPED: Duration = Duration::from_secs(10);

/// Watches over one handle.
pub(crate) struct Oversight {
    /// What runs, for example `server inventory as inventory-1`.
    what: Arc<str>,
    started: Instant,
    /// It was told when to end, so waiting for that is right.
    ends_itself: bool,
    reported: AtomicBool,
}

impl Oversight {
    pub(crate) fn new(what: impl Into<Arc<str>>, ends_itself: bool) -> Self {
        Self { what: what.into(), started: Instant::now(), ends_itself, reported: AtomicBool::new(false) }
    }

    /// Reports, once for each handle, that `wait()` waits for what `stop` was not called on. Never resolves.
    pub(crate) async fn waiting(&self, stop: &CancellationToken) -> std::convert::Infallible {
        if !self.ends_itself && !self.reported.load(Ordering::Relaxed) {
            sleep(UNSTOPPED).await;
            if !stop.is_cancelled() && !self.reported.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "wait() has waited {UNSTOPPED:?} for the end of the {}, and nothing has told it to stop: call \
                     stop() first, or use serve_until() to serve until something else happens",
                    self.what
                );
            }
        }
        std::future::pending().await
    }

    /// Reports that the handle was dropped while it served.
    pub(crate) fn dropped(&self, stop: &CancellationToken, has_ended: bool) {
        if stop.is_cancelled() || has_ended || std::thread::panicking() {
            return;
        }
        tracing::warn!(
            "the handle of the {} was dropped after {:?} without stop(), so it stops: keep the handle for as long as \
             it is to serve (`let _ = ..` drops at once)",
            self.what,
            self.started.elapsed()
        );
    }
}

impl fmt::Debug for Oversight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}
