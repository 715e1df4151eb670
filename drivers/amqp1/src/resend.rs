//! Sending a message to its queue once more: behind the others, and saying how often it came.
//!
//! AMQP 1.0's `modified` and `released` put a message back to where it stood. So a copy goes to the address that the
//! message came from, and the original is settled when the broker has accepted the copy: nothing is lost, and if the
//! process dies in between, both are there.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use oxlo_driver_kit::{deferral::Way, patience::Patience};
use oxlo_transport::{Deferral, Retry, Settle, Settlement, limited};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};
use tokio_util::task::TaskTracker;

use crate::{
    message::{self, Id, Incoming},
    publish::Publisher,
};

/// How long it is tried.
const LIMIT: Duration = Duration::from_secs(30);
/// The least time until a message comes again that cannot be sent behind the others.
const PAUSE: Duration = Duration::from_millis(250);

/// What is kept of a message that may have to be sent again.
#[derive(Debug)]
pub(crate) struct Kept {
    message_id: Option<Id>,
    reply_to: Option<String>,
    body: Bytes,
    way: Way,
}

impl Kept {
    pub(crate) fn of(incoming: &Incoming) -> Self {
        let Incoming { message_id, reply_to, body, redeliveries, way, .. } = incoming;
        Self {
            message_id: message_id.clone(),
            reply_to: reply_to.clone(),
            body: body.clone().unwrap_or_default(),
            way: Way { redeliveries: way.redeliveries.saturating_add(*redeliveries), ..*way },
        }
    }

    /// Settles the message, by sending it to `address` again where it is deferred.
    pub(crate) fn deferrable(
        self,
        settle: Settle,
        tasks: TaskTracker,
        publisher: Arc<Publisher>,
        address: Arc<str>,
        deadline: Option<Instant>,
    ) -> Settle {
        Settle::new(move |settlement| match (settlement, Handle::try_current()) {
            (Settlement::Defer(deferral), Ok(runtime)) => {
                let sending = async move { self.send(settle, &publisher, &address, deadline, deferral).await };
                tasks.spawn_on(sending, &runtime);
            }
            (Settlement::Defer(_), Err(_)) => settle.requeue(),
            (settlement, _) => settle.settle(settlement),
        })
    }

    async fn send(
        self,
        settle: Settle,
        publisher: &Publisher,
        address: &str,
        deadline: Option<Instant>,
        Deferral { delay, counts }: Deferral,
    ) {
        let Self { message_id, reply_to, body, way } = self;
        let Ok(text) = str::from_utf8(&body) else { return settle.requeue() };
        let names = (reply_to.as_deref(), message_id.as_ref());
        let mut copy = message::resent(address, text, names, deadline, way.again(delay, counts));
        match publisher.send(address, &mut copy, true, &Patience::new(LIMIT, Retry::Forever)).await {
            Ok(()) => settle.ack(),
            Err(error) => {
                limited!(warn, "a message could not be sent behind the others at its address, and goes back", %error, %address);
                sleep(PAUSE).await;
                settle.requeue();
            }
        }
    }
}
