//! The address of a message, of a server, or of an endpoint.

use std::{fmt, sync::Arc};

use crate::error::TransportError;

/// The address of a message and the endpoint it requires; or the address of a server, or the offer of an endpoint.
/// oslo.messaging's `Target`.
///
/// | field | for a client | for a server | for an endpoint |
/// |---|---|---|---|
/// | `exchange` | routing scope; default: the transport's control exchange | same | |
/// | `topic` | required | required | |
/// | `server` | one server of the topic | its own name, required | |
/// | `fanout` | every server of the topic (casts only) | | |
/// | `namespace`, `version` | required of the endpoint | | implemented by the endpoint |
/// | `accepted_namespaces` | | | additional namespaces it serves |
///
/// Cloning is cheap. The fields can be read and set directly; the methods are for chaining.
///
/// ```
/// use oxlo_transport::Target;
/// let target = Target::topic("calculator").version("1.2").server("node-7");
/// assert_eq!(target.to_string(), "calculator.node-7 version 1.2");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Target {
    /// Routing scope. `None`: the transport's control exchange (`openstack` unless set).
    pub exchange: Option<Arc<str>>,
    /// Name of the service.
    pub topic: Option<Arc<str>>,
    /// Group of methods within a service. `None` is the null namespace; `""` is a different one.
    pub namespace: Option<Arc<str>>,
    /// `major.minor[.revision]`, as text. It is parsed on use; an invalid version is refused before anything is sent.
    pub version: Option<Arc<str>>,
    /// One server of the topic.
    pub server: Option<Arc<str>>,
    /// Every server of the topic. Takes precedence over `server`.
    pub fanout: bool,
    /// Namespaces an endpoint serves in addition to `namespace` (oslo's `legacy_namespaces`).
    pub accepted_namespaces: Vec<Arc<str>>,
}

impl Target {
    /// Creates an empty target, for an endpoint that only has a namespace and a version.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a target for the service `topic`.
    #[must_use]
    pub fn topic(topic: impl Into<Arc<str>>) -> Self {
        Self { topic: Some(topic.into()), ..Self::default() }
    }

    /// Sets the exchange.
    #[must_use]
    pub fn exchange(mut self, exchange: impl Into<Arc<str>>) -> Self {
        self.exchange = Some(exchange.into());
        self
    }

    /// Sets the namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Sets the version. An invalid version is refused when the target is used, not here.
    #[must_use]
    pub fn version(mut self, version: impl Into<Arc<str>>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Sets the server.
    #[must_use]
    pub fn server(mut self, server: impl Into<Arc<str>>) -> Self {
        self.server = Some(server.into());
        self
    }

    /// Sets whether the target is every server of the topic.
    #[must_use]
    pub fn fanout(mut self, fanout: bool) -> Self {
        self.fanout = fanout;
        self
    }

    /// Adds a namespace that an endpoint serves in addition to its own.
    #[must_use]
    pub fn accept_namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
        self.accepted_namespaces.push(namespace.into());
        self
    }

    /// Returns the topic.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] if there is none, or if it is empty.
    pub fn require_topic(&self) -> Result<&Arc<str>, TransportError> {
        match &self.topic {
            Some(topic) if !topic.is_empty() => Ok(topic),
            _ => Err(TransportError::InvalidTarget {
                reason: "it has no topic; create it with Target::topic(\"name-of-the-service\")".into(),
            }),
        }
    }

    /// Refuses a fanout, for an operation on a single queue.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] if it is a fanout.
    pub fn refuse_fanout(&self) -> Result<(), TransportError> {
        if self.fanout {
            let reason = "a fanout has a separate queue for each server; use the topic without fanout";
            return Err(TransportError::InvalidTarget { reason: reason.into() });
        }
        Ok(())
    }

    /// Returns the topic and the server, both of which a listener needs.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] if one is missing or empty.
    pub fn require_topic_and_server(&self) -> Result<(&Arc<str>, &Arc<str>), TransportError> {
        let topic = self.require_topic()?;
        match &self.server {
            Some(server) if !server.is_empty() => Ok((topic, server)),
            _ => Err(TransportError::InvalidTarget {
                reason: format!(
                    "a server on topic `{topic}` needs a name: set it with Target::server(\"host-or-pod\")"
                ),
            }),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(exchange) = &self.exchange {
            write!(f, "{exchange}/")?;
        }
        f.write_str(self.topic.as_deref().unwrap_or("(no topic)"))?;
        if self.fanout {
            f.write_str(" (fanout)")?;
        } else if let Some(server) = &self.server {
            write!(f, ".{server}")?;
        }
        if let Some(namespace) = &self.namespace {
            write!(f, " namespace {namespace}")?;
        }
        if let Some(version) = &self.version {
            write!(f, " version {version}")?;
        }
        Ok(())
    }
}
