//! A method's failure, as it is on the wire.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    settings::python3_module,
    text::{folded, name},
};

/// Characters of the message that `Display` shows.
const SHOWN: usize = 2000;

/// The suffix of class and module of an exception that a Python client re-created.
pub const REMOTE_SUFFIX: &str = "_Remote";

/// Module of the failures that a server sends in place of a method's own: the classes [`OVERLOADED`] and [`TIMED_OUT`].
pub const SERVER_MODULE: &str = "oxlo.exceptions";

/// Class of a failure: the server had no capacity, and the method did not run.
pub const OVERLOADED: &str = "Overloaded";

/// Class of a failure: the server gave up on the method while it ran.
pub const TIMED_OUT: &str = "TimedOut";

/// A method's failure as data: what oslo.messaging's `serialize_remote_exception` writes.
///
/// Nothing is built from `class` or `module` alone. A program registers the types that it knows in
/// [`RemoteErrors`](crate::settings::RemoteErrors); every other failure stays data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Name of the exception class, without its module.
    pub class: String,
    /// Module of the class. Every Python client knows `builtins`.
    pub module: String,
    /// Message of the exception.
    #[serde(default)]
    pub message: String,
    /// Traceback as Python formats it, one entry for each frame. Empty if the server sends none.
    #[serde(default, rename = "tb")]
    pub traceback: Vec<String>,
    /// Positional arguments that re-create the exception.
    #[serde(default)]
    pub args: Vec<Value>,
    /// Keyword arguments that re-create the exception.
    #[serde(default)]
    pub kwargs: Map<String, Value>,
    /// See [`is_refusal`](Self::is_refusal). Python ignores the key.
    #[serde(default, rename = "oxlo.refused", skip_serializing_if = "std::ops::Not::not")]
    refused: bool,
}

/// oslo.messaging's module of the errors that its dispatcher raises.
const DISPATCHER: &str = "oslo_messaging.rpc.dispatcher";

impl Failure {
    /// Creates a failure whose only argument is its message.
    #[must_use]
    pub fn new(module: impl Into<String>, class: impl Into<String>, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            class: class.into(),
            module: module.into(),
            args: vec![Value::String(message.clone())],
            message,
            traceback: Vec::new(),
            kwargs: Map::new(),
            refused: false,
        }
    }

    /// Creates a failure of one of Python's built-in classes, such as `ValueError`, which every client can re-create.
    #[must_use]
    pub fn builtin(class: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new("builtins", class, message)
    }

    /// Creates the failure of a server that has no capacity: the method did not run, and a client may retry.
    #[must_use]
    pub fn overloaded(message: impl Into<String>) -> Self {
        Self::new(SERVER_MODULE, OVERLOADED, message)
    }

    /// Creates the failure of a server that gave up on the method while it ran.
    #[must_use]
    pub fn timed_out(message: impl Into<String>) -> Self {
        Self::new(SERVER_MODULE, TIMED_OUT, message)
    }

    /// Returns `true` for a failure that [`overloaded`](Self::overloaded) creates.
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        self.is_class(SERVER_MODULE, OVERLOADED)
    }

    /// Returns `true` for a failure that [`timed_out`](Self::timed_out) creates.
    #[must_use]
    pub fn is_timed_out(&self) -> bool {
        self.is_class(SERVER_MODULE, TIMED_OUT)
    }

    /// Returns `true` if the server has no such method.
    #[must_use]
    pub fn is_no_such_method(&self) -> bool {
        self.is_class(DISPATCHER, "NoSuchMethod")
    }

    /// Returns `true` if the server has no endpoint of the requested namespace and version.
    #[must_use]
    pub fn is_unsupported_version(&self) -> bool {
        self.is_class(DISPATCHER, "UnsupportedVersion")
    }

    /// Sets the positional arguments.
    #[must_use]
    pub fn with_args(mut self, args: impl IntoIterator<Item = Value>) -> Self {
        self.args = args.into_iter().collect();
        self
    }

    /// Adds a keyword argument.
    #[must_use]
    pub fn with_kwarg(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.kwargs.insert(name.into(), value.into());
        self
    }

    /// Sets the traceback.
    #[must_use]
    pub fn with_traceback(mut self, traceback: impl IntoIterator<Item = String>) -> Self {
        self.traceback = traceback.into_iter().collect();
        self
    }

    /// Marks it as a server's refusal to run the method, as opposed to a failure of the method.
    #[must_use]
    pub fn with_refused(mut self, refused: bool) -> Self {
        self.refused = refused;
        self
    }

    /// Returns `true` if a server refused to run the method: the method or its version is unknown, the arguments do not
    /// fit, or the server is overloaded. The method did not run.
    ///
    /// Python's servers do not mark arguments that do not fit. Their `TypeError` is a refusal if its traceback ends in
    /// oslo.messaging's dispatcher, where the method is called.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.refused
            || self.is_overloaded()
            || self.is_no_such_method()
            || self.is_unsupported_version()
            || self.is_failed_call_in_python()
    }

    fn is_class(&self, module: &str, class: &str) -> bool {
        self.module == module && self.class == class
    }

    /// Whether Python failed to call the method with these arguments.
    fn is_failed_call_in_python(&self) -> bool {
        let innermost = || self.traceback.iter().rev().find(|entry| entry.trim_start().starts_with("File \""));
        self.class == "TypeError"
            && python3_module(&self.module) == "builtins"
            && innermost().is_some_and(|frame| {
                frame.contains("oslo_messaging/rpc/dispatcher.py\"")
                    && frame.contains("in _do_dispatch")
                    && frame.contains("func(ctxt")
            })
    }

    /// Removes the suffix `_Remote` from class and module, as for passing the failure on to the next caller.
    ///
    /// As in oslo.messaging, it is removed only if both have it.
    #[must_use]
    pub fn without_remote_suffix(mut self) -> Self {
        if let (Some(class), Some(module)) =
            (self.class.strip_suffix(REMOTE_SUFFIX), self.module.strip_suffix(REMOTE_SUFFIX))
        {
            (self.class, self.module) = (class.to_owned(), module.to_owned());
        }
        self
    }
}

impl fmt::Display for Failure {
    /// Writes module, class and message on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}: {}", name(&self.module), name(&self.class), folded(&self.message, SHOWN))
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// As oslo.messaging 18.3.1 sends it, for an unexpected argument and for a `TypeError` that the method raised.
    fn type_error(frames: &[&str]) -> Failure {
        let around = ["Traceback (most recent call last):\n"];
        let lines = around.iter().chain(frames).chain(&["TypeError: no\n"]);
        Failure::builtin("TypeError", "no").with_traceback(lines.map(|line| (*line).to_owned()))
    }

    const SERVER: &str = "  File \"/v/lib/python3.11/site-packages/oslo_messaging/rpc/server.py\", line 174, in _process_incoming\n    res = self.dispatcher.dispatch(message)\n          ^^^\n";
    const DISPATCH: &str = "  File \"/v/lib/python3.11/site-packages/oslo_messaging/rpc/dispatcher.py\", line 229, in _do_dispatch\n    result = func(ctxt, **new_args)\n             ^^^\n";
    const METHOD: &str = "  File \"/srv/app.py\", line 7, in echo\n    raise TypeError(\"no\")\n";

    #[test]
    fn a_refusal_is_distinguished_from_a_failure_of_the_method() {
        assert!(Failure::new(DISPATCHER, "NoSuchMethod", "m").is_refusal());
        assert!(Failure::new(DISPATCHER, "UnsupportedVersion", "m").is_refusal());
        assert!(!Failure::new("nova.exception", "NoSuchMethod", "m").is_refusal());
        assert!(type_error(&[SERVER, DISPATCH]).is_refusal());
        assert!(!type_error(&[SERVER, DISPATCH, METHOD]).is_refusal());
        assert!(!type_error(&[]).is_refusal());
        assert!(!Failure::builtin("TypeError", "no").is_refusal());
        assert!(Failure::builtin("TypeError", "no").with_refused(true).is_refusal());
    }

    #[test]
    fn only_a_refusal_is_marked_on_the_wire() {
        let plain = Failure::builtin("TypeError", "no");
        assert!(!serde_json::to_string(&plain).unwrap().contains("refused"));
        let refused = plain.with_refused(true);
        let text = serde_json::to_string(&refused).unwrap();
        assert!(text.contains(r#""oxlo.refused":true"#), "{text}");
        assert_eq!(serde_json::from_str::<Failure>(&text).unwrap(), refused);
    }

    #[test]
    fn the_line_has_no_line_breaks() {
        assert_eq!(Failure::builtin("ValueError", "two\nlines").to_string(), "builtins.ValueError: two lines");
        assert_eq!(Failure::new("a\n", "b\u{1b}", "c").to_string(), r"a\n.b\u{1b}: c");
    }
}
