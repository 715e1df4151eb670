//! The log fields of a request, gathered without cost for requests that are not logged.

use std::borrow::Cow;

use oxlo_transport::{
    Context,
    text::{FOREIGN_NAME, name, printable},
};

use crate::heartbeat::Heartbeats;

/// The longest request id in logs. oslo's are `req-` and a UUID, 40 characters.
const LONGEST: usize = 64;

/// The context's `request_id`, which outlives the context, without an allocation.
#[derive(Clone, Copy)]
pub(crate) struct RequestId {
    length: usize,
    text: [u8; LONGEST],
}

impl RequestId {
    pub(crate) fn of(context: &Context) -> Self {
        let mut id = Self { length: 0, text: [0; LONGEST] };
        if let Some(text) = context.get_str("request_id") {
            let mut end = text.len().min(LONGEST);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            id.text[..end].copy_from_slice(&text.as_bytes()[..end]);
            id.length = end;
        }
        id
    }

    fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.text[..self.length]).ok().filter(|text| !text.is_empty())
    }

    /// Printable, for logs.
    pub(crate) fn shown(&self) -> Option<Cow<'_, str>> {
        self.as_str().map(name)
    }
}

/// The fields of a request.
#[derive(Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) topic: &'a str,
    pub(crate) method: &'a str,
    pub(crate) request_id: &'a RequestId,
    /// Evaluated only when there is something to log.
    pub(crate) waiting: &'a Heartbeats,
}

impl About<'_> {
    /// Where the reply goes.
    pub(crate) fn reply_to(&self) -> Option<String> {
        self.waiting.caller().map(|caller| printable(&caller.reply_to, FOREIGN_NAME * 2).into_owned())
    }

    /// The call's id.
    pub(crate) fn call(&self) -> Option<String> {
        self.waiting.caller().map(|caller| name(&caller.message_id).into_owned())
    }
}

/// Logs an event about a request with topic, method, request id and caller, and the given fields. Levels above debug are
/// rate limited, because callers cause these events.
macro_rules! tell {
    ($level:ident, $about:expr, $message:literal $(, $($fields:tt)+)?) => {{
        let about: &$crate::log::About<'_> = &$about;
        oxlo_transport::limited!(
            $level,
            $message,
            topic = about.topic,
            method = &*oxlo_transport::text::name(about.method),
            request_id = about.request_id.shown().as_deref(),
            caller = about.reply_to().as_deref(),
            call = about.call().as_deref()
            $(, $($fields)+)?
        );
    }};
}

pub(crate) use tell;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_kept_up_to_their_limit() {
        let kept = |id: &str| RequestId::of(&Context::new().with("request_id", id)).as_str().map(str::to_owned);
        let id = "req-6b1a5d0e-3b5e-4f9c-9a51-5c1f0a4a8e5b";
        assert_eq!(kept(id).as_deref(), Some(id));
        assert_eq!(kept(""), None);
        assert_eq!(RequestId::of(&Context::new().with("request_id", 7)).as_str(), None);
        assert_eq!(kept(&"\u{e9}".repeat(40)).as_deref(), Some("\u{e9}".repeat(32).as_str()));
        assert_eq!(kept(&format!("x{}", "\u{e9}".repeat(40))).map(|id| id.len()), Some(63));
    }
}
