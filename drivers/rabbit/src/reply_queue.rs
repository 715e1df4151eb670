//! The queue for the replies to our own calls.
//!
//! It is declared with the first call, under a name of its own; it outlives a lost connection, expires if we do not
//! reconnect, and is deleted when the transport closes. After each reconnect the driver first checks that it exists: if it
//! does not, the replies in it are lost.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use lapin::{
    Consumer,
    options::{BasicConsumeOptions, BasicQosOptions, QueueDeleteOptions},
    types::FieldTable,
};
use oxlo_driver_kit::{
    reply_queue::{Awaited, ReplySource},
    session::AttachError,
};
use oxlo_transport::budget::TURN;
use oxlo_wire::{
    envelope::Poison,
    reply::{self, Inbound},
};
use tokio::{task::yield_now, time::timeout};

use crate::{
    acks::{self, AckFrame},
    config::Config,
    connection::Session,
    consume::beyond,
    control::{
        channels::OpenChannel,
        declare::{DeclareError, check_unused, declare_all},
    },
    error,
    listeners::consumers,
    properties,
    queue_name::QueueName,
    stream::{
        ChannelSender,
        ports::{Allowance, Inbox, Incoming},
    },
    topology::short_string,
};

/// Replies that wait here to be handed to their callers, at most.
const PREFETCH: u16 = 1000;
/// Replies above this size are first asked which call they are for, in bytes.
const WORTH_A_LOOK: usize = 16 << 10;
/// How long the broker may take to delete the queue.
const FAREWELL: Duration = Duration::from_secs(2);

/// Our reply queue.
pub(crate) struct ReplyQueue {
    config: Arc<Config>,
    /// Held as long as the queue is used.
    own_name: QueueName,
    name: Arc<str>,
    was_declared: bool,
}

/// The queue, consumed.
pub(crate) struct Open {
    channel: OpenChannel,
    sender: ChannelSender,
    inbox: Inbox,
    /// Ends when the broker cancels it.
    consumer: Consumer,
}

impl ReplyQueue {
    pub(crate) fn new(config: Arc<Config>, own_name: QueueName) -> Self {
        let name = format!("reply_{}", own_name.suffix).into();
        Self { config, own_name, name, was_declared: false }
    }

    async fn consume(&self, session: &Session, calls: &Awaited) -> Result<Open, DeclareError> {
        let name = short_string(&self.name).map_err(DeclareError::Refused)?;
        if self.was_declared && !exists(session, &self.name).await? {
            calls.lost(&self.name);
        }
        let declares = [self.config.topology.reply_queue(&self.name)];
        let channel = declare_all(session, None, &declares).await?;
        if self.own_name.is_stable() && !self.was_declared {
            check_unused(&channel, &self.name).await?;
        }
        let allowance = Allowance { messages: beyond(PREFETCH.into()), body: calls.limits().max_bytes };
        let inbox = session.stream().ports().consume(channel.id(), allowance);
        let sender = session.sender(&channel);
        let consume = async {
            channel.basic_qos(PREFETCH, BasicQosOptions { global: false }).await?;
            channel.basic_consume(name, "1".into(), BasicConsumeOptions::default(), FieldTable::default()).await
        };
        let consumer = consume.await.map_err(|failed| DeclareError::from_consume(&self.name, failed))?;
        channel.keep(consumer.clone());
        Ok(Open { channel, sender, inbox, consumer })
    }
}

async fn exists(session: &Session, queue: &str) -> Result<bool, DeclareError> {
    let channel = session.channel().await.map_err(|failed| DeclareError::no_channel(session, failed))?;
    match consumers(&channel, queue).await {
        Ok(_) => Ok(true),
        Err(failed) if error::is_not_found(&failed) => Ok(false),
        Err(failed) => Err(DeclareError::Lost(failed)),
    }
}

impl ReplySource for ReplyQueue {
    type Session = Session;
    type Open = Open;

    async fn open(&mut self, session: &Arc<Session>, calls: &Awaited) -> Result<(Open, Arc<str>), AttachError> {
        let open = session.meanwhile(self.consume(session, calls)).await?;
        self.was_declared = true;
        Ok((open, self.name.clone()))
    }

    async fn take(&mut self, open: &mut Open, calls: &Awaited) -> String {
        let Open { sender, inbox, consumer, .. } = open;
        let unsettled = inbox.unsettled();
        loop {
            let reply = tokio::select! {
                reply = inbox.recv() => reply,
                _ = consumer.next() => return "the broker cancelled the consumer".to_owned(),
            };
            let Some(reply) = reply else { return "the channel was closed".to_owned() };
            let (mut newest, mut count) = (reply.tag, 1);
            let mut unpacked = deliver(reply, calls);
            while unpacked < TURN
                && let Ok(reply) = inbox.try_recv()
            {
                newest = reply.tag;
                count += 1;
                unpacked += deliver(reply, calls);
            }
            unsettled.settled(count);
            acks::send(sender, [AckFrame::Ack { tag: newest, multiple: count > 1 }]);
            if unpacked >= TURN {
                yield_now().await;
            }
        }
    }

    async fn close(&mut self, _: &Session, Open { channel, .. }: Open) {
        let Ok(name) = short_string(&self.name) else { return };
        // One with a stable name is kept for the next start, as in oslo; if there is no next start, it expires.
        if !self.own_name.is_stable() {
            let _ = timeout(FAREWELL, channel.queue_delete(name, QueueDeleteOptions::default())).await;
        }
        let _ = timeout(FAREWELL, channel.close(200, "OK".into())).await;
    }
}

/// Hands one reply to its call. One that cannot be read, or that no call waits for, is counted and dropped. Returns how
/// many bytes were unpacked.
fn deliver(reply: Incoming, calls: &Awaited) -> usize {
    let Incoming { redelivered, properties, body, oversized, .. } = reply;
    let limits = calls.limits();
    let body = match oversized {
        Some(size) => Err(Poison::TooLarge { size, limit: limits.max_bytes }),
        None => properties::body(&properties, body.into(), limits.max_bytes),
    };
    let body = match body {
        Ok(body) => body,
        Err(poison) => return calls.unreadable(&poison),
    };
    // A large one that no call waits for is not read.
    if body.len() > WORTH_A_LOOK
        && let Some(id) = reply::id_at_end(&body)
        && !calls.is_waiting(id)
    {
        calls.unawaited(id, redelivered);
        return body.len();
    }
    match reply::decode(&body, limits) {
        Ok(Inbound { message_id, part }) => {
            calls.deliver(&message_id, part, redelivered);
            body.len()
        }
        Err(poison) => calls.unreadable(&poison),
    }
}
