//! oslo.messaging's JSON messages, as pure functions from bytes to values and back.
//!
//! Strict in what is written, tolerant in what is read: Python peers write bare `NaN`, lone surrogates and integers
//! of any size.

pub mod amqp1;
pub mod charset;
mod context;
pub mod envelope;
pub mod notification;
pub mod reply;
pub mod request;
pub mod unread;
