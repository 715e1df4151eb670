//! Where a message goes, or what a server answers for.

use std::{fmt, sync::Arc};

use crate::error::TransportError;

/// Where a message goes, and what is asked of whoever takes it: oslo.messaging's `Target`.
///
/// | field | for a client | for a server | for an endpoint |
/// |---|---|---|---|
/// | `exchange` | routing scope; the transport's control exchange if absent | same | |
/// | `topic` | required | required | |
/// | `server` | one server of the topic | its own name, required | |
/// | `fanout` | every server of the topic (casts only) | | |
/// | `namespace`, `version` | what the endpoint must offer | | what it offers |
/// | `accepted_namespaces` | | | further namespaces it answers for |
///
/// Cloning is cheap. The fields may be read and set directly; the methods are for chaining.
///
/// ```
/// use oxlo_transport::Target;
/// let target = Target::topic("calculator").version("1.2").server("node-7");
/// assert_eq!(target.to_string(), "calculator.node-7 version 1.2");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Target {
    /// Routing scope. Absent: the transport's control exchange (`openstack` unless set).
    pub exchange: Option<Arc<str>>,
    /// Names the service.
    pub topic: Option<Arc<str>>,
    /// Groups methods within a service. Absent is the null namespace; `""` is a different one.
    pub namespace: Option<Arc<str>>,
    /// `major.minor[.revision]`, kept as text until it is used; what does not parse is refused before anything is sent.
    pub version: Option<Arc<str>>,
    /// One server of the topic.
    pub server: Option<Arc<str>>,
    /// Every server of the topic. Wins over `server`.
    pub fanout: bool,
    /// Namespaces an endpoint answers for beside `namespace` (oslo's `legacy_namespaces`).
    pub accepted_namespaces: Vec<Arc<str>>,
}

impl Target {
    /// An empty target, for an endpoint that only says its namespace and version.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A target for the service named `topic`.
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

    /// Sets the version. Text that is no version is refused when the target is used, not here.
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

    /// Sets whether every server of the topic is meant.
    #[must_use]
    pub fn fanout(mut self, fanout: bool) -> Self {
        self.fanout = fanout;
        self
    }

    /// Adds a namespace that an endpoint answers for beside its own.
    #[must_use]
    pub fn accept_namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
        self.accepted_namespaces.push(namespace.into());
        self
    }

    /// The topic.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] if there is none, or if it is empty.
    pub fn require_topic(&self) -> Result<&Arc<str>, TransportError> {
        match &self.topic {
            Some(topic) if !topic.is_empty() => Ok(topic),
            _ => Err(TransportError::InvalidTarget {
                reason: "it names no topic; start it with Target::topic(\"name-of-the-service\")".into(),
            }),
        }
    }

    /// Refuses a fanout, for what concerns one queue.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] if it is a fanout.
    pub fn refuse_fanout(&self) -> Result<(), TransportError> {
        if self.fanout {
            let reason = "a fanout has a queue for each server, and none of them tells of the others; name the topic";
            return Err(TransportError::InvalidTarget { reason: reason.into() });
        }
        Ok(())
    }

    /// The topic and the server, as a listener needs both.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] if one is missing or empty.
    pub fn require_topic_and_server(&self) -> Result<(&Arc<str>, &Arc<str>), TransportError> {
        let topic = self.require_topic()?;
        match &self.server {
            Some(server) if !server.is_empty() => Ok((topic, server)),
            _ => Err(TransportError::InvalidTarget {
                reason: format!("a server on topic `{topic}` needs a name of its own: Target::server(\"host-or-pod\")"),
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
