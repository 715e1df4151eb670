//! Encoded AMQP 1.0 values (AMQP 1.0 part 1), read and written without fe2o3-amqp.

pub(crate) mod encode;
mod length;
mod raw;

#[cfg(any(test, feature = "__fuzz"))]
pub(crate) use length::MAX_DEPTH;
#[cfg(feature = "__fuzz")]
pub(crate) use length::length;
pub(crate) use length::{Malformed, Reader};
pub(crate) use raw::Raw;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
