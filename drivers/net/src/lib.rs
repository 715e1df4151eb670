//! TCP and TLS as oxlo's drivers need them: a dialled connection with the options of a long-lived one, and rustls on ring.
//!
//! It knows no protocol and no broker. Only drivers use it.

pub mod dial;
pub mod tls;
