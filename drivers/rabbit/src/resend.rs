//! Sending a message to its queue once more: behind the others, and saying how often it came.
//!
//! It goes to the queue itself, by the default exchange: by its own exchange it would reach other queues a second time. The
//! broker has confirmed the copy before it forgets the original, so nothing is lost; if the process dies in between, both
//! are there.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use oxlo_driver_kit::{deferral::Way, lateness::stamped_id, patience::Patience};
use oxlo_transport::{Deferral, Retry, Settle, Settlement, TransportError, limited};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::{
    properties,
    publish::{Outgoing, Publisher},
    stream::received::Received,
    topology::TopologyOptions,
};

/// How long it is tried.
const LIMIT: Duration = Duration::from_secs(30);
/// The least time until a message comes again that cannot be sent behind the others.
const PAUSE: Duration = Duration::from_millis(250);

/// A message as it came, and what it is to say when it is sent again.
pub(crate) struct Resend {
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) queue: String,
    pub(crate) properties: Received,
    pub(crate) body: Bytes,
    pub(crate) way: Way,
    /// When its caller stops waiting.
    pub(crate) deadline: Option<Instant>,
}

impl Resend {
    /// Settles the message, by sending it again where it is deferred.
    pub(crate) fn deferrable(self, settle: Settle, tasks: TaskTracker) -> Settle {
        Settle::new(move |settlement| match (settlement, Handle::try_current()) {
            (Settlement::Defer(deferral), Ok(runtime)) => {
                tasks.spawn_on(self.send(settle, deferral), &runtime);
            }
            (Settlement::Defer(_), Err(_)) => settle.requeue(),
            (settlement, _) => settle.settle(settlement),
        })
    }

    /// Sends it, and settles what came when the broker has the copy; else that goes back.
    pub(crate) async fn send(self, settle: Settle, Deferral { delay, counts }: Deferral) {
        let Self { publisher, queue, properties, body, way, deadline } = self;
        let way = way.again(delay, counts);
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let again = properties::resent(&properties, stamped_id(), way, left);
        let route = Arc::new(TopologyOptions::reply_route(&queue));
        let patience = Patience::new(LIMIT, Retry::Forever);
        loop {
            let again = Some(Box::new(again.clone()));
            let outgoing = Outgoing { route: &route, body: body.to_vec(), mandatory: true, expires: false, again };
            match publisher.publish_confirmed(outgoing, &patience).await {
                Ok(()) => return settle.ack(),
                // Both copies are the same sending, so that one of them is dropped as a duplicate.
                Err(TransportError::ConnectionLost { .. }) if Instant::now() < patience.deadline => {
                    debug!(%queue, "a message is sent to its queue again; the connection was lost");
                }
                Err(error) => {
                    limited!(warn, "a message could not be sent behind the others in its queue, and goes back", %error, %queue);
                    sleep(PAUSE).await;
                    return settle.requeue();
                }
            }
        }
    }
}
