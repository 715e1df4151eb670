//! When a request is acknowledged, and which methods can be reached.

/// When a request is acknowledged to the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AckPolicy {
    /// Before the method runs: at most once, as in oslo. A server that dies takes its requests with it; their callers
    /// learn of it by their timeout.
    #[default]
    BeforeDispatch,
    /// After the method ran and the broker has the reply: at least once. The requests of a server that dies go to
    /// another one, where [`Redelivered`](crate::Redelivered) is true and the method may run a second time.
    ///
    /// A reply that nobody takes any more acknowledges as well; one that could not be sent because of the connection
    /// does not.
    AfterReply,
}

/// Which methods a [dynamic](crate::Endpoint::dynamic) part of an endpoint serves; those that are registered by name are
/// served in any case. oslo's access policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccessPolicy {
    /// Those whose name does not begin with `_`: oslo's `DefaultRPCAccessPolicy`.
    #[default]
    Public,
    /// Every method: oslo's `LegacyRPCAccessPolicy`.
    Legacy,
}

impl AccessPolicy {
    /// Whether a method may be reached.
    #[must_use]
    pub fn allows(self, method: &str) -> bool {
        self == Self::Legacy || !method.starts_with('_')
    }
}
