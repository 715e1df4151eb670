//! Reads a socket for as long as its stream lives: to lapin goes what is lapin's, to the ports what is theirs.
//!
//! A task of the runtime, so that a message reaches its taker without a switch to lapin's I/O thread and back.

use std::{io, sync::Arc};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::{handle::Shared, inbound::Inbound, tls};

/// Reads until the stream ends, and notes how it did.
pub(super) async fn read(
    mut socket: impl AsyncRead + Unpin,
    mut inbound: Inbound,
    mut lapin: DuplexStream,
    shared: Arc<Shared>,
) {
    // Also when the runtime goes down with this task in it.
    let _ends = EndsWith(shared.clone());
    let (mut visible, mut changed) = (Vec::new(), Vec::new());
    let reading = async {
        loop {
            let bytes = match socket.read(inbound.space()).await {
                Ok(0) => {
                    return match (inbound.ended(), shared.unwritable()) {
                        (Some(error), _) => drop(shared.failed(io::Error::new(io::ErrorKind::InvalidData, error))),
                        (None, Some(error)) => drop(shared.failed(tls::classified(error))),
                        (None, None) => shared.closed(),
                    };
                }
                Ok(bytes) => bytes,
                Err(error) => return drop(shared.failed(tls::classified(error))),
            };
            shared.received(bytes);
            inbound.filled(bytes);
            let judged = {
                let mut ports = shared.ports().lock();
                inbound.judge(&mut ports, &mut visible, &mut changed)
            };
            // lapin answers it as soon as it sees it.
            shared.outbox().agree(inbound.frame_max());
            changed.drain(..).for_each(|reason| shared.header_dropped(reason));
            // What is in order before an error is lapin's all the same.
            if !visible.is_empty() && lapin.write_all(&visible).await.is_err() {
                return;
            }
            visible.clear();
            if let Err(error) = judged {
                return drop(shared.failed(io::Error::new(io::ErrorKind::InvalidData, error)));
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
        self.0.closed();
    }
}
