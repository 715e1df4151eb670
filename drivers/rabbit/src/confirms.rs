//! Publisher confirms: which messages of a channel are on their way, and what became of each.
//!
//! A ledger is kept for each publishing channel. The stream's guard tells it what the broker says (see
//! [`publishing`](crate::stream::guard::publishing)), on lapin's I/O thread and in the broker's order, so that nobody has
//! to be woken for a confirm but whoever waits for it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::FutureExt;
use lapin::{
    BasicProperties, Channel,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::ShortString,
};
use oxlo_transport::{TransportError, parts::pending::PendingCalls};
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    connection::Session,
    sabotage,
    stream::{StreamHandle, guard::publishing::News},
};

/// Who learns how a publish ended.
pub(crate) enum Completion {
    /// A task that waits for the confirm.
    Told(oneshot::Sender<Result<(), TransportError>>),
    /// A call that waits for its reply: it only needs to know of failure.
    Call { pending: PendingCalls, message_id: String },
}

impl Completion {
    fn complete(self, outcome: Result<(), TransportError>) {
        match self {
            Self::Told(teller) => {
                // Its publisher may have stopped waiting.
                let _ = teller.send(outcome);
            }
            Self::Call { pending, message_id } => {
                if let Err(error) = outcome {
                    pending.fail(&message_id, error);
                }
            }
        }
    }
}

/// One message to publish.
pub(crate) struct Message {
    pub(crate) exchange: ShortString,
    pub(crate) routing_key: ShortString,
    pub(crate) mandatory: bool,
    pub(crate) properties: BasicProperties,
    pub(crate) body: Vec<u8>,
    pub(crate) id: Uuid,
}

/// What comes back of a message that was not sent.
pub(crate) type Unsent = Box<(Vec<u8>, Completion, OwnedSemaphorePermit)>;

/// A channel in confirm mode.
pub(crate) struct ConfirmingChannel {
    channel: Channel,
    // Held while a message is entered and handed to lapin: tags are in the order of lapin's queue.
    order: Mutex<()>,
    ledger: Arc<Ledger>,
    stream: StreamHandle,
}

impl ConfirmingChannel {
    /// Opens a channel and asks for confirms on it.
    pub(crate) async fn open(session: &Session) -> lapin::Result<Self> {
        let channel = session.channel().await?;
        let stream = session.stream().clone();
        let ledger = stream.ledgers().open(channel.id());
        // The first poll queues the request. That nobody waits for the answer keeps lapin from counting confirms that it
        // will not see; the broker takes the request before any message that follows it.
        channel.confirm_select(ConfirmSelectOptions { nowait: true }).now_or_never().transpose()?;
        Ok(Self { channel, order: Mutex::new(()), ledger, stream })
    }

    /// Hands a message over. When this returns it is on its way, and `completion` will learn what became of it.
    ///
    /// # Errors
    ///
    /// Gives the message back if the channel is gone; nothing was sent then.
    pub(crate) fn publish(
        &self,
        message: Message,
        completion: Completion,
        weight: OwnedSemaphorePermit,
    ) -> Result<(), Unsent> {
        let Message { exchange, routing_key, mandatory, properties, body, id } = message;
        if !self.channel.status().connected() {
            self.ledger.end();
            return Err(Box::new((body, completion, weight)));
        }
        let (to, key) = (exchange.clone(), routing_key.clone());
        let flight = Flight { id: id.as_u128(), exchange: to, routing_key: key, completion, weight };
        let _in_order = lock(&self.order);
        if let Err(flight) = self.ledger.enter(flight) {
            return Err(Box::new((body, flight.completion, flight.weight)));
        }
        let options = BasicPublishOptions { mandatory, immediate: false };
        let publish = self.channel.basic_publish(exchange, routing_key, options, &body, properties);
        // The first poll queues the frames; nothing else is to be waited for.
        if let Some(Err(_)) = publish.now_or_never() {
            let withdrawn = self.ledger.withdraw();
            self.ledger.end();
            if let Some(flight) = withdrawn {
                return Err(Box::new((body, flight.completion, flight.weight)));
            }
            // The channel ended in between, and its completion was told so.
        }
        Ok(())
    }

    /// Resolves when the channel is gone.
    pub(crate) async fn gone(&self) {
        self.ledger.gone.cancelled().await;
    }

    /// Waits until every message is confirmed or lost.
    pub(crate) async fn idle(&self) {
        loop {
            let idle = self.ledger.idle.notified();
            if lock(&self.ledger.book).outstanding == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl Drop for ConfirmingChannel {
    /// The channel stays open until what is on its way is confirmed or lost.
    fn drop(&mut self) {
        let mut book = lock(&self.ledger.book);
        if book.outstanding > 0 {
            book.kept = Some(self.channel.clone());
            return;
        }
        drop(book);
        self.stream.ledgers().forget(&self.ledger);
    }
}

/// A message whose confirm has not come.
struct Flight {
    id: u128,
    exchange: ShortString,
    routing_key: ShortString,
    completion: Completion,
    weight: OwnedSemaphorePermit,
}

impl Flight {
    fn finish(self, acked: bool, returned: bool) {
        let Self { exchange, routing_key, completion, .. } = self;
        completion.complete(if returned {
            metrics::counter!("oxlo_returned_total").increment(1);
            Err(TransportError::Undeliverable { exchange: exchange.to_string(), routing_key: routing_key.to_string() })
        } else if acked {
            Ok(())
        } else {
            let reason = "it answered basic.nack; the queue may be full or its node down".to_owned();
            Err(TransportError::Rejected { routing_key: routing_key.to_string(), reason })
        });
    }
}

/// The messages of one channel that are on their way.
pub(crate) struct Ledger {
    channel: u16,
    book: Mutex<Book>,
    /// How many messages of the stream are on their way.
    all: Arc<AtomicUsize>,
    gone: CancellationToken,
    idle: Notify,
}

struct Book {
    /// Delivery tag of the first flight.
    first: u64,
    /// One for each tag; `None` once it is settled.
    flights: VecDeque<Option<Flight>>,
    outstanding: usize,
    /// Messages that came back and are not settled yet.
    returned: Vec<u128>,
    open: bool,
    /// The channel, where only this ledger needs it any more.
    kept: Option<Channel>,
}

impl Ledger {
    fn new(channel: u16, open: bool, all: Arc<AtomicUsize>) -> Arc<Self> {
        let gone = CancellationToken::new();
        if !open {
            gone.cancel();
        }
        let book = Book { first: 1, flights: VecDeque::new(), outstanding: 0, returned: Vec::new(), open, kept: None };
        Arc::new(Self { channel, book: Mutex::new(book), all, gone, idle: Notify::new() })
    }

    fn enter(&self, flight: Flight) -> Result<(), Box<Flight>> {
        let mut book = lock(&self.book);
        if !book.open {
            return Err(Box::new(flight));
        }
        book.flights.push_back(Some(flight));
        book.outstanding += 1;
        self.all.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Takes back the flight that was entered last.
    fn withdraw(&self) -> Option<Flight> {
        let mut book = lock(&self.book);
        let flight = book.flights.pop_back()??;
        book.outstanding -= 1;
        self.all.fetch_sub(1, Ordering::Relaxed);
        Some(flight)
    }

    fn returned(&self, id: Uuid) {
        lock(&self.book).returned.push(id.as_u128());
    }

    fn settle(&self, tag: u64, multiple: bool, acked: bool) {
        let mut book = lock(&self.book);
        if !multiple {
            if let Some(settled) = book.take(tag) {
                self.finish(book, [settled], acked);
            }
            return;
        }
        let known = book.first + book.flights.len() as u64;
        let end = if tag == 0 { known } else { known.min(tag.saturating_add(1)) };
        let settled: Vec<_> = (book.first..end).filter_map(|tag| book.take(tag)).collect();
        self.finish(book, settled, acked);
    }

    /// Tells whoever waits, without the lock: they may publish at once.
    fn finish(&self, mut book: MutexGuard<'_, Book>, settled: impl IntoIterator<Item = (Flight, bool)>, acked: bool) {
        while let Some(None) = book.flights.front() {
            book.flights.pop_front();
            book.first += 1;
        }
        let idle = book.outstanding == 0;
        let kept = if idle { book.kept.take() } else { None };
        drop(book);
        for (flight, returned) in settled {
            self.all.fetch_sub(1, Ordering::Relaxed);
            flight.finish(acked, returned);
        }
        if idle {
            self.idle.notify_waiters();
        }
        drop(kept);
    }

    /// The channel is gone: what is on its way may have arrived or not.
    fn end(&self) {
        let mut book = lock(&self.book);
        book.open = false;
        let (lost, kept) = (std::mem::take(&mut book.flights), book.kept.take());
        book.outstanding = 0;
        book.returned.clear();
        drop(book);
        self.gone.cancel();
        for flight in lost.into_iter().flatten() {
            self.all.fetch_sub(1, Ordering::Relaxed);
            flight.completion.complete(Err(TransportError::ConnectionLost { source: None }));
        }
        self.idle.notify_waiters();
        drop(kept);
    }
}

impl Book {
    /// Takes out the flight of a tag, and says whether its message came back.
    fn take(&mut self, tag: u64) -> Option<(Flight, bool)> {
        let place = usize::try_from(tag.checked_sub(self.first)?).ok()?;
        let flight = self.flights.get_mut(place)?.take()?;
        self.outstanding -= 1;
        let returned = self.returned.iter().position(|id| *id == flight.id || sabotage::breaks("returns"));
        if let Some(place) = returned {
            self.returned.swap_remove(place);
        }
        Some((flight, returned.is_some()))
    }
}

/// The ledgers of one stream.
#[derive(Default)]
pub(crate) struct Ledgers {
    open: Mutex<Open>,
    on_their_way: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Open {
    channels: HashMap<u16, Arc<Ledger>>,
    ended: bool,
}

impl Ledgers {
    /// A ledger for a channel that was just opened.
    fn open(&self, channel: u16) -> Arc<Ledger> {
        let mut open = lock(&self.open);
        let ledger = Ledger::new(channel, !open.ended, self.on_their_way.clone());
        if !open.ended {
            open.channels.insert(channel, ledger.clone());
        }
        ledger
    }

    fn forget(&self, ledger: &Arc<Ledger>) {
        let mut open = lock(&self.open);
        // The number may be another channel's by now.
        if open.channels.get(&ledger.channel).is_some_and(|known| Arc::ptr_eq(known, ledger)) {
            open.channels.remove(&ledger.channel);
        }
    }

    /// How many messages are neither confirmed nor lost.
    pub(crate) fn on_their_way(&self) -> usize {
        self.on_their_way.load(Ordering::Relaxed)
    }

    fn of(&self, channel: u16) -> Option<Arc<Ledger>> {
        lock(&self.open).channels.get(&channel).cloned()
    }

    /// Takes note of what the broker said.
    pub(crate) fn note(&self, news: News) {
        match news {
            News::Settled { channel, tag, multiple, acked } => {
                if let Some(ledger) = self.of(channel) {
                    ledger.settle(tag, multiple, acked);
                }
            }
            News::Returned { channel, id } => {
                if let Some(ledger) = self.of(channel) {
                    ledger.returned(id);
                }
            }
            News::ChannelClosed { channel } => {
                let closed = lock(&self.open).channels.remove(&channel);
                if let Some(ledger) = closed {
                    ledger.end();
                }
            }
        }
    }

    /// The stream has ended: nothing is confirmed any more.
    pub(crate) fn end(&self) {
        let mut open = lock(&self.open);
        open.ended = true;
        let channels = std::mem::take(&mut open.channels);
        drop(open);
        for ledger in channels.into_values() {
            ledger.end();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
