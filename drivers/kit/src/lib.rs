//! What a driver on a broker is composed of. Only drivers use it; it knows no protocol and no broker.
//!
//! | module | holds |
//! |---|---|
//! | [`pending`] | calls that wait for their reply |
//! | [`duplicates`], [`dedup`], [`numbers`] | recognising a message that is delivered twice |
//! | [`deferral`] | how often a message was sent to its queue again, and when it is due |
//! | [`supervisor`] | which host to connect to, and when (pure) |
//! | [`send_budget`], [`telemetry`] | the time that a send is allowed; spans and metrics |
//!
//! With the cargo feature `net`, for drivers that speak to a broker over TCP:
//!
//! | module | holds |
//! |---|---|
//! | `hosts`, `dial`, `tls`, `socket`, `options` | the hosts of a URL, a socket to one of them, TLS by rustls |
//! | `link`, `state` | a connection that is re-established whenever it is lost, and the state of two of them |
//! | `broker`, `transport` | what a driver does in its protocol, and the `Transport` that is composed of it |
//! | `session`, `subscription` | keeping a subscription until its listener is closed |
//! | `inbound`, `intake`, `lateness`, `resend` | from a message of the broker to a delivery; deferring it |
//! | `replies`, `held` | sending replies, and holding those that cannot be delivered now |
//! | `reply_queue` | the replies to our own calls |
//! | `room`, `text` | a bound on messages in flight; errors as one line of text |
//!
//! # Cargo features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `net` | no | everything for drivers that connect over TCP |

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
mod route_cache;
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
