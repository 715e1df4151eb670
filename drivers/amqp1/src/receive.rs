//! One link that receives: credit, deliveries, settlements.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use fe2o3_amqp::{
    Receiver,
    link::{RecvError, delivery::DeliveryInfo},
    types::{
        messaging::{Body, Modified, Released, Source},
        primitives::Value,
    },
};
use oxlo_driver_kit::duplicates;
use oxlo_transport::{
    Delivery, Settle, Settlement,
    budget::{Budget, TURN},
    limited, text,
};
use oxlo_wire::envelope::Poison;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::yield_now,
};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::{
    consume::Reader,
    error,
    fe2o3_internals::SURPLUS,
    message::{self, Incoming},
    publish::Publisher,
    resend::Kept,
};

/// What the links of a subscription are to do.
#[derive(Clone, Debug)]
pub(crate) enum Orders {
    /// Take messages.
    Take,
    /// Take none, give back what comes, and settle what was handed out.
    Stop(Stopping),
    /// Send what is settled, and hand the link back.
    End,
}

/// Where links that stop say how far they are.
#[derive(Clone, Debug)]
pub(crate) struct Stopping {
    /// A permit for each link that has told the broker.
    pub(crate) told: Arc<Semaphore>,
    /// A permit for each link of which everything that was handed out is settled.
    pub(crate) drained: Arc<Semaphore>,
}

impl Stopping {
    pub(crate) fn new() -> Self {
        Self { told: Arc::new(Semaphore::new(0)), drained: Arc::new(Semaphore::new(0)) }
    }
}

/// Which messages were delivered, and who settles those that are being worked on. Python's casts and notifications have no
/// name.
pub(crate) type Duplicates = duplicates::Duplicates<Box<dyn FnOnce(Settlement) + Send>>;

/// What the links of a subscription share.
pub(crate) struct Receiving<R: Reader> {
    pub(crate) reader: R,
    pub(crate) outbox: mpsc::UnboundedSender<Delivery<R::Message>>,
    /// How many messages of a link may be unsettled.
    pub(crate) prefetch: u32,
    /// What may be read and not finished with, over all links.
    pub(crate) budget: Budget,
    pub(crate) message_max: usize,
    pub(crate) counts_deliveries: bool,
    pub(crate) duplicates: Arc<Duplicates>,
    /// Sends messages to their address again, where they may be deferred.
    pub(crate) resends: Option<Arc<Publisher>>,
    /// What is being sent again.
    pub(crate) resending: TaskTracker,
    /// Set before the listener gives back what it holds: the broker must hear first that no more is wanted, or it would
    /// send the same messages again.
    pub(crate) leaving: Arc<AtomicBool>,
    /// Whether it was logged that the broker sends more than it may.
    pub(crate) surplus_told: AtomicBool,
}

/// Where a link takes messages from.
pub(crate) struct Place {
    pub(crate) address: Arc<str>,
    /// Whether every listener gets a copy of each message.
    pub(crate) everyone: bool,
}

/// The source that is an address.
pub(crate) fn from(address: &str) -> Source {
    Source::builder().address(address.to_owned()).build()
}

/// Lets the broker send so many messages on a link.
///
/// # Errors
///
/// The link has ended.
pub(crate) async fn give_credit(receiver: &mut Receiver, credit: u32) -> Result<(), String> {
    receiver.set_credit(credit + SURPLUS).await.map_err(|error| error.to_string())
}

/// The text of a received message, as the [guard](crate::stream) hands it over: in data sections.
pub(crate) fn bytes(body: Body<Value>) -> Bytes {
    match body {
        Body::Data(sections) => {
            let mut sections = sections.into_iter();
            let first = sections.next().map(|data| data.0.into_vec()).unwrap_or_default();
            let rest = sections.fold(first, |mut all, data| {
                all.extend_from_slice(&data.0);
                all
            });
            rest.into()
        }
        _ => Bytes::new(),
    }
}

/// Reads a message that was handed over.
///
/// # Errors
///
/// [`Poison`] if nobody can make anything of it.
pub(crate) fn read(body: Body<Value>, message_max: usize) -> Result<Incoming, Poison> {
    let bytes = bytes(body);
    // What is longer was cut, and is not to be taken for malformed.
    if bytes.len() > message_max && message::read(&bytes).is_err() {
        return Err(Poison::TooLarge { size: bytes.len(), limit: message_max });
    }
    message::read(&bytes)
}

type Settled = (DeliveryInfo, Settlement);

/// How many settlements are looked at together.
const BATCH: usize = 256;

struct LinkTask<R: Reader> {
    receiver: Receiver,
    place: Place,
    shared: Arc<Receiving<R>>,
    settle: mpsc::UnboundedSender<Settled>,
    settled: mpsc::UnboundedReceiver<Settled>,
    /// Deliveries that the broker may still send.
    credit: u32,
    /// Deliveries that were handed out and not settled.
    unsettled: u32,
    /// Deliveries beyond the credit, until others are settled.
    surplus: VecDeque<(DeliveryInfo, Body<Value>)>,
    taking: bool,
    /// Bytes that were read since other tasks had a turn.
    read: usize,
}

/// Takes from a link until it ends, and says why it did; or until it is told to hand it back.
pub(crate) async fn run<R: Reader>(
    receiver: Receiver,
    place: Place,
    shared: Arc<Receiving<R>>,
    orders: watch::Receiver<Orders>,
) -> Result<Receiver, String> {
    let (settle, settled) = mpsc::unbounded_channel();
    let (credit, surplus) = (shared.prefetch, VecDeque::new());
    let (unsettled, taking, read) = (0, true, 0);
    let task = LinkTask { receiver, place, shared, settle, settled, credit, unsettled, surplus, taking, read };
    task.run(orders).await
}

impl<R: Reader> LinkTask<R> {
    async fn run(mut self, mut orders: watch::Receiver<Orders>) -> Result<Receiver, String> {
        let mut draining: Option<Arc<Semaphore>> = None;
        let mut settled = Vec::new();
        loop {
            if self.unsettled == 0
                && let Some(drained) = draining.take()
            {
                drained.add_permits(1);
            }
            if self.read >= TURN {
                self.read = 0;
                yield_now().await;
            }
            let room = !self.taking || self.shared.budget.has_room(&self.place.address);
            if room {
                self.take_surplus().await?;
            }
            tokio::select! {
                // What is settled goes first: it makes room.
                biased;
                _ = self.settled.recv_many(&mut settled, BATCH) => {
                    if self.shared.leaving.load(Ordering::Acquire) {
                        self.stop().await?;
                    }
                    self.dispose_all(&mut settled).await?;
                    self.take_surplus().await?;
                    self.top_up().await?;
                },
                changed = orders.changed() => {
                    if changed.is_err() {
                        return Ok(self.receiver);
                    }
                    let order = orders.borrow_and_update().clone();
                    match order {
                        Orders::Take => {}
                        Orders::Stop(stopping) => {
                            self.stop().await?;
                            stopping.told.add_permits(1);
                            draining = Some(stopping.drained);
                        }
                        Orders::End => {
                            self.settled.close();
                            while self.settled.recv_many(&mut settled, BATCH).await > 0 {
                                self.dispose_all(&mut settled).await?;
                            }
                            return Ok(self.receiver);
                        }
                    }
                }
                // Until then messages wait as they came.
                () = self.shared.budget.opened(), if !room => {}
                delivery = self.receiver.recv::<Body<Value>>(), if room => match delivery {
                    Ok(delivery) => {
                        let (info, message) = delivery.into_parts();
                        match self.credit.checked_sub(1) {
                            Some(left) => {
                                self.credit = left;
                                self.take(info, message.body).await?;
                            }
                            None => self.keep_surplus(info, message.body).await?,
                        }
                    }
                    Err(RecvError::LinkStateError(state)) => return Err(error::link_end(&state)),
                    Err(error) => return Err(error.to_string()),
                },
            }
        }
    }

    /// Keeps a delivery beyond the credit until there is room for it; beyond as many as were wanted it goes back. RabbitMQ 3
    /// sends such when credit reaches it while it is sending.
    async fn keep_surplus(&mut self, info: DeliveryInfo, body: Body<Value>) -> Result<(), String> {
        if self.taking && !self.shared.surplus_told.swap(true, Ordering::Relaxed) {
            let address = &self.place.address;
            warn!(%address, "the broker sends more messages than it has credit for; they wait (not logged again)");
        }
        if !self.taking || self.surplus.len() >= self.shared.prefetch as usize {
            return self.give_back(info).await;
        }
        self.surplus.push_back((info, body));
        self.take_surplus().await
    }

    /// Hands out what waits, as far as there is room.
    async fn take_surplus(&mut self) -> Result<(), String> {
        while self.unsettled < self.shared.prefetch
            && self.shared.budget.is_open()
            && let Some((info, body)) = self.surplus.pop_front()
        {
            self.take(info, body).await?;
        }
        Ok(())
    }

    /// Hands a delivery out, or settles it at once if nobody should see it.
    async fn take(&mut self, info: DeliveryInfo, body: Body<Value>) -> Result<(), String> {
        if !self.taking {
            return self.give_back(info).await;
        }
        let redelivered_and_read = read(body, self.shared.message_max).and_then(|incoming| {
            let way = incoming.way;
            let redeliveries = incoming.redeliveries.saturating_add(way.redeliveries);
            let again = (incoming.redelivered || redeliveries > 0, redeliveries, way.due());
            let name = incoming.name(self.place.everyone);
            // What was sent once more is no duplicate of itself.
            let name = name.map(|name| self.shared.duplicates.name((&*self.place.address, name, way.round)));
            let kept = self.shared.resends.as_ref().map(|publisher| (publisher.clone(), Kept::of(&incoming)));
            self.shared.reader.read(incoming).map(|read| (again, name, kept, read))
        });
        let ((redelivered, redeliveries, not_before), name, kept, read) = match redelivered_and_read {
            Ok(read) => read,
            Err(poison) => {
                let cause = std::error::Error::source(&poison).map(|cause| text::line(&cause.to_string()).into_owned());
                limited!(warn, "a message was rejected that cannot be read", %poison, cause);
                metrics::counter!("oxlo_poison_total", "kind" => poison.kind()).increment(1);
                // As if it were a large one: nothing says how far it was read.
                self.read += TURN;
                self.reject(info).await?;
                return self.top_up().await;
            }
        };
        self.read += read.bytes;
        if redelivered {
            metrics::counter!("oxlo_redeliveries_total").increment(1);
        }
        self.unsettled += 1;
        let settler = self.settle.clone();
        // The link may be gone by then; the broker then gives the message to another.
        let settle = move |settlement| drop(settler.send((info, settlement)));
        let settle = match name {
            None => Settle::new(settle),
            Some(name) => {
                if !self.shared.duplicates.is_first(name, Box::new(settle)) {
                    debug!("a message came again, and is not handed out twice");
                    metrics::counter!("oxlo_duplicates_total").increment(1);
                    return Ok(());
                }
                let duplicates = self.shared.duplicates.clone();
                Settle::new(move |settlement| duplicates.settle(name, settlement))
            }
        };
        let settle = match kept {
            None => settle,
            // What is sent to everyone's address would reach others again.
            Some(_) if self.place.everyone => oxlo_driver_kit::delayed::late(settle),
            Some((publisher, kept)) => {
                let tasks = self.shared.resending.clone();
                kept.deferrable(settle, tasks, publisher, self.place.address.clone(), read.deadline)
            }
        };
        let mut taken = Delivery::new(read.message, settle);
        taken.not_before = not_before;
        taken.replier = read.replier;
        taken.deadline = read.deadline;
        taken.redelivered = redelivered;
        taken.redeliveries = redeliveries;
        taken.permit = Some(self.shared.budget.charge(read.bytes));
        // A listener that is gone gives it back by dropping it.
        let _ = self.shared.outbox.send(taken);
        Ok(())
    }

    /// Settles what was handed out: all that is accepted in as few frames as there are gaps between.
    async fn dispose_all(&mut self, settled: &mut Vec<Settled>) -> Result<(), String> {
        let count = u32::try_from(settled.len()).unwrap_or(u32::MAX);
        self.unsettled = self.unsettled.saturating_sub(count);
        let mut accepted = Vec::with_capacity(settled.len());
        for (delivery, settlement) in settled.drain(..) {
            match settlement {
                Settlement::Ack => accepted.push(delivery),
                Settlement::Requeue | Settlement::Defer(_) => self.give_back(delivery).await?,
                Settlement::Reject => self.reject(delivery).await?,
            }
        }
        self.receiver.accept_all(accepted).await.map_err(|error| error.to_string())
    }

    async fn give_back(&self, delivery: DeliveryInfo) -> Result<(), String> {
        let given_back = if self.shared.counts_deliveries {
            let failed = Modified { delivery_failed: Some(true), undeliverable_here: None, message_annotations: None };
            self.receiver.dispose(delivery, failed).await
        } else {
            self.receiver.dispose(delivery, Released {}).await
        };
        given_back.map_err(|error| error.to_string())
    }

    async fn reject(&self, delivery: DeliveryInfo) -> Result<(), String> {
        self.receiver.reject(delivery, None).await.map_err(|error| error.to_string())
    }

    /// Gives the broker as much credit as there is room, once half of it is used up: as oslo does, when something was
    /// settled.
    async fn top_up(&mut self) -> Result<(), String> {
        let waiting = u32::try_from(self.surplus.len()).unwrap_or(u32::MAX);
        let room = self.shared.prefetch.saturating_sub(self.unsettled.saturating_add(waiting));
        if !self.taking || room <= self.credit || self.credit > self.shared.prefetch.div_ceil(2) {
            return Ok(());
        }
        self.credit = room;
        give_credit(&mut self.receiver, room).await
    }

    async fn stop(&mut self) -> Result<(), String> {
        if self.taking {
            self.taking = false;
            give_credit(&mut self.receiver, 0).await?;
            for (info, _) in std::mem::take(&mut self.surplus) {
                self.give_back(info).await?;
            }
        }
        Ok(())
    }
}
