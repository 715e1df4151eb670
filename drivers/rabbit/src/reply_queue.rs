//! The queue that the replies to our own calls come to.
//!
//! It is declared with the first call, under a name of its own; it outlives a lost connection, expires when we do not
//! come back, and is deleted when the transport closes. After each reconnect it is looked for first: if it is gone, so
//! are the replies in it, and the calls that wait for them end as `ReplyLost` at once.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use lapin::{
    Channel, Consumer,
    options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};
use oxlo_driver_kit::{link::exhausted, patience::Patience, pending::PendingCalls};
use oxlo_transport::{TransportError, backoff::Backoff, budget::TURN, json::Limits, limited, text};
use oxlo_wire::{
    envelope::Poison,
    reply::{self, Inbound},
};
use tokio::{
    sync::{oneshot, watch},
    task::yield_now,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    acks::{self, AckFrame},
    config::Config,
    connection::{LinkState, Session, session, unreachable_after},
    consume::{LIMIT_PAUSE, beyond},
    control::{
        channels::OpenChannel,
        declare::{DeclareError, check_unused, declare_all},
    },
    error, properties,
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

/// Whether replies can come; if not, why the last try failed.
#[derive(Clone, Debug)]
enum State {
    Ready,
    NotReady(Option<TransportError>),
}

impl State {
    /// Why nobody needs to wait for replies; `None` if trying on may help in time.
    fn refusal(&self) -> Option<&TransportError> {
        match self {
            Self::NotReady(Some(error @ (TransportError::Topology { .. } | TransportError::Refused { .. }))) => {
                Some(error)
            }
            _ => None,
        }
    }
}

/// Our reply queue, consumed for as long as the transport lives.
#[derive(Debug)]
pub(crate) struct ReplyQueue {
    name: Arc<str>,
    link: watch::Receiver<LinkState>,
    state: watch::Receiver<State>,
    stop: CancellationToken,
    stopped: tokio::sync::Mutex<Option<oneshot::Receiver<()>>>,
}

impl ReplyQueue {
    /// Starts to declare and consume it.
    pub(crate) fn spawn(
        config: Arc<Config>,
        link: watch::Receiver<LinkState>,
        pending: PendingCalls,
        limits: Limits,
        own_name: QueueName,
    ) -> Self {
        let name: Arc<str> = format!("reply_{}", own_name.suffix).into();
        let (sender, state) = watch::channel(State::NotReady(None));
        let ours = link.clone();
        let stop = CancellationToken::new();
        let (done, stopped) = oneshot::channel();
        let keeper =
            Keeper { config, own_name, name: name.clone(), link, pending, limits, state: sender, stop: stop.clone() };
        tokio::spawn(async move {
            keeper.run().await;
            let _ = done.send(());
        });
        Self { name, link: ours, state, stop, stopped: tokio::sync::Mutex::new(Some(stopped)) }
    }

    /// Its name, once replies can come.
    ///
    /// # Errors
    ///
    /// `Topology` if the broker refuses it, `Refused` if no channel may be opened, `Unreachable` with the last failure if it
    /// cannot be declared in time, `Closed`.
    pub(crate) async fn ready(&self, config: &Config, patience: &Patience) -> Result<&Arc<str>, TransportError> {
        if matches!(&*self.state.borrow(), State::Ready) {
            return Ok(&self.name);
        }
        Box::pin(self.ready_in_time(config, patience)).await
    }

    async fn ready_in_time(&self, config: &Config, patience: &Patience) -> Result<&Arc<str>, TransportError> {
        let mut state = self.state.clone();
        let settled = |state: &State| matches!(state, State::Ready) || state.refusal().is_some();
        let ready = timeout_at(patience.deadline, state.wait_for(settled));
        let outcome = tokio::select! {
            outcome = ready => outcome,
            error = exhausted(self.link.clone(), config.hosts.len(), config.places(), patience) => return Err(error),
        };
        match outcome {
            Ok(Ok(state)) => match state.refusal() {
                Some(error) => Err(error.clone()),
                None => Ok(&self.name),
            },
            Ok(Err(_)) => Err(TransportError::Closed),
            Err(_) => Err(unreachable_after(config, patience.begun, self.failure())),
        }
    }

    /// Why replies cannot come, as far as it is known.
    fn failure(&self) -> Option<TransportError> {
        if let LinkState::Down(down) = &*self.link.borrow() {
            return down.cause.clone();
        }
        match &*self.state.borrow() {
            State::NotReady(cause) => cause.clone(),
            State::Ready => None,
        }
    }

    /// Deletes the queue and ends.
    pub(crate) async fn close(&self) {
        self.stop.cancel();
        if let Some(stopped) = self.stopped.lock().await.take() {
            let _ = stopped.await;
        }
    }
}

impl Drop for ReplyQueue {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The queue, consumed.
struct Open {
    /// Shared with whoever deletes the queue in the end.
    channel: Arc<OpenChannel>,
    sender: ChannelSender,
    inbox: Inbox,
    /// Ends when the broker cancels it.
    consumer: Consumer,
}

struct Keeper {
    config: Arc<Config>,
    /// Held as long as the queue is used.
    own_name: QueueName,
    name: Arc<str>,
    link: watch::Receiver<LinkState>,
    pending: PendingCalls,
    limits: Limits,
    state: watch::Sender<State>,
    stop: CancellationToken,
}

impl Keeper {
    async fn run(mut self) {
        let mut backoff = Backoff::default();
        let mut declared_before = false;
        loop {
            let up = self.stop.run_until_cancelled(session(&mut self.link)).await;
            let Some(Some(session)) = up else { return };
            let opened = self.stop.run_until_cancelled(session.meanwhile(self.open(&session, declared_before))).await;
            let cause = match opened {
                None => return,
                Some(Ok(open)) => {
                    declared_before = true;
                    self.state.send_replace(State::Ready);
                    let begun = Instant::now();
                    let channel = open.channel.clone();
                    let stopped = self.serve(&session, open).await;
                    if stopped {
                        return self.delete(&channel).await;
                    }
                    if begun.elapsed() > Duration::from_secs(1) {
                        backoff.reset();
                    }
                    None
                }
                Some(Err(DeclareError::Refused(error))) => {
                    warn!(%error, "cannot consume the reply queue, retrying");
                    Some(error)
                }
                Some(Err(DeclareError::Lost(error))) => {
                    debug!(%error, "the reply queue cannot be consumed");
                    Some(error::lost(error))
                }
            };
            let limited = cause.as_ref().is_some_and(error::is_limit);
            self.state.send_replace(State::NotReady(cause));
            let pause = sleep(if limited { LIMIT_PAUSE } else { backoff.next(&mut rand::rng()) });
            if self.stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    async fn open(&self, session: &Session, declared_before: bool) -> Result<Open, DeclareError> {
        let name = short_string(&self.name).map_err(DeclareError::Refused)?;
        if declared_before {
            let channel = session.channel().await.map_err(|failed| DeclareError::no_channel(session, failed))?;
            let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            match channel.queue_declare(name.clone(), passive, FieldTable::default()).await {
                Ok(_) => {}
                Err(failed) if error::is_not_found(&failed) => {
                    let lost = self.pending.fail_all(&TransportError::ReplyLost { queue: self.name.to_string() });
                    warn!(queue = %self.name, calls = lost, "the reply queue is gone, and with it its replies");
                }
                Err(failed) => return Err(DeclareError::Lost(failed)),
            }
        }
        let declares = [self.config.topology.reply_queue(&self.name)];
        let channel = declare_all(session, None, &declares).await?;
        if self.own_name.is_stable() && !declared_before {
            check_unused(&channel, &self.name).await?;
        }
        let allowance = Allowance { messages: beyond(PREFETCH.into()), body: self.limits.max_bytes };
        let inbox = session.stream().ports().consume(channel.id(), allowance);
        let sender = session.sender(&channel);
        let consume = async {
            channel.basic_qos(PREFETCH, BasicQosOptions { global: false }).await?;
            channel.basic_consume(name, "1".into(), BasicConsumeOptions::default(), FieldTable::default()).await
        };
        let consumer =
            consume.await.map_err(|failed| match error::topology(&format!("queue `{}`", self.name), &failed) {
                Some(refused) if !error::is_not_found(&failed) => DeclareError::Refused(refused),
                _ => DeclareError::Lost(failed),
            })?;
        channel.keep(consumer.clone());
        Ok(Open { channel: Arc::new(channel), sender, inbox, consumer })
    }

    /// Hands replies to their calls; `true` when told to stop, `false` when the subscription ended.
    async fn serve(&self, session: &Session, open: Open) -> bool {
        let Open { sender, mut inbox, mut consumer, .. } = open;
        let unsettled = inbox.unsettled();
        loop {
            let reply = tokio::select! {
                reply = inbox.recv() => reply,
                // The broker cancelled it.
                _ = consumer.next() => return false,
                () = session.ended() => return false,
                () = self.stop.cancelled() => return true,
            };
            let Some(reply) = reply else { return false };
            let (mut newest, mut count) = (reply.tag, 1);
            let mut unpacked = self.take(reply);
            while unpacked < TURN
                && let Ok(reply) = inbox.try_recv()
            {
                newest = reply.tag;
                count += 1;
                unpacked += self.take(reply);
            }
            unsettled.settled(count);
            acks::send(&sender, [AckFrame::Ack { tag: newest, multiple: count > 1 }]);
            if unpacked >= TURN {
                yield_now().await;
            }
        }
    }

    /// Hands one reply to its call. One that cannot be read, or that nobody waits for, is counted and forgotten: it is
    /// of no use in the queue either. Returns how many bytes that took to unpack.
    fn take(&self, reply: Incoming) -> usize {
        let again = reply.redelivered;
        let limit = self.limits.max_bytes;
        let body = match reply.oversized {
            Some(size) => Err(Poison::TooLarge { size, limit }),
            None => properties::body(&reply.properties, reply.body.into(), limit),
        };
        let read = body.and_then(|body| {
            // One that is worth a look is not read for nobody.
            let unawaited =
                reply::id_at_end(&body).filter(|id| body.len() > WORTH_A_LOOK && !self.pending.is_waiting(id));
            match unawaited {
                Some(id) => Ok((body.len(), Err(id.to_owned()))),
                None => reply::decode(&body, self.limits).map(|inbound| (body.len(), Ok(inbound))),
            }
        });
        let (unpacked, inbound) = match read {
            Ok(read) => read,
            Err(poison) => {
                limited!(warn, "a reply was dropped that cannot be read", %poison);
                metrics::counter!("oxlo_poison_total", "kind" => poison.kind()).increment(1);
                // As if it were a large one: nothing says how far it was read.
                return TURN;
            }
        };
        let (awaited, message_id) = match inbound {
            Ok(Inbound { message_id, part }) => (self.pending.deliver(&message_id, part), message_id),
            Err(message_id) => (false, message_id),
        };
        if !awaited {
            debug!(message_id = %text::name(&message_id), again, "a reply came that nobody waits for");
            // What comes again may have been in time.
            if !again {
                metrics::counter!("oxlo_late_replies_total").increment(1);
            }
        }
        unpacked
    }

    async fn delete(&self, channel: &Channel) {
        let Ok(name) = short_string(&self.name) else { return };
        // One with a stable name is there for the next start, as in oslo; if there is none, it expires.
        if !self.own_name.is_stable() {
            let _ = timeout(FAREWELL, channel.queue_delete(name, QueueDeleteOptions::default())).await;
        }
        let _ = timeout(FAREWELL, channel.close(200, "OK".into())).await;
    }
}
