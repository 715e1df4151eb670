//! Behaviour of lapin that the driver relies on and that lapin does not document, as seen in lapin 4.12.3.
//!
//! Each item names the behaviour, what depends on it, and the test that fails when lapin changes. The tests are in
//! `control/tests/`; one of them also fails when the locked version of lapin is another one, so that an update is
//! noticed even if every behaviour seems to be the same.
//!
//! | lapin | the driver | test |
//! |---|---|---|
//! | parses field tables recursively, on a thread with a 2 MiB stack | checks tables in `stream/guard/` | `deep_headers` |
//! | closes the connection over a header or name that it cannot parse | repairs both in `stream/guard/` | `real_broker` |
//! | closes the connection when a channel is dropped or closed while the broker closes it | closes channels in `control/channels.rs`, [`until_released`] | `closing` |
//! | closes the connection over a frame on a channel that it has forgotten | `ChannelOwner::Closed` in `stream/guard/` | `closing` |
//! | allocates 64 frames of `frame_max` for each connection, and negotiates at least [`MIN_FRAME_MAX`] | offers the minimum, and replaces it in `connection.tune-ok` (`stream/outbox/lapin_frames.rs`) | `internals` |
//! | runs its I/O on a thread of its own, which logs whole frames | [`silence_this_thread`] | `internals`, `handshake` |
//! | keeps its heartbeat task for up to half a heartbeat after the connection | [`sleep`] | `internals` |
//! | closes a connection on which it reads nothing for two heartbeats | synthetic heartbeats in `stream/inbound.rs` | `internals` |
//! | never answers a request that it was given while the connection ended | [`answer_or_lost`] | |
//! | answers `connection.close` of a refused handshake before it drops the stream | [`CLOSE_OK_LIMIT`] | `real_broker` |
//! | blocks its thread in `poll_close` | `GuardedStream::poll_close` never waits | `handshake` |

use std::{future::Future, time::Duration};

use async_rs::{Tokio, traits::Reactor};
use lapin::Channel;
use tokio::time::timeout;
use tracing::Dispatch;

/// The version of lapin on which all of this was seen.
#[cfg(test)]
pub(crate) const VERSION: &str = "4.12.3";

/// The name of lapin's I/O threads.
#[cfg(test)]
pub(crate) const IO_THREAD: &str = "lapin-io-loop";

/// The smallest `frame_max` that lapin works with.
///
/// lapin zeroes two buffers of 32 such frames for each connection, and the allocator keeps them for the thread after it
/// has ended. The frames of the control plane are small; the data plane splits messages at the `frame_max` that the
/// broker allows.
pub(crate) const MIN_FRAME_MAX: u32 = 8_192;

/// How long lapin may take to drop the stream after a failed handshake: it answers the broker's `connection.close`
/// first.
pub(crate) const CLOSE_OK_LIMIT: Duration = Duration::from_millis(500);

/// How long lapin may take to report why the broker closed a connection, after the end of its stream.
const LAST_ANSWER_LIMIT: Duration = Duration::from_millis(100);

/// How soon after the end of the stream a sleeping task of lapin is woken. Not at once: lapin learns of the end a
/// moment later.
const WAKE_DELAY: Duration = Duration::from_millis(50);

/// How often lapin is asked whether it is done with a channel; it does not notify.
const RELEASE_POLL: Duration = Duration::from_millis(2);

/// Keeps the calling thread, lapin's I/O thread, out of every log for the rest of its life.
///
/// At trace level lapin logs whole frames, including the one with the password and those with messages. The driver sees
/// and logs what goes wrong on the connection itself.
pub(crate) fn silence_this_thread() {
    // Never reset: the thread ends with its connection.
    std::mem::forget(tracing::dispatcher::set_default(&Dispatch::none()));
}

/// Sleeps for a task of lapin, for `duration` or until a moment after `ended` resolves.
///
/// lapin's heartbeat task checks its connection only when it wakes, so that it would outlive the connection by up to
/// half a heartbeat. A client that reconnects often would accumulate such tasks.
pub(crate) async fn sleep(tokio: Tokio, duration: Duration, ended: impl Future) {
    tokio::select! {
        _ = tokio.sleep(duration) => {}
        () = async {
            ended.await;
            tokio.sleep(WAKE_DELAY).await;
        } => {}
    }
}

/// The result of `request`, or an error a moment after `ended` resolves.
///
/// lapin may never answer a request that it was given while the connection ended. A broker that closes the connection
/// says why just before, so that `request` gets a moment to report it.
pub(crate) async fn answer_or_lost<T, E: From<lapin::Error>>(
    request: impl Future<Output = Result<T, E>>,
    ended: impl Future,
) -> Result<T, E> {
    let mut request = std::pin::pin!(request);
    tokio::select! {
        answer = &mut request => answer,
        _ = ended => {
            if let Ok(answer) = timeout(LAST_ANSWER_LIMIT, request).await {
                return answer;
            }
            let lost = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the connection was lost");
            Err(lapin::Error::from(lost).into())
        }
    }
}

/// Waits until lapin is done with a channel: dropping it earlier may close the connection.
pub(crate) async fn until_released(channel: &Channel) {
    while channel.status().connected() || channel.status().closing() {
        tokio::time::sleep(RELEASE_POLL).await;
    }
}
