//! What may meet. Each asserts: one outcome for each call, and the one that was told to whoever ended it; nothing left
//! behind; and, as a thread that sleeps for ever is an error, no lost wake-up.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use oxlo_transport::{Payload, Reply, TransportError};
use oxlo_wire::reply::ReplyPart;
use shuttle::{
    future::block_on,
    thread::{self, JoinHandle},
};

use super::pending::{PendingCall, PendingCalls};
use crate::model::{channel, clock};

const MINUTE: Duration = Duration::from_secs(60);
const SILENCE: Duration = Duration::from_secs(10);

type Outcome = Result<Reply, TransportError>;

fn result(text: &'static str) -> Reply {
    Reply::Result(Payload::from_raw(text.into()))
}

fn is_result(outcome: Option<&Outcome>) -> bool {
    matches!(outcome, Some(Ok(reply)) if *reply == result("1"))
}

/// Answers a call from a thread of its own; says whether it was taken.
fn answer(calls: &PendingCalls, call: &PendingCall, text: &'static str) -> JoinHandle<bool> {
    let (calls, id) = (calls.clone(), call.message_id());
    thread::spawn(move || calls.deliver(&id, ReplyPart::Final(Some(result(text)))))
}

/// Waits for a call in a thread of its own, until a word comes to drop it, if one may; `None` if it was dropped.
fn wait(call: PendingCall, mut stop: Option<channel::Receiver<()>>) -> JoinHandle<Option<Outcome>> {
    thread::spawn(move || {
        let mut call = pin!(call);
        block_on(poll_fn(|cx| {
            if let Poll::Ready(outcome) = call.as_mut().poll(cx) {
                return Poll::Ready(Some(outcome));
            }
            match &mut stop {
                Some(stop) => Pin::new(stop).poll(cx).map(|_| None),
                None => Poll::Pending,
            }
        }))
    })
}

/// The call ended by the reply that was taken, if one was.
fn is_consistent(outcome: Option<Outcome>, taken: [bool; 2], time_was_up: bool) {
    match outcome {
        None => assert!(!(taken[0] && taken[1]), "both replies were taken"),
        Some(Ok(reply)) => {
            let wanted = [result("1"), result("2")].map(|text| text == reply);
            assert_eq!(taken, wanted, "a reply was taken that the caller does not get");
        }
        Some(Err(TransportError::TimedOut { waited })) => {
            assert!(time_was_up && waited == MINUTE);
            assert_eq!(taken, [false, false], "a reply was taken from a call that timed out");
        }
        Some(Err(other)) => panic!("nobody said {other}"),
    }
}

pub(in crate::model) fn reply_against_timeout_against_drop() {
    let calls = PendingCalls::new();
    let call = calls.register(MINUTE, None).unwrap();
    let replies = [answer(&calls, &call, "1"), answer(&calls, &call, "2")];
    let (stop, stopped) = channel::channel();
    let waiting = wait(call, Some(stopped));
    let timing = thread::spawn(|| clock::advance(MINUTE));
    let dropping = thread::spawn(move || stop.send(()).is_ok());

    let outcome = waiting.join().unwrap();
    let taken = replies.map(|reply| reply.join().unwrap());
    timing.join().unwrap();
    dropping.join().unwrap();
    is_consistent(outcome, taken, true);
    assert!(calls.is_empty(), "an entry leaked");
}

pub(in crate::model) fn reply_against_drop() {
    let calls = PendingCalls::new();
    let [dropped, kept] = [(); 2].map(|()| calls.register(MINUTE, None).unwrap());
    let replies = [answer(&calls, &dropped, "1"), answer(&calls, &kept, "1")];
    let (stop, stopped) = channel::channel();
    let [dropped, kept] = [wait(dropped, Some(stopped)), wait(kept, None)];
    let _ = stop.send(());

    let [dropped, kept] = [dropped, kept].map(|call| call.join().unwrap());
    let [first, second] = replies.map(|reply| reply.join().unwrap());
    is_consistent(dropped, [first, false], false);
    assert!(second && is_result(kept.as_ref()), "nothing else could end it");
    assert!(calls.is_empty(), "an entry leaked");
}

/// The reply queue is lost while calls begin: each is told, or is not touched and can be answered.
pub(in crate::model) fn drain_against_insert() {
    let calls = PendingCalls::new();
    let beginning = {
        let calls = calls.clone();
        thread::spawn(move || [(); 2].map(|()| calls.register(MINUTE, None).unwrap()))
    };
    let draining = {
        let calls = calls.clone();
        thread::spawn(move || calls.fail_all(&TransportError::ReplyLost { queue: "reply_1".into() }))
    };
    let ends = beginning.join().unwrap().map(|call| {
        let answering = answer(&calls, &call, "1");
        (wait(call, None), answering)
    });
    let mut told = 0;
    for (waiting, answering) in ends {
        let (outcome, taken) = (waiting.join().unwrap(), answering.join().unwrap());
        match outcome {
            Some(Err(TransportError::ReplyLost { .. })) => {
                told += 1;
                assert!(!taken, "it ended twice");
            }
            outcome => assert!(taken && is_result(outcome.as_ref())),
        }
    }
    assert_eq!(draining.join().unwrap(), told, "the drain counts what it ended");
    assert!(calls.is_empty(), "an entry leaked");
}

/// A call that begins while the transport closes is refused or ended; it never waits for what cannot come.
pub(in crate::model) fn close_against_insert() {
    let calls = PendingCalls::new();
    let beginning = [(); 2].map(|()| {
        let calls = calls.clone();
        thread::spawn(move || calls.register(MINUTE, None).map(block_on))
    });
    let closing = {
        let calls = calls.clone();
        thread::spawn(move || calls.close())
    };
    for call in beginning {
        match call.join().unwrap() {
            Err(TransportError::Closed) | Ok(Err(TransportError::ClosedWaiting)) => {}
            other => panic!("a call met the close as {other:?}"),
        }
    }
    closing.join().unwrap();
    assert!(matches!(calls.register(MINUTE, None), Err(TransportError::Closed)));
    assert!(calls.is_empty(), "an entry leaked");
}

/// A publish that failed meets the reply to it: one of both ends the call, and both know.
pub(in crate::model) fn failure_against_reply() {
    let calls = PendingCalls::new();
    let call = calls.register(MINUTE, None).unwrap();
    let (id, answering) = (call.message_id(), answer(&calls, &call, "1"));
    let failing = {
        let calls = calls.clone();
        thread::spawn(move || calls.fail(&id, TransportError::ReplyLost { queue: "reply_1".into() }))
    };
    let timing = thread::spawn(|| clock::advance(MINUTE));
    let outcome = wait(call, None).join().unwrap();
    let ended_by = (answering.join().unwrap(), failing.join().unwrap());
    timing.join().unwrap();
    match outcome {
        Some(Ok(_)) => assert_eq!(ended_by, (true, false)),
        Some(Err(TransportError::ReplyLost { .. })) => assert_eq!(ended_by, (false, true)),
        Some(Err(TransportError::TimedOut { .. })) => assert_eq!(ended_by, (false, false)),
        other => panic!("nobody said {other:?}"),
    }
    assert!(calls.is_empty(), "an entry leaked");
}

/// Heartbeats and the clock: whatever the order, a monitored call ends, by the silence or by its timeout.
pub(in crate::model) fn heartbeat_against_silence() {
    let calls = PendingCalls::new();
    let call = calls.register(MINUTE, Some(SILENCE)).unwrap();
    call.sent();
    let beating = {
        let (calls, id) = (calls.clone(), call.message_id());
        thread::spawn(move || calls.deliver(&id, ReplyPart::Heartbeat))
    };
    let timing = thread::spawn(|| {
        clock::advance(SILENCE / 2);
        clock::advance(SILENCE / 2);
        clock::advance(MINUTE);
    });
    let outcome = wait(call, None).join().unwrap();
    timing.join().unwrap();
    // It may have come too late for a call that had ended.
    let _ = beating.join().unwrap();
    match outcome {
        Some(Err(TransportError::ServerSilent { silence })) => assert_eq!(silence, SILENCE),
        Some(Err(TransportError::TimedOut { waited })) => assert_eq!(waited, MINUTE),
        other => panic!("nobody said {other:?}"),
    }
    assert!(calls.is_empty(), "an entry leaked");
}
