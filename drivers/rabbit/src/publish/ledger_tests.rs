use std::{collections::BTreeMap, time::Duration};

use oxlo_driver_kit::send_budget::SendBudget;
use oxlo_transport::Retry;
use proptest::prelude::*;
use tokio::sync::{Semaphore, oneshot};

use super::*;
use crate::{
    publish::in_flight::Completion,
    topology::{Route, TopologyOptions},
};

type Outcome = oneshot::Receiver<Result<(), TransportError>>;

fn route() -> Arc<Route> {
    Arc::new(TopologyOptions::reply_route("reply_1"))
}

fn ledger() -> Arc<Ledger> {
    Ledger::new(Arc::default(), mpsc::unbounded_channel().0)
}

fn message(room: &Arc<Semaphore>) -> (InFlight, Outcome) {
    let (waiter, outcome) = oneshot::channel();
    let message = InFlight {
        route: route(),
        body: b"{}".to_vec(),
        compression: None,
        mandatory: false,
        expires: false,
        again: None,
        patience: SendBudget::new(Duration::from_secs(1), Retry::Forever),
        completion: Completion::Waiter(waiter),
        permit: Some(room.clone().try_acquire_owned().unwrap()),
        id: None,
        may_have_arrived: false,
        redeclared: 0,
    };
    (message, outcome)
}

fn add(ledger: &Ledger, room: &Arc<Semaphore>, id: u128) -> Outcome {
    let (message, outcome) = message(room);
    let mut written = 0;
    assert!(ledger.add(Uuid::from_u128(id), message, |_| written += 1).is_ok() && written == 1);
    outcome
}

fn is_undeliverable(outcome: &mut Outcome) -> bool {
    matches!(outcome.try_recv().unwrap(), Err(TransportError::Undeliverable { .. }))
}

#[test]
fn each_confirm_settles_what_it_names() {
    let (ledger, room) = (ledger(), Arc::new(Semaphore::new(9)));
    let mut told: Vec<_> = (0..5).map(|id| add(&ledger, &room, id)).collect();
    ledger.confirmed(2, false, true);
    assert!(told[1].try_recv().unwrap().is_ok());
    ledger.confirmed(3, true, false);
    for place in [0, 2] {
        assert!(matches!(told[place].try_recv().unwrap(), Err(TransportError::Rejected { .. })));
    }
    assert!(told[3].try_recv().is_err());
    ledger.confirmed(0, true, true);
    assert!(told[3].try_recv().unwrap().is_ok() && told[4].try_recv().unwrap().is_ok());
    // Tags that are settled or unknown have no effect.
    ledger.confirmed(2, false, true);
    ledger.confirmed(99, true, true);
    assert_eq!((room.available_permits(), ledger.in_flight.load(Ordering::Relaxed)), (9, 0));
    assert!(ledger.lock().messages.is_empty());
}

#[test]
fn a_message_that_came_back_is_told_apart_by_its_id() {
    let (ledger, room) = (ledger(), Arc::new(Semaphore::new(9)));
    let mut told: Vec<_> = (0..4).map(|id| add(&ledger, &room, id)).collect();
    ledger.returned(Uuid::from_u128(2));
    ledger.returned(Uuid::from_u128(1));
    ledger.confirmed(4, true, true);
    let undeliverable: Vec<_> = told.iter_mut().map(is_undeliverable).collect();
    assert_eq!(undeliverable, [false, true, true, false]);
}

#[test]
fn the_end_loses_what_is_on_its_way_and_refuses_the_rest() {
    let (ledger, room) = (ledger(), Arc::new(Semaphore::new(9)));
    let mut told = add(&ledger, &room, 1);
    ledger.connection_lost();
    assert!(matches!(told.try_recv().unwrap(), Err(TransportError::ConnectionLost { .. })));
    assert!(ledger.gone.is_cancelled());
    let (late, _outcome) = message(&room);
    assert!(ledger.add(Uuid::nil(), late, |_| panic!("written to a channel that is gone")).is_err());
    assert_eq!(room.available_permits(), 9);
}

#[test]
fn what_was_in_flight_when_the_broker_closes_the_channel_is_kept_in_its_order() {
    let (closed_channels, mut received) = mpsc::unbounded_channel();
    let (ledger, room) = (Ledger::new(Arc::default(), closed_channels), Arc::new(Semaphore::new(9)));
    let mut told: Vec<_> = (1..=4).map(|id| add(&ledger, &room, id)).collect();
    ledger.confirmed(2, false, true);
    ledger.returned(Uuid::from_u128(3));
    let close = ChannelClose { code: 404, ..ChannelClose::default() };
    ledger.channel_closed(close.clone());
    let closed = received.try_recv().unwrap();
    assert_eq!(closed.close, close);
    let kept: Vec<_> =
        closed.unconfirmed.iter().map(|(message, returned)| (message.id.unwrap().as_u128(), *returned)).collect();
    assert_eq!(kept, [(1, false), (3, true), (4, false)]);
    assert!(told[1].try_recv().unwrap().is_ok() && told[0].try_recv().is_err());
    assert_eq!((ledger.in_flight.load(Ordering::Relaxed), room.available_permits()), (0, 6));
    assert!(ledger.gone.is_cancelled());
    drop(received);
    let (ledger, _) = (Ledger::new(Arc::default(), mpsc::unbounded_channel().0), ());
    let mut lost = add(&ledger, &room, 1);
    ledger.channel_closed(ChannelClose::default());
    assert!(matches!(lost.try_recv().unwrap(), Err(TransportError::ConnectionLost { .. })), "nobody republishes");
}

proptest! {
    /// Against a broker that confirms in any order and grouping, and returns some messages.
    #[test]
    fn every_message_ends_as_the_broker_said(
        returned in prop::collection::vec(any::<bool>(), 30),
        confirms in prop::collection::vec((1..=30_u64, any::<bool>(), any::<bool>()), 0..60),
    ) {
        let (ledger, room) = (ledger(), Arc::new(Semaphore::new(30)));
        let mut told: Vec<_> = (1..=30).map(|id| add(&ledger, &room, id)).collect();
        for (id, _) in (1..).zip(&returned).filter(|(_, returned)| **returned) {
            ledger.returned(Uuid::from_u128(id));
        }
        let mut wanted = BTreeMap::new();
        for (tag, multiple, acked) in confirms {
            ledger.confirmed(tag, multiple, acked);
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
        prop_assert_eq!(30 - room.available_permits(), ledger.in_flight.load(Ordering::Relaxed));
    }
}
