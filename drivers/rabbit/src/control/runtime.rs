//! The async runtime that lapin runs on: tokio, with [`GuardedStream`] as the type of its sockets.

use std::{
    future::Future,
    io::{self, Read, Write},
    net::SocketAddr,
    pin::Pin,
    time::{Duration, Instant},
};

use async_rs::{
    Tokio,
    traits::{Executor, Reactor},
    util::{RuntimeParts, Task},
};
use futures_core::Stream;
use futures_io::{AsyncRead, AsyncWrite};
use tracing::{Dispatch, instrument::WithSubscriber};

use crate::{
    lapin_internals,
    stream::{GuardedStream, StreamHandle},
};

/// Executor and reactor of one connection.
pub(super) type Kit = RuntimeParts<SilentTasks, StreamReactor>;

/// The kit for a stream, on the current tokio runtime.
///
/// # Panics
///
/// Outside a tokio runtime.
pub(super) fn kit(stream: StreamHandle) -> Kit {
    let tokio = Tokio::current();
    RuntimeParts::new(SilentTasks(tokio.clone()), StreamReactor { tokio, stream })
}

/// tokio's timers, and [`GuardedStream`] as the socket type.
#[derive(Clone, Debug)]
pub(super) struct StreamReactor {
    tokio: Tokio,
    stream: StreamHandle,
}

impl Reactor for StreamReactor {
    type TcpStream = GuardedStream;
    type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

    /// Unsupported: lapin does not call it.
    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<GuardedStream, _>(io::ErrorKind::Unsupported.into())
    }

    /// Sleeps at most until the stream has ended, see [`lapin_internals::sleep`].
    fn sleep(&self, duration: Duration) -> Self::Sleep {
        let Self { tokio, stream } = self.clone();
        Box::pin(async move { lapin_internals::sleep(tokio, duration, stream.ended()).await })
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.tokio.interval(duration)
    }

    /// Unsupported: the socket is opened before the handshake.
    fn tcp_connect_addr(&self, _: SocketAddr) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

/// tokio's tasks, kept out of every log: lapin logs the end of a connection as an error, and the driver already warns
/// of it.
#[derive(Clone, Debug)]
pub(super) struct SilentTasks(Tokio);

impl Executor for SilentTasks {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, future: F) -> T {
        self.0.block_on(future)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(&self, future: F) -> Task<Self::Task<T>> {
        self.0.spawn(future.with_subscriber(Dispatch::none()))
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(&self, work: F) -> Task<Self::Task<T>> {
        self.0.spawn_blocking(work)
    }
}
