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

use lapin::BasicProperties;
use oxlo_driver_kit::{pending::PendingCalls, send_budget::SendBudget};
use oxlo_transport::TransportError;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    blame::{ChannelClose, Letter},
    channels::OpenChannel,
    connection::Session,
    properties::Packing,
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

/// A message on its way to the broker, with all that it takes to publish it again.
pub(crate) struct Flight {
    pub(crate) route: Arc<Route>,
    /// As it is on the wire.
    pub(crate) body: Vec<u8>,
    pub(crate) packing: Option<Packing>,
    pub(crate) mandatory: bool,
    /// Whether the broker drops it when the deadline is over.
    pub(crate) expires: bool,
    /// The properties of a message that came and is sent once more.
    pub(crate) again: Option<Box<BasicProperties>>,
    pub(crate) patience: SendBudget,
    pub(crate) completion: Completion,
    /// Its share of the room for messages.
    pub(crate) weight: Option<OwnedSemaphorePermit>,
    /// Under which it was sent, if it was.
    pub(crate) id: Option<Uuid>,
    /// An earlier publish of it may have reached its queue.
    pub(crate) in_doubt: bool,
    /// How often its exchange was declared again because the broker did not find it.
    pub(crate) declared_again: u8,
}

impl Flight {
    /// What the broker can have against it.
    pub(crate) fn letter(&self) -> Letter<'_> {
        Letter { route: &self.route, size: self.body.len() }
    }

    /// Ends it as the broker's confirm says.
    pub(crate) fn finish(self, acked: bool, returned: bool) {
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

    /// Ends it with an error.
    pub(crate) fn fail(self, error: TransportError) {
        self.completion.complete(Err(error));
    }

    /// Ends it with an error that says that nothing was sent, which an earlier publish may belie.
    pub(crate) fn fail_unsent(self, error: TransportError) {
        let error = match self.in_doubt {
            true => TransportError::ConnectionLost { source: Some(Arc::new(error)) },
            false => error,
        };
        self.fail(error);
    }

    /// Whether somebody still waits for its outcome.
    pub(crate) fn is_awaited(&self) -> bool {
        match &self.completion {
            Completion::Told(teller) => !teller.is_closed(),
            Completion::Call { pending, message_id } => pending.is_waiting(message_id),
        }
    }
}

/// What was in flight on a channel that the broker closed.
pub(crate) struct Wreck {
    pub(crate) close: ChannelClose,
    /// In the order in which they were sent, each with whether the broker has returned it.
    pub(crate) flights: Vec<(Flight, bool)>,
}

/// Takes what was in flight on channels that the broker closed.
pub(crate) type Wrecks = mpsc::UnboundedSender<Wreck>;

/// A channel in confirm mode.
pub(crate) struct ConfirmingChannel {
    // Taken by the drop alone.
    channel: Option<OpenChannel>,
    id: u16,
    sender: Sender,
    ledger: Arc<Ledger>,
    stream: StreamHandle,
}

impl ConfirmingChannel {
    /// Opens a channel and asks for confirms on it. What is in flight when the broker closes it goes to `wrecks`.
    pub(crate) async fn open(session: &Session, wrecks: Wrecks) -> lapin::Result<Self> {
        let channel = session.channel().await?;
        let stream = session.stream().clone();
        let ledger = Ledger::new(stream.under_way(), wrecks);
        stream.ports().publish(channel.id(), &ledger);
        let sender = session.sender(&channel);
        // lapin does not learn of it: it would count confirms that it will not see.
        if let Some(mut sending) = sender.begin() {
            sending.frames().confirm_select();
        }
        Ok(Self { id: channel.id(), channel: Some(channel), sender, ledger, stream })
    }

    /// Hands a message over, with its properties as they are on the wire. When this returns it is on its way.
    ///
    /// # Errors
    ///
    /// Gives the message back if the channel is gone; nothing was sent then.
    pub(crate) fn publish(&self, id: Uuid, properties: &[u8], flight: Flight) -> Result<(), Box<Flight>> {
        // Entered while nobody else sends: tags are in the order of the frames.
        let Some(mut sending) = self.sender.begin() else {
            // lapin closed it, or the stream ended.
            self.ledger.end();
            return Err(Box::new(flight));
        };
        self.ledger.enter(id, flight, |flight| {
            let Flight { route, mandatory, body, .. } = flight;
            sending.frames().publish((&route.exchange, &route.routing_key), *mandatory, properties, body);
        })
    }

    /// Whether the channel is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.ledger.gone.is_cancelled()
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
            book.kept = self.channel.take();
            return;
        }
        drop(book);
        self.stream.ports().forget(self.id, &self.ledger);
    }
}

/// The messages of one channel that are on their way.
pub(crate) struct Ledger {
    book: Mutex<Book>,
    /// How much is under way on the stream.
    all: Arc<AtomicUsize>,
    wrecks: Wrecks,
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
    kept: Option<OpenChannel>,
}

impl Ledger {
    /// An empty one. `all` counts what is under way on the whole stream; `wrecks` takes what is in flight when the broker
    /// closes the channel.
    pub(crate) fn new(all: Arc<AtomicUsize>, wrecks: Wrecks) -> Arc<Self> {
        let book =
            Book { first: 1, flights: VecDeque::new(), outstanding: 0, returned: Vec::new(), open: true, kept: None };
        Arc::new(Self { book: Mutex::new(book), all, wrecks, gone: CancellationToken::new(), idle: Notify::new() })
    }

    /// Enters a message and has it written.
    fn enter(&self, id: Uuid, mut flight: Flight, write: impl FnOnce(&Flight)) -> Result<(), Box<Flight>> {
        let mut book = lock(&self.book);
        if !book.open {
            return Err(Box::new(flight));
        }
        write(&flight);
        flight.id = Some(id);
        book.flights.push_back(Some(flight));
        book.outstanding += 1;
        self.all.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// A message came back; its confirm follows. `false` if more came back than are in flight.
    pub(crate) fn returned(&self, id: Uuid) -> bool {
        let mut book = lock(&self.book);
        if !book.open {
            return true;
        }
        let known = book.returned.len() < book.outstanding || sabotage::breaks("returned");
        if known {
            book.returned.push(id.as_u128());
        }
        known
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

    /// The channel is gone with its connection, or by our own doing: what is on its way may have arrived or not.
    pub(crate) fn end(&self) {
        for (flight, _) in self.shut() {
            flight.fail(TransportError::ConnectionLost { source: None });
        }
        self.ended();
    }

    /// The broker has closed the channel: what was on its way is judged, and published again unless it was the cause.
    pub(crate) fn closed(&self, close: ChannelClose) {
        let flights = self.shut();
        if !flights.is_empty()
            && let Err(mpsc::error::SendError(wreck)) = self.wrecks.send(Wreck { close, flights })
        {
            for (flight, _) in wreck.flights {
                flight.fail(TransportError::ConnectionLost { source: None });
            }
        }
        self.ended();
    }

    /// Takes nothing more, and gives what is in flight, each with whether it was returned.
    fn shut(&self) -> Vec<(Flight, bool)> {
        let mut book = lock(&self.book);
        book.open = false;
        let lost = std::mem::take(&mut book.flights);
        let returned = std::mem::take(&mut book.returned);
        drop(book);
        let came_back = |flight: &Flight| flight.id.is_some_and(|id| returned.contains(&id.as_u128()));
        let lost = lost.into_iter().flatten().map(|flight| {
            let came_back = came_back(&flight);
            (flight, came_back)
        });
        let lost: Vec<_> = lost.collect();
        self.all.fetch_sub(lost.len(), Ordering::Relaxed);
        lost
    }

    /// Tells whoever waits for the end, once everything that was in flight has gone where it belongs.
    fn ended(&self) {
        let mut book = lock(&self.book);
        book.outstanding = 0;
        let kept = book.kept.take();
        drop(book);
        self.gone.cancel();
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
        let own = flight.id.map(|id| id.as_u128());
        let returned = self.returned.iter().position(|id| Some(*id) == own || sabotage::breaks("returns"));
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
    use std::{collections::BTreeMap, time::Duration};

    use oxlo_transport::Retry;
    use proptest::prelude::*;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::topology::TopologyOptions;

    type Outcome = oneshot::Receiver<Result<(), TransportError>>;

    fn route() -> Arc<Route> {
        Arc::new(TopologyOptions::reply_route("reply_1"))
    }

    fn ledger() -> Arc<Ledger> {
        Ledger::new(Arc::default(), mpsc::unbounded_channel().0)
    }

    fn flight(room: &Arc<Semaphore>) -> (Flight, Outcome) {
        let (teller, told) = oneshot::channel();
        let flight = Flight {
            route: route(),
            body: b"{}".to_vec(),
            packing: None,
            mandatory: false,
            expires: false,
            again: None,
            patience: SendBudget::new(Duration::from_secs(1), Retry::Forever),
            completion: Completion::Told(teller),
            weight: Some(room.clone().try_acquire_owned().unwrap()),
            id: None,
            in_doubt: false,
            declared_again: 0,
        };
        (flight, told)
    }

    fn enter(ledger: &Ledger, room: &Arc<Semaphore>, id: u128) -> Outcome {
        let (flight, told) = flight(room);
        let mut written = 0;
        assert!(ledger.enter(Uuid::from_u128(id), flight, |_| written += 1).is_ok() && written == 1);
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
        let (late, _told) = flight(&room);
        assert!(ledger.enter(Uuid::nil(), late, |_| panic!("written to a channel that is gone")).is_err());
        assert_eq!(room.available_permits(), 9);
    }

    #[test]
    fn what_was_in_flight_when_the_broker_closes_the_channel_is_kept_in_its_order() {
        let (wrecks, mut wrecked) = mpsc::unbounded_channel();
        let (ledger, room) = (Ledger::new(Arc::default(), wrecks), Arc::new(Semaphore::new(9)));
        let mut told: Vec<_> = (1..=4).map(|id| enter(&ledger, &room, id)).collect();
        ledger.settle(2, false, true);
        ledger.returned(Uuid::from_u128(3));
        let close = ChannelClose { code: 404, ..ChannelClose::default() };
        ledger.closed(close.clone());
        let wreck = wrecked.try_recv().unwrap();
        assert_eq!(wreck.close, close);
        let kept: Vec<_> =
            wreck.flights.iter().map(|(flight, came_back)| (flight.id.unwrap().as_u128(), *came_back)).collect();
        assert_eq!(kept, [(1, false), (3, true), (4, false)]);
        assert!(told[1].try_recv().unwrap().is_ok() && told[0].try_recv().is_err());
        assert_eq!((ledger.all.load(Ordering::Relaxed), room.available_permits()), (0, 6));
        assert!(ledger.gone.is_cancelled());
        drop(wrecked);
        let (ledger, _) = (Ledger::new(Arc::default(), mpsc::unbounded_channel().0), ());
        let mut lost = enter(&ledger, &room, 1);
        ledger.closed(ChannelClose::default());
        assert!(matches!(lost.try_recv().unwrap(), Err(TransportError::ConnectionLost { .. })), "nobody salvages");
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
