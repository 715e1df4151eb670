//! Brokers that cannot be trusted, by rows 62 to 68 of `docs/reliability.md`. Each one is a few lines of bytes, played to a
//! real client or server whose process must stay small and go on working beside it.
//!
//! The attacks end when so many bytes were sent or so many connections were made, not after a time, so that a loaded
//! machine changes nothing but how long they take.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc, clippy::cast_possible_truncation)]

mod amqp091;
mod amqp1;
mod peer;
mod red;
mod rows_amqp1;
mod rows_rabbit;
mod victim;
