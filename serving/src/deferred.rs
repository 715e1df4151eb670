//! Deferred messages that arrive before they are due: held back, so that those behind them are handled meanwhile.
//!
//! A message that failed goes to the end of its queue with the time at which it is due, and may reach the front before
//! that time. Up to half of the listener's prefetch is held here, as long as its memory limit is not reached; further
//! messages go round through the queue once more, so that there is always room for messages that are due.

use std::{collections::BTreeMap, fmt, time::Duration};

use async_trait::async_trait;
use oxlo_transport::{Deferral, Delivery, ListenOptions, Listener, Settlement, TransportError, budget::Permit};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// The assumed prefetch of a driver that does not report it.
const PREFETCH: u16 = 2;

/// How many messages go round in a row before the next one is taken more slowly: the queue may hold nothing else.
const ROUNDS: u32 = 512;

/// The pause after that many rounds, and after eight times as many.
const SLOW: Duration = Duration::from_millis(1);
const SLOWER: Duration = Duration::from_millis(5);

/// Wraps a listener so that it yields only messages that are due. Returns it unchanged if its messages are never
/// deferred.
#[must_use]
pub fn due<M: Send + 'static>(listener: Box<dyn Listener<M>>, options: &ListenOptions) -> Box<dyn Listener<M>> {
    if options.deferrable { Box::new(DueListener::new(listener)) } else { listener }
}

/// A listener that yields only messages that are due.
struct DueListener<M> {
    listener: Box<dyn Listener<M>>,
    held: Held<M>,
}

impl<M: Send + 'static> DueListener<M> {
    fn new(listener: Box<dyn Listener<M>>) -> Self {
        let capacity = usize::from(listener.prefetch().unwrap_or(PREFETCH) / 2);
        Self { listener, held: Held::new(capacity) }
    }
}

#[async_trait]
impl<M: Send + 'static> Listener<M> for DueListener<M> {
    async fn recv(&mut self) -> Result<Delivery<M>, TransportError> {
        loop {
            let wakes = match self.held.next(Instant::now) {
                Next::Due(delivery) => return Ok(*delivery),
                Next::Take => {
                    let delivery = self.listener.recv().await?;
                    match self.held.offer(delivery) {
                        Some(delivery) => return Ok(delivery),
                        None => continue,
                    }
                }
                Next::Pause(until) => {
                    sleep_until(until).await;
                    continue;
                }
                Next::TakeUntil(due) => due,
            };
            tokio::select! {
                biased;
                received = self.listener.recv() => if let Some(delivery) = self.held.offer(received?) {
                    return Ok(delivery);
                },
                () = sleep_until(wakes) => {}
            }
        }
    }

    async fn stop(&mut self) {
        self.listener.stop().await;
        self.held.clear();
    }

    async fn close(self: Box<Self>) {
        let Self { mut listener, held } = *self;
        listener.stop().await;
        drop(held);
        listener.close().await;
    }

    fn is_subscribed(&self) -> bool {
        self.listener.is_subscribed()
    }

    fn subscribed(&self) -> watch::Receiver<bool> {
        self.listener.subscribed()
    }

    fn prefetch(&self) -> Option<u16> {
        self.listener.prefetch()
    }
}

impl<M> fmt::Debug for DueListener<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DueListener")
            .field("listener", &self.listener)
            .field("held", &self.held.messages.len())
            .finish_non_exhaustive()
    }
}

/// Messages that are held back, in the order in which they are due.
struct Held<M> {
    capacity: usize,
    messages: BTreeMap<(Instant, u64), Delivery<M>>,
    number: u64,
    /// How many messages went round since another one arrived.
    rounds: u32,
    /// Until when no message is taken.
    paused: Option<Instant>,
}

/// What to do next.
enum Next<M> {
    /// Yield this message, which is due.
    Due(Box<Delivery<M>>),
    /// Take a message, and ask again at this time.
    TakeUntil(Instant),
    /// Take no message before this time.
    Pause(Instant),
    /// Take a message.
    Take,
}

impl<M> Held<M> {
    fn new(capacity: usize) -> Self {
        Self { capacity, messages: BTreeMap::new(), number: 0, rounds: 0, paused: None }
    }

    /// Reads the clock only if a message is held.
    fn next(&mut self, now: impl FnOnce() -> Instant) -> Next<M> {
        if self.messages.is_empty() && self.paused.is_none() {
            return Next::Take;
        }
        let now = now();
        self.paused = self.paused.filter(|until| *until > now);
        let due = self.messages.first_key_value().map(|((due, _), _)| *due);
        match (due, self.paused) {
            (Some(due), _) if due <= now => match self.messages.pop_first() {
                Some((_, delivery)) => Next::Due(Box::new(delivery)),
                None => Next::Take,
            },
            (due, Some(until)) => Next::Pause(due.map_or(until, |due| due.min(until))),
            (Some(due), None) => Next::TakeUntil(due),
            (None, None) => Next::Take,
        }
    }

    /// Returns a message that is due, and holds any other.
    fn offer(&mut self, delivery: Delivery<M>) -> Option<Delivery<M>> {
        let Some(due) = delivery.not_before else {
            self.rounds = 0;
            return Some(delivery);
        };
        let now = Instant::now();
        if due <= now {
            self.rounds = 0;
            return Some(delivery);
        }
        self.number += 1;
        // Messages that are due must not wait for the memory of those that are not.
        let full = delivery.permit.as_ref().is_some_and(Permit::is_last);
        self.messages.insert((due, self.number), delivery);
        if (full || self.messages.len() > self.capacity)
            && let Some(((due, _), last)) = self.messages.pop_last()
        {
            // Those that are due first stay.
            last.settle.settle(Settlement::Defer(Deferral { delay: due - now, counts: false }));
            self.rounds = self.rounds.saturating_add(1);
            self.paused = match self.rounds {
                rounds if rounds > ROUNDS * 8 => Some(now + SLOWER),
                rounds if rounds > ROUNDS => Some(now + SLOW),
                _ => None,
            };
        }
        None
    }

    /// Returns all messages to the broker.
    fn clear(&mut self) {
        self.messages.clear();
        self.paused = None;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::mpsc;

    use oxlo_transport::{Settle, budget::Budget};

    use super::*;

    type Settled = mpsc::Sender<(u64, Settlement)>;

    fn delivery(number: u64, due: Option<Instant>, settled: &Settled) -> Delivery<u64> {
        let settled = settled.clone();
        let settle = Settle::new(move |settlement| settled.send((number, settlement)).unwrap());
        let mut delivery = Delivery::new(number, settle);
        delivery.not_before = due;
        delivery
    }

    fn due(held: &mut Held<u64>) -> Option<u64> {
        match held.next(Instant::now) {
            Next::Due(delivery) => {
                delivery.settle.ack();
                Some(delivery.message)
            }
            _ => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_due_first_stays_and_the_rest_goes_round() {
        let (settle, settled) = mpsc::channel();
        let mut held = Held::new(2);
        let at = |seconds| Some(Instant::now() + Duration::from_secs(seconds));
        assert_eq!(held.offer(delivery(0, None, &settle)).map(|it| it.settle.ack()), Some(()));
        for (number, seconds) in [(1, 3), (2, 1), (3, 2)] {
            assert!(held.offer(delivery(number, at(seconds), &settle)).is_none());
        }
        let round = Settlement::Defer(Deferral { delay: Duration::from_secs(3), counts: false });
        assert_eq!(settled.try_iter().collect::<Vec<_>>(), [(0, Settlement::Ack), (1, round)]);
        assert_eq!(due(&mut held), None);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!((due(&mut held), due(&mut held), due(&mut held)), (Some(2), Some(3), None));
        assert!(matches!(held.next(Instant::now), Next::Take));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_due_does_not_keep_the_memory() {
        let (settle, settled) = mpsc::channel();
        let (mut held, budget) = (Held::new(8), Budget::new(100));
        let at = |seconds| Some(Instant::now() + Duration::from_secs(seconds));
        for (number, seconds) in [(1, 3), (2, 4), (3, 2)] {
            let mut early = delivery(number, at(seconds), &settle);
            early.permit = Some(budget.charge(60));
            assert!(held.offer(early).is_none());
            assert!(budget.is_open(), "{number}");
        }
        let round = |delay| Settlement::Defer(Deferral { delay: Duration::from_secs(delay), counts: false });
        assert_eq!(settled.try_iter().collect::<Vec<_>>(), [(2, round(4)), (1, round(3))]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_of_nothing_else_is_gone_round_slowly() {
        let (settle, settled) = mpsc::channel();
        let mut held = Held::new(0);
        let later = Some(Instant::now() + Duration::from_secs(60));
        for number in 0..=u64::from(ROUNDS) {
            assert!(matches!(held.next(Instant::now), Next::Take), "{number}");
            assert!(held.offer(delivery(number, later, &settle)).is_none());
        }
        assert!(matches!(held.next(Instant::now), Next::Pause(until) if until == Instant::now() + SLOW));
        tokio::time::advance(SLOW).await;
        // Another message arrived; there may be more of them.
        drop(held.offer(delivery(0, None, &settle)).unwrap());
        assert!(held.offer(delivery(0, later, &settle)).is_none());
        assert!(matches!(held.next(Instant::now), Next::Take));
        drop(settled);
    }
}
