//! Fuzz targets: the properties that parsers of foreign input must keep.
//!
//! Each target is a plain function of bytes that panics if a property does not hold: accepted input agrees with an
//! independent parser and reads back equal after it is written again, and limits on depth and length are enforced exactly.
//! The same functions run under libFuzzer (`fuzz/run`), over the committed corpus, and under property tests; the latter two
//! are part of the ordinary test run.
//!
//! | target | input |
//! |---|---|
//! | `request`, `reply`, `failure`, `notification` | message bodies: JSON in envelopes |
//! | `url`, `version` | text written by users |
//! | `header_table`, `header_mapping`, `amqp091_stream` | a broker's bytes in AMQP 0-9-1, before lapin's parser |
//! | `amqp1_value`, `amqp1_message`, `amqp1_stream` | a broker's bytes in AMQP 1.0, before fe2o3-amqp's parser |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a target reports a violation by a panic"
)]

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

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name, for `fuzz/run` and the folder of its corpus.
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
