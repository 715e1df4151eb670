//! The confirm pump: one task per publishing channel owns every publish that the broker has not confirmed.
//!
//! Publishers hand their message to lapin and go on; nobody waits for another's confirm. lapin pairs returned messages
//! with the wrong confirms, so outcomes go by the message's id, see [`returns`](crate::returns).

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::{Stream, StreamExt, stream::FuturesUnordered};
use lapin::{BasicProperties, Channel, Confirmation, options::BasicPublishOptions, types::ShortString};
use oxlo_transport::{TransportError, parts::pending::PendingCalls};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    properties,
    returns::{Confirmed, Returns},
    sabotage,
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

/// A publishing channel and its pump.
pub(crate) struct Pump {
    channel: Channel,
    // Held while a message is handed to lapin: it numbers a message and queues it in two steps, and the numbers must be
    // in the order of the queue.
    order: Mutex<()>,
    flights: mpsc::UnboundedSender<Flight>,
    outstanding: Arc<AtomicUsize>,
    gone: CancellationToken,
}

type Settled = Pin<Box<dyn Future<Output = lapin::Result<Confirmation>> + Send>>;

struct Flight {
    settled: Settled,
    id: u128,
    note: Note,
}

/// What is kept of a message until its outcome is known.
struct Note {
    exchange: ShortString,
    routing_key: ShortString,
    completion: Completion,
    _weight: OwnedSemaphorePermit,
}

impl Pump {
    /// Starts the pump of a channel in confirm mode.
    pub(crate) fn start(channel: Channel) -> Self {
        let (flights, inbox) = mpsc::unbounded_channel();
        let outstanding = Arc::new(AtomicUsize::new(0));
        let gone = CancellationToken::new();
        tokio::spawn(run(inbox, outstanding.clone(), gone.clone()));
        Self { channel, order: Mutex::new(()), flights, outstanding, gone }
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
    ) -> Result<(), Box<(Message, Completion, OwnedSemaphorePermit)>> {
        if self.gone.is_cancelled() || !self.channel.status().connected() {
            self.gone.cancel();
            return Err(Box::new((message, completion, weight)));
        }
        let Message { exchange, routing_key, mandatory, properties, body, id } = message;
        let note = Note { exchange: exchange.clone(), routing_key: routing_key.clone(), completion, _weight: weight };
        let channel = self.channel.clone();
        let options = BasicPublishOptions { mandatory, immediate: false };
        let mut settled: Settled = Box::pin(async move {
            let confirm = channel.basic_publish(exchange, routing_key, options, &body, properties).await?;
            drop(body);
            confirm.await
        });
        self.outstanding.fetch_add(1, Ordering::AcqRel);
        {
            let _in_order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
            // The first poll queues the frames; whatever comes of it, the pump polls again and finds it.
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(outcome) = settled.as_mut().poll(&mut context) {
                settled = Box::pin(std::future::ready(outcome));
            }
        }
        let flight = Flight { settled, id: id.as_u128(), note };
        if let Err(mpsc::error::SendError(flight)) = self.flights.send(flight) {
            self.outstanding.fetch_sub(1, Ordering::AcqRel);
            flight.note.completion.complete(Err(lost(None)));
        }
        Ok(())
    }

    /// Resolves when the channel is gone.
    pub(crate) async fn gone(&self) {
        self.gone.cancelled().await;
    }

    /// How many messages are neither confirmed nor lost.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Acquire)
    }
}

async fn run(mut inbox: mpsc::UnboundedReceiver<Flight>, outstanding: Arc<AtomicUsize>, gone: CancellationToken) {
    let mut flights = FuturesUnordered::new();
    let mut returns = Returns::new();
    let mut ready = Vec::new();
    let mut open = true;
    while open || !flights.is_empty() {
        tokio::select! {
            flight = inbox.recv(), if open => match flight {
                Some(flight) => flights.push(follow(flight)),
                None => open = false,
            },
            Some(settled) = flights.next() => ready.push(settled),
        }
        while let Ok(flight) = inbox.try_recv() {
            flights.push(follow(flight));
        }
        drain(&mut flights, &mut ready);
        let mut confirmed = Vec::with_capacity(ready.len());
        for (id, note, settled) in ready.drain(..) {
            match settled {
                Ok(confirmation) => confirmed.push(judge(id, note, confirmation)),
                Err(error) => {
                    gone.cancel();
                    outstanding.fetch_sub(1, Ordering::AcqRel);
                    note.completion.complete(Err(lost(Some(error))));
                }
            }
        }
        let left = outstanding.fetch_sub(confirmed.len(), Ordering::AcqRel) - confirmed.len();
        returns.settle(confirmed, left, |(note, nacked), returned| finish(note, nacked, returned));
    }
}

async fn follow(flight: Flight) -> (u128, Note, lapin::Result<Confirmation>) {
    (flight.id, flight.note, flight.settled.await)
}

fn judge(id: u128, note: Note, confirmation: Confirmation) -> Confirmed<(Note, bool)> {
    let nacked = confirmation.is_nack();
    let carried = confirmation
        .take_message()
        .and_then(|message| properties::message_id(&message.delivery.properties))
        .map(|id| id.as_u128());
    let carried = if sabotage::breaks("returns") { carried.map(|_| id) } else { carried };
    Confirmed { id, carried, item: (note, nacked) }
}

fn finish(note: Note, nacked: bool, returned: bool) {
    let Note { exchange, routing_key, completion, .. } = note;
    completion.complete(if returned {
        metrics::counter!("oxlo_returned_total").increment(1);
        Err(TransportError::Undeliverable { exchange: exchange.to_string(), routing_key: routing_key.to_string() })
    } else if nacked {
        let reason = "it answered basic.nack; the queue may be full or its node down".to_owned();
        Err(TransportError::Rejected { routing_key: routing_key.to_string(), reason })
    } else {
        Ok(())
    });
}

fn lost(error: Option<lapin::Error>) -> TransportError {
    TransportError::ConnectionLost { source: error.map(|error| Arc::new(error) as _) }
}

/// Takes every future that is ready. `FuturesUnordered` may stop early and wake its task to go on; that is noticed, and
/// gone on with, because a batch must be complete.
fn drain<F: Future>(flights: &mut FuturesUnordered<F>, ready: &mut Vec<F::Output>) {
    struct Woken(AtomicBool);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Release);
        }
    }
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    loop {
        match Pin::new(&mut *flights).poll_next(&mut context) {
            Poll::Ready(Some(settled)) => ready.push(settled),
            Poll::Ready(None) => break,
            Poll::Pending if woken.0.swap(false, Ordering::AcqRel) => {}
            Poll::Pending => break,
        }
    }
}
