//! The signals that ask the process to end.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};

use tokio::{sync::watch, task::JoinHandle};

/// Shared by all waiters of this process.
static SIGNALS: Received = Received { times: Mutex::new(None), task: Mutex::new(None) };

/// Resolves when this process is asked to end: by SIGINT or SIGTERM, elsewhere by Ctrl-C. `serve_until` of servers and
/// listeners takes the returned [`ShutdownSignal`].
///
/// There is one signal for the whole process: every waiter observes it, also one that starts to wait after it was
/// received. From the first call on, the signals no longer end the process by themselves.
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// # use oxlo_serving::shutdown_signal;
/// let signal = shutdown_signal()?;
/// tokio::spawn(async move {
///     signal.await;
///     println!("shutting down");
/// });
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// [`io::Error`] if the signal handlers cannot be installed.
///
/// # Panics
///
/// Outside of a tokio runtime.
pub fn shutdown_signal() -> io::Result<ShutdownSignal> {
    let mut times = SIGNALS.times.lock().unwrap_or_else(PoisonError::into_inner);
    let times = times.get_or_insert_with(|| watch::Sender::new(0));
    let mut task = SIGNALS.task.lock().unwrap_or_else(PoisonError::into_inner);
    // The task ends with its runtime, and the process may start another one, as tests do.
    if task.as_ref().is_none_or(JoinHandle::is_finished) {
        let (mut signals, counted) = (listen()?, times.clone());
        *task = Some(tokio::spawn(async move {
            loop {
                signals.next().await;
                counted.send_modify(|times| *times += 1);
            }
        }));
    }
    Ok(ShutdownSignal::new(times, 1))
}

struct Received {
    /// How many signals were received.
    times: Mutex<Option<watch::Sender<u32>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// Resolves when the process is asked to end; see [`shutdown_signal`].
///
/// # Cancel safety
///
/// Cancel safe. Dropping it does not affect other waiters.
#[must_use = "futures do nothing unless awaited"]
pub struct ShutdownSignal {
    times: watch::Sender<u32>,
    waiting: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

impl ShutdownSignal {
    fn new(times: &watch::Sender<u32>, wanted: u32) -> Self {
        let mut seen = times.subscribe();
        let waiting = Box::pin(async move {
            if seen.wait_for(|times| *times >= wanted).await.is_err() {
                std::future::pending::<()>().await;
            }
        });
        Self { times: times.clone(), waiting }
    }

    /// Resolves at the second signal, which by convention means to stop at once.
    pub fn again(&self) -> Self {
        Self::new(&self.times, 2)
    }
}

impl Future for ShutdownSignal {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.waiting.as_mut().poll(cx)
    }
}

impl std::fmt::Debug for ShutdownSignal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShutdownSignal").field("received", &*self.times.borrow()).finish_non_exhaustive()
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
fn listen() -> io::Result<Signals> {
    use tokio::signal::unix::{SignalKind, signal};
    Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
}

#[cfg(unix)]
impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
fn listen() -> io::Result<Signals> {
    Ok(Signals)
}

#[cfg(not(unix))]
impl Signals {
    async fn next(&mut self) {
        // Without a handler there is nothing to wait for.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
