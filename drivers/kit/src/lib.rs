//! What a driver on a broker is composed of. Only drivers use it; it knows no protocol and no broker.
//!
//! With the cargo feature `net`, for drivers that speak to a broker over TCP: a dialled connection with the options of a
//! long-lived one, rustls on ring, a connection that is re-established by itself, replies that wait for their queue, and
//! the age of requests.

#[cfg(feature = "net")]
pub mod broker;
pub mod dedup;
pub mod deferral;
#[cfg(feature = "net")]
pub mod dial;
pub mod duplicates;
#[cfg(feature = "net")]
pub mod held;
#[cfg(all(test, feature = "net"))]
mod held_tests;
#[cfg(feature = "net")]
pub mod hosts;
#[cfg(feature = "net")]
pub mod inbound;
#[cfg(feature = "net")]
pub mod intake;
#[cfg(feature = "net")]
mod keeper;
#[cfg(feature = "net")]
pub mod lateness;
#[cfg(feature = "net")]
pub mod link;
#[cfg(test)]
mod model;
pub mod numbers;
#[cfg(feature = "net")]
pub mod options;
#[cfg(feature = "net")]
mod outage;
pub mod pending;
#[cfg(test)]
mod pending_tests;
#[cfg(feature = "net")]
mod recent;
#[cfg(feature = "net")]
pub mod replies;
#[cfg(feature = "net")]
pub mod reply_queue;
#[cfg(feature = "net")]
pub mod resend;
#[cfg(feature = "net")]
pub mod room;
#[cfg(feature = "net")]
mod routes;
pub mod send_budget;
#[cfg(feature = "net")]
pub mod session;
#[cfg(feature = "net")]
pub mod socket;
#[cfg(feature = "net")]
pub mod state;
#[cfg(feature = "net")]
pub mod subscription;
pub mod supervisor;
mod sync;
pub mod telemetry;
#[cfg(feature = "net")]
pub mod text;
#[cfg(feature = "net")]
pub mod tls;
#[cfg(feature = "net")]
pub mod transport;
