//! Reading the requests and notifications that come in.

use std::{sync::Arc, time::Duration};

use oxlo_transport::{Notification, Request, budget::weight, json::Limits};
use oxlo_wire::envelope::Poison;
use tokio::time::Instant;

use crate::{
    intake::{Read, Reader},
    lateness::{Lateness, Stamp, steady_now},
    replies::{Replies, ReplySender},
};

/// Reads a driver's messages. Stateless but for what the broker's kind decides.
pub trait Codec: Clone + Send + Sync + 'static {
    /// A message as the driver takes it.
    type Raw: Send;
    /// Who waits for a reply.
    type Caller: Send + Sync + 'static;

    /// Reads a request.
    ///
    /// # Errors
    ///
    /// [`Poison`] if it is not a request, or if replies cannot go to the address that it names.
    fn request(&self, raw: Self::Raw, limits: Limits) -> Result<Inbound<Request, Self::Caller>, Poison>;

    /// Reads a notification.
    ///
    /// # Errors
    ///
    /// [`Poison`] if it is not a notification.
    fn notification(&self, raw: Self::Raw, limits: Limits) -> Result<Inbound<Notification, Self::Caller>, Poison>;
}

/// A message that was read.
#[derive(Debug)]
pub struct Inbound<M, C> {
    /// The message.
    pub message: M,
    /// Its unique id, if it carries one in its body.
    pub unique_id: Option<String>,
    /// Who waits for a reply.
    pub caller: Option<C>,
    /// How long it was still of use when the broker read it.
    pub time_to_live: Option<Duration>,
    /// When it was sent, by its sender's clock.
    pub sent: Option<Stamp>,
    /// Bytes of its text.
    pub size: usize,
}

impl<M, C> Inbound<M, C> {
    /// A message of `size` bytes that nobody answers, and that is of use forever.
    pub fn one_way(message: M, unique_id: Option<String>, size: usize) -> Self {
        Self { message, unique_id, caller: None, time_to_live: None, sent: None, size }
    }
}

/// Whether a text can be what tells one reply queue from others in its name. A request names the queue of its reply, and a
/// server that replied to any name would lend its permissions to whoever can send requests.
#[must_use]
pub fn is_reply_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    !text.is_empty() && text.bytes().all(plain)
}

/// Reads requests, and makes the handles that answer them.
#[derive(Debug)]
pub struct RequestReader<C, S: ReplySender> {
    pub(crate) codec: C,
    pub(crate) replies: Arc<Replies<S>>,
    pub(crate) lateness: Arc<Lateness>,
    pub(crate) limits: Limits,
}

impl<C: Codec, S: ReplySender<Caller = C::Caller>> Reader<C::Raw> for RequestReader<C, S> {
    type Message = Request;

    fn read(&self, raw: C::Raw) -> Result<Read<Request>, Poison> {
        let Inbound { message, unique_id, caller, time_to_live, sent, size } = self.codec.request(raw, self.limits)?;
        let deadline = time_to_live.and_then(|left| {
            // The broker's time began when it read the message; what it took to get there is gone as well.
            let age = match (sent, &caller) {
                (Some(sent), Some(caller)) => {
                    self.lateness.age(self.replies.sender().reply_to(caller), sent, steady_now())
                }
                _ => Duration::ZERO,
            };
            Instant::now().checked_add(left.saturating_sub(age))
        });
        let replier = caller.map(|caller| self.replies.replier(caller, deadline));
        let bytes = weight(size, &message.context);
        Ok(Read { message, unique_id, replier, deadline, bytes })
    }
}

/// Reads notifications.
#[derive(Debug)]
pub struct NotificationReader<C> {
    pub(crate) codec: C,
    pub(crate) limits: Limits,
}

impl<C: Codec> Reader<C::Raw> for NotificationReader<C> {
    type Message = Notification;

    fn read(&self, raw: C::Raw) -> Result<Read<Notification>, Poison> {
        let Inbound { message, unique_id, size, .. } = self.codec.notification(raw, self.limits)?;
        let bytes = weight(size, &message.context);
        Ok(Read { message, unique_id, replier: None, deadline: None, bytes })
    }
}
