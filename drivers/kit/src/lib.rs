//! What a driver on a broker is composed of. Only drivers use it; it knows no protocol and no broker.
//!
//! With the cargo feature `net`, for drivers that speak to a broker over TCP: a dialled connection with the options of a
//! long-lived one, rustls on ring, a connection that is re-established by itself, replies that wait for their queue, and
//! the age of requests.
//!
//! # Cargo features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `net` | no | everything for drivers that connect over TCP |

pub mod dedup;
pub mod deferral;
#[cfg(feature = "net")]
pub mod delayed;
#[cfg(feature = "net")]
pub mod dial;
pub mod duplicates;
#[cfg(feature = "net")]
pub mod held;
#[cfg(all(test, feature = "net"))]
mod held_tests;
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
#[cfg(feature = "net")]
pub mod patience;
pub mod pending;
#[cfg(test)]
mod pending_tests;
#[cfg(feature = "net")]
mod recent;
#[cfg(feature = "net")]
pub mod room;
#[cfg(feature = "net")]
pub mod socket;
#[cfg(feature = "net")]
pub mod state;
pub mod supervisor;
mod sync;
pub mod telemetry;
#[cfg(feature = "net")]
pub mod text;
#[cfg(feature = "net")]
pub mod tls;
