//! The limit on the size of messages.
//!
//! Nothing is encoded here, so what counts is the JSON text that a message brings along: arguments, result or payload,
//! and its context.

use oxlo_transport::{Context, Notification, Payload, Reply, Request, Settings, TransportError};

/// Refuses what is above the limit.
pub(crate) fn check(size: usize, settings: &Settings) -> Result<(), TransportError> {
    let limit = settings.max_message_size;
    if size > limit { Err(TransportError::TooLarge { size, limit }) } else { Ok(()) }
}

pub(crate) fn of_request(request: &Request) -> usize {
    request.method.len() + request.args.len() + of_context(&request.context)
}

pub(crate) fn of_notification(notification: &Notification) -> usize {
    notification.event_type.len() + notification.payload.len() + of_context(&notification.context)
}

pub(crate) fn of_reply(reply: &Reply) -> usize {
    match reply {
        Reply::Result(result) => result.len(),
        Reply::Failure(failure) => Payload::encode(failure).map_or(0, |text| text.len()),
    }
}

fn of_context(context: &Context) -> usize {
    if context.is_empty() { 0 } else { Payload::encode(context).map_or(0, |text| text.len()) }
}
