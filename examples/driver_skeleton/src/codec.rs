//! Messages to bytes and back: oslo's JSON, by `oxlo-wire`.
//!
//! What arrives was written by somebody else. It is read with limits, and an error is an ordinary result.

use bytes::Bytes;
use oxlo_transport::{Notification, Reply, Request, Settings, TransportError, json::Limits};
use oxlo_wire::{
    envelope::Poison,
    notification,
    reply::{self, ReplyPart},
    request::{self, CallLabels, Caller, Labels},
};
use uuid::Uuid;

/// Reads and writes messages within the limits of one transport.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Codec {
    limits: Limits,
}

impl Codec {
    pub(crate) fn new(settings: &Settings) -> Self {
        let limits = Limits::default().with_max_bytes(settings.max_message_size).with_max_depth(settings.max_depth);
        Self { limits }
    }

    pub(crate) fn request(&self, request: &Request, call: Option<CallLabels<'_>>) -> Result<Vec<u8>, TransportError> {
        self.checked(request::encode(request, &Labels { unique_id: &unique_id(), call }))
    }

    pub(crate) fn notification(&self, notification: &Notification) -> Result<Vec<u8>, TransportError> {
        self.checked(notification::encode(notification, &unique_id()))
    }

    pub(crate) fn reply(&self, caller: &Caller, reply: &Reply) -> Result<Vec<u8>, TransportError> {
        self.checked(reply::encode_to(caller, &unique_id(), reply))
    }

    pub(crate) fn heartbeat(&self, caller: &Caller) -> Result<Vec<u8>, TransportError> {
        self.checked(reply::encode_heartbeat_to(caller, &unique_id()))
    }

    pub(crate) fn read_request(&self, body: &Bytes) -> Result<(Request, Option<Caller>), Poison> {
        request::decode(body, self.limits).map(|inbound| (inbound.request, inbound.caller))
    }

    pub(crate) fn read_notification(&self, body: &Bytes) -> Result<Notification, Poison> {
        notification::decode(body, self.limits).map(|inbound| inbound.notification)
    }

    /// The call's id, and what the message says of it.
    pub(crate) fn read_reply(&self, body: &Bytes) -> Result<(String, ReplyPart), Poison> {
        reply::decode(body, self.limits).map(|inbound| (inbound.message_id, inbound.part))
    }

    /// The largest message that is read.
    pub(crate) fn max_bytes(&self) -> u64 {
        u64::try_from(self.limits.max_bytes).unwrap_or(u64::MAX)
    }

    /// Refuses what would be too large to read, before anything is sent.
    fn checked<E: std::fmt::Display>(&self, encoded: Result<Vec<u8>, E>) -> Result<Vec<u8>, TransportError> {
        let body = encoded.map_err(|error| TransportError::Config {
            option: "the message".into(),
            reason: format!("cannot be written as JSON: {error}"),
        })?;
        let (size, limit) = (body.len(), self.limits.max_bytes);
        if size > limit { Err(TransportError::TooLarge { size, limit }) } else { Ok(body) }
    }
}

fn unique_id() -> String {
    Uuid::new_v4().simple().to_string()
}
