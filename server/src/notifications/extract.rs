//! Extractors: what a notification handler's parameters can be.

use std::sync::Arc;

use oxlo_transport::{Context, Notification, Payload, Priority, json::JsonError};
use serde::de::DeserializeOwned;

use crate::extract::Redelivered;

/// One notification on its way to a handler.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Incoming {
    /// The notification.
    pub notification: Notification,
    /// Whether the broker delivered it before, to somebody who did not settle it.
    pub redelivered: bool,
}

/// A notification that does not fit what a handler takes.
#[derive(thiserror::Error)]
#[error("its payload does not fit the handler")]
pub struct Misfit(#[from] JsonError);

oxlo_transport::debug_as_chain!(Misfit);

/// A parameter of a notification handler: something that can be read from a notification.
#[diagnostic::on_unimplemented(
    message = "a notification handler cannot take a `{Self}`",
    label = "not an extractor",
    note = "parameters are `Context`, `Body<T>` (the payload as a type that is `Deserialize`), `Payload` (as JSON text), `PublisherId`, `EventType`, `Metadata`, `Priority`, `Redelivered`, `Notification`, `Received<T>`"
)]
pub trait FromNotification: Sized {
    /// Reads it. The handler does not run if that fails; the notification then counts as malformed for it.
    ///
    /// # Errors
    ///
    /// [`Misfit`] says what does not fit, and where.
    fn from_notification(incoming: &Incoming) -> Result<Self, Misfit>;
}

/// The payload, decoded into a `T`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Body<T>(pub T);

/// Who says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublisherId(pub Arc<str>);

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventType(pub Arc<str>);

/// What tells a notification from others: oslo's `metadata`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// Its id, a dashed UUID.
    pub message_id: Arc<str>,
    /// When it happened, in UTC, as Python's `str(datetime)` writes it.
    pub timestamp: Arc<str>,
}

/// A whole notification with its payload decoded into a `T`; batches are made of these.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Received<T> {
    /// Its context.
    pub context: Context,
    /// Who says it.
    pub publisher_id: Arc<str>,
    /// What happened.
    pub event_type: Arc<str>,
    /// How urgent it is.
    pub priority: Priority,
    /// What there is to say.
    pub payload: T,
    /// Its id and its time.
    pub metadata: Metadata,
    /// Whether the broker delivered it before, to somebody who did not settle it.
    pub redelivered: bool,
}

fn metadata(notification: &Notification) -> Metadata {
    Metadata { message_id: notification.message_id.clone(), timestamp: notification.timestamp.clone() }
}

impl FromNotification for Context {
    fn from_notification(incoming: &Incoming) -> Result<Self, Misfit> {
        Ok(incoming.notification.context.clone())
    }
}

impl<T: DeserializeOwned> FromNotification for Body<T> {
    fn from_notification(incoming: &Incoming) -> Result<Self, Misfit> {
        Ok(Self(incoming.notification.payload.decode()?))
    }
}

impl FromNotification for Payload {
    fn from_notification(incoming: &Incoming) -> Result<Self, Misfit> {
        Ok(incoming.notification.payload.clone())
    }
}

impl FromNotification for PublisherId {
    fn from_notification(incoming: &Incoming) -> Result<Self, Misfit> {
        Ok(Self(incoming.notification.publisher_id.clone()))
    }
}

impl FromNotification for EventType {
    fn from_notification(incoming: &Incoming) -> Result<Self, Misfit> {
        Ok(Self(incoming.notification.event_type.clone()))
    }
}

impl FromNotification for Metadata {
    fn from_notification(incoming: &Incoming) -> Result<Self, Misfit> {
        Ok(metadata(&incoming.notification))
    }
}

impl FromNotification for Priority {
    fn from_notification(incoming: &Incoming) -> Result<Self, Misfit> {
        Ok(incoming.notification.priority)
    }
}

impl FromNotification for Redelivered {
    fn from_notification(incoming: &Incoming) -> Result<Self, Misfit> {
        Ok(Self(incoming.redelivered))
    }
}

impl FromNotification for Notification {
    fn from_notification(incoming: &Incoming) -> Result<Self, Misfit> {
        Ok(incoming.notification.clone())
    }
}

impl<T: DeserializeOwned> FromNotification for Received<T> {
    fn from_notification(incoming: &Incoming) -> Result<Self, Misfit> {
        let Notification { context, publisher_id, event_type, priority, payload, .. } = &incoming.notification;
        Ok(Self {
            context: context.clone(),
            publisher_id: publisher_id.clone(),
            event_type: event_type.clone(),
            priority: *priority,
            payload: payload.decode()?,
            metadata: metadata(&incoming.notification),
            redelivered: incoming.redelivered,
        })
    }
}
