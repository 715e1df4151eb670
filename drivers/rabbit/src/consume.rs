//! Consuming: a subscription that is made again whenever it ends, and hands out what can be read.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{BoxStream, SelectAll},
};
use lapin::{
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueDeleteOptions},
    types::{AMQPValue, FieldTable, ShortString},
};
use oxlo_driver_kit::{deferral::Way, duplicates::Settler as _};
use oxlo_transport::{
    Deferral, Delivery, Listener, Settle, Settlement, TransportError,
    backoff::Backoff,
    budget::{Budget, TURN},
    limited,
    listener::Replier,
    text,
};
use oxlo_wire::envelope::Poison;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinSet, yield_now},
    time::{Instant, sleep, timeout},
};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::{
    config::Config,
    connection::{Link, LinkState, Session, session, unreachable_after},
    control::{
        channels::OpenChannel,
        declare::{DeclareError, check_unused, declare_all},
    },
    error,
    properties::{self, DeliveryHistory},
    publish::Publisher,
    queue_name::QueueName,
    resend::Resend,
    sabotage,
    self_check::{SelfCheck, is_probe},
    settling::{Duplicates, Settling},
    stream::{
        ports::{Allowance, Inbox, Incoming},
        received::Received,
    },
    topology::{Subscription, short_string},
};

/// How long the broker may take to confirm that a consumer is cancelled, a queue deleted, a channel closed.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long a listener that runs waits after a limit kept it from subscribing again. Long, because the broker may close the
/// connection, and with it everybody else's subscriptions, for each try.
pub(crate) const LIMIT_PAUSE: Duration = Duration::from_secs(15);
/// How many messages a stream sends at once, whatever its credit: RabbitMQ hands out whole chunks.
const STREAM_CHUNK: usize = 1 << 16;

/// The messages that may be unsettled where `asked` were asked for. Twice as many leaves a broker room to be inexact.
pub(crate) fn beyond(asked: usize) -> usize {
    2 * asked + 16
}

/// A message that could be read.
pub(crate) struct Read<M> {
    pub(crate) message: M,
    pub(crate) unique_id: Option<String>,
    pub(crate) replier: Option<Replier>,
    pub(crate) deadline: Option<Instant>,
    /// What it takes of the listener's budget.
    pub(crate) bytes: usize,
}

/// Makes messages of deliveries.
pub(crate) trait Reader: Send + Sync + 'static {
    type Message: Send + 'static;

    /// # Errors
    ///
    /// [`Poison`] if nobody can make anything of it.
    fn read(&self, properties: &Received, body: Bytes) -> Result<Read<Self::Message>, Poison>;
}

/// What a listener asks of its subscription.
enum Command {
    Stop(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// A listener on RabbitMQ.
pub(crate) struct Subscriber<M> {
    deliveries: mpsc::UnboundedReceiver<Delivery<M>>,
    commands: mpsc::UnboundedSender<Command>,
    subscribed: watch::Receiver<bool>,
    prefetch: u16,
}

/// What a subscription consists of.
pub(crate) struct Order<R> {
    /// Held, so that a listener outlives the handle of its transport.
    pub(crate) link: Arc<Link>,
    pub(crate) subscription: Subscription,
    pub(crate) prefetch: u16,
    /// What may be unpacked and not finished with.
    pub(crate) budget: Budget,
    /// The largest body that is read.
    pub(crate) max_size: usize,
    pub(crate) cancel_on_failover: bool,
    pub(crate) reader: R,
    pub(crate) duplicates: Arc<Duplicates>,
    /// Whether redeliveries are counted where the broker does not.
    pub(crate) recount: bool,
    /// Whether messages may be deferred.
    pub(crate) deferrable: bool,
    /// Sends messages to their queue again.
    pub(crate) publisher: Arc<Publisher>,
    /// How often it is checked that messages still reach the queues, and what asks the broker.
    pub(crate) self_check: Option<(Duration, Arc<Publisher>)>,
    /// The name of its fanout queue, held as long as it listens.
    pub(crate) _name: Option<QueueName>,
}

impl<M: Send + 'static> Subscriber<M> {
    /// Subscribes within `limit`, and returns when the subscription stands.
    ///
    /// # Errors
    ///
    /// `Topology` if the broker refuses a queue, `Refused` if no channel may be opened, `Closed` if the link was closed,
    /// `Unreachable` with the last failure if it takes too long.
    pub(crate) async fn subscribe<R: Reader<Message = M>>(
        order: Order<R>,
        config: &Config,
        limit: Duration,
    ) -> Result<Self, TransportError> {
        let (begun, link) = (Instant::now(), order.link.clone());
        let (outbox, deliveries) = mpsc::unbounded_channel();
        let (commands, inbox) = mpsc::unbounded_channel();
        let (sender, subscribed) = watch::channel(false);
        let (first, refused) = oneshot::channel();
        let prefetch = order.prefetch;
        let (failed, failure) = watch::channel(None);
        let keeper = Keeper {
            order,
            outbox,
            commands: inbox,
            subscribed: sender,
            failed,
            stopped: false,
            epoch: 0,
            offset: None,
            label: Uuid::new_v4(),
            resending: TaskTracker::new(),
        };
        tokio::spawn(keeper.run(first));
        match timeout(limit, refused).await {
            Ok(Ok(Ok(()))) => Ok(Self { deliveries, commands, subscribed, prefetch }),
            Ok(Ok(Err(error))) => Err(error),
            Ok(Err(_)) => Err(TransportError::Closed),
            Err(_) => {
                let cause = link.failure().or_else(|| failure.borrow().clone());
                Err(unreachable_after(config, begun, cause))
            }
        }
    }

    async fn command(&self, command: impl FnOnce(oneshot::Sender<()>) -> Command) {
        let (done, finished) = oneshot::channel();
        if self.commands.send(command(done)).is_ok() {
            let _ = finished.await;
        }
    }
}

#[async_trait]
impl<M: Send + 'static> Listener<M> for Subscriber<M> {
    async fn recv(&mut self) -> Result<Delivery<M>, TransportError> {
        self.deliveries.recv().await.ok_or(TransportError::Closed)
    }

    async fn stop(&mut self) {
        self.command(Command::Stop).await;
        self.deliveries.close();
        // Dropping a delivery gives it back.
        while self.deliveries.try_recv().is_ok() {}
    }

    async fn close(mut self: Box<Self>) {
        self.stop().await;
        self.command(Command::Close).await;
    }

    fn is_subscribed(&self) -> bool {
        *self.subscribed.borrow()
    }

    fn subscribed(&self) -> watch::Receiver<bool> {
        self.subscribed.clone()
    }

    fn prefetch(&self) -> Option<u16> {
        Some(self.prefetch)
    }
}

impl<M> fmt::Debug for Subscriber<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").field("subscribed", &*self.subscribed.borrow()).finish_non_exhaustive()
    }
}

struct Keeper<R: Reader> {
    order: Order<R>,
    outbox: mpsc::UnboundedSender<Delivery<R::Message>>,
    commands: mpsc::UnboundedReceiver<Command>,
    subscribed: watch::Sender<bool>,
    /// Why the last try to subscribe failed.
    failed: watch::Sender<Option<TransportError>>,
    /// The listener takes nothing more: it is never subscribed again.
    stopped: bool,
    epoch: u64,
    /// Where in the stream the last message stood that was handed out.
    offset: Option<i64>,
    /// Tells what this listener reads from a stream from what others read there.
    label: Uuid,
    /// What is being sent to its queue again.
    resending: TaskTracker,
}

/// A subscription that stands.
struct Live {
    session: Arc<Session>,
    channel: OpenChannel,
    settling: Arc<Settling>,
    inbox: Inbox,
    /// Something comes of it when a consumer ends.
    consumers: SelectAll<BoxStream<'static, ()>>,
    tags: Vec<ShortString>,
    /// The self-check; ends when it is dropped.
    checking: JoinSet<()>,
}

/// Why a subscription no longer stands.
enum End {
    /// The broker or the network ended it: subscribe again.
    Lost,
    /// Its listener is done with it.
    Closed(Option<oneshot::Sender<()>>),
}

impl<R: Reader> Keeper<R> {
    async fn run(mut self, first: oneshot::Sender<Result<(), TransportError>>) {
        let mut first = Some(first);
        let mut backoff = Backoff::default();
        let mut link = self.order.link.state();
        loop {
            let session = tokio::select! {
                session = session(&mut link) => match session {
                    Some(session) => session,
                    None => return,
                },
                end = self.idle() => return self.leave(end).await,
                () = gone(&mut first) => return,
            };
            if self.stopped {
                let end = self.idle().await;
                return self.leave(end).await;
            }
            let mut limited = false;
            match session.clone().meanwhile(self.subscribe(&session)).await {
                Ok(live) => {
                    if let Some(first) = first.take()
                        && first.send(Ok(())).is_err()
                    {
                        return;
                    }
                    self.subscribed.send_replace(true);
                    let begun = Instant::now();
                    let end = self.serve(live).await;
                    self.subscribed.send_replace(false);
                    match end {
                        End::Lost => metrics::counter!("oxlo_resubscriptions_total").increment(1),
                        closed @ End::Closed(_) => return farewell(closed),
                    }
                    if begun.elapsed() > Duration::from_secs(1) {
                        backoff.reset();
                    }
                }
                Err(DeclareError::Refused(error)) => {
                    if let Some(first) = first.take() {
                        let _ = first.send(Err(error));
                        return;
                    }
                    warn!(%error, queues = ?self.order.subscription.queues, "resubscribe failed, retrying");
                    limited = error::is_limit(&error);
                    self.failed.send_replace(Some(error));
                }
                Err(DeclareError::Lost(error)) => {
                    debug!(%error, "cannot subscribe");
                    self.failed.send_replace(Some(error::lost(error)));
                }
            }
            let pause = if limited { LIMIT_PAUSE } else { backoff.next(&mut rand::rng()) };
            tokio::select! {
                () = sleep(pause) => {}
                end = self.idle() => return self.leave(end).await,
                () = gone(&mut first) => return self.leave(End::Closed(None)).await,
            }
        }
    }

    async fn subscribe(&mut self, session: &Arc<Session>) -> Result<Live, DeclareError> {
        let subscription = &self.order.subscription;
        let channel = declare_all(session, None, &subscription.declares).await?;
        // After a lost connection the broker may not have noticed yet that the consumer there is gone: ours.
        if self.epoch == 0 {
            for queue in &subscription.claimed {
                check_unused(&channel, queue).await?;
            }
        }
        channel.basic_qos(self.order.prefetch, BasicQosOptions { global: false }).await.map_err(DeclareError::Lost)?;
        let mut arguments = FieldTable::default();
        if self.order.cancel_on_failover {
            arguments.insert("x-cancel-on-ha-failover".into(), AMQPValue::Boolean(true));
        }
        let inbox = session.stream().ports().consume(channel.id(), self.allowance());
        let settling = Settling::new(session.sender(&channel), session.stream().in_flight(), inbox.unsettled());
        let (mut consumers, mut tags) = (SelectAll::new(), Vec::new());
        for (place, queue) in subscription.queues.iter().enumerate() {
            let tag = ShortString::from((place + 1).to_string());
            let name = short_string(queue).map_err(DeclareError::Refused)?;
            let mut arguments = arguments.clone();
            if subscription.stream == Some(place) {
                let offset = match self.offset {
                    Some(offset) => AMQPValue::LongLongInt(offset + 1),
                    None => AMQPValue::LongString("next".into()),
                };
                arguments.insert("x-stream-offset".into(), offset);
            }
            let consumer = channel
                .basic_consume(name, tag.clone(), BasicConsumeOptions::default(), arguments)
                .await
                .map_err(|failed| match error::topology(&format!("queue `{queue}`"), &failed) {
                    Some(refused) if !error::is_not_found(&failed) => DeclareError::Refused(refused),
                    _ => DeclareError::Lost(failed),
                })?;
            channel.keep(consumer.clone());
            consumers.push(consumer.map(drop).chain(futures_util::stream::once(std::future::ready(()))).boxed());
            tags.push(tag);
        }
        self.epoch += 1;
        let mut checking = JoinSet::new();
        if let Some((every, publisher)) = &self.order.self_check {
            let check = SelfCheck {
                every: *every,
                channel: channel.clone(),
                publisher: publisher.clone(),
                subscription: self.order.subscription.clone(),
            };
            checking.spawn(check.run());
        }
        Ok(Live { session: session.clone(), channel, settling, inbox, consumers, tags, checking })
    }

    /// What a broker that keeps to the prefetch stays below. The prefetch is that of each consumer.
    fn allowance(&self) -> Allowance {
        let Subscription { queues, stream, .. } = &self.order.subscription;
        let asked = usize::from(self.order.prefetch) * queues.len();
        let chunk = if stream.is_some() { STREAM_CHUNK } else { 0 };
        Allowance { messages: beyond(asked) + chunk, body: self.order.max_size }
    }

    async fn serve(&mut self, mut live: Live) -> End {
        let mut abandoned = false;
        let mut unpacked = 0;
        loop {
            let room = self.order.budget.has_room(&self.order.subscription.queues);
            tokio::select! {
                incoming = live.inbox.recv(), if !self.stopped && room => match incoming {
                    Some(incoming) => unpacked += self.take(&live.settling, incoming),
                    // The channel is gone.
                    None => return End::Lost,
                },
                // Until then messages wait as they came.
                () = self.order.budget.opened(), if !self.stopped && !room => {}
                // The broker cancelled a consumer.
                _ = live.consumers.next(), if !self.stopped => return End::Lost,
                // What was handed out before the listener was dropped can still be settled; then nothing is left to do.
                () = live.settling.idle(), if abandoned => {
                    self.close(live).await;
                    return End::Closed(None);
                }
                command = self.commands.recv(), if !abandoned => match command {
                    Some(Command::Stop(done)) => {
                        self.stop(&mut live).await;
                        let _ = done.send(());
                    }
                    Some(Command::Close(done)) => {
                        self.close(live).await;
                        return End::Closed(Some(done));
                    }
                    None => {
                        self.stop(&mut live).await;
                        abandoned = true;
                    }
                },
                () = live.session.ended() => return if abandoned { End::Closed(None) } else { End::Lost },
            }
            while !self.stopped
                && unpacked < TURN
                && self.order.budget.is_open()
                && let Ok(incoming) = live.inbox.try_recv()
            {
                unpacked += self.take(&live.settling, incoming);
            }
            if unpacked >= TURN {
                unpacked = 0;
                yield_now().await;
            }
        }
    }

    /// Hands a delivery out, or settles it at once if nobody should see it; returns how many bytes that took to unpack.
    fn take(&mut self, settling: &Arc<Settling>, incoming: Incoming) -> usize {
        let probe = is_probe(&incoming);
        let Incoming { tag, consumer, redelivered, properties, body, oversized } = incoming;
        let settler = settling.delivered(tag);
        if probe {
            settler.settle(Settlement::Ack);
            return 0;
        }
        let body = Bytes::from(body);
        let place = consumer.saturating_sub(1);
        let DeliveryHistory { counted, way } = properties::history(&properties);
        let came_back = counted.unwrap_or(0).max(u32::from(redelivered));
        let redeliveries = way.redeliveries.saturating_add(came_back);
        let stream = self.order.subscription.stream == Some(place);
        if stream && let Some(offset) = properties::stream_offset(&properties) {
            self.offset = Some(offset);
        }
        if redelivered {
            metrics::counter!("oxlo_redeliveries_total").increment(1);
        }
        let recount = self.order.recount && redelivered && counted.is_none() && !stream;
        let kept = (recount || self.order.deferrable && !stream).then(|| (properties.clone(), body.clone()));
        let read = match oversized {
            Some(size) => Err(Poison::TooLarge { size, limit: self.order.max_size }),
            None => self.order.reader.read(&properties, body),
        };
        let read = match read {
            Ok(read) => read,
            Err(poison) => {
                let cause = std::error::Error::source(&poison).map(|cause| text::line(&cause.to_string()).into_owned());
                limited!(warn, "a message was rejected that cannot be read", %poison, cause);
                metrics::counter!("oxlo_poison_total", "kind" => poison.kind()).increment(1);
                settler.settle(Settlement::Reject);
                // As if it were a large one: nothing says how far it was read.
                return TURN;
            }
        };
        let bytes = read.bytes;
        let settle = match read.unique_id {
            None => Settle::new(move |settlement| settler.settle(settlement)),
            Some(id) => {
                // A fanout message comes to each queue that is bound, with the same id.
                let queue = self.order.subscription.queues.get(place).map_or("", String::as_str);
                // And from a stream every listener reads the same message.
                let listener = stream.then_some(self.label);
                // What was sent once more is no duplicate of itself.
                let sending = if stream { (0, 0) } else { (way.redeliveries, way.round) };
                let duplicates = self.order.duplicates.clone();
                let name = match sabotage::breaks("duplicates") {
                    false => duplicates.name((queue, listener, sending, id)),
                    true => duplicates.name(Uuid::new_v4()),
                };
                if !duplicates.is_first(name, settler) {
                    metrics::counter!("oxlo_duplicates_total").increment(1);
                    return bytes;
                }
                Settle::new(move |settlement| duplicates.settle(name, settlement))
            }
        };
        let settle = match kept {
            None if self.order.deferrable => oxlo_driver_kit::delayed::late(settle),
            None => settle,
            Some((properties, body)) => {
                let resend = Resend {
                    publisher: self.order.publisher.clone(),
                    queue: self.order.subscription.queues.get(place).cloned().unwrap_or_default(),
                    properties,
                    body,
                    way: Way { redeliveries, ..way },
                    deadline: read.deadline,
                };
                if recount {
                    // It is counted by what it says now.
                    let delay = way.due().map_or(Duration::ZERO, |due| due.saturating_duration_since(Instant::now()));
                    self.resending.spawn(resend.send(settle, Deferral { delay, counts: false }));
                    return bytes;
                }
                resend.deferrable(settle, self.resending.clone())
            }
        };
        let mut taken = Delivery::new(read.message, settle);
        taken.redeliveries = redeliveries;
        taken.replier = read.replier;
        taken.deadline = read.deadline;
        taken.redelivered = redelivered || redeliveries > 0;
        taken.not_before = way.due();
        taken.permit = Some(self.order.budget.charge(bytes));
        // A listener that is gone gives it back by dropping it.
        let _ = self.outbox.send(taken);
        bytes
    }

    /// Cancels the consumers and gives back what had come and was not handed out.
    async fn stop(&mut self, live: &mut Live) {
        self.stopped = true;
        self.subscribed.send_replace(false);
        live.checking.shutdown().await;
        for tag in live.tags.drain(..) {
            let cancelled = live.channel.basic_cancel(tag, BasicCancelOptions::default());
            let _ = timeout(FAREWELL, cancelled).await;
        }
        let left = std::iter::from_fn(|| live.inbox.try_recv().ok());
        live.settling.give_back(left.map(|incoming| incoming.tag));
    }

    /// Sends what is settled, deletes what is this listener's alone, and closes the channel.
    async fn close(&mut self, live: Live) {
        // Closing the channel gives back what is not settled, and there would be two of it.
        self.resending.close();
        let _ = timeout(FAREWELL, self.resending.wait()).await;
        live.settling.flush();
        self.clean_up(&live.channel).await;
    }

    /// Ends without a subscription: deletes what belongs to this listener alone if the broker can be reached. Otherwise the
    /// broker lets it expire.
    async fn leave(self, end: End) {
        let session = match &*self.order.link.state().borrow() {
            LinkState::Up(session) => Some(session.clone()),
            LinkState::Down(_) | LinkState::Closed => None,
        };
        if let Some(session) = session
            && let Ok(Ok(channel)) = timeout(FAREWELL, session.meanwhile(session.channel())).await
        {
            self.clean_up(&channel).await;
        }
        farewell(end);
    }

    async fn clean_up(&self, channel: &OpenChannel) {
        for queue in &self.order.subscription.own {
            let Ok(name) = short_string(queue) else { continue };
            let _ = timeout(FAREWELL, channel.queue_delete(name, QueueDeleteOptions::default())).await;
        }
        // Last, because the broker closes the channel if somebody else consumes the queue.
        for queue in &self.order.subscription.transient {
            let Ok(name) = short_string(queue) else { continue };
            let unless_used = QueueDeleteOptions { if_unused: true, ..QueueDeleteOptions::default() };
            let _ = timeout(FAREWELL, channel.queue_delete(name, unless_used)).await;
        }
        let _ = timeout(FAREWELL, channel.close(200, "OK".into())).await;
    }

    /// Waits for the listener to be done while there is no subscription. A stop is remembered, also when the future is
    /// dropped after it.
    async fn idle(&mut self) -> End {
        loop {
            match self.commands.recv().await {
                Some(Command::Stop(done)) => {
                    self.stopped = true;
                    let _ = done.send(());
                }
                Some(Command::Close(done)) => return End::Closed(Some(done)),
                None => return End::Closed(None),
            }
        }
    }
}

/// Resolves when whoever waits for the first subscription has gone; never after it stood.
async fn gone(first: &mut Option<oneshot::Sender<Result<(), TransportError>>>) {
    match first {
        Some(first) => first.closed().await,
        None => std::future::pending().await,
    }
}

fn farewell(end: End) {
    if let End::Closed(Some(done)) = end {
        let _ = done.send(());
    }
}
