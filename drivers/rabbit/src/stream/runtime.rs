//! lapin on a stream of ours: the runtime that names it, and the AMQP handshake over it.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_rs::traits::{Executor, Reactor};
use async_rs::util::{RuntimeParts, Task};
use async_rs::{Runtime, Tokio};
use futures_core::Stream;
use futures_io::{AsyncRead, AsyncWrite};
use lapin::uri::AMQPUri;
use lapin::{AsyncTcpStream, Connection, ConnectionProperties};
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;

use super::{GuardedStream, StreamHandle};
use crate::sabotage;

/// How long lapin may take to let go of a stream after a failed handshake: it answers the broker's `connection.close`.
const FAREWELL: Duration = Duration::from_millis(500);

/// What lapin takes for agreed: the least that it knows. It fills two buffers of 32 such frames with zeros for each
/// connection, and malloc keeps them for the thread that is gone; what lapin gets and sends here is small, and the messages
/// that go past it are cut by what is agreed with the broker.
const CONTROL_FRAME_MAX: u32 = 8_192;

/// How soon after the end of the stream whoever sleeps looks again. Not at once: lapin learns of the end a moment later.
const AFTERMATH: Duration = Duration::from_millis(50);

/// tokio's timers, and [`GuardedStream`] for the type of lapin's stream.
#[derive(Clone, Debug)]
pub(crate) struct StreamReactor {
    tokio: Tokio,
    stream: StreamHandle,
}

impl Reactor for StreamReactor {
    type TcpStream = GuardedStream;
    type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

    /// Refused: lapin does not ask for it.
    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<GuardedStream, _>(io::ErrorKind::Unsupported.into())
    }

    /// Cut short by the end of the stream: lapin's heartbeat task would otherwise outlive its connection by half a
    /// heartbeat, and a client whose broker comes and goes would gather such tasks.
    fn sleep(&self, duration: Duration) -> Self::Sleep {
        let (sleep, stream) = (self.tokio.sleep(duration), self.stream.clone());
        let tokio = self.tokio.clone();
        Box::pin(async move {
            tokio::select! {
                _ = sleep => {}
                () = async {
                    stream.ended().await;
                    tokio.sleep(AFTERMATH).await;
                } => {}
            }
        })
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.tokio.interval(duration)
    }

    /// Refused: streams are dialled before lapin is asked.
    fn tcp_connect_addr(&self, _: SocketAddr) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

/// tokio's tasks, whose log is kept out of every other: what ends a connection is reported there once more, as an error,
/// beside our own warning that the connection was lost.
#[derive(Clone, Debug)]
pub(crate) struct SilentTasks(Tokio);

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

/// The runtime kit that lapin runs on.
pub(crate) type Kit = RuntimeParts<SilentTasks, StreamReactor>;

/// The kit for a stream and the tokio runtime that this is called in.
///
/// # Panics
///
/// Outside a tokio runtime.
fn kit(stream: StreamHandle) -> Kit {
    let tokio = Tokio::current();
    RuntimeParts::new(SilentTasks(tokio.clone()), StreamReactor { tokio, stream })
}

/// Performs the AMQP handshake over a stream and returns lapin's connection on it.
///
/// Of `uri` its credentials, virtual host and query matter; host and scheme do not. Its `frame_max` is what lapin alone goes
/// by, 8192 if there is none; with the broker that of the stream is agreed.
/// One attempt is made whatever `properties` say of retries. There is no time limit: wrap it in one.
///
/// # Errors
///
/// lapin's. Where the stream ended first its cause is inside ([`is_permanent`](super::is_permanent) tells), and the
/// stream's handle has it too.
///
/// # Cancel safety
///
/// Dropping the future kills the stream, and lapin's I/O thread ends with it.
pub(crate) async fn open(
    mut uri: AMQPUri,
    properties: ConnectionProperties,
    stream: GuardedStream,
) -> lapin::Result<Connection> {
    let control = if sabotage::breaks("frame_max") { super::guard::DEFAULT_FRAME_MAX } else { CONTROL_FRAME_MAX };
    uri.query.frame_max.get_or_insert(control);
    let properties = properties.configure_backoff(|backoff| backoff.with_max_times(0));
    let mut abandon = KillOnDrop { handle: stream.handle(), armed: true };
    let handle = stream.handle();
    let slot = Arc::new(Mutex::new(Some(stream)));
    let hand_out = move |_: AMQPUri, _: Runtime<Kit>| {
        let stream = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            keep_this_thread_silent();
            stream
                .map(AsyncTcpStream::Plain)
                .ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "a stream carries one connection").into())
        }
    };
    match Connection::connector(uri, Runtime::new(kit(handle.clone())), hand_out, properties).await {
        Ok(connection) => {
            abandon.armed = false;
            Ok(connection)
        }
        Err(error) => {
            // A broker that refused us gets lapin's close-ok before the stream is cut.
            let _ = tokio::time::timeout(FAREWELL, handle.ended()).await;
            Err(error)
        }
    }
}

/// Keeps what lapin's I/O thread, which is the one to ask for the stream, has to say out of every log: it prints whole
/// frames at trace level, the one with the password and those with messages among them. What goes wrong there we see, and
/// say, ourselves.
fn keep_this_thread_silent() {
    // Never put back: the thread ends with its connection.
    std::mem::forget(tracing::dispatcher::set_default(&Dispatch::none()));
}

struct KillOnDrop {
    handle: StreamHandle,
    armed: bool,
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if self.armed {
            self.handle.kill("the connection attempt was given up");
        }
    }
}
