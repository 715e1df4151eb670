//! The signals that ask a process to end.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};

use tokio::{sync::watch, task::JoinHandle};

/// What is shared by everything in this process that waits for its end.
static ASKED: Asked = Asked { times: Mutex::new(None), task: Mutex::new(None) };

/// Resolves when this process is asked to end: by SIGINT or SIGTERM, elsewhere by Ctrl-C. It gives a
/// [`ShutdownSignal`], which [`serve_until`](crate::RPCServer::serve_until) of servers and listeners takes.
///
/// It is one signal for the whole process: every server, listener and task that waits for it learns of it, also one
/// that begins to wait after the signal came. From the first call on, the signals do not end the process by themselves.
///
/// ```no_run
/// # async fn example(server: oxlo_server::RPCServer) -> Result<(), Box<dyn std::error::Error>> {
/// let asked = oxlo_server::shutdown_signal()?;
/// let flush = tokio::spawn(async move {
///     asked.await;
///     println!("ending");
/// });
/// server.serve_until(oxlo_server::shutdown_signal()?).await?;
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// [`io::Error`] if the signals cannot be listened to.
///
/// # Panics
///
/// If it is called outside of a tokio runtime.
pub fn shutdown_signal() -> io::Result<ShutdownSignal> {
    let mut times = ASKED.times.lock().unwrap_or_else(PoisonError::into_inner);
    let times = times.get_or_insert_with(|| watch::Sender::new(0));
    let mut task = ASKED.task.lock().unwrap_or_else(PoisonError::into_inner);
    // A task ends with its runtime, and there may be a next one, as in tests.
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

struct Asked {
    /// How often the process was asked to end.
    times: Mutex<Option<watch::Sender<u32>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// Resolves when the process is asked to end; see [`shutdown_signal`].
///
/// # Cancel safety
///
/// It can be polled on and off. Dropping it changes nothing for others that wait.
#[must_use = "it does nothing unless it is awaited"]
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

    /// Resolves when the process is asked for the second time, which by custom means at once.
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
        f.debug_struct("ShutdownSignal").field("asked", &*self.times.borrow()).finish_non_exhaustive()
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
        // Without a way to listen there is nothing to wait for.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
