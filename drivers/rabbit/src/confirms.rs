//! Publisher confirms: which messages of a channel are on their way, and what became of each.
//!
//! A ledger is kept for each publishing channel. The stream tells it what the broker says (see
//! [`ports`](crate::stream::ports)) in the broker's order, so that nobody has to be woken for a confirm but whoever waits
//! for it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use lapin::Channel;
use oxlo_transport::{TransportError, parts::pending::PendingCalls};
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    connection::Session,
    sabotage,
    stream::{Sender, StreamHandle},
    topology::Route,
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
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) route: &'a Arc<Route>,
    pub(crate) mandatory: bool,
    /// As they are on the wire.
    pub(crate) properties: &'a [u8],
    pub(crate) body: &'a [u8],
    pub(crate) id: Uuid,
}

/// What comes back of a message that was not sent.
pub(crate) type Unsent = Box<(Completion, OwnedSemaphorePermit)>;

/// A channel in confirm mode.
pub(crate) struct ConfirmingChannel {
    channel: Channel,
    sender: Sender,
    ledger: Arc<Ledger>,
    stream: StreamHandle,
}

impl ConfirmingChannel {
    /// Opens a channel and asks for confirms on it.
    pub(crate) async fn open(session: &Session) -> lapin::Result<Self> {
        let channel = session.channel().await?;
        let stream = session.stream().clone();
        let ledger = Ledger::new(stream.under_way());
        stream.ports().publish(channel.id(), &ledger);
        let sender = session.sender(&channel);
        // lapin does not learn of it: it would count confirms that it will not see.
        if let Some(mut sending) = sender.begin() {
            sending.frames().confirm_select();
        }
        Ok(Self { channel, sender, ledger, stream })
    }

    /// Hands a message over. When this returns it is on its way, and `completion` will learn what became of it.
    ///
    /// # Errors
    ///
    /// Gives the message back if the channel is gone; nothing was sent then.
    pub(crate) fn publish(
        &self,
        message: Message<'_>,
        completion: Completion,
        weight: OwnedSemaphorePermit,
    ) -> Result<(), Unsent> {
        let Message { route, mandatory, properties, body, id } = message;
        let flight = Flight { id: id.as_u128(), route: route.clone(), completion, weight };
        // Entered while nobody else sends: tags are in the order of the frames.
        let Some(mut sending) = self.sender.begin() else {
            self.ledger.end();
            return Err(flight.unsent());
        };
        self.ledger.enter(flight).map_err(|flight| flight.unsent())?;
        sending.frames().publish((&route.exchange, &route.routing_key), mandatory, properties, body);
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
        self.stream.ports().forget(self.channel.id(), &self.ledger);
    }
}

/// A message whose confirm has not come.
struct Flight {
    id: u128,
    route: Arc<Route>,
    completion: Completion,
    weight: OwnedSemaphorePermit,
}

impl Flight {
    fn unsent(self) -> Unsent {
        Box::new((self.completion, self.weight))
    }

    fn finish(self, acked: bool, returned: bool) {
        let Self { route, completion, .. } = self;
        completion.complete(if returned {
            metrics::counter!("oxlo_returned_total").increment(1);
            Err(TransportError::Undeliverable {
                exchange: route.exchange.clone(),
                routing_key: route.routing_key.clone(),
            })
        } else if acked {
            Ok(())
        } else {
            let reason = "it answered basic.nack; the queue may be full or its node down".to_owned();
            Err(TransportError::Rejected { routing_key: route.routing_key.clone(), reason })
        });
    }
}

/// The messages of one channel that are on their way.
pub(crate) struct Ledger {
    book: Mutex<Book>,
    /// How much is under way on the stream.
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
    /// An empty one; `all` counts what is under way on the whole stream.
    pub(crate) fn new(all: Arc<AtomicUsize>) -> Arc<Self> {
        let book =
            Book { first: 1, flights: VecDeque::new(), outstanding: 0, returned: Vec::new(), open: true, kept: None };
        Arc::new(Self { book: Mutex::new(book), all, gone: CancellationToken::new(), idle: Notify::new() })
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

    /// A message came back; its confirm follows.
    pub(crate) fn returned(&self, id: Uuid) {
        lock(&self.book).returned.push(id.as_u128());
    }

    /// The broker has the message of the tag, or does not want it; with `multiple` also all before it that are not
    /// settled, and with tag 0 all there are.
    pub(crate) fn settle(&self, tag: u64, multiple: bool, acked: bool) {
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
    pub(crate) fn end(&self) {
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::topology::TopologyOptions;

    type Outcome = oneshot::Receiver<Result<(), TransportError>>;

    fn route() -> Arc<Route> {
        Arc::new(TopologyOptions::reply_route("reply_1"))
    }

    fn ledger() -> Arc<Ledger> {
        Ledger::new(Arc::default())
    }

    fn enter(ledger: &Ledger, room: &Arc<Semaphore>, id: u128) -> Outcome {
        let (teller, told) = oneshot::channel();
        let weight = room.clone().try_acquire_owned().unwrap();
        let flight = Flight { id, route: route(), completion: Completion::Told(teller), weight };
        assert!(ledger.enter(flight).is_ok());
        told
    }

    fn is_undeliverable(outcome: &mut Outcome) -> bool {
        matches!(outcome.try_recv().unwrap(), Err(TransportError::Undeliverable { .. }))
    }

    #[test]
    fn each_confirm_settles_what_it_names() {
        let (ledger, room) = (ledger(), Arc::new(Semaphore::new(9)));
        let mut told: Vec<_> = (0..5).map(|id| enter(&ledger, &room, id)).collect();
        ledger.settle(2, false, true);
        assert!(told[1].try_recv().unwrap().is_ok());
        ledger.settle(3, true, false);
        for place in [0, 2] {
            assert!(matches!(told[place].try_recv().unwrap(), Err(TransportError::Rejected { .. })));
        }
        assert!(told[3].try_recv().is_err());
        ledger.settle(0, true, true);
        assert!(told[3].try_recv().unwrap().is_ok() && told[4].try_recv().unwrap().is_ok());
        // What is settled, or was never sent, is of no consequence.
        ledger.settle(2, false, true);
        ledger.settle(99, true, true);
        assert_eq!((room.available_permits(), ledger.all.load(Ordering::Relaxed)), (9, 0));
        assert!(lock(&ledger.book).flights.is_empty());
    }

    #[test]
    fn a_message_that_came_back_is_told_apart_by_its_id() {
        let (ledger, room) = (ledger(), Arc::new(Semaphore::new(9)));
        let mut told: Vec<_> = (0..4).map(|id| enter(&ledger, &room, id)).collect();
        ledger.returned(Uuid::from_u128(2));
        ledger.returned(Uuid::from_u128(1));
        ledger.settle(4, true, true);
        let undeliverable: Vec<_> = told.iter_mut().map(is_undeliverable).collect();
        assert_eq!(undeliverable, [false, true, true, false]);
    }

    #[test]
    fn the_end_loses_what_is_on_its_way_and_refuses_the_rest() {
        let (ledger, room) = (ledger(), Arc::new(Semaphore::new(9)));
        let mut told = enter(&ledger, &room, 1);
        ledger.end();
        assert!(matches!(told.try_recv().unwrap(), Err(TransportError::ConnectionLost { .. })));
        assert!(ledger.gone.is_cancelled());
        let (teller, _told) = oneshot::channel();
        let weight = room.clone().try_acquire_owned().unwrap();
        let late = Flight { id: 2, route: route(), completion: Completion::Told(teller), weight };
        assert!(ledger.enter(late).is_err());
        assert_eq!(room.available_permits(), 9);
    }

    proptest! {
        /// Against a broker that confirms in any order and grouping, and returns some messages.
        #[test]
        fn every_message_ends_as_the_broker_said(
            returned in prop::collection::vec(any::<bool>(), 30),
            confirms in prop::collection::vec((1..=30_u64, any::<bool>(), any::<bool>()), 0..60),
        ) {
            let (ledger, room) = (ledger(), Arc::new(Semaphore::new(30)));
            let mut told: Vec<_> = (1..=30).map(|id| enter(&ledger, &room, id)).collect();
            for (id, _) in (1..).zip(&returned).filter(|(_, returned)| **returned) {
                ledger.returned(Uuid::from_u128(id));
            }
            let mut wanted = BTreeMap::new();
            for (tag, multiple, acked) in confirms {
                ledger.settle(tag, multiple, acked);
                let first = if multiple { 1 } else { tag };
                for tag in first..=tag {
                    wanted.entry(tag).or_insert(acked);
                }
            }
            for (tag, told) in (1_u64..).zip(&mut told) {
                let came_back = returned[usize::try_from(tag).unwrap() - 1];
                match (told.try_recv(), wanted.get(&tag)) {
                    (Err(_), None) => {}
                    (Ok(Err(TransportError::Undeliverable { .. })), Some(_)) => prop_assert!(came_back),
                    (Ok(Ok(())), Some(true)) | (Ok(Err(TransportError::Rejected { .. })), Some(false)) => {
                        prop_assert!(!came_back);
                    }
                    other => prop_assert!(false, "{tag}: {other:?}"),
                }
            }
            prop_assert_eq!(30 - room.available_permits(), ledger.all.load(Ordering::Relaxed));
        }
    }
}
