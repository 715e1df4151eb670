//! One receiving link: credit, deliveries, settlements.

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
use oxlo_driver_kit::{
    deferral::Way,
    duplicates,
    intake::{Intake, Marks, Reader},
    resend::Deferring,
};
use oxlo_transport::{Settlement, budget::TURN};
use oxlo_wire::envelope::Poison;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::yield_now,
};
use tracing::warn;

use crate::{
    error,
    fe2o3_internals::SURPLUS,
    message::{self, Incoming},
    publish::Publisher,
    resend::Delivered,
};

/// What the links of a subscription have to do.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// Take messages.
    Take,
    /// Take none, requeue what arrives, and settle what was handed out.
    Stop(Stopping),
    /// Send what is settled, and return the link.
    End,
}

/// How far the links are that stop.
#[derive(Clone, Debug)]
pub(crate) struct Stopping {
    /// A permit for each link whose stop the broker knows.
    pub(crate) told: Arc<Semaphore>,
    /// A permit for each link of which everything that was handed out is settled.
    pub(crate) drained: Arc<Semaphore>,
}

impl Stopping {
    pub(crate) fn new() -> Self {
        Self { told: Arc::new(Semaphore::new(0)), drained: Arc::new(Semaphore::new(0)) }
    }
}

/// What the links of a subscription share.
pub(crate) struct Receiving<R: Reader<Incoming>> {
    pub(crate) reader: R,
    pub(crate) intake: Intake<R::Message, Settler>,
    /// How many messages of a link may be unsettled.
    pub(crate) prefetch: u32,
    /// The largest message that is read, in bytes.
    pub(crate) max_size: usize,
    /// Whether the broker understands `modified`, which counts a delivery that went back.
    pub(crate) counts_deliveries: bool,
    /// Sends messages to their address again, where they may be deferred.
    pub(crate) resends: Option<Arc<Publisher>>,
    /// Whether it was logged that the broker sends more than it may.
    pub(crate) surplus_told: AtomicBool,
}

/// Settles one delivery on its link. After the end of the link this has no effect: the broker requeues the message.
#[derive(Debug)]
pub(crate) struct Settler {
    link: mpsc::UnboundedSender<Settled>,
    delivery: DeliveryInfo,
}

impl duplicates::Settler for Settler {
    fn settle(self, settlement: Settlement) {
        let _ = self.link.send((self.delivery, settlement));
    }
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

/// Sets how many messages the broker may send on a link.
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

/// Reads a message as fe2o3-amqp returns it.
///
/// # Errors
///
/// [`Poison`] if it cannot be read by anyone.
pub(crate) fn read(body: Body<Value>, message_max: usize) -> Result<Incoming, Poison> {
    let bytes = bytes(body);
    // A longer message was truncated, which must not be reported as malformed.
    if bytes.len() > message_max && message::read(&bytes).is_err() {
        return Err(Poison::TooLarge { size: bytes.len(), limit: message_max });
    }
    message::read(&bytes)
}

type Settled = (DeliveryInfo, Settlement);

/// How many settlements are sent together.
const BATCH: usize = 256;

struct LinkTask<R: Reader<Incoming>> {
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

/// Takes from a link until it ends, and returns why it did, or until it has to return the link.
pub(crate) async fn run<R: Reader<Incoming>>(
    receiver: Receiver,
    place: Place,
    shared: Arc<Receiving<R>>,
    order: watch::Receiver<Order>,
) -> Result<Receiver, String> {
    let (settle, settled) = mpsc::unbounded_channel();
    let (credit, surplus) = (shared.prefetch, VecDeque::new());
    let (unsettled, taking, read) = (0, true, 0);
    let task = LinkTask { receiver, place, shared, settle, settled, credit, unsettled, surplus, taking, read };
    task.run(order).await
}

impl<R: Reader<Incoming>> LinkTask<R> {
    async fn run(mut self, mut order: watch::Receiver<Order>) -> Result<Receiver, String> {
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
            let room = !self.taking || self.shared.intake.budget().has_room(&self.place.address);
            if room {
                self.take_surplus().await?;
            }
            tokio::select! {
                // Settlements first: they make room.
                biased;
                _ = self.settled.recv_many(&mut settled, BATCH) => {
                    if self.shared.intake.is_leaving() {
                        self.stop().await?;
                    }
                    self.dispose_all(&mut settled).await?;
                    self.take_surplus().await?;
                    self.top_up().await?;
                },
                changed = order.changed() => {
                    if changed.is_err() {
                        return Ok(self.receiver);
                    }
                    let now = order.borrow_and_update().clone();
                    match now {
                        Order::Take => {}
                        Order::Stop(stopping) => {
                            self.stop().await?;
                            stopping.told.add_permits(1);
                            draining = Some(stopping.drained);
                        }
                        Order::End => {
                            self.settled.close();
                            while self.settled.recv_many(&mut settled, BATCH).await > 0 {
                                self.dispose_all(&mut settled).await?;
                            }
                            return Ok(self.receiver);
                        }
                    }
                }
                // Until then messages wait unread.
                () = self.shared.intake.budget().opened(), if !room => {}
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

    /// Keeps a delivery beyond the credit until there is room for it; requeues it beyond another whole credit. RabbitMQ 3
    /// sends such deliveries when credit reaches it while it is sending.
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
            && self.shared.intake.budget().is_open()
            && let Some((info, body)) = self.surplus.pop_front()
        {
            self.take(info, body).await?;
        }
        Ok(())
    }

    /// Passes a delivery to the listener's intake.
    async fn take(&mut self, info: DeliveryInfo, body: Body<Value>) -> Result<(), String> {
        if !self.taking {
            return self.give_back(info).await;
        }
        self.unsettled += 1;
        let settler = Settler { link: self.settle.clone(), delivery: info };
        let Receiving { reader, intake, max_size, resends, .. } = &*self.shared;
        let Place { address, everyone } = &self.place;
        let mut marks = Marks { redelivered: false, redeliveries: 0, way: Way::default() };
        let (mut name, mut deferring) = (None, Deferring::Unsupported);
        let read = read(body, *max_size).and_then(|incoming| {
            let way = incoming.way;
            let redeliveries = incoming.redeliveries.saturating_add(way.redeliveries);
            marks = Marks { redelivered: incoming.redelivered || redeliveries > 0, redeliveries, way };
            // A copy that was sent to the address again is not a duplicate of the original.
            name = incoming.name(*everyone).map(|name| intake.duplicates().name((&**address, name, way.round)));
            deferring = match resends {
                None => Deferring::Unsupported,
                // A copy would reach every listener again.
                Some(_) if *everyone => Deferring::Delayed,
                Some(publisher) => Deferring::Copied(Delivered::new(publisher.clone(), address.clone(), &incoming)),
            };
            reader.read(incoming)
        });
        self.read += intake.take(settler, read, name, marks, deferring);
        Ok(())
    }

    /// Settles what was handed out; accepted deliveries in as few frames as there are gaps between them.
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

    /// Grants as much credit as there is room once half of it is used up, as oslo does, when something was settled.
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
