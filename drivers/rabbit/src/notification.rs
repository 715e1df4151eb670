//! Notifications that come in.

use bytes::Bytes;
use oxlo_transport::{Notification, budget::weight, json::Limits};
use oxlo_wire::{envelope::Poison, notification};

use crate::{
    consume::{Read, Reader},
    properties,
    stream::received::Received,
};

/// Reads notifications.
#[derive(Debug)]
pub(crate) struct NotificationReader {
    pub(crate) limits: Limits,
}

impl Reader for NotificationReader {
    type Message = Notification;

    fn read(&self, properties: &Received, body: Bytes) -> Result<Read<Notification>, Poison> {
        let body = properties::body(properties, body, self.limits.max_bytes)?;
        let inbound = notification::decode(&body, self.limits)?;
        let bytes = weight(body.len(), &inbound.notification.context);
        Ok(Read { message: inbound.notification, unique_id: inbound.unique_id, replier: None, deadline: None, bytes })
    }
}
