//! Reads the socket for as long as the stream lives, and passes its frames to lapin and to the ports.
//!
//! A task of the runtime, so that a message reaches its receiver without a detour through lapin's I/O thread.

use std::{io, sync::Arc};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::{inbound::Inbound, shared::Shared, tls};

/// Reads until the stream ends, and records the end.
pub(super) async fn run(
    mut socket: impl AsyncRead + Unpin,
    mut inbound: Inbound,
    mut lapin: DuplexStream,
    shared: Arc<Shared>,
) {
    // Dropped also when the runtime shuts down with this task in it.
    let _ends = EndsWith(shared.clone());
    let (mut visible, mut repairs) = (Vec::new(), Vec::new());
    let reading = async {
        loop {
            let bytes = match socket.read(inbound.space()).await {
                Ok(0) => {
                    return match (inbound.error_at_end(), shared.take_write_error()) {
                        (Some(error), _) => shared.fail(io::Error::new(io::ErrorKind::InvalidData, error)),
                        (None, Some(error)) => shared.fail(tls::classified(error)),
                        (None, None) => shared.peer_closed(),
                    };
                }
                Ok(bytes) => bytes,
                Err(error) => return shared.fail(tls::classified(error)),
            };
            shared.count_received(bytes);
            inbound.filled(bytes);
            let checked = {
                let mut ports = shared.ports().lock();
                inbound.check(&mut ports, &mut visible, &mut repairs)
            };
            // Before lapin sees connection.tune: it answers at once.
            shared.outbox().set_frame_max(inbound.frame_max());
            repairs.drain(..).for_each(|reason| shared.count_repair(reason));
            // Valid frames in front of an error still go to lapin.
            if !visible.is_empty() && lapin.write_all(&visible).await.is_err() {
                return;
            }
            visible.clear();
            if let Err(error) = checked {
                return shared.fail(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = shared.killed() => {}
    }
}

struct EndsWith(Arc<Shared>);

impl Drop for EndsWith {
    fn drop(&mut self) {
        self.0.peer_closed();
    }
}
