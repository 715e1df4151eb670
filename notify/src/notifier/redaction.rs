//! Which entries of a request's context a notification carries.

use std::{fmt, sync::Arc};

use oxlo_transport::Context;

/// Which entries of a request's context a notification carries.
///
/// Notifications have many readers, and contexts hold tokens. By default no entry is sent, as with a plain dict in oslo
/// (`oslo_messaging.notify.notifier`).
///
/// ```
/// use oxlo_notify::Redaction;
/// use oxlo_transport::Context;
///
/// let ctxt = Context::new().with("request_id", "req-1").with("auth_token", "secret");
/// assert!(Redaction::default().apply(&ctxt).is_empty());
/// assert_eq!(Redaction::keep(["request_id"]).apply(&ctxt), Context::new().with("request_id", "req-1"));
/// ```
#[derive(Clone, Default)]
pub struct Redaction(Rule);

#[derive(Clone, Default)]
enum Rule {
    #[default]
    Omit,
    Keep(Arc<[String]>),
    Whole,
    With(Arc<dyn Fn(&Context) -> Context + Send + Sync>),
}

impl Redaction {
    /// Sends no entry. The default.
    #[must_use]
    pub fn omit() -> Self {
        Self(Rule::Omit)
    }

    /// Sends the entries with these keys, in the order of the context.
    #[must_use]
    pub fn keep<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Self {
        Self(Rule::Keep(keys.into_iter().map(Into::into).collect()))
    }

    /// Sends all entries, for contexts without secrets.
    #[must_use]
    pub fn whole() -> Self {
        Self(Rule::Whole)
    }

    /// Sends the context that `redact` returns: oslo's `redacted_copy`.
    #[must_use]
    pub fn with(redact: impl Fn(&Context) -> Context + Send + Sync + 'static) -> Self {
        Self(Rule::With(Arc::new(redact)))
    }

    /// The part of this context that is sent.
    #[must_use]
    pub fn apply(&self, ctxt: &Context) -> Context {
        match &self.0 {
            Rule::Omit => Context::new(),
            Rule::Keep(keys) => ctxt
                .iter()
                .filter(|(key, _)| keys.iter().any(|kept| kept == key))
                .map(|(key, value)| (key, value.clone()))
                .collect(),
            Rule::Whole => ctxt.clone(),
            Rule::With(redact) => redact(ctxt),
        }
    }
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rule::Omit => f.write_str("omit"),
            Rule::Keep(keys) => write!(f, "keep {keys:?}"),
            Rule::Whole => f.write_str("whole"),
            Rule::With(_) => f.write_str("with a function"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_is_what_was_allowed() {
        let ctxt = Context::new().with("a", 1).with("token", "x").with("b", 2);
        assert_eq!(Redaction::omit().apply(&ctxt), Context::new());
        assert_eq!(Redaction::whole().apply(&ctxt), ctxt);
        assert_eq!(Redaction::keep(["b", "a", "absent"]).apply(&ctxt), Context::new().with("a", 1).with("b", 2));
        let upper = Redaction::with(|ctxt| Context::new().with("entries", ctxt.len()));
        assert_eq!(upper.apply(&ctxt), Context::new().with("entries", 3));
    }
}
