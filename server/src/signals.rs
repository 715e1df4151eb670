//! The signals that ask a process to end.

use std::{future::Future, io, sync::Arc};

use tokio::sync::Notify;

/// The first and the second time that this process is asked to end: by SIGINT or SIGTERM, elsewhere by Ctrl-C.
///
/// From this call on the signals do not end the process by themselves.
///
/// # Errors
///
/// [`io::Error`] if the signals cannot be listened to.
pub(crate) fn twice() -> io::Result<(impl Future<Output = ()> + Send, impl Future<Output = ()> + Send)> {
    let (first, second) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let mut asked = listen()?;
    let (once, again) = (first.clone(), second.clone());
    let task = tokio::spawn(async move {
        asked.next().await;
        once.notify_one();
        asked.next().await;
        again.notify_one();
    });
    let watching = Arc::new(Watching(task));
    let also = watching.clone();
    let wait = |notify: Arc<Notify>, watching: Arc<Watching>| async move {
        notify.notified().await;
        drop(watching);
    };
    Ok((wait(first, watching), wait(second, also)))
}

/// Ends the task when nobody waits for it any more.
struct Watching(tokio::task::JoinHandle<()>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(unix)]
struct Asked {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
fn listen() -> io::Result<Asked> {
    use tokio::signal::unix::{SignalKind, signal};
    Ok(Asked { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
}

#[cfg(unix)]
impl Asked {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Asked;

#[cfg(not(unix))]
fn listen() -> io::Result<Asked> {
    Ok(Asked)
}

#[cfg(not(unix))]
impl Asked {
    async fn next(&mut self) {
        // Without a way to listen there is nothing to wait for.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
