//! A method's failure, exactly as it travels.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
}

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
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}: {}", self.module, self.class, self.message)
    }
}

impl std::error::Error for Failure {}
