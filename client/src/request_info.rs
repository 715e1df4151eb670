//! Method and target of a request, which every error names.

use std::fmt;

use oxlo_transport::Target;

/// Whether the client waits for a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// A request with a reply.
    Call,
    /// A request without a reply.
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

/// The method and the target of a request. Every [`CallError`](crate::CallError) holds one.
///
/// `Display` begins the text of each error: ``call `add` on calculator.node-7 version 1.2``. It contains no arguments.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestInfo(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    kind: CallKind,
    method: Box<str>,
    target: Target,
}

impl RequestInfo {
    pub(crate) fn new(kind: CallKind, method: &str, target: &Target) -> Self {
        Self(Box::new(Inner { kind, method: method.into(), target: target.clone() }))
    }

    /// Whether it is a call or a cast.
    #[must_use]
    pub fn kind(&self) -> CallKind {
        self.0.kind
    }

    /// Name of the method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.0.method
    }

    /// The target, with the overrides of a prepared client.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.0.target
    }

    /// For errors about the version, which name it themselves.
    pub(crate) fn without_version(&self) -> Self {
        let mut request = self.clone();
        request.0.target.version = None;
        request
    }
}

impl fmt::Display for RequestInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}` on {}", self.0.kind, self.0.method, self.0.target)
    }
}

impl fmt::Debug for RequestInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestInfo({self})")
    }
}
