//! Messages that came before they are due: held aside, so that those behind them are handled meanwhile.
//!
//! What failed goes to the end of its queue and says when it is due. It may reach the front again before that. As many as
//! half of what the listener may hold wait here, in messages and as long as its memory is not used up; others go round through the queue once more, so that there is always room
//! for messages that are due.

use std::{collections::BTreeMap, fmt, time::Duration};

use async_trait::async_trait;
use oxlo_transport::{Deferral, Delivery, ListenOptions, Listener, Settlement, TransportError, budget::Permit};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// What is assumed of a driver that does not tell its prefetch.
const PREFETCH: u16 = 2;

/// How many messages go round before the next one is taken more slowly: nothing else may be in the queue.
const ROUNDS: u32 = 512;

/// How slowly, then and after eight times as many.
const SLOW: Duration = Duration::from_millis(1);
const SLOWER: Duration = Duration::from_millis(5);

/// As `listener` where nothing is deferred; else one that hands out only what is due.
pub(crate) fn due<M: Send + 'static>(listener: Box<dyn Listener<M>>, options: &ListenOptions) -> Box<dyn Listener<M>> {
    if options.deferrable { Box::new(DueListener::new(listener)) } else { listener }
}

/// A listener that hands out only what is due.
struct DueListener<M> {
    listener: Box<dyn Listener<M>>,
    aside: Aside<M>,
}

impl<M: Send + 'static> DueListener<M> {
    fn new(listener: Box<dyn Listener<M>>) -> Self {
        let capacity = usize::from(listener.prefetch().unwrap_or(PREFETCH) / 2);
        Self { listener, aside: Aside::new(capacity) }
    }
}

#[async_trait]
impl<M: Send + 'static> Listener<M> for DueListener<M> {
    async fn recv(&mut self) -> Result<Delivery<M>, TransportError> {
        loop {
            let wakes = match self.aside.next(Instant::now) {
                Next::Due(delivery) => return Ok(*delivery),
                Next::Nothing => {
                    let delivery = self.listener.recv().await?;
                    match self.aside.offer(delivery) {
                        Some(delivery) => return Ok(delivery),
                        None => continue,
                    }
                }
                Next::Pause(until) => {
                    sleep_until(until).await;
                    continue;
                }
                Next::At(due) => due,
            };
            tokio::select! {
                biased;
                received = self.listener.recv() => if let Some(delivery) = self.aside.offer(received?) {
                    return Ok(delivery);
                },
                () = sleep_until(wakes) => {}
            }
        }
    }

    async fn stop(&mut self) {
        self.listener.stop().await;
        self.aside.clear();
    }

    async fn close(self: Box<Self>) {
        let Self { mut listener, aside } = *self;
        listener.stop().await;
        drop(aside);
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
            .field("held", &self.aside.held.len())
            .finish_non_exhaustive()
    }
}

/// Messages in the order in which they are due.
struct Aside<M> {
    capacity: usize,
    held: BTreeMap<(Instant, u64), Delivery<M>>,
    number: u64,
    /// How many went round since something else came.
    rounds: u32,
    /// Until when nothing is taken.
    paused: Option<Instant>,
}

/// What to do next.
enum Next<M> {
    /// This is due.
    Due(Box<Delivery<M>>),
    /// Take the next message, until then.
    At(Instant),
    /// Take nothing until then.
    Pause(Instant),
    /// Take the next message.
    Nothing,
}

impl<M> Aside<M> {
    fn new(capacity: usize) -> Self {
        Self { capacity, held: BTreeMap::new(), number: 0, rounds: 0, paused: None }
    }

    /// The clock is only looked at if something is held.
    fn next(&mut self, now: impl FnOnce() -> Instant) -> Next<M> {
        if self.held.is_empty() && self.paused.is_none() {
            return Next::Nothing;
        }
        let now = now();
        self.paused = self.paused.filter(|until| *until > now);
        let due = self.held.first_key_value().map(|((due, _), _)| *due);
        match (due, self.paused) {
            (Some(due), _) if due <= now => match self.held.pop_first() {
                Some((_, delivery)) => Next::Due(Box::new(delivery)),
                None => Next::Nothing,
            },
            (due, Some(until)) => Next::Pause(due.map_or(until, |due| due.min(until))),
            (Some(due), None) => Next::At(due),
            (None, None) => Next::Nothing,
        }
    }

    /// Gives a message back that is due, and keeps any other.
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
        // What is due must not wait for the memory of what is not.
        let full = delivery.permit.as_ref().is_some_and(Permit::is_last);
        self.held.insert((due, self.number), delivery);
        if (full || self.held.len() > self.capacity)
            && let Some(((due, _), last)) = self.held.pop_last()
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

    /// Gives everything back.
    fn clear(&mut self) {
        self.held.clear();
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

    fn due(aside: &mut Aside<u64>) -> Option<u64> {
        match aside.next(Instant::now) {
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
        let mut aside = Aside::new(2);
        let at = |seconds| Some(Instant::now() + Duration::from_secs(seconds));
        assert_eq!(aside.offer(delivery(0, None, &settle)).map(|it| it.settle.ack()), Some(()));
        for (number, seconds) in [(1, 3), (2, 1), (3, 2)] {
            assert!(aside.offer(delivery(number, at(seconds), &settle)).is_none());
        }
        let round = Settlement::Defer(Deferral { delay: Duration::from_secs(3), counts: false });
        assert_eq!(settled.try_iter().collect::<Vec<_>>(), [(0, Settlement::Ack), (1, round)]);
        assert_eq!(due(&mut aside), None);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!((due(&mut aside), due(&mut aside), due(&mut aside)), (Some(2), Some(3), None));
        assert!(matches!(aside.next(Instant::now), Next::Nothing));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_due_does_not_keep_the_memory() {
        let (settle, settled) = mpsc::channel();
        let (mut aside, budget) = (Aside::new(8), Budget::new(100));
        let at = |seconds| Some(Instant::now() + Duration::from_secs(seconds));
        for (number, seconds) in [(1, 3), (2, 4), (3, 2)] {
            let mut early = delivery(number, at(seconds), &settle);
            early.permit = Some(budget.charge(60));
            assert!(aside.offer(early).is_none());
            assert!(budget.is_open(), "{number}");
        }
        let round = |delay| Settlement::Defer(Deferral { delay: Duration::from_secs(delay), counts: false });
        assert_eq!(settled.try_iter().collect::<Vec<_>>(), [(2, round(4)), (1, round(3))]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_of_nothing_else_is_gone_round_slowly() {
        let (settle, settled) = mpsc::channel();
        let mut aside = Aside::new(0);
        let later = Some(Instant::now() + Duration::from_secs(60));
        for number in 0..=u64::from(ROUNDS) {
            assert!(matches!(aside.next(Instant::now), Next::Nothing), "{number}");
            assert!(aside.offer(delivery(number, later, &settle)).is_none());
        }
        assert!(matches!(aside.next(Instant::now), Next::Pause(until) if until == Instant::now() + SLOW));
        tokio::time::advance(SLOW).await;
        // Something else came: there may be more of it.
        drop(aside.offer(delivery(0, None, &settle)).unwrap());
        assert!(aside.offer(delivery(0, later, &settle)).is_none());
        assert!(matches!(aside.next(Instant::now), Next::Nothing));
        drop(settled);
    }
}
