//! Consuming: the queues of one subscription, on one channel.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{BoxStream, SelectAll},
};
use lapin::{
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueDeleteOptions},
    types::{AMQPValue, FieldTable, ShortString},
};
pub(crate) use oxlo_driver_kit::session::LIMIT_PAUSE;
use oxlo_driver_kit::{
    duplicates::Settler as _,
    intake::{Intake, Marks, Reader},
    resend::Deferring,
    session::AttachError,
    subscription::Source,
};
use oxlo_transport::{Settlement, budget::TURN};
use oxlo_wire::envelope::Poison;
use tokio::{
    task::{JoinSet, yield_now},
    time::timeout,
};
use uuid::Uuid;

use crate::{
    config::Config,
    connection::Session,
    control::{
        channels::OpenChannel,
        declare::{DeclareError, check_unused, declare_all},
    },
    error,
    properties::{self, DeliveryHistory},
    publish::Publisher,
    queue_name::QueueName,
    resend::Delivered,
    sabotage,
    self_check::{SelfCheck, is_probe},
    settling::{Settler, Settling},
    stream::{
        ports::{Allowance, Inbox, Incoming},
        received::Received,
    },
    topology::{Subscription, short_string},
};

/// How long the broker may take to confirm that a consumer is cancelled, a queue deleted, a channel closed.
const FAREWELL: Duration = Duration::from_secs(2);
/// How many messages a stream sends at once, whatever its credit: RabbitMQ hands out whole chunks.
const STREAM_CHUNK: usize = 1 << 16;

/// The bound on unsettled messages for a prefetch of `asked`. Twice as many, because brokers are inexact.
pub(crate) fn beyond(asked: usize) -> usize {
    2 * asked + 16
}

/// The queues of one subscription.
pub(crate) struct Queues<R: Reader<(Received, Bytes)>> {
    pub(crate) subscription: Subscription,
    /// The name of its fanout queue, held as long as it listens.
    pub(crate) _name: Option<QueueName>,
    pub(crate) prefetch: u16,
    pub(crate) reader: R,
    pub(crate) intake: Intake<R::Message, Settler>,
    pub(crate) config: Arc<Config>,
    /// The largest body that is read, in bytes.
    pub(crate) max_size: usize,
    /// Whether redeliveries are counted where the broker does not.
    pub(crate) recount: bool,
    /// Whether messages may be deferred.
    pub(crate) deferrable: bool,
    /// Sends messages to their queue again, and the probes of the self-check.
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) was_subscribed: bool,
    /// Where in the stream the last message stood that was handed out.
    pub(crate) offset: Option<i64>,
    /// Tells what this listener reads from a stream from what others read there.
    pub(crate) label: Uuid,
}

/// An active subscription.
pub(crate) struct Live {
    channel: OpenChannel,
    settling: Arc<Settling>,
    inbox: Inbox,
    /// Yields something when a consumer ends.
    consumers: SelectAll<BoxStream<'static, ()>>,
    tags: Vec<ShortString>,
    /// The self-check; ends when it is dropped.
    checking: JoinSet<()>,
}

impl<R: Reader<(Received, Bytes)>> Source for Queues<R> {
    type Session = Session;
    type Live = Live;

    async fn subscribe(&mut self, session: &Arc<Session>) -> Result<Live, AttachError> {
        let live = session.meanwhile(self.consume(session)).await?;
        self.was_subscribed = true;
        Ok(live)
    }

    async fn take(&mut self, live: &mut Live) -> String {
        let mut unpacked = 0;
        loop {
            let room = self.intake.budget().has_room(&self.subscription.queues);
            tokio::select! {
                incoming = live.inbox.recv(), if room => match incoming {
                    Some(incoming) => unpacked += self.take_one(&live.settling, incoming),
                    None => return "the channel was closed".to_owned(),
                },
                // Until then messages wait as they came.
                () = self.intake.budget().opened(), if !room => {}
                _ = live.consumers.next() => return "the broker cancelled a consumer".to_owned(),
            }
            while unpacked < TURN
                && self.intake.budget().is_open()
                && let Ok(incoming) = live.inbox.try_recv()
            {
                unpacked += self.take_one(&live.settling, incoming);
            }
            if unpacked >= TURN {
                unpacked = 0;
                yield_now().await;
            }
        }
    }

    async fn stop(&mut self, live: &mut Live) {
        live.checking.shutdown().await;
        for tag in live.tags.drain(..) {
            let cancelled = live.channel.basic_cancel(tag, BasicCancelOptions::default());
            let _ = timeout(FAREWELL, cancelled).await;
        }
        let left = std::iter::from_fn(|| live.inbox.try_recv().ok());
        live.settling.give_back(left.map(|incoming| incoming.tag));
    }

    async fn drained(&mut self, live: &mut Live) -> Result<(), String> {
        loop {
            tokio::select! {
                () = live.settling.idle() => return Ok(()),
                // One that came while its consumer was being cancelled.
                incoming = live.inbox.recv() => match incoming {
                    Some(incoming) => live.settling.give_back([incoming.tag].into_iter()),
                    None => return Err("the channel was closed".to_owned()),
                },
            }
        }
    }

    async fn close(&mut self, live: Live) {
        self.intake.finish_resending(FAREWELL).await;
        live.settling.flush();
        self.clean_up(&live.channel).await;
    }

    /// What it cannot delete expires at the broker.
    async fn leave(&mut self, session: Option<Arc<Session>>) {
        if let Some(session) = session
            && let Ok(Ok(channel)) = timeout(FAREWELL, session.meanwhile(session.channel())).await
        {
            self.clean_up(&channel).await;
        }
    }
}

impl<R: Reader<(Received, Bytes)>> Queues<R> {
    async fn consume(&self, session: &Session) -> Result<Live, DeclareError> {
        let subscription = &self.subscription;
        let channel = declare_all(session, None, &subscription.declares).await?;
        // After a lost connection the broker may still see our own former consumer there.
        if !self.was_subscribed {
            for queue in &subscription.claimed {
                check_unused(&channel, queue).await?;
            }
        }
        channel.basic_qos(self.prefetch, BasicQosOptions { global: false }).await.map_err(DeclareError::Lost)?;
        let inbox = session.stream().ports().consume(channel.id(), self.allowance());
        let settling = Settling::new(session.sender(&channel), session.stream().in_flight(), inbox.unsettled());
        let (mut consumers, mut tags) = (SelectAll::new(), Vec::new());
        for (place, queue) in subscription.queues.iter().enumerate() {
            let tag = ShortString::from((place + 1).to_string());
            let name = short_string(queue).map_err(DeclareError::Refused)?;
            let consumer = channel
                .basic_consume(name, tag.clone(), BasicConsumeOptions::default(), self.arguments(place))
                .await
                .map_err(|failed| DeclareError::from_consume(queue, failed))?;
            channel.keep(consumer.clone());
            consumers.push(consumer.map(drop).chain(futures_util::stream::once(std::future::ready(()))).boxed());
            tags.push(tag);
        }
        let mut checking = JoinSet::new();
        if let Some(every) = self.config.self_check {
            let check = SelfCheck {
                every,
                channel: channel.clone(),
                publisher: self.publisher.clone(),
                subscription: subscription.clone(),
            };
            checking.spawn(check.run());
        }
        Ok(Live { channel, settling, inbox, consumers, tags, checking })
    }

    /// The arguments for consuming the queue at this place.
    fn arguments(&self, place: usize) -> FieldTable {
        let mut arguments = FieldTable::default();
        if self.config.cancel_on_failover {
            arguments.insert("x-cancel-on-ha-failover".into(), AMQPValue::Boolean(true));
        }
        if self.subscription.stream == Some(place) {
            let offset = match self.offset {
                Some(offset) => AMQPValue::LongLongInt(offset + 1),
                None => AMQPValue::LongString("next".into()),
            };
            arguments.insert("x-stream-offset".into(), offset);
        }
        arguments
    }

    /// What a broker that respects the prefetch stays below. Each consumer has the whole prefetch.
    fn allowance(&self) -> Allowance {
        let Subscription { queues, stream, .. } = &self.subscription;
        let asked = usize::from(self.prefetch) * queues.len();
        let chunk = if stream.is_some() { STREAM_CHUNK } else { 0 };
        Allowance { messages: beyond(asked) + chunk, body: self.max_size }
    }

    /// Passes a delivery to the listener's intake; returns how many bytes that took to unpack.
    fn take_one(&mut self, settling: &Arc<Settling>, incoming: Incoming) -> usize {
        let is_probe = is_probe(&incoming);
        let Incoming { tag, consumer, redelivered, properties, body, oversized } = incoming;
        let settler = settling.delivered(tag);
        if is_probe {
            settler.settle(Settlement::Ack);
            return 0;
        }
        let body = Bytes::from(body);
        let place = consumer.saturating_sub(1);
        let is_stream = self.subscription.stream == Some(place);
        if is_stream && let Some(offset) = properties::stream_offset(&properties) {
            self.offset = Some(offset);
        }
        let DeliveryHistory { counted, way } = properties::history(&properties);
        let came_back = counted.unwrap_or(0).max(u32::from(redelivered));
        let marks = Marks { redelivered, redeliveries: way.redeliveries.saturating_add(came_back), way };
        let queue = self.subscription.queues.get(place).map_or("", String::as_str);
        let recount = self.recount && redelivered && counted.is_none();
        let deferring = if is_stream || !(recount || self.deferrable) {
            // A stream is a log: nothing can be sent to its end for this listener alone.
            if self.deferrable { Deferring::Delayed } else { Deferring::Unsupported }
        } else {
            let publisher = self.publisher.clone();
            let (queue, properties, body) = (queue.to_owned(), properties.clone(), body.clone());
            let delivered = Delivered { publisher, queue, properties, body };
            if recount { Deferring::Recounted(delivered) } else { Deferring::Copied(delivered) }
        };
        let read = match oversized {
            Some(size) => Err(Poison::TooLarge { size, limit: self.max_size }),
            None => self.reader.read((properties, body)),
        };
        let name = read.as_ref().ok().and_then(|read| read.unique_id.as_ref()).map(|id| {
            if sabotage::breaks("duplicates") {
                return self.intake.duplicates().name(Uuid::new_v4());
            }
            // A fanout message comes to each queue that is bound, with the same id, and from a stream every listener reads
            // the same message. A copy that was sent to the queue again is not a duplicate of the original.
            let listener = is_stream.then_some(self.label);
            let sending = if is_stream { (0, 0) } else { (way.redeliveries, way.round) };
            self.intake.duplicates().name((queue, listener, sending, id))
        });
        self.intake.take(settler, read, name, marks, deferring)
    }

    async fn clean_up(&self, channel: &OpenChannel) {
        for queue in &self.subscription.own {
            let Ok(name) = short_string(queue) else { continue };
            let _ = timeout(FAREWELL, channel.queue_delete(name, QueueDeleteOptions::default())).await;
        }
        // Last, because the broker closes the channel if somebody else consumes the queue.
        for queue in &self.subscription.transient {
            let Ok(name) = short_string(queue) else { continue };
            let unless_used = QueueDeleteOptions { if_unused: true, ..QueueDeleteOptions::default() };
            let _ = timeout(FAREWELL, channel.queue_delete(name, unless_used)).await;
        }
        let _ = timeout(FAREWELL, channel.close(200, "OK".into())).await;
    }
}

impl<R: Reader<(Received, Bytes)>> fmt::Debug for Queues<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.subscription.queues).finish()
    }
}

impl DeclareError {
    /// The broker did not let us consume a queue. One that is not there yet, because its leader is away, is worth a retry.
    pub(crate) fn from_consume(queue: &str, failed: lapin::Error) -> Self {
        match error::topology(&format!("queue `{queue}`"), &failed) {
            Some(refused) if !error::is_not_found(&failed) => Self::Refused(refused),
            _ => Self::Lost(failed),
        }
    }
}

impl From<DeclareError> for AttachError {
    fn from(error: DeclareError) -> Self {
        match error {
            DeclareError::Refused(error) => Self::Refused(error),
            DeclareError::Lost(error) => Self::Lost(error::lost(error)),
        }
    }
}
