use std::task::Waker;

use futures_util::FutureExt;
use proptest::prelude::*;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::stream::{StreamHandle, tests::wire};

const GREETED: &[u8] = b"AMQP\0\0\x09\x01";

async fn connected() -> (Arc<Shared>, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (Arc::new(Shared::new(&ours, true)), ours, listener.accept().await.unwrap().0)
}

fn set_in_flight(shared: &Arc<Shared>, count: usize) {
    StreamHandle::new(shared.clone()).in_flight().store(count, Ordering::Relaxed);
}

/// A stream with many messages in flight.
async fn shared() -> Arc<Shared> {
    let shared = connected().await.0;
    set_in_flight(&shared, WRITE_NOW_LIMIT + 1);
    shared
}

fn lapin_writes(shared: &Shared, bytes: &[u8]) {
    let taken = shared.outbox().poll_accept(&Context::from_waker(Waker::noop()), bytes, true);
    assert_eq!(taken, Poll::Ready(bytes.len()));
}

fn drained(shared: &Shared) -> Vec<u8> {
    let mut bytes = Vec::new();
    shared.outbox().drain(&mut bytes);
    bytes
}

fn ack(sender: &ChannelSender, tag: u64) -> bool {
    sender.lock().map(|mut guard| guard.frames().ack(tag, false)).is_some()
}

fn acked(channel: u16, tag: u64) -> Vec<u8> {
    wire::method(channel, 60, 80, &[&tag.to_be_bytes()[..], &[0]].concat())
}

#[tokio::test]
async fn nothing_of_ours_comes_between_the_parts_of_a_frame_of_lapins() {
    let shared = shared().await;
    let (sender, open) = (ChannelSender::new(shared.clone(), 1, 4096), wire::method(2, 20, 10, b"\0"));
    lapin_writes(&shared, &[GREETED, &open[..5]].concat());
    assert!(ack(&sender, 1));
    lapin_writes(&shared, &open[5..]);
    assert!(ack(&sender, 2));
    assert_eq!(drained(&shared), [GREETED, &acked(1, 1), &open, &acked(1, 2)].concat());
}

#[tokio::test]
async fn lapin_agrees_to_frames_as_small_as_the_broker_asks_for() {
    let shared = shared().await;
    shared.outbox().set_frame_max(4096);
    let tune_ok = |frame_max: u32| {
        wire::method(0, 10, 31, &[&2047_u16.to_be_bytes()[..], &frame_max.to_be_bytes(), &[0, 60]].concat())
    };
    let (asked, open) = (tune_ok(8192), wire::method(0, 10, 40, b"\x01/\0\0"));
    lapin_writes(&shared, &[GREETED, &asked, &open].concat());
    assert_eq!(drained(&shared), [GREETED, &tune_ok(4096), &open].concat());
}

#[tokio::test]
async fn behind_the_close_of_its_channel_nothing_is_sent() {
    let shared = shared().await;
    lapin_writes(&shared, GREETED);
    for (method, arguments) in [(40, &[0, 200, 0, 0, 0, 0, 0][..]), (41, &[])] {
        let [closed, other] = [1, 2].map(|channel| ChannelSender::new(shared.clone(), channel, 4096));
        drained(&shared);
        let close = wire::method(1, 20, method, arguments);
        lapin_writes(&shared, &close);
        assert!(!ack(&closed, 1) && ack(&other, 2));
        assert_eq!(drained(&shared), [close, acked(2, 2)].concat());
        // Another channel may have the number.
        let next = ChannelSender::new(shared.clone(), 1, 4096);
        assert!(ack(&next, 3) && !ack(&closed, 4));
        assert_eq!(drained(&shared), acked(1, 3));
    }
    let sender = ChannelSender::new(shared.clone(), 1, 4096);
    lapin_writes(&shared, &wire::method(0, 10, 51, b""));
    assert!(!ack(&sender, 5) && !ack(&ChannelSender::new(shared.clone(), 3, 4096), 6));
}

struct Acks(Mutex<Vec<u64>>);

impl DeferredFrames for Acks {
    fn add(&self, frames: &mut Frames<'_>) {
        self.0.lock().unwrap().drain(..).for_each(|tag| frames.ack(tag, false));
    }
}

#[tokio::test]
async fn what_is_deferred_is_made_when_it_is_written() {
    let shared = shared().await;
    let (sender, acks) = (ChannelSender::new(shared.clone(), 1, 4096), Arc::new(Acks(Mutex::new(vec![1]))));
    sender.clone().defer(acks.clone());
    assert!(shared.outbox().has_only_deferred());
    acks.0.lock().unwrap().push(2);
    assert_eq!(drained(&shared), [acked(1, 1), acked(1, 2)].concat());
    sender.clone().defer(acks.clone());
    acks.0.lock().unwrap().push(3);
    shared.outbox().close();
    assert_eq!(drained(&shared), b"");
}

#[tokio::test]
async fn whoever_writes_is_told_once_for_all_that_waits() {
    let shared = shared().await;
    let sender = ChannelSender::new(shared.clone(), 1, 4096);
    for _ in 0..3 {
        assert!(!is_notified(&shared));
        assert!(ack(&sender, 1) && ack(&sender, 2));
        assert!(is_notified(&shared) && !is_notified(&shared));
        assert!(!drained(&shared).is_empty() && drained(&shared).is_empty());
    }
}

fn is_notified(shared: &Shared) -> bool {
    shared.outbox().filled().now_or_never().is_some()
}

#[tokio::test]
async fn where_little_is_under_way_it_is_written_at_once() {
    let (shared, _ours, mut broker) = connected().await;
    let sender = ChannelSender::new(shared.clone(), 1, 4096);
    set_in_flight(&shared, WRITE_NOW_LIMIT);
    assert!(ack(&sender, 1));
    sender.clone().defer(Arc::new(Acks(Mutex::new(vec![2]))));
    let mut came = vec![0; acked(1, 1).len() * 2];
    broker.read_exact(&mut came).await.unwrap();
    assert_eq!(came, [acked(1, 1), acked(1, 2)].concat());
    assert!(!is_notified(&shared) && drained(&shared).is_empty());
    set_in_flight(&shared, WRITE_NOW_LIMIT + 1);
    assert!(ack(&sender, 3));
    assert!(is_notified(&shared));
    // While the writing task is woken or writing, nobody else writes.
    set_in_flight(&shared, 1);
    assert!(ack(&sender, 4));
    assert_eq!(drained(&shared), [acked(1, 3), acked(1, 4)].concat());
    assert!(ack(&sender, 5));
    assert_eq!(drained(&shared), acked(1, 5));
    assert!(drained(&shared).is_empty());
    assert!(ack(&sender, 6));
    assert!(drained(&shared).is_empty(), "it is written");
}

#[tokio::test]
async fn what_the_socket_does_not_take_is_left_to_whoever_writes() {
    let (shared, _ours, mut broker) = connected().await;
    let sender = ChannelSender::new(shared.clone(), 1, 4096);
    let mut count = 0;
    while !is_notified(&shared) {
        count += 1;
        assert!(ack(&sender, count));
    }
    let rest = drained(&shared);
    assert!(!rest.is_empty());
    let mut came = vec![0; acked(1, 1).len() * usize::try_from(count).unwrap() - rest.len()];
    broker.read_exact(&mut came).await.unwrap();
    let sent: Vec<_> = (1..=count).flat_map(|tag| acked(1, tag)).collect();
    assert!([came, rest].concat() == sent);
}

#[tokio::test]
async fn with_tls_in_between_nothing_goes_past_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let shared = Arc::new(Shared::new(&ours, false));
    assert!(ack(&ChannelSender::new(shared.clone(), 1, 4096), 1));
    assert!(is_notified(&shared));
    assert_eq!(drained(&shared), acked(1, 1));
}

proptest! {
    #[test]
    fn lapins_bytes_come_out_as_they_went_in(
        frames in prop::collection::vec((1..4_u8, prop::collection::vec(any::<u8>(), 0..300)), 0..20),
        parts in prop::collection::vec(1..200_usize, 1..20),
    ) {
        let bytes = frames.iter().fold(GREETED.to_vec(), |mut bytes, (kind, payload)| {
            bytes.extend(wire::frame(*kind, 1, payload));
            bytes
        });
        let outbox = Outbox::default();
        let (mut rest, mut sizes, mut out) = (&bytes[..], parts.iter().cycle(), Vec::new());
        while !rest.is_empty() {
            let (part, later) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            rest = later;
            prop_assert_eq!(outbox.poll_accept(&Context::from_waker(Waker::noop()), part, true), Poll::Ready(part.len()));
            let mut written = Vec::new();
            outbox.drain(&mut written);
            out.extend(written);
        }
        prop_assert!(out == bytes);
    }
}
