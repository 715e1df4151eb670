//! Filters of notifications, by regular expressions.

use std::fmt;

use oxlo_transport::{Context, Notification};
use regex::Regex;
use serde_json::Value;

/// Selects notifications by regular expressions on their parts: oslo's `NotificationFilter`.
///
/// All given expressions must match. An expression matches from the start of the text and need not reach its end, like
/// Python's `re.match`; end it with `$` for that. For context, metadata and payload there is one expression for each key:
/// the key must exist, and its value must be a string that matches. A payload that is not an object has no keys.
///
/// The expressions are those of the `regex` crate, which run in linear time. Compared to Python's they lack look-around
/// and backreferences; `\Z` is written `\z`; and `$` matches only at the very end, not before a final line break.
///
/// ```
/// use oxlo_notify::Filter;
///
/// let filter = Filter::new()
///     .publisher_id("compute.*")?
///     .event_type(r"compute\.instance\..*\.end$")?
///     .payload("state", "active$")?;
/// # Ok::<(), oxlo_notify::FilterError>(())
/// ```
#[derive(Clone, Default)]
pub struct Filter {
    publisher_id: Option<Regex>,
    event_type: Option<Regex>,
    context: Vec<(String, Regex)>,
    metadata: Vec<(String, Regex)>,
    payload: Vec<(String, Regex)>,
}

/// An invalid regular expression.
#[derive(Clone, thiserror::Error)]
#[error("the filter's expression for {part} is invalid: `{expression}`")]
#[non_exhaustive]
pub struct FilterError {
    /// The part of the notification.
    pub part: String,
    /// The expression.
    pub expression: String,
    /// Why it is invalid, and where.
    pub source: regex::Error,
}

oxlo_transport::debug_as_chain!(FilterError);

impl Filter {
    /// A filter that passes every notification.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Requires a publisher id that matches.
    ///
    /// # Errors
    ///
    /// [`FilterError`] if the expression is invalid.
    pub fn publisher_id(mut self, expression: &str) -> Result<Self, FilterError> {
        self.publisher_id = Some(compile("the publisher id", None, expression)?);
        Ok(self)
    }

    /// Requires an event type that matches.
    ///
    /// # Errors
    ///
    /// [`FilterError`] if the expression is invalid.
    pub fn event_type(mut self, expression: &str) -> Result<Self, FilterError> {
        self.event_type = Some(compile("the event type", None, expression)?);
        Ok(self)
    }

    /// Requires this key in the context, with a string that matches.
    ///
    /// # Errors
    ///
    /// [`FilterError`] if the expression is invalid.
    pub fn context(mut self, key: impl Into<String>, expression: &str) -> Result<Self, FilterError> {
        let key = key.into();
        self.context.push((key.clone(), compile("context key", Some(&key), expression)?));
        Ok(self)
    }

    /// Requires this key in the metadata, `message_id` or `timestamp`, with a string that matches.
    ///
    /// # Errors
    ///
    /// [`FilterError`] if the expression is invalid.
    pub fn metadata(mut self, key: impl Into<String>, expression: &str) -> Result<Self, FilterError> {
        let key = key.into();
        self.metadata.push((key.clone(), compile("metadata key", Some(&key), expression)?));
        Ok(self)
    }

    /// Requires this key in the payload, with a string that matches.
    ///
    /// # Errors
    ///
    /// [`FilterError`] if the expression is invalid.
    pub fn payload(mut self, key: impl Into<String>, expression: &str) -> Result<Self, FilterError> {
        let key = key.into();
        self.payload.push((key.clone(), compile("payload key", Some(&key), expression)?));
        Ok(self)
    }

    /// Whether a notification passes.
    #[must_use]
    pub fn matches(&self, notification: &Notification) -> bool {
        single(self.publisher_id.as_ref(), &notification.publisher_id)
            && single(self.event_type.as_ref(), &notification.event_type)
            && self.matches_context(&notification.context)
            && self.metadata.iter().all(|(key, regex)| match key.as_str() {
                "message_id" => regex.is_match(&notification.message_id),
                "timestamp" => regex.is_match(&notification.timestamp),
                _ => false,
            })
            && self.matches_payload(notification)
    }

    fn matches_context(&self, context: &Context) -> bool {
        self.context.iter().all(|(key, regex)| context.get_str(key).is_some_and(|text| regex.is_match(text)))
    }

    /// Decodes the payload only if there is an expression for it.
    fn matches_payload(&self, notification: &Notification) -> bool {
        if self.payload.is_empty() {
            return true;
        }
        let Ok(Value::Object(payload)) = notification.payload.decode() else { return false };
        self.payload
            .iter()
            .all(|(key, regex)| payload.get(key).and_then(Value::as_str).is_some_and(|text| regex.is_match(text)))
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter")
            .field("publisher_id", &self.publisher_id)
            .field("event_type", &self.event_type)
            .field("context", &self.context)
            .field("metadata", &self.metadata)
            .field("payload", &self.payload)
            .finish()
    }
}

fn compile(part: &str, key: Option<&str>, expression: &str) -> Result<Regex, FilterError> {
    let failed = |source| FilterError {
        part: key.map_or_else(|| part.to_owned(), |key| format!("{part} `{key}`")),
        expression: expression.to_owned(),
        source,
    };
    // Without the added group first, so that `a)|(b` is invalid and positions in errors refer to the user's text.
    Regex::new(expression).map_err(failed)?;
    // In verbose mode a comment would swallow the closing parenthesis.
    Regex::new(&format!(r"\A(?:{expression})"))
        .or_else(|_| Regex::new(&format!("\\A(?:{expression}\n)")))
        .map_err(failed)
}

fn single(regex: Option<&Regex>, text: &str) -> bool {
    regex.is_none_or(|regex| regex.is_match(text))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use oxlo_transport::{Payload, Priority, message::NotificationFormat};
    use serde_json::json;

    use super::*;

    fn notification(payload: &Value) -> Notification {
        Notification {
            context: Context::new().with("tenant", "t-1").with("roles", vec!["admin"]),
            message_id: "id-1".into(),
            publisher_id: "compute.host-1".into(),
            event_type: "compute.instance.create.end".into(),
            priority: Priority::Info,
            payload: Payload::encode(payload).unwrap(),
            timestamp: "2026-01-02 03:04:05".into(),
            format: NotificationFormat::V2,
        }
    }

    #[test]
    fn every_part_that_is_given_must_match() {
        let it = notification(&json!({"state": "active", "size": 3}));
        let with = Filter::new;
        for (filter, wanted) in [
            (with(), true),
            (with().publisher_id("compute"), true).lift(),
            (with().publisher_id("host"), false).lift(),
            (with().publisher_id("compute$"), false).lift(),
            (with().event_type(r".*\.end$"), true).lift(),
            (with().event_type("x|compute"), true).lift(),
            (with().event_type("x|instance"), false).lift(),
            (with().context("tenant", "t-"), true).lift(),
            (with().context("absent", ".*"), false).lift(),
            (with().context("roles", ".*"), false).lift(),
            (with().metadata("timestamp", "2026-"), true).lift(),
            (with().metadata("message_id", "other"), false).lift(),
            (with().metadata("absent", ".*"), false).lift(),
            (with().payload("state", "act"), true).lift(),
            (with().payload("state", "act$"), false).lift(),
            (with().payload("size", "3"), false).lift(),
        ] {
            assert_eq!(filter.matches(&it), wanted, "{filter:?}");
        }
        let both = with().publisher_id("compute").unwrap().event_type("network").unwrap();
        assert!(!both.matches(&it));
    }

    trait Lift {
        fn lift(self) -> (Filter, bool);
    }

    impl Lift for (Result<Filter, FilterError>, bool) {
        fn lift(self) -> (Filter, bool) {
            (self.0.unwrap(), self.1)
        }
    }

    #[test]
    fn a_payload_without_keys_has_none_that_match() {
        let filter = Filter::new().payload("state", ".*").unwrap();
        for payload in [json!("state"), json!(["state"]), json!(null)] {
            assert!(!filter.matches(&notification(&payload)));
        }
    }

    #[test]
    fn what_is_no_expression_is_named() {
        let refused = Filter::new().payload("state", "a)|(b").unwrap_err();
        assert_eq!(refused.to_string(), "the filter's expression for payload key `state` is invalid: `a)|(b`");
        assert!(Filter::new().event_type("(").is_err() && Filter::new().event_type("(?=x)").is_err());
        assert!(Filter::new().event_type("(?x) compute # a comment").unwrap().matches(&notification(&json!(1))));
    }
}
