//! Memory budgets: a bound on the allocation per byte of input for every parser, over the corpus, over inputs made from it,
//! and over inputs known to be effective attacks.
//!
//! A single test, because the allocator counts for the whole process.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{fs, path::PathBuf};

use bytes::Bytes;
use oxlo_driver_amqp1::__fuzz as amqp1_driver;
use oxlo_driver_rabbit::__fuzz as rabbit_driver;
use oxlo_fuzz::{amqp1_bytes, amqp091_bytes};
use oxlo_transport::json::Limits;
use oxlo_wire::{amqp1, envelope, notification, reply, request};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// The bytes a parser may allocate in addition to those allowed per byte of input.
const AT_MOST: usize = 128 << 10;
/// The size in bytes of inputs made by repetition.
const LARGE: usize = 100_000;
const FRAME_MAX: u32 = 64 << 10;

/// A parser with its budget.
struct Reader {
    /// The target whose corpus is used.
    corpus: &'static str,
    /// The bytes it may have allocated at a time per byte of input.
    budget: usize,
    read: fn(&Bytes),
}

/// Without the limit on context values, under which a parser that builds all values would pass.
fn limits() -> Limits {
    Limits { max_context_values: usize::MAX, ..Limits::default() }
}

const READERS: &[Reader] = &[
    Reader { corpus: "request", budget: 4, read: |body| drop(request::decode(body, limits())) },
    Reader { corpus: "request", budget: 4, read: |body| drop(amqp1::decode_request(body, limits())) },
    Reader { corpus: "reply", budget: 4, read: |body| drop(reply::decode(body, limits())) },
    Reader { corpus: "notification", budget: 4, read: |body| drop(notification::decode(body, limits())) },
    Reader { corpus: "notification", budget: 4, read: |body| drop(amqp1::decode_notification(body, limits())) },
    Reader { corpus: "amqp091_stream", budget: 4, read: |bytes| drop(rabbit_driver::stream(bytes, &[])) },
    Reader { corpus: "amqp091_stream", budget: 16, read: |bytes| drop(rabbit_driver::ports(bytes, &[])) },
    Reader { corpus: "amqp1_value", budget: 1, read: |bytes| _ = amqp1_driver::length(bytes) },
    Reader { corpus: "amqp1_message", budget: 4, read: |bytes| drop(amqp1_driver::read(bytes)) },
    Reader {
        corpus: "amqp1_stream",
        budget: 4,
        read: |bytes| drop(amqp1_driver::stream(bytes, 4096, FRAME_MAX, 16 << 20)),
    },
];

/// The committed inputs of a target.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

/// Inputs made by repeating the middle of `input`, cut at several positions.
fn repeated(input: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let cuts = [(1, 4), (1, 2), (2, 3), (3, 4)];
    cuts.into_iter().flat_map(move |(share, of)| {
        let from = input.len() * share / of;
        [1, 2, 8, 32].into_iter().filter_map(move |length| {
            let piece = input.get(from..from + length)?;
            let middle = piece.repeat(LARGE / length);
            Some([&input[..from], &middle, &input[from + length..]].concat())
        })
    })
}

/// `before`, repetitions of `piece`, and `after`, with and without an envelope.
fn body(before: &str, piece: &str, after: &str) -> [Vec<u8>; 2] {
    let inner = format!("{before}{}{after}", piece.repeat(LARGE / piece.len()));
    [envelope::seal(&inner), inner.into_bytes()]
}

/// Inputs that are small as text and large as a tree of values.
fn attacks() -> Vec<Vec<u8>> {
    let mut attacks = Vec::new();
    for piece in ["0,", "[],", "{},", "\"\",", "{\"\":0},", "\"\\u00e9\","] {
        for (before, after) in [
            ("{\"method\": \"m\", \"_context_a\": [", "0]}"),
            ("{\"method\": \"m\", \"args\": {\"a\": [", "0]}}"),
            ("{\"method\": \"m\", \"x\": [", "0]}"),
            ("{\"_msg_id\": \"m\", \"result\": [", "0], \"ending\": true}"),
            ("{\"_msg_id\": \"m\", \"failure\": {\"args\": [", "0]}, \"ending\": true}"),
            ("{\"event_type\": \"e\", \"payload\": [", "0]}"),
            ("{\"event_type\": \"e\", \"_context_a\": [", "0]}"),
        ] {
            attacks.extend(body(before, piece, after));
        }
    }
    for key in ["_context_", "x"] {
        let members: String = (0..LARGE / 20).map(|number| format!("\"{key}{number}\": 0, ")).collect();
        attacks.extend(body(&format!("{{{members}\"method\": \"m\", \"x\": ["), "0,", "0]}"));
    }
    attacks
}

#[test]
fn reading_takes_memory_in_proportion_to_what_is_read() {
    let attacks = attacks();
    for Reader { corpus: target, budget, read } in READERS {
        let seeds = corpus(target);
        let made: Vec<_> = seeds.iter().filter(|seed| !seed.is_empty()).flat_map(|seed| repeated(seed)).collect();
        let mut most = (0, Vec::new());
        for input in seeds.into_iter().chain(made).chain(attacks.iter().cloned()) {
            let bytes = Bytes::from(match *target {
                "amqp091_stream" => amqp091_bytes(&input),
                "amqp1_stream" => amqp1_bytes(&input),
                _ => input,
            });
            ALLOCATOR.reset_peak_usage();
            let before = ALLOCATOR.current_usage();
            read(&bytes);
            let took = ALLOCATOR.peak_usage().saturating_sub(before);
            let start = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
            assert!(
                took <= AT_MOST + budget * bytes.len(),
                "{target}: {took} bytes for the {} of {start}, more than {budget} for each",
                bytes.len()
            );
            if took > most.0 {
                most = (took, vec![bytes.len().to_string(), start]);
            }
        }
        println!("figures: {target}: at most {} bytes, for {}", most.0, most.1.join(" bytes: "));
    }
}
