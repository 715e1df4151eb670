//! The link for the replies to our own calls.
//!
//! On most brokers it receives from a dynamic node, which goes with the connection and takes its replies with it. RabbitMQ
//! has none; there it is a queue of our own that outlives a lost connection. Whether it still exists is known when the link
//! is attached again.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use fe2o3_amqp::{
    Receiver,
    link::RecvError,
    types::{
        messaging::{Body, Source},
        primitives::Value,
    },
};
use futures_util::FutureExt;
use oxlo_driver_kit::{
    reply_queue::{Awaited, ReplySource},
    session::AttachError,
};
use oxlo_transport::{TransportError, budget::TURN};
use oxlo_wire::{envelope::Poison, reply::ReplyPart, unread::UnreadReply};
use tokio::{task::yield_now, time::timeout};

use crate::{
    address::ReplyNode,
    connection::Connected,
    consume::{Failed, attach_error},
    error,
    management::{self, Declaration},
    message::Id,
    receive,
    sessions::{FAREWELL, Seat},
};

/// The address, for errors and logs.
const REPLIES: &str = "address of replies";
/// How long the broker may take to declare and attach what replies need.
const ATTACH_LIMIT: Duration = Duration::from_secs(20);

/// Our reply link.
pub(crate) struct ReplyLink {
    node: ReplyNode,
    credit: u32,
    was_attached: bool,
}

/// The link, attached.
pub(crate) struct Open {
    connected: Arc<Connected>,
    seat: Seat,
    receiver: Receiver,
}

impl ReplyLink {
    pub(crate) fn new(node: ReplyNode, credit: u32) -> Self {
        Self { node, credit, was_attached: false }
    }

    async fn attach(&self, up: &Arc<Connected>, calls: &Awaited) -> Result<(Open, Arc<str>), Failed> {
        let (source, address) = match &self.node {
            ReplyNode::Dynamic => (Source::builder().dynamic(true).build(), None),
            ReplyNode::Queue { address, existing, needs } => {
                if self.was_attached {
                    match self.attach_to(up, receive::from(existing)).await {
                        Ok(open) => return Ok((open, address.as_str().into())),
                        Err(Failed::Missing(_)) => calls.lost(address),
                        Err(failed) => return Err(failed),
                    }
                }
                management::declare(up, needs).await?;
                (receive::from(address), Some(address.as_str()))
            }
        };
        let open = self.attach_to(up, source).await?;
        let given = open.receiver.source().as_ref().and_then(|source| source.address.as_deref());
        match address.or(given).map(Arc::from) {
            Some(address) => Ok((open, address)),
            None => Err(Failed::Refused(TransportError::Topology {
                object: "reply address".to_owned(),
                reason: "the broker created no dynamic node; see the option address_profile".to_owned(),
            })),
        }
    }

    /// A session for each attempt: some brokers end it with a refusal.
    async fn attach_to(&self, up: &Arc<Connected>, source: Source) -> Result<Open, Failed> {
        let failed = |refusal| Failed::new(REPLIES, refusal);
        let seat = Seat::alone(up.session().await.map_err(failed)?, 1);
        let mut receiver = seat.receiver("rpc-response", source).await.map_err(failed)?;
        receive::give_credit(&mut receiver, self.credit).await.map_err(Failed::Lost)?;
        Ok(Open { connected: up.clone(), seat, receiver })
    }

    /// Hands replies to their calls until the link ends, and returns why it did.
    async fn receive(&self, receiver: &mut Receiver, calls: &Awaited) -> String {
        let ended = |error| match error {
            RecvError::LinkStateError(state) => error::link_end(&state),
            error => error::shown(&error),
        };
        let mut left = self.credit;
        let (mut taken, mut read) = (Vec::new(), 0);
        loop {
            if read >= TURN {
                read = 0;
                yield_now().await;
            }
            // Those that are there already are accepted together.
            let mut next = Some(receiver.recv::<Body<Value>>().await);
            while let Some(delivery) = next {
                let (info, message) = match delivery {
                    Ok(delivery) => delivery.into_parts(),
                    Err(error) => return ended(error),
                };
                read += deliver(message.body, calls);
                taken.push(info);
                left = left.saturating_sub(1);
                next = (left > self.credit / 2 && read < TURN).then(|| receiver.recv().now_or_never()).flatten();
            }
            if let Err(error) = receiver.accept_all(taken.drain(..)).await {
                return error::shown(&error);
            }
            if left <= self.credit / 2 {
                left = self.credit;
                if let Err(error) = receive::give_credit(receiver, left).await {
                    return error;
                }
            }
        }
    }
}

impl ReplySource for ReplyLink {
    type Session = Connected;
    type Open = Open;

    async fn open(&mut self, up: &Arc<Connected>, calls: &Awaited) -> Result<(Open, Arc<str>), AttachError> {
        let attached = timeout(ATTACH_LIMIT, self.attach(up, calls))
            .await
            .unwrap_or_else(|_| Err(Failed::Lost(format!("the broker attached no link within {ATTACH_LIMIT:?}"))));
        let open = attached.map_err(|failed| attach_error(up, failed, REPLIES))?;
        self.was_attached = true;
        Ok(open)
    }

    async fn take(&mut self, Open { connected, receiver, .. }: &mut Open, calls: &Awaited) -> String {
        let cause = self.receive(receiver, calls).await;
        connected.report(&cause, &REPLIES);
        cause
    }

    fn ends_with_subscription(&self) -> bool {
        self.node == ReplyNode::Dynamic
    }

    /// Deletes our own queue where that can be done; elsewhere it has to expire.
    async fn close(&mut self, up: &Connected, Open { seat, receiver, .. }: Open) {
        seat.close_receivers(vec![receiver]).await;
        let ReplyNode::Queue { needs, .. } = &self.node else { return };
        for need in needs {
            if let Declaration::Queue(name, _) = need {
                let _ = timeout(FAREWELL, management::delete_queue(up, name)).await;
            }
        }
    }
}

/// Hands one reply to its call. One that cannot be read, or that no call waits for, is counted and dropped. Returns its size
/// in bytes.
fn deliver(body: Body<Value>, calls: &Awaited) -> usize {
    let limits = calls.limits();
    let incoming = match receive::read(body, limits.max_bytes) {
        Ok(incoming) => incoming,
        Err(poison) => return calls.unreadable(&poison),
    };
    let Some(Id::String(message_id)) = incoming.correlation_id else {
        return calls.unreadable(&Poison::Missing { key: "correlation-id" });
    };
    let bytes = incoming.body.as_ref().map_or(0, Bytes::len);
    let part = match incoming.body {
        None => ReplyPart::Heartbeat,
        Some(body) => ReplyPart::Unread(Box::new(UnreadReply::amqp1(body, limits))),
    };
    calls.deliver(&message_id, part, false);
    bytes
}
