//! What oxlo's drivers that speak to a broker over TCP have in common: a dialled connection with the options of a
//! long-lived one, rustls on ring, a connection that comes back by itself, and the age of requests.
//!
//! It knows no protocol and no broker. Only drivers use it.

pub mod delayed;
pub mod dial;
mod keeper;
pub mod lateness;
pub mod link;
pub mod options;
mod outage;
pub mod patience;
pub mod room;
pub mod socket;
pub mod state;
pub mod text;
pub mod tls;
