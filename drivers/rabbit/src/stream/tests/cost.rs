//! What the guard costs. Not a test: `cargo test --release -p oxlo-driver-rabbit guard_cost -- --ignored --nocapture`.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use super::wire;
use crate::stream::{guard::Guard, inbound::Inbound, ports::Ports};

const MESSAGES: usize = 200_000;

/// Headers as oslo.messaging's are not (it sends none), but as traced and dead-lettered messages have.
fn table() -> Vec<u8> {
    let mut table = Vec::new();
    for key in ["traceparent", "tracestate", "x-first-death-queue", "x-first-death-reason"] {
        table.extend(wire::short(key.as_bytes()));
        table.push(b'S');
        table.extend(wire::long(&[b'v'; 40]));
    }
    table
}

#[test]
#[ignore = "a measurement"]
fn guard_cost() {
    for body in [0, 512, 4_096, 65_536] {
        let opening = [wire::start(b""), wire::tune(0, 131_072, 60)].concat();
        let message = wire::delivery(1, b"ctag1.0123456789abcdef", 1, &table(), &vec![0; body]);
        let per_round = (256 * 1024 / message.len()).max(1);
        let round = message.repeat(per_round);
        let rounds = (MESSAGES / per_round).clamp(1, 1_000);
        let messages = u32::try_from(rounds * per_round).unwrap();

        let plain = best(|| (0..rounds).for_each(|_| copy_through(black_box(&round)))) / messages;
        let (mut inbound, ports) = (Inbound::new(Guard::new(0)), Ports::default());
        pass(&mut inbound, &ports, &opening);
        let guarded = best(|| (0..rounds).for_each(|_| pass(&mut inbound, &ports, black_box(&round)))) / messages;
        println!(
            "body {body:>6}: {guarded:?} per message of {} bytes; two bare copies by way of a buffer take {plain:?}",
            message.len()
        );
    }
}

/// The fastest of some runs, as others use the machine.
fn best(mut run: impl FnMut()) -> Duration {
    let timed = (0..7).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed()
    });
    timed.min().unwrap()
}

fn pass(inbound: &mut Inbound, ports: &Ports, mut bytes: &[u8]) {
    let (mut out, mut changed) = (Vec::with_capacity(128 * 1024), Vec::new());
    while !bytes.is_empty() {
        let space = inbound.space();
        let now = space.len().min(bytes.len());
        space[..now].copy_from_slice(&bytes[..now]);
        bytes = &bytes[now..];
        inbound.filled(now);
        inbound.check(&mut ports.lock(), &mut out, &mut changed).unwrap();
        black_box(&out);
        out.clear();
    }
}

fn copy_through(mut bytes: &[u8]) {
    let (mut buffer, mut out) = (vec![0; 64 * 1024], vec![0; 128 * 1024]);
    while !bytes.is_empty() {
        let now = buffer.len().min(bytes.len());
        buffer[..now].copy_from_slice(&bytes[..now]);
        out[..now].copy_from_slice(black_box(&buffer[..now]));
        bytes = &bytes[now..];
        black_box(&out);
    }
}
