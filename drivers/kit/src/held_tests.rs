use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use oxlo_transport::TransportError;
use tokio::time::{Instant, sleep};

use crate::{
    held::{HeldReplies, HeldReply, Kind, Standing},
    send_budget::SendBudget,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A broker with some reply queues, which remembers what was sent to it.
#[derive(Clone, Default)]
struct Broker(Arc<Mutex<Queues>>);

#[derive(Default)]
struct Queues {
    there: HashSet<String>,
    /// Whether each reply that was sent has arrived.
    sent: Vec<bool>,
}

impl Broker {
    fn declare(&self, queue: &str) {
        self.lock().there.insert(queue.to_owned());
    }

    /// How many replies were sent, and how many of them arrived.
    fn sent(&self) -> (usize, usize) {
        let sent = &self.lock().sent;
        (sent.len(), sent.iter().filter(|arrived| **arrived).count())
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reply(&self, queue: &str, size: usize) -> Sent {
        Sent { broker: self.clone(), queue: queue.to_owned(), size }
    }
}

struct Sent {
    broker: Broker,
    queue: String,
    size: usize,
}

impl HeldReply for Sent {
    fn size(&self) -> usize {
        self.size
    }

    async fn send(&self, _: &SendBudget) -> Result<(), TransportError> {
        let mut queues = self.broker.lock();
        let arrived = queues.there.contains(&self.queue);
        queues.sent.push(arrived);
        let routing_key = self.queue.clone();
        if arrived { Ok(()) } else { Err(TransportError::Undeliverable { exchange: String::new(), routing_key }) }
    }
}

/// How long the only reply that is held stays.
async fn held_for(replies: &HeldReplies<Sent>) -> Duration {
    let begun = Instant::now();
    while !replies.is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_queue_is_tried_once_for_all_its_replies_and_gets_them_when_it_is_back() {
    let (broker, replies) = (Broker::default(), HeldReplies::new(MINUTE));
    replies.arrived("reply_a");
    (0..600).for_each(|_| replies.hold("reply_a", broker.reply("reply_a", 100), None, Kind::Stranger));
    assert_eq!(replies.standing("reply_a"), Standing::Waiting);
    sleep(50 * SECOND).await;
    let (sent, arrived) = broker.sent();
    assert!(arrived == 0 && (40..60).contains(&sent), "{sent} tries for 600 replies in 50 s");
    broker.declare("reply_a");
    sleep(2 * SECOND).await;
    assert_eq!(broker.sent(), (sent + 600, 600));
    assert!(replies.is_empty());
    assert_eq!(replies.standing("reply_a"), Standing::Open);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_never_took_a_reply_is_tried_for_seconds() {
    let (broker, replies) = (Broker::default(), HeldReplies::new(MINUTE));
    replies.hold("reply_forged", broker.reply("reply_forged", 1), None, Kind::Stranger);
    let stranger = held_for(&replies).await;
    assert!((5 * SECOND..7 * SECOND).contains(&stranger), "{stranger:?}");
    assert_eq!(replies.standing("reply_forged"), Standing::Open, "forged names take no room in the memory");

    replies.arrived("reply_a");
    for (queue, kind) in [("reply_a", Kind::Stranger), ("reply_lost_with_its_broker", Kind::Known)] {
        replies.hold(queue, broker.reply(queue, 1), None, kind);
        let known = held_for(&replies).await;
        assert!((MINUTE..MINUTE + 2 * SECOND).contains(&known), "{known:?}");
        assert_eq!(replies.standing(queue), Standing::Gone);
    }
    sleep(MINUTE).await;
    assert_eq!(replies.standing("reply_a"), Standing::Open);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_who_has_given_up() {
    let (broker, replies) = (Broker::default(), HeldReplies::new(MINUTE));
    replies.arrived("reply_a");
    replies.hold("reply_a", broker.reply("reply_a", 1), Some(Instant::now() + 2 * SECOND), Kind::Known);
    assert!(held_for(&replies).await < 4 * SECOND);
    assert_eq!(replies.standing("reply_a"), Standing::Open, "its queue may yet come back");
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_bounded_and_forged_names_drop_no_reply_to_a_caller() {
    let (broker, replies) = (Broker::default(), HeldReplies::new(MINUTE));
    replies.hold("reply_a", broker.reply("reply_a", 1), None, Kind::Known);
    for number in 0..5000 {
        let queue = format!("reply_{number}");
        replies.hold(&queue, broker.reply(&queue, 1), None, Kind::Stranger);
    }
    assert_eq!(replies.len(), 1001);
    assert_eq!(replies.standing("reply_3999"), Standing::Open, "the oldest were dropped");
    assert_eq!(replies.standing("reply_4000"), Standing::Waiting);
    (0..20).for_each(|_| replies.hold("reply_large", broker.reply("reply_large", 4 << 20), None, Kind::Stranger));
    assert_eq!(replies.len(), 1 + 4, "16 MiB of replies");
    assert_eq!(replies.standing("reply_a"), Standing::Waiting);
    broker.declare("reply_a");
    sleep(2 * SECOND).await;
    assert_eq!(broker.sent().1, 1);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_was_dropped_and_came_again_has_one_task() {
    let (broker, replies) = (Broker::default(), HeldReplies::new(MINUTE));
    for round in 0..50 {
        replies.hold("reply_a", broker.reply("reply_a", 1), None, Kind::Stranger);
        // Pushes it out, with all that came before.
        replies.hold("reply_large", broker.reply("reply_large", 17 << 20), None, Kind::Stranger);
        assert!(replies.is_empty(), "{round}");
    }
    replies.hold("reply_a", broker.reply("reply_a", 1), None, Kind::Stranger);
    sleep(5 * SECOND).await;
    assert!(broker.sent().0 < 10, "{:?}", broker.sent());
}

#[tokio::test(start_paused = true)]
async fn closing_waits_a_moment_for_callers_and_not_for_forged_names() {
    let (broker, replies) = (Broker::default(), HeldReplies::new(MINUTE));
    (0..330).for_each(|number| {
        let queue = format!("reply_{number}");
        replies.hold(&queue, broker.reply(&queue, 1), None, Kind::Stranger);
    });
    let begun = Instant::now();
    replies.close().await;
    assert_eq!((begun.elapsed(), replies.len()), (Duration::ZERO, 0));

    let replies = HeldReplies::new(MINUTE);
    replies.hold("reply_a", broker.reply("reply_a", 1), None, Kind::Known);
    let begun = Instant::now();
    replies.close().await;
    assert_eq!((begun.elapsed(), replies.len()), (SECOND, 0));

    let replies = HeldReplies::new(MINUTE);
    replies.hold("reply_b", broker.reply("reply_b", 1), None, Kind::Known);
    broker.declare("reply_b");
    let begun = Instant::now();
    replies.close().await;
    assert!(begun.elapsed() < SECOND && broker.sent().1 == 1, "{:?}", begun.elapsed());
}
