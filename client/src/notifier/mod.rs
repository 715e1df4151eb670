//! Notifications, from the sender's side: what a service tells those who bill, audit and watch.
//!
//! A [`Notifier`] gives each notification to its drivers:
//!
//! | driver | oslo's name | what it does |
//! |---|---|---|
//! | [`Messaging`] | `messaging`, `messagingv2` | sends it over a transport, to each topic |
//! | [`Log`] | `log` | writes it to the program's log, secrets masked |
//! | [`Noop`] | `noop` | nothing |
//! | [`Recorder`] | `test` | keeps it in memory |
//! | [`Routing`] | `routing` | gives it on to other drivers, by rules in a YAML file (feature `routing`) |
//!
//! An [`EventDispatcher`] sends events, for services that subscribe to each other rather than to topics.
//!
//! Metrics, by the `metrics` facade: the counters `oxlo_notifier_accepted_total`, `_sent_total`, `_retried_total`,
//! `_dropped_total`, `_failed_total`, `_abandoned_total` and `_refused_total`, and the gauge `oxlo_notifier_queued`; what
//! they mean says [`NotifierStats`].

mod build;
mod configured;
mod driver;
mod error;
mod events;
mod handle;
mod log;
#[cfg(feature = "tracing-layer")]
mod log_layer;
mod mask;
mod messaging;
mod queue;
mod quiet;
mod redaction;
#[cfg(feature = "routing")]
mod routing;
mod stats;
mod timestamp;
mod worker;

#[cfg(feature = "tracing-layer")]
pub use self::log_layer::LogLayer;
#[cfg(feature = "routing")]
pub use self::routing::{Routing, RoutingError, RoutingProblem};
pub use self::{
    build::{BuildNotifierError, NotifierBuilder},
    driver::{Noop, NotificationDriver, Recorder, Tries},
    error::{DriverError, NotifyError, Unsent},
    events::EventDispatcher,
    handle::{Notifier, Receipt},
    log::Log,
    messaging::Messaging,
    queue::Overflow,
    redaction::Redaction,
    stats::NotifierStats,
};
