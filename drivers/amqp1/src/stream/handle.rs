//! A handle that outlives a stream.

use std::{
    io,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::Context,
};

use futures_util::task::AtomicWaker;
use tokio::sync::{Notify, Semaphore};

use super::guard::Opened;

/// A handle to a [`GuardedStream`](super::GuardedStream). Dropping it does nothing.
#[derive(Clone, Debug)]
pub(crate) struct StreamHandle(Arc<Shared>);

impl StreamHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Ends the stream at once in both directions.
    pub(crate) fn kill(&self) {
        self.0.killed.store(true, Ordering::Release);
        self.0.reader.wake();
        self.0.writer.wake();
    }

    /// The peer's open; the default before it arrived.
    pub(crate) fn opened(&self) -> Opened {
        self.0.opened.get().cloned().unwrap_or_default()
    }

    /// A permit for each further session; none before the peer's open.
    pub(crate) fn room(&self) -> &Semaphore {
        &self.0.sessions
    }

    /// Maximum number of links in each session.
    pub(crate) fn links_max(&self) -> u32 {
        self.0.handle_max.load(Ordering::Acquire).saturating_add(1)
    }

    /// Abandons the session that was begun last, if the broker has not answered its begin. After this returns, no frame
    /// of the session reaches fe2o3-amqp.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future still abandons the session.
    pub(crate) async fn abandon_session(&self) {
        let abandoned = self.0.abandoned.notified();
        self.0.abandon.store(true, Ordering::Release);
        self.0.reader.wake();
        abandoned.await;
    }

    /// The first error of the stream.
    pub(crate) fn failure(&self) -> Option<Arc<io::Error>> {
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    killed: AtomicBool,
    /// A request to abandon the session that was not begun.
    pub(super) abandon: AtomicBool,
    /// Notified when that was done.
    pub(super) abandoned: Notify,
    /// A permit for each further session.
    pub(super) sessions: Semaphore,
    pub(super) handle_max: AtomicU32,
    pub(super) reader: AtomicWaker,
    pub(super) writer: AtomicWaker,
    pub(super) opened: OnceLock<Opened>,
    failure: Mutex<Option<Arc<io::Error>>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            killed: AtomicBool::new(false),
            abandon: AtomicBool::new(false),
            abandoned: Notify::new(),
            sessions: Semaphore::new(0),
            handle_max: AtomicU32::new(u32::MAX),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
            opened: OnceLock::new(),
            failure: Mutex::new(None),
        }
    }
}

impl Shared {
    /// Records an error and returns a copy: fe2o3-amqp keeps only its text.
    pub(super) fn failed(&self, error: io::Error) -> io::Error {
        let copy = io::Error::new(error.kind(), error.to_string());
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| Arc::new(error));
        copy
    }

    pub(super) fn check_alive(&self, waker: &AtomicWaker, cx: &Context<'_>) -> io::Result<()> {
        // Registered before the check: a kill in between wakes.
        waker.register(cx.waker());
        if self.killed.load(Ordering::Acquire) {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was aborted"));
        }
        Ok(())
    }
}
