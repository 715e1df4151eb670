//! Codecs for oslo.messaging's JSON messages, as pure functions from bytes to values and back.
//!
//! Encoding is strict, decoding is lenient: Python peers write bare `NaN`, lone surrogates and integers of any size.

pub mod amqp1;
pub mod charset;
mod context;
pub mod envelope;
pub mod notification;
pub mod reply;
pub mod request;
pub mod unread;

/// Compiles the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
