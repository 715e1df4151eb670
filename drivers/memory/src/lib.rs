//! oxlo's in-process broker: `memory://name`.
//!
//! Transports of one process that connect to the same name share a bus; the bus goes away with the last that uses it.
//! `memory://` is the bus named `""`. Messages are passed as values, no JSON envelope is built. There is no thread and
//! no task behind it, and all time is tokio's, so everything runs under a paused clock.
//!
//! # What it does
//!
//! What oxlo does on RabbitMQ, so that a test on `memory://` says something about production:
//!
//! - A message to a topic goes to its servers in turn, each of which holds at most its prefetch; one to a server goes to
//!   that server, a fanout to every server that listens at that moment.
//! - Queues are created by the first listener and stay. So `Undeliverable` (mandatory delivery) means that nobody ever
//!   listened there; when all servers have gone, messages wait for the next one, a call until its timeout is over.
//!   Without mandatory delivery a message to nobody is dropped.
//! - A request whose caller's timeout is over is never handed out. A cast does not expire.
//! - A requeued message goes to where it stood in its queue, marked as redelivered, and to another listener if one has
//!   room. What a listener had not handed out goes back when it stops; what it had can still be settled and answered.
//! - The second copy of a message in a queue is dropped by the transport that took the first, whichever of its listeners
//!   did. A message that was given back is no second copy.
//! - Publishing a notification creates the queue `topic.priority`, so nothing is lost before a listener comes. Each pool
//!   has a queue of its own, which stays as well.
//! - A reply to a caller that is gone fails as `Undeliverable`; one that nobody waits for any more is dropped.
//!
//! - A message that is [deferred](oxlo_transport::Settle::defer) goes to the end of its queue.
//!
//! One thing is stricter: exchanges are namespaces here
//! ([`isolates_exchanges`](oxlo_transport::Capabilities::isolates_exchanges)), also for fanout and pools, and queues of
//! different kinds never share a name. RabbitMQ names queues by topic alone, so that servers of one topic in two exchanges
//! share its requests. With `exchanges=shared`, or [`MemoryTransport::sharing_exchanges`], it is so here as well.
//!
//! `max_message_size` counts the JSON text of arguments, result or payload, and of the context. `max_depth` is for
//! drivers that read JSON; this one reads none. Connecting never fails, so `connect_retry` has nothing to do.
//!
//! # The URL
//!
//! `memory://bus?name=alice&exchanges=shared`: the name of the bus, and optionally one for this transport, by which
//! [`Faults`] finds it, and whether exchanges are `isolated` (the default) or `shared`.
//!
//! # Faults
//!
//! [`MemoryBus::faults`] scripts what goes wrong: messages that are lost, repeated, delayed or refused, transports that
//! are cut off and come back, a broker that takes no messages.

mod broker;
mod bus;
mod driver;
mod faults;
mod link;
mod listener;
mod names;
mod reply;
mod size;
mod transport;

pub use crate::{
    driver::MemoryDriver,
    faults::{Fault, Faults, Traffic},
    transport::{Load, MemoryBus, MemoryTransport},
};

/// Compiles the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
