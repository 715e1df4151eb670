//! The receiving half: listeners for notifications, one by one or in batches.

mod batch;
mod builder;
mod dispatch;
mod endpoint;
mod error;
mod extract;
mod filter;
mod handler;
mod kind;
mod listeners;
mod report;
mod result;
mod running;

pub use self::{
    builder::{BatchListenerBuilder, NotificationListenerBuilder},
    endpoint::{BatchEndpoint, NotificationEndpoint},
    error::ListenError,
    extract::{Body, EventType, ExtractError, FromNotification, Incoming, Metadata, PublisherId, Received},
    filter::{Filter, FilterError},
    handler::{HandlerError, HandlerFuture, HandlerResult, NotificationHandler},
    listeners::{BatchListener, NotificationListener},
    report::ListenReport,
    result::{BoxError, IntoNotificationResult, NotificationResult},
    running::RunningListener,
};
pub(crate) use self::{
    handler::{ErasedHandler, erase},
    kind::ListenerSpec,
};
