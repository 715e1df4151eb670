//! Rows 67 and 68: over AMQP 1.0.

use std::time::Duration;

use oxlo::Context;
use oxlo_test_support::{eventually, own_process};
use serde_json::json;

use crate::{
    amqp1::{self, Did, FALSE, NULL, TRUE, described, disposition, frame, open, text, transfer, uint},
    peer::SOON,
    victim::{Victim, amqp1 as url, closed},
};

const MUCH: usize = 16 << 20;

/// Sends endless frames to each receiving link of a server, until a number of bytes or of lost connections is reached.
async fn storm(
    what: &str,
    bytes: usize,
    words: Option<&str>,
    frames: impl Fn(u16, u32) -> Vec<u8> + Send + Sync + 'static,
) {
    let broker = amqp1::start(move |peer, did| match did {
        Did::Attached { channel, handle, receives: true } => {
            let bytes = frames(channel, handle);
            Some(Box::pin(async move { peer.flood(&bytes).await }))
        }
        _ => None,
    })
    .await;
    let url = url(&broker);
    Victim::withstands(broker, url, what, bytes, words).await;
}

/// One frame that settles every possible delivery, none of which was sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_67_outcomes_of_four_thousand_million_deliveries() {
    own_process!(row_67_outcomes_of_four_thousand_million_deliveries);
    for settled in [true, false] {
        let words = "the broker sent the outcome of 4294967296 deliveries, but at most";
        storm("dispositions", MUCH, Some(words), move |channel, _| disposition(channel, 0, u32::MAX, settled)).await;
    }
}

/// A message of endless transfers, with and without payload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_68_a_message_without_end() {
    own_process!(row_68_a_message_without_end);
    for payload in [60_000, 0] {
        let words = (payload == 0).then_some("the broker sent a message in more than 32768 transfers");
        storm("a message without end", MUCH, words, move |channel, handle| {
            transfer(channel, handle, 0, true, &vec![0; payload]).repeat(if payload == 0 { 200 } else { 1 })
        })
        .await;
    }
}

/// Messages in excess of the credit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_68_a_credit_that_is_ignored() {
    own_process!(row_68_a_credit_that_is_ignored);
    let request = r#"{"request": {"method": "echo", "args": {}, "version": "1.0"}, "context": {}}"#;
    storm("a credit that is ignored", 4 << 20, None, move |channel, handle| {
        (0..100).flat_map(|number| transfer(channel, handle, number, false, &text(request))).collect()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_68_frames_that_nobody_asked_for() {
    own_process!(row_68_frames_that_nobody_asked_for);
    storm("empty frames", 1 << 20, None, |_, _| frame(0, &[]).repeat(1000)).await;
    storm("sessions that nobody began", MUCH, None, |_, _| {
        let window = uint(2048);
        let begin = described(0x11, &[NULL, &[0x43], &window, &window, &uint(255)]);
        (0..=u16::MAX).flat_map(|channel| frame(channel, &begin)).collect()
    })
    .await;
    storm("links that nobody attached", 1 << 20, None, |channel, _| {
        (100..1100).flat_map(|handle| frame(channel, &described(0x12, &[b"\xa1\x01x", &uint(handle), FALSE]))).collect()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_68_flows_that_want_an_answer() {
    own_process!(row_68_flows_that_want_an_answer);
    storm("flows that want an answer", 1 << 20, None, |channel, handle| {
        let (window, handle) = (uint(2048), uint(handle));
        let fields = [&[0x43], &window[..], &[0x43], &window, &handle, &[0x43], &[0x43], &[0x43], FALSE, TRUE];
        frame(channel, &described(0x13, &fields)).repeat(100)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_68_transfers_of_unknown_links() {
    own_process!(row_68_transfers_of_unknown_links);
    storm("transfers of unknown links", 1 << 20, None, |channel, _| {
        (0..1000).flat_map(|handle| transfer(channel, 1000 + handle, 0, true, b"x")).collect()
    })
    .await;
}

/// A broker that demands a heartbeat each millisecond gets at most ten a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_68_an_idle_timeout_of_a_millisecond() {
    own_process!(row_68_an_idle_timeout_of_a_millisecond);
    let broker = amqp1::start(|peer, did| match did {
        Did::Opens => Some(Box::pin(async move { drop(peer.send(&open(&uint(1))).await) })),
        _ => None,
    })
    .await;
    let victim = Victim::serve(url(&broker), Duration::ZERO).await;
    let begun = std::time::Instant::now();
    let before = broker.seen.empty();
    // The heartbeats of two connections in a second; one per millisecond would be 2000.
    let frames = async || broker.seen.empty() - before;
    eventually(SOON, "signs of life", frames, |frames| *frames >= 20).await;
    assert!(begun.elapsed() > Duration::from_millis(800), "20 frames within {:?}", begun.elapsed());
    drop(broker);
    victim.end().await;
}

/// A connection that the broker closes during the handshake fails at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_68_a_close_during_the_handshake() {
    own_process!(row_68_a_close_during_the_handshake);
    for (stage, opens, says_why) in [
        ("login", false, true),
        ("open", false, false),
        ("open", true, true),
        ("begin", false, true),
        ("begin", false, false),
    ] {
        let broker = amqp1::start(move |peer, did| match (did, stage) {
            (Did::LogsIn, "login") | (Did::Opens, "open") | (Did::Begins, "begin") => Some(Box::pin(async move {
                let error = described(0x1d, &[b"\xa3\x13amqp:internal-error"]);
                if opens {
                    let _ = peer.send(&open(NULL)).await;
                }
                let why = if says_why { &error[..] } else { NULL };
                let _ = peer.send(&frame(0, &described(0x18, &[why]))).await;
                std::future::pending().await
            })),
            _ => None,
        })
        .await;
        closed(url(&broker)).await;
    }
}

/// A transport that is closed during a stalled handshake does not wait for the broker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_68_closing_during_a_handshake() {
    own_process!(row_68_closing_during_a_handshake);
    for stage in ["login", "open"] {
        let broker = amqp1::start(move |peer, did| match (did, stage) {
            (Did::Attached { .. }, _) => Some(Box::pin(async move { peer.close().await })),
            (Did::LogsIn, "login") | (Did::Opens, "open") if peer.seen().connections() > 2 => {
                Some(Box::pin(std::future::pending()))
            }
            _ => None,
        })
        .await;
        let victim = Victim::serve(url(&broker), Duration::ZERO).await;
        broker.seen.go();
        let connections = async || broker.seen.connections();
        eventually(SOON, "a handshake", connections, |connections| *connections > 2).await;
        // A message that waits for the connection does not delay the close either.
        let client = victim.client();
        let cast = tokio::spawn(async move { client.cast(&Context::new(), "echo", json!({})).await });
        eventually(SOON, "both handshakes", connections, |connections| *connections > 3).await;
        let begun = std::time::Instant::now();
        victim.end().await;
        println!("figures: closed during a handshake ({stage}) after {:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(4), "it took {:?}", begun.elapsed());
        assert!(cast.await.unwrap().is_err());
    }
}
