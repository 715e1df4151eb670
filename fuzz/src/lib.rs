//! What hostile input is held against.
//!
//! Each target is a plain function of bytes that panics when a property does not hold: what is accepted is what an
//! independent reader reads from it, it reads back equal after it was written again, and what says that something is too
//! deep or too long is right. The same functions run under libFuzzer (`fuzz/run`), over the committed corpus, and under
//! property tests, the latter two in the ordinary test run.
//!
//! | target | reads |
//! |---|---|
//! | `request`, `reply`, `failure`, `notification` | bodies of messages, JSON in envelopes |
//! | `url`, `version` | what users write |
//! | `header_table`, `header_mapping`, `amqp091_stream` | a broker's bytes in AMQP 0-9-1, before lapin's parser |
//! | `amqp1_value`, `amqp1_message`, `amqp1_stream` | a broker's bytes in AMQP 1.0, before fe2o3-amqp's parser |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc, reason = "to panic is what it is for")]

mod amqp1;
mod envelope;
mod headers;
mod notification;
mod pieces;
mod reply;
mod request;
mod stack;
mod stream091;
mod url;
mod version;

pub use amqp1::amqp1_bytes;
pub use stream091::amqp091_bytes;

/// Something that reads what others wrote.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As `fuzz/run` and the folder of its corpus call it.
    pub name: &'static str,
    /// Panics if a property does not hold for these bytes.
    pub body: fn(&[u8]),
}

/// All targets.
#[rustfmt::skip]
pub const TARGETS: &[Target] = &[
    Target { name: "request", body: request::check },
    Target { name: "reply", body: reply::check },
    Target { name: "failure", body: reply::check_failure },
    Target { name: "notification", body: notification::check },
    Target { name: "url", body: url::check },
    Target { name: "version", body: version::check },
    Target { name: "header_table", body: headers::check_table },
    Target { name: "header_mapping", body: headers::check_mapping },
    Target { name: "amqp091_stream", body: stream091::check },
    Target { name: "amqp1_value", body: amqp1::check_value },
    Target { name: "amqp1_message", body: amqp1::check_message },
    Target { name: "amqp1_stream", body: amqp1::check_stream },
];
