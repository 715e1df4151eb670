//! When a request is acknowledged, and which dynamic methods can be called.

/// When a request is acknowledged to the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AckPolicy {
    /// Before the method runs: at most once, as in oslo. The requests of a server that crashes are lost; their callers
    /// time out.
    #[default]
    BeforeDispatch,
    /// After the method ran and the broker has confirmed the reply: at least once. The requests of a server that crashes
    /// are redelivered to another one, where [`Redelivered`](crate::Redelivered) is true and the method may run a second
    /// time.
    ///
    /// A reply whose caller is gone acknowledges the request as well; a reply that the connection could not carry does
    /// not.
    AfterReply,
}

/// Which methods the [dynamic](crate::Endpoint::dynamic) part of an endpoint serves; methods that are registered by name
/// are always served. oslo's access policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccessPolicy {
    /// Methods whose name does not start with `_`: oslo's `DefaultRPCAccessPolicy`.
    #[default]
    Public,
    /// Every method: oslo's `LegacyRPCAccessPolicy`.
    Legacy,
}

impl AccessPolicy {
    /// Whether a method may be called.
    #[must_use]
    pub fn allows(self, method: &str) -> bool {
        self == Self::Legacy || !method.starts_with('_')
    }
}
