//! Notifications: what services tell those who bill, audit and monitor, and the events to which services subscribe.
//!
//! | sends | |
//! |---|---|
//! | [`Notifier`] | notifications, to each of its drivers |
//! | [`EventDispatcher`] | the events of one source |
//!
//! | receives | |
//! |---|---|
//! | [`NotificationListener`] | notifications, each given to the handlers of its priority |
//! | [`BatchListener`] | notifications in batches, grouped by priority |
//! | [`EventListener`] | events, each given to one instance of a service, to every instance, or to one of all |
//!
//! # Drivers of a notifier
//!
//! | driver | oslo's name | |
//! |---|---|---|
//! | [`Messaging`] | `messaging`, `messagingv2` | sends over a transport, to each topic |
//! | [`Log`] | `log` | writes to the program's log, with secrets masked |
//! | [`Noop`] | `noop` | does nothing |
//! | [`Recorder`] | `test` | keeps notifications in memory |
//! | [`Routing`] | `routing` | passes notifications to other drivers, by rules in a YAML file (feature `routing`) |
//!
//! # Listeners
//!
//! A notification is acknowledged after its handlers have ended: one that is being handled when the process crashes is
//! redelivered. Handlers take [extractors](FromNotification) and return a [result](IntoNotificationResult).
//!
//! # Cargo features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `routing` | yes | the driver `routing`: rules in a YAML file |
//! | `tracing-layer` | no | [`LogLayer`], which sends log records as notifications |
#![cfg_attr(not(feature = "routing"), allow(rustdoc::broken_intra_doc_links))]

mod events;
mod listener;
mod notifier;

pub use oxlo_serving::{Redelivered, ShutdownSignal, shutdown_signal};

#[cfg(feature = "tracing-layer")]
pub use crate::notifier::LogLayer;
#[cfg(feature = "routing")]
pub use crate::notifier::{Routing, RoutingError, RoutingProblem};
pub use crate::{
    events::{
        EventDispatcher, EventDispatcherBuilder, EventListener, EventListenerBuilder, OnError, RunningEventListener,
        Subscription,
    },
    listener::{
        BatchEndpoint, BatchListener, BatchListenerBuilder, Body, BoxError, EventType, ExtractError, Filter,
        FilterError, FromNotification, HandlerError, HandlerFuture, HandlerResult, Incoming, IntoNotificationResult,
        ListenError, ListenReport, Metadata, NotificationEndpoint, NotificationHandler, NotificationListener,
        NotificationListenerBuilder, NotificationResult, PublisherId, Received, RunningListener,
    },
    notifier::{
        BuildNotifierError, DriverError, Log, Messaging, Noop, NotificationDriver, Notifier, NotifierBuilder,
        NotifierStats, NotifyError, Overflow, Receipt, Recorder, Redaction, Tries, Unsent,
    },
};

/// Compiles the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
