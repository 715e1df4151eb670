//! The AMQP handshake over a stream.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use async_rs::Runtime;
use lapin::{AsyncTcpStream, Connection, ConnectionProperties, uri::AMQPUri};

use super::runtime::{Kit, kit};
use crate::{
    lapin_internals::{CLOSE_OK_LIMIT, MIN_FRAME_MAX, silence_this_thread},
    sabotage,
    stream::{GuardedStream, StreamHandle, guard},
};

/// Performs the AMQP handshake over a stream and returns lapin's connection on it.
///
/// Of `uri` only credentials, virtual host and query are used. Without a `frame_max` in it, lapin works with
/// [`MIN_FRAME_MAX`]; the stream negotiates its own with the broker. Makes one attempt, whatever `properties` say of
/// retries. There is no time limit: wrap the call in one.
///
/// # Errors
///
/// lapin's. If the stream ended first, its cause is inside (see [`is_permanent`](crate::stream::is_permanent)), and the
/// handle of the stream has it too.
///
/// # Cancel safety
///
/// Dropping the future kills the stream, which ends lapin's I/O thread.
pub(crate) async fn open(
    mut uri: AMQPUri,
    properties: ConnectionProperties,
    stream: GuardedStream,
) -> lapin::Result<Connection> {
    let frame_max = if sabotage::breaks("frame_max") { guard::DEFAULT_FRAME_MAX } else { MIN_FRAME_MAX };
    uri.query.frame_max.get_or_insert(frame_max);
    let properties = properties.configure_backoff(|backoff| backoff.with_max_times(0));
    let handle = stream.handle();
    let mut kill_on_drop = KillOnDrop { handle: handle.clone(), armed: true };
    let slot = Arc::new(Mutex::new(Some(stream)));
    let connect = move |_: AMQPUri, _: Runtime<Kit>| {
        let stream = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Runs on lapin's I/O thread.
        async move {
            silence_this_thread();
            stream
                .map(AsyncTcpStream::Plain)
                .ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "a stream carries one connection").into())
        }
    };
    match Connection::connector(uri, Runtime::new(kit(handle.clone())), connect, properties).await {
        Ok(connection) => {
            kill_on_drop.armed = false;
            Ok(connection)
        }
        Err(error) => {
            // Before the stream is killed, a broker that refused the connection gets lapin's connection.close-ok.
            let _ = tokio::time::timeout(CLOSE_OK_LIMIT, handle.ended()).await;
            Err(error)
        }
    }
}

struct KillOnDrop {
    handle: StreamHandle,
    armed: bool,
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if self.armed {
            self.handle.kill("the connection attempt was cancelled");
        }
    }
}
