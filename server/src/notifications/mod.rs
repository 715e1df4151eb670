//! Notifications, from the receiver's side: listeners for those who bill, audit and watch, and for services that
//! subscribe to each other's events.
//!
//! | listener | gives |
//! |---|---|
//! | [`NotificationListener`] | each notification to the handlers of its priority |
//! | [`BatchListener`] | many at once, grouped by priority |
//! | [`EventListener`] | events of one source and type, to one instance of a service, to each, or to one of all |
//!
//! A notification is acknowledged after its handlers have ended: one that is being handled when the process dies is
//! delivered again. Handlers take [extractors](FromNotification) and return an [outcome](IntoHandling).
//!
//! Metrics, by the `metrics` facade: `oxlo_notifications_total` with the label `outcome` (`handled`, `requeued`,
//! `failed`, `rejected`, `malformed`, `unwanted`, as [`ListenReport`] says), and `oxlo_events_retried_total`.

mod dispatch;
mod endpoint;
mod events;
mod extract;
mod filter;
mod handler;
mod handling;
mod listener;
mod report;
mod run;
mod running;

pub use self::{
    endpoint::{BatchEndpoint, NotificationEndpoint},
    events::{EventListener, EventListenerBuilder, OnError, RunningEvents, Subscription},
    extract::{Body, EventType, FromNotification, Incoming, Metadata, Misfit, PublisherId, Received},
    filter::{Filter, FilterError},
    handler::{Ended, NotificationHandler, Running},
    handling::{Handling, HandlingFailure, IntoHandling},
    listener::{BatchListener, BatchListenerBuilder, NotificationListener, NotificationListenerBuilder},
    report::{ListenError, ListenReport},
    running::RunningListener,
};
