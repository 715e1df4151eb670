//! The sending half: a notifier, its queue, its worker and its drivers.

mod build;
mod configured;
mod driver;
mod error;
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
pub(crate) use self::messaging::{DEFAULT_TOPIC, send};
#[cfg(feature = "routing")]
pub use self::routing::{Routing, RoutingError, RoutingProblem};
pub use self::{
    build::{BuildNotifierError, NotifierBuilder},
    driver::{Noop, NotificationDriver, Recorder, Tries},
    error::{DriverError, NotifyError, Unsent},
    handle::{Notifier, Receipt},
    log::Log,
    messaging::Messaging,
    queue::Overflow,
    redaction::Redaction,
    stats::NotifierStats,
};
