//! Rows 62 to 66: over AMQP 0-9-1.

use std::{sync::atomic::Ordering, time::Duration};

use oxlo::{Context, RPCClient, Target};
use oxlo_test_support::{eventually, own_process};
use serde_json::json;

use crate::{
    amqp091::{self, Did, deliver, frame, header, message, method, request, returned, short},
    peer::SOON,
    victim::{Memory, Neighbour, Victim, closed, connect, keep_log, logged, rabbit},
};

/// Larger than any memory bound here.
const MUCH: usize = 64 << 20;
const BODY: usize = 131_064;

/// A body of 2^63 bytes: the connection stays open, and nothing of the body is buffered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_62_a_body_without_end() {
    own_process!(row_62_a_body_without_end);
    let neighbour = Neighbour::on_a_broker().await;
    let broker = amqp091::start(|peer, did| match did {
        Did::Consumes(channel, tag) => Some(Box::pin(async move {
            let begins = [deliver(channel, &tag, 1), header(channel, 1 << 63)].concat();
            if peer.send(&begins).await.is_ok() {
                peer.flood(&frame(3, channel, &[b'x'; BODY])).await;
            }
        })),
        _ => None,
    })
    .await;
    let victim = Victim::serve(rabbit(&broker), Duration::ZERO).await;
    let memory = Memory::watch();
    broker.seen.plays(MUCH, 3).await;
    neighbour.answers().await;
    assert_eq!(broker.seen.connections(), 2, "one that publishes, one that consumes");
    memory.grew_by_at_most(24, "a body without end");
    drop(broker);
    victim.end().await;
    neighbour.end().await;
}

/// A body of 100 MiB followed by a small message: the first is rejected, the second runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_62_a_body_above_the_limit() {
    own_process!(row_62_a_body_above_the_limit);
    const SIZE: usize = 100 << 20;
    let broker = amqp091::start(|peer, did| match did {
        Did::Consumes(channel, tag) => Some(Box::pin(async move {
            let _ = peer.send(&[deliver(channel, &tag, 1), header(channel, SIZE as u64)].concat()).await;
            let mut left = SIZE;
            while left > 0 {
                let part = left.min(BODY);
                let _ = peer.send(&frame(3, channel, &vec![b'x'; part])).await;
                left -= part;
            }
            let _ = peer.send(&message(channel, &tag, 2, &request("small", "hi"))).await;
        })),
        _ => None,
    })
    .await;
    let memory = Memory::watch();
    let victim = Victim::serve(rabbit(&broker), Duration::ZERO).await;
    broker.seen.go();
    let ran = async || victim.ran.load(Ordering::Relaxed);
    eventually(SOON, "the small message ran", ran, |ran| *ran == 1).await;
    let settled = async || (broker.seen.rejected(), broker.seen.settled());
    eventually(SOON, "one rejected, one acknowledged", settled, |settled| *settled == (1, 1)).await;
    assert_eq!(broker.seen.connections(), 2);
    memory.grew_by_at_most(48, "a body of 100 MiB");
    drop(broker);
    victim.end().await;
}

/// Endless requests, with distinct or equal ids, in excess of the prefetch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_63_a_prefetch_that_is_ignored() {
    own_process!(row_63_a_prefetch_that_is_ignored);
    keep_log();
    let neighbour = Neighbour::start().await;
    for same in [false, true] {
        let broker = amqp091::start(move |peer, did| match did {
            Did::Consumes(channel, tag) => Some(Box::pin(async move {
                let text = "k".repeat(2000);
                for number in 1.. {
                    let id = if same { "same".to_owned() } else { format!("{number:032x}") };
                    if peer.send(&message(channel, &tag, number, &request(&id, &text))).await.is_err() {
                        return;
                    }
                }
            })),
            _ => None,
        })
        .await;
        let victim = Victim::serve(rabbit(&broker), 10 * SOON).await;
        let memory = Memory::watch();
        broker.seen.plays(16 << 20, 3).await;
        neighbour.answers().await;
        memory.grew_by_at_most(48, "a prefetch that is ignored");
        // Duplicates are acknowledged at once, and are never queued.
        assert!(same || broker.seen.connections() > 2, "no connection was given up");
        drop(broker);
        victim.end().await;
    }
    logged("the broker ignores the prefetch: it sent more than").await;
    neighbour.end().await;
}

/// Returns and confirms of messages that were never sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_64_returns_of_what_was_never_sent() {
    own_process!(row_64_returns_of_what_was_never_sent);
    keep_log();
    let neighbour = Neighbour::start().await;
    let broker = amqp091::start(|peer, did| match did {
        Did::Published(channel) => Some(Box::pin(async move {
            peer.flood(&returned(channel, "0192f0c1-2a3b-7c4d-8e5f-001122334455").repeat(500)).await;
        })),
        _ => None,
    })
    .await;
    let transport = connect(rabbit(&broker)).await;
    let client = RPCClient::new(transport.clone(), Target::topic("victim").version("1.0")).timeout(SOON);
    let memory = Memory::watch();
    client.cast(&Context::new(), "echo", json!({})).await.unwrap();
    broker.seen.plays(16 << 20, 2).await;
    neighbour.answers().await;
    memory.grew_by_at_most(16, "returns of what was never sent");
    assert!(broker.seen.connections() > 1, "no connection was given up");
    logged("the broker returned more messages than are in flight").await;
    drop(broker);
    tokio::time::timeout(SOON, transport.close()).await.unwrap();
    neighbour.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_64_confirms_of_what_was_never_sent() {
    own_process!(row_64_confirms_of_what_was_never_sent);
    let neighbour = Neighbour::start().await;
    let broker = amqp091::start(|peer, did| match did {
        Did::Published(channel) => Some(Box::pin(async move {
            let tags = [(80, u64::MAX, 1), (120, 0, 1), (80, 99, 0)];
            let settled = tags.map(|(kind, tag, all): (u16, u64, u8)| {
                method(channel, 60, kind, &[&tag.to_be_bytes()[..], &[all]].concat())
            });
            peer.flood(&settled.concat().repeat(300)).await;
        })),
        _ => None,
    })
    .await;
    let transport = connect(rabbit(&broker)).await;
    let client = RPCClient::new(transport.clone(), Target::topic("victim").version("1.0")).timeout(SOON);
    let memory = Memory::watch();
    client.cast(&Context::new(), "echo", json!({})).await.unwrap();
    broker.seen.plays(4 << 20, 3).await;
    neighbour.answers().await;
    memory.grew_by_at_most(16, "confirms of what was never sent");
    drop(broker);
    tokio::time::timeout(SOON, transport.close()).await.unwrap();
    neighbour.end().await;
}

/// Sends endless frames to a server, until a number of bytes or of lost connections is reached; the log names the reason.
async fn storm(
    what: &str,
    bytes: usize,
    words: Option<&str>,
    frames: impl Fn(u16, &[u8]) -> Vec<u8> + Send + Sync + 'static,
) {
    let broker = amqp091::start(move |peer, did| match did {
        Did::Consumes(channel, tag) => {
            let bytes = frames(channel, &tag);
            Some(Box::pin(async move { peer.flood(&bytes).await }))
        }
        _ => None,
    })
    .await;
    let url = rabbit(&broker);
    Victim::withstands(broker, url, what, bytes, words).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_65_content_that_is_out_of_step() {
    own_process!(row_65_content_that_is_out_of_step);
    let words = "the broker sent a content header without a message";
    storm("headers that reserve memory", MUCH, Some(words), |channel, tag| {
        [deliver(channel, tag, 1), header(channel, 1 << 20), header(channel, 0)].concat()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_65_messages_for_channels_that_take_none() {
    own_process!(row_65_messages_for_channels_that_take_none);
    let words = "the broker sent a message on a channel without a consumer";
    let all = (1000..1100).flat_map(|channel| message(channel, b"nobody", 5, b"abcd")).collect::<Vec<_>>();
    storm("messages for unknown channels", MUCH, Some(words), move |_, _| all.clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_66_methods_that_nobody_asked_for() {
    own_process!(row_66_methods_that_nobody_asked_for);
    let words = "unsolicited methods within ten seconds";
    storm("blocked and unblocked", MUCH, Some(words), |_, _| {
        [method(0, 10, 60, &short(b"x\x1b[2J\nERROR fake")), method(0, 10, 61, b"")].concat().repeat(200)
    })
    .await;
    storm("flow", MUCH, Some(words), |channel, _| method(channel, 20, 20, &[1]).repeat(200)).await;
    storm("cancels", MUCH, Some(words), |channel, _| {
        method(channel, 60, 30, &[&short(b"nobody")[..], &[0]].concat()).repeat(200)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_66_closes_of_every_channel() {
    own_process!(row_66_closes_of_every_channel);
    let close = [&404_u16.to_be_bytes()[..], &short(b"NOT_FOUND"), &[0; 4]].concat();
    let all = (100..=u16::MAX).flat_map(|channel| method(channel, 20, 40, &close)).collect::<Vec<_>>();
    storm("closes of 65 436 channels", MUCH, None, move |_, _| all.clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_66_heartbeats_without_end() {
    own_process!(row_66_heartbeats_without_end);
    storm("heartbeats", 1 << 20, None, |_, _| frame(8, 0, b"").repeat(1000)).await;
}

/// A broker that closes each connection as soon as the client consumes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_66_connections_that_are_closed_at_once() {
    own_process!(row_66_connections_that_are_closed_at_once);
    let close = [&320_u16.to_be_bytes()[..], &short(b"CONNECTION_FORCED"), &[0; 4]].concat();
    storm("closes", MUCH, None, move |_, _| method(0, 10, 50, &close)).await;
}

/// A connection that the broker closes during the handshake fails at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_66_a_close_during_the_handshake() {
    own_process!(row_66_a_close_during_the_handshake);
    for (opens, code) in [(false, 506_u16), (true, 506), (true, 200), (true, 0), (false, 403)] {
        let broker = amqp091::start(move |peer, did| match (did, opens) {
            (Did::Opens, true) | (Did::LogsIn, false) => Some(Box::pin(async move {
                let close = [&code.to_be_bytes()[..], &short(b"gone"), &[0; 4]].concat();
                let _ = peer.send(&method(0, 10, 50, &close)).await;
                std::future::pending().await
            })),
            _ => None,
        })
        .await;
        closed(rabbit(&broker)).await;
    }
}

/// A transport that is closed during a stalled handshake does not wait for the broker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_66_closing_during_a_handshake() {
    own_process!(row_66_closing_during_a_handshake);
    for stage in ["login", "open"] {
        let broker = amqp091::start(move |peer, did| match (did, stage) {
            (Did::Consumes(..), _) => Some(Box::pin(async move { peer.close().await })),
            (Did::LogsIn, "login") | (Did::Opens, "open") if peer.seen().connections() > 2 => {
                Some(Box::pin(std::future::pending()))
            }
            _ => None,
        })
        .await;
        let victim = Victim::serve(rabbit(&broker), Duration::ZERO).await;
        broker.seen.go();
        let connections = async || broker.seen.connections();
        eventually(SOON, "a handshake", connections, |connections| *connections > 2).await;
        let begun = std::time::Instant::now();
        victim.end().await;
        println!("figures: closed during a handshake ({stage}) after {:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(4), "it took {:?}", begun.elapsed());
    }
}
