//! Writes the outbox of a stream to its socket for as long as the stream lives.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::{sleep, timeout},
};

use super::{shared::Shared, tls};

/// How long the peer may take to read the remaining bytes after lapin is done, and to shut TLS down.
const SHUTDOWN_LIMIT: Duration = Duration::from_millis(500);

/// Writes until the stream ends, then closes this direction of the socket.
pub(super) async fn run(mut socket: impl AsyncWrite + Unpin, shared: Arc<Shared>) {
    // Dropped also when the runtime shuts down with this task in it.
    let shared = ClosesDescriptor(shared);
    let shared = &shared.0;
    tokio::select! {
        () = write_all(&mut socket, shared) => {}
        () = shared.killed() => {}
        () = async {
            shared.lapin_done().await;
            sleep(SHUTDOWN_LIMIT).await;
        } => {}
    }
    // A TLS shutdown with a frozen peer would never end.
    if !matches!(timeout(SHUTDOWN_LIMIT, socket.shutdown()).await, Ok(Ok(()))) {
        shared.reset();
    }
}

async fn write_all(socket: &mut (impl AsyncWrite + Unpin), shared: &Shared) {
    let mut bytes = Vec::new();
    loop {
        let last = tokio::select! {
            () = shared.outbox().filled() => false,
            () = shared.lapin_done() => true,
        };
        // With several messages in flight, let the other ready tasks publish first, so that one write carries all of
        // them. Deferred frames can wait in any case.
        if !shared.is_in_flight_at_most(1) || shared.outbox().has_only_deferred() {
            tokio::task::yield_now().await;
        }
        while shared.outbox().drain(&mut bytes) {
            let wrote = async {
                socket.write_all(&bytes).await?;
                socket.flush().await
            };
            if let Err(error) = wrote.await {
                return fail(shared, error).await;
            }
            shared.count_sent(bytes.len());
        }
        if last {
            return;
        }
    }
}

/// Leaves an error of the operating system to the reader: it ends both directions, and the reader finds it behind the
/// last bytes of the peer, which may say more.
async fn fail(shared: &Shared, error: io::Error) {
    if error.raw_os_error().is_none() {
        shared.fail(tls::classified(error));
        return;
    }
    shared.set_write_error(error);
    shared.lapin_done().await;
}

struct ClosesDescriptor(Arc<Shared>);

impl Drop for ClosesDescriptor {
    fn drop(&mut self) {
        self.0.close_descriptor();
    }
}
