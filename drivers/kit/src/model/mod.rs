//! The pending calls in every order that matters: the very file `pending.rs`, with locks and channels whose every step is a
//! place where another thread may come first, and with a clock that a thread moves. shuttle chooses the order, hundreds
//! of times, and a thread that nobody wakes is an error.
//!
//! | variant | is |
//! |---|---|
//! | `sound` | as it should be |
//! | `tokio_channel` | the same with tokio's own channel, whose steps are then not taken apart |
//! | `torn` | broken: its locks let go before each write, as if somebody had unlocked between check and insert |
//! | `deaf` | broken: its channel wakes nobody |
//!
//! The broken ones must fail, or the checks are worth nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::duplicate_mod, reason = "one file with several sets of locks is the point")]

mod channel;
mod clock;
mod deaf;
mod sound;
mod tokio_channel;
mod torn;

use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler},
};

/// Random orders, and as many with few but well-placed changes of threads: 250 of each, or `OXLO_MODEL_ORDERS`.
fn check(scenario: fn()) {
    let wanted = std::env::var("OXLO_MODEL_ORDERS").ok().and_then(|orders| orders.parse().ok());
    let orders = wanted.unwrap_or(250);
    Runner::new(RandomScheduler::new(orders), config()).run(scenario);
    Runner::new(PctScheduler::new(3, orders), config()).run(scenario);
}

fn config() -> Config {
    let mut config = Config::new();
    // Debug builds need more than the 32 KiB that are usual.
    config.stack_size = 256 << 10;
    config
}

macro_rules! checks {
    ($($scenario:ident)*) => {
        mod holds {
            $(#[test] fn $scenario() { super::check(super::sound::scenarios::$scenario) })*
        }

        mod holds_with_tokios_channel {
            $(#[test] fn $scenario() { super::check(super::tokio_channel::scenarios::$scenario) })*
        }
    };
}

checks! {
    reply_against_timeout_against_drop
    reply_against_drop
    drain_against_insert
    close_against_insert
    failure_against_reply
    heartbeat_against_silence
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_lock_that_lets_go_between_check_and_insert_is_found() {
    check(torn::scenarios::close_against_insert);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_wake_up_that_is_lost_is_found() {
    check(deaf::scenarios::reply_against_drop);
}
