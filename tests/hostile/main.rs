//! Malicious brokers: rows 62 to 68 of `docs/reliability.md`. Each attack is a few lines of bytes, sent to a real client or
//! server whose process must stay small and keep serving others.
//!
//! An attack ends after a number of bytes or connections, not after a time, so that a loaded machine only takes longer.
//!
//! Each test runs in its own process (`own_process!`), whose memory it measures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc, clippy::cast_possible_truncation)]

mod amqp091;
mod amqp1;
mod peer;
mod red;
mod rows_amqp1;
mod rows_rabbit;
mod victim;
