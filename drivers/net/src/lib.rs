//! What oxlo's drivers that speak to a broker over TCP have in common: a dialled connection with the options of a
//! long-lived one, rustls on ring, a connection that comes back by itself, replies that wait for their queue, and the age of
//! requests.
//!
//! It knows no protocol and no broker. Only drivers use it.

pub mod delayed;
pub mod dial;
pub mod held;
#[cfg(test)]
mod held_tests;
mod keeper;
pub mod lateness;
pub mod link;
pub mod options;
mod outage;
pub mod patience;
mod recent;
pub mod room;
pub mod socket;
pub mod state;
pub mod text;
pub mod tls;
