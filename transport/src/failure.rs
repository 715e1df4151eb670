//! A method's failure, exactly as it travels.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    settings::python3_module,
    text::{folded, name},
};

/// So many characters of the message are shown on the one line of `Display`.
const SHOWN: usize = 2000;

/// The suffix that a re-created remote exception carries in its class and its module.
pub const REMOTE_SUFFIX: &str = "_Remote";

/// Module of the failures that a server gives in place of a method: the classes [`OVERLOADED`] and [`TIMED_OUT`].
pub const SERVER_MODULE: &str = "oxlo.exceptions";

/// The server had no capacity left, and the method did not run.
pub const OVERLOADED: &str = "Overloaded";

/// The server gave up on the method, which had begun to run.
pub const TIMED_OUT: &str = "TimedOut";

/// A method's failure as data: what oslo.messaging's `serialize_remote_exception` writes.
///
/// Nothing is ever built from `class` or `module` alone: a program names the types it knows through
/// [`RemoteErrors`](crate::settings::RemoteErrors), everything else stays data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Name of the exception class, without its module.
    pub class: String,
    /// Module of the class. `builtins` is known to every Python caller.
    pub module: String,
    /// Text of the exception.
    #[serde(default)]
    pub message: String,
    /// Traceback, one entry a line group, as Python formats it. Empty if the server has none to tell.
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

/// oslo's module of a dispatcher's own errors.
const DISPATCHER: &str = "oslo_messaging.rpc.dispatcher";

impl Failure {
    /// A failure whose only argument is its message.
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

    /// A failure of one of Python's built-in classes, such as `ValueError`: every caller may re-create those.
    #[must_use]
    pub fn builtin(class: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new("builtins", class, message)
    }

    /// The server has no capacity left, and the method did not run: callers may try again.
    #[must_use]
    pub fn overloaded(message: impl Into<String>) -> Self {
        Self::new(SERVER_MODULE, OVERLOADED, message)
    }

    /// The server gave up on the method, which had begun to run.
    #[must_use]
    pub fn timed_out(message: impl Into<String>) -> Self {
        Self::new(SERVER_MODULE, TIMED_OUT, message)
    }

    /// Whether it is what [`overloaded`](Self::overloaded) makes.
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        is_overloaded(&self.module, &self.class)
    }

    /// Whether it is what [`timed_out`](Self::timed_out) makes.
    #[must_use]
    pub fn is_timed_out(&self) -> bool {
        is_timed_out(&self.module, &self.class)
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

    /// Says whether it is a server's refusal to run the method, rather than the method's own failure.
    #[must_use]
    pub fn with_refused(mut self, refused: bool) -> Self {
        self.refused = refused;
        self
    }

    /// Whether a server refused to run the method: it knows no such method or version, or the arguments do not fit. The
    /// method did not run.
    ///
    /// Python's servers have no word for arguments that do not fit: their `TypeError` is a refusal if its traceback ends
    /// in oslo's dispatcher, where the method is called.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.refused
            || self.is_overloaded()
            || self.is_dispatchers(&["NoSuchMethod", "UnsupportedVersion"])
            || self.is_call_of_python()
    }

    fn is_dispatchers(&self, classes: &[&str]) -> bool {
        self.module == DISPATCHER && classes.contains(&self.class.as_str())
    }

    /// Whether Python failed to call the method with these arguments.
    fn is_call_of_python(&self) -> bool {
        let innermost = || self.traceback.iter().rev().find(|entry| entry.trim_start().starts_with("File \""));
        self.class == "TypeError"
            && python3_module(&self.module) == "builtins"
            && innermost().is_some_and(|frame| {
                frame.contains("oslo_messaging/rpc/dispatcher.py\"")
                    && frame.contains("in _do_dispatch")
                    && frame.contains("func(ctxt")
            })
    }

    /// This failure with the `_Remote` suffix taken off class and module, as it is passed on to the next caller.
    ///
    /// As in oslo, the suffixes go only when both carry it.
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

/// Whether module and class are those of [`Failure::overloaded`].
#[must_use]
pub fn is_overloaded(module: &str, class: &str) -> bool {
    (module, class) == (SERVER_MODULE, OVERLOADED)
}

/// Whether module and class are those of [`Failure::timed_out`].
#[must_use]
pub fn is_timed_out(module: &str, class: &str) -> bool {
    (module, class) == (SERVER_MODULE, TIMED_OUT)
}

impl fmt::Display for Failure {
    /// One line; the message itself may have more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}: {}", name(&self.module), name(&self.class), folded(&self.message, SHOWN))
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// As oslo.messaging 18.3.1 sends it for an unexpected argument, and for a `TypeError` of the method's own.
    fn type_error(frames: &[&str]) -> Failure {
        let around = ["Traceback (most recent call last):\n"];
        let lines = around.iter().chain(frames).chain(&["TypeError: no\n"]);
        Failure::builtin("TypeError", "no").with_traceback(lines.map(|line| (*line).to_owned()))
    }

    const SERVER: &str = "  File \"/v/lib/python3.11/site-packages/oslo_messaging/rpc/server.py\", line 174, in _process_incoming\n    res = self.dispatcher.dispatch(message)\n          ^^^\n";
    const DISPATCH: &str = "  File \"/v/lib/python3.11/site-packages/oslo_messaging/rpc/dispatcher.py\", line 229, in _do_dispatch\n    result = func(ctxt, **new_args)\n             ^^^\n";
    const METHOD: &str = "  File \"/srv/app.py\", line 7, in echo\n    raise TypeError(\"no\")\n";

    #[test]
    fn a_refusal_is_told_from_the_methods_own_failure() {
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
    fn only_a_refusal_says_so_on_the_wire() {
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
