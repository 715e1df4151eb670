//! What was asked of whom, as every error says it.

use std::fmt;

use oxlo_transport::Target;

/// Whether a result was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// A request that is answered.
    Call,
    /// A request that nobody answers.
    Cast,
}

impl CallKind {
    /// `call` or `cast`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Cast => "cast",
        }
    }
}

impl fmt::Display for CallKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What was asked of whom: the method and the target of one request. Every [`CallError`](crate::CallError) has one.
///
/// Its text is the start of every error's text: ``call `add` on calculator.node-7 version 1.2``. It holds no arguments.
#[derive(Clone, PartialEq, Eq)]
pub struct CallSite(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    kind: CallKind,
    method: Box<str>,
    target: Target,
}

impl CallSite {
    pub(crate) fn new(kind: CallKind, method: &str, target: &Target) -> Self {
        Self(Box::new(Inner { kind, method: method.into(), target: target.clone() }))
    }

    /// Whether a result was asked for.
    #[must_use]
    pub fn kind(&self) -> CallKind {
        self.0.kind
    }

    /// Name of the method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.0.method
    }

    /// Where the request was to go, with all that was prepared.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.0.target
    }

    /// For errors that are about the version and name it themselves.
    pub(crate) fn without_version(&self) -> Self {
        let mut site = self.clone();
        site.0.target.version = None;
        site
    }
}

impl fmt::Display for CallSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}` on {}", self.0.kind, self.0.method, self.0.target)
    }
}

impl fmt::Debug for CallSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallSite({self})")
    }
}
