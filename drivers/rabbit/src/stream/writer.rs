//! Writes to a socket what is put into the outbox of its stream, for as long as that lives.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::{sleep, timeout},
};

use super::{handle::Shared, tls};

/// How long the peer may take to read what is left when the stream is let go.
const FAREWELL: Duration = Duration::from_millis(500);

/// Writes until the stream ends, then closes this direction of the socket.
pub(super) async fn write(mut socket: impl AsyncWrite + Unpin, shared: Arc<Shared>) {
    // Also when the runtime goes down with this task in it.
    let shared = Released(shared);
    let shared = &shared.0;
    tokio::select! {
        () = written(&mut socket, shared) => {}
        () = shared.killed() => {}
        () = async {
            shared.let_go().await;
            sleep(FAREWELL).await;
        } => {}
    }
    // A TLS farewell to a frozen peer would take for ever.
    if !matches!(timeout(FAREWELL, socket.shutdown()).await, Ok(Ok(()))) {
        shared.shut();
    }
}

async fn written(socket: &mut (impl AsyncWrite + Unpin), shared: &Shared) {
    let mut bytes = Vec::new();
    loop {
        let last = tokio::select! {
            () = shared.outbox().filled() => false,
            () = shared.let_go() => true,
        };
        // Where several messages are on their way, the tasks that are ready publish theirs first, so that one write
        // carries them all; and acknowledgements can wait for what is to be said at once.
        if !shared.is_under_way_at_most(1) || shared.outbox().is_deferred() {
            tokio::task::yield_now().await;
        }
        while shared.outbox().drain(&mut bytes) {
            let wrote = async {
                socket.write_all(&bytes).await?;
                socket.flush().await
            };
            if let Err(error) = wrote.await {
                return refused(shared, error).await;
            }
            shared.sent(bytes.len());
        }
        if last {
            return;
        }
    }
}

/// An error of the socket is left to the reader to report: it ends both directions, so that the reader comes upon it behind
/// the peer's last words.
async fn refused(shared: &Shared, error: io::Error) {
    if error.raw_os_error().is_none() {
        drop(shared.failed(tls::classified(error)));
        return;
    }
    shared.cannot_write(error);
    shared.let_go().await;
}

struct Released(Arc<Shared>);

impl Drop for Released {
    fn drop(&mut self) {
        self.0.release();
    }
}
