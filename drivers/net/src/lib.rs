//! What oxlo's drivers that speak to a broker over TCP have in common: a dialled connection with the options of a
//! long-lived one, rustls on ring, a connection that comes back by itself, replies that wait for their queue, and the age of
//! requests.
//!
//! It knows no protocol and no broker. Only drivers use it.

pub mod deferral;
pub mod dial;
pub mod held;
#[cfg(test)]
mod held_tests;
pub mod inbound;
pub mod intake;
mod keeper;
pub mod lateness;
pub mod link;
pub mod options;
mod outage;
mod recent;
pub mod replies;
pub mod reply_queue;
pub mod room;
pub mod send_budget;
pub mod session;
pub mod socket;
pub mod state;
pub mod subscription;
pub mod text;
pub mod tls;
pub mod transport;
