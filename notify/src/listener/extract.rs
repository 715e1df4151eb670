//! Extractors: the parameters of notification handlers.

use std::sync::Arc;

use oxlo_serving::Redelivered;
use oxlo_transport::{Context, Notification, Payload, Priority, json::JsonError};
use serde::de::DeserializeOwned;

/// One notification on its way to a handler.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Incoming {
    /// The notification.
    pub notification: Notification,
    /// Whether the broker delivered it before, to a listener that did not settle it.
    pub redelivered: bool,
}

/// A notification does not fit the parameters of a handler.
#[derive(thiserror::Error)]
#[error("the payload does not fit the handler")]
pub struct ExtractError(#[from] JsonError);

oxlo_transport::debug_as_chain!(ExtractError);

/// A parameter of a notification handler, which is extracted from the notification.
#[diagnostic::on_unimplemented(
    message = "a notification handler cannot take a `{Self}`",
    label = "not an extractor",
    note = "parameters are `Context`, `Body<T>` (the payload as a type that is `Deserialize`), `Payload` (as JSON text), `PublisherId`, `EventType`, `Metadata`, `Priority`, `Redelivered`, `Notification`, `Received<T>`"
)]
pub trait FromNotification: Sized {
    /// Extracts the parameter. If that fails the handler does not run, and the notification is malformed for it.
    ///
    /// # Errors
    ///
    /// [`ExtractError`], whose source names the path in the payload.
    fn from_notification(incoming: &Incoming) -> Result<Self, ExtractError>;
}

/// The payload, decoded into a `T`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Body<T>(pub T);

/// The publisher's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublisherId(pub Arc<str>);

/// The event's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventType(pub Arc<str>);

/// A notification's id and time: oslo's `metadata`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// The id, a UUID with dashes.
    pub message_id: Arc<str>,
    /// The time in UTC, in the format of Python's `str(datetime)`.
    pub timestamp: Arc<str>,
}

/// A whole notification with its payload decoded into a `T`; batches are made of these.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Received<T> {
    /// The context.
    pub context: Context,
    /// The publisher's id.
    pub publisher_id: Arc<str>,
    /// The event's type.
    pub event_type: Arc<str>,
    /// The priority.
    pub priority: Priority,
    /// The decoded payload.
    pub payload: T,
    /// The id and the time.
    pub metadata: Metadata,
    /// Whether the broker delivered it before, to a listener that did not settle it.
    pub redelivered: bool,
}

fn metadata(notification: &Notification) -> Metadata {
    Metadata { message_id: notification.message_id.clone(), timestamp: notification.timestamp.clone() }
}

impl FromNotification for Context {
    fn from_notification(incoming: &Incoming) -> Result<Self, ExtractError> {
        Ok(incoming.notification.context.clone())
    }
}

impl<T: DeserializeOwned> FromNotification for Body<T> {
    fn from_notification(incoming: &Incoming) -> Result<Self, ExtractError> {
        Ok(Self(incoming.notification.payload.decode()?))
    }
}

impl FromNotification for Payload {
    fn from_notification(incoming: &Incoming) -> Result<Self, ExtractError> {
        Ok(incoming.notification.payload.clone())
    }
}

impl FromNotification for PublisherId {
    fn from_notification(incoming: &Incoming) -> Result<Self, ExtractError> {
        Ok(Self(incoming.notification.publisher_id.clone()))
    }
}

impl FromNotification for EventType {
    fn from_notification(incoming: &Incoming) -> Result<Self, ExtractError> {
        Ok(Self(incoming.notification.event_type.clone()))
    }
}

impl FromNotification for Metadata {
    fn from_notification(incoming: &Incoming) -> Result<Self, ExtractError> {
        Ok(metadata(&incoming.notification))
    }
}

impl FromNotification for Priority {
    fn from_notification(incoming: &Incoming) -> Result<Self, ExtractError> {
        Ok(incoming.notification.priority)
    }
}

impl FromNotification for Redelivered {
    fn from_notification(incoming: &Incoming) -> Result<Self, ExtractError> {
        Ok(Self(incoming.redelivered))
    }
}

impl FromNotification for Notification {
    fn from_notification(incoming: &Incoming) -> Result<Self, ExtractError> {
        Ok(incoming.notification.clone())
    }
}

impl<T: DeserializeOwned> FromNotification for Received<T> {
    fn from_notification(incoming: &Incoming) -> Result<Self, ExtractError> {
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
