//! Overrides of a prepared client.

use std::{sync::Arc, time::Duration};

use oxlo_transport::{Deadline, Retry};

use crate::rpc_client::RPCClient;

/// # Overrides
///
/// Each takes the client and returns it changed, so they chain after [`prepare`](RPCClient::prepare) or
/// [`new`](RPCClient::new). None fails: a value that cannot be used is an error of each call and cast.
impl RPCClient {
    /// Returns a copy of this client to override. It keeps everything that is not overridden, and can be stored, cloned and
    /// prepared again.
    #[must_use]
    pub fn prepare(&self) -> Self {
        self.clone()
    }

    /// Sets the exchange.
    #[must_use]
    pub fn exchange(mut self, exchange: impl Into<Arc<str>>) -> Self {
        self.target.exchange = Some(exchange.into());
        self
    }

    /// Uses the transport's control exchange, `openstack` by default.
    #[must_use]
    pub fn without_exchange(mut self) -> Self {
        self.target.exchange = None;
        self
    }

    /// Sets the topic.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<Arc<str>>) -> Self {
        self.target.topic = Some(topic.into());
        self
    }

    /// Sets the namespace of the endpoint. `""` is a namespace; see [`without_namespace`](Self::without_namespace) for
    /// none.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
        self.target.namespace = Some(namespace.into());
        self
    }

    /// Uses the endpoint without a namespace.
    #[must_use]
    pub fn without_namespace(mut self) -> Self {
        self.target.namespace = None;
        self
    }

    /// Sets the version, `major.minor[.revision]`: the server must have the same major number and at least this minor.
    #[must_use]
    pub fn version(mut self, version: impl Into<Arc<str>>) -> Self {
        self.target.version = Some(version.into());
        self
    }

    /// Sends no version, which servers treat as `1.0`. Refused if there is a version cap.
    #[must_use]
    pub fn without_version(mut self) -> Self {
        self.target.version = None;
        self
    }

    /// Sends to this server of the topic.
    #[must_use]
    pub fn server(mut self, server: impl Into<Arc<str>>) -> Self {
        self.target.server = Some(server.into());
        self
    }

    /// Sends to any server of the topic.
    #[must_use]
    pub fn without_server(mut self) -> Self {
        self.target.server = None;
        self
    }

    /// Whether casts are sent to every server of the topic. Default `false`. Calls are refused. It takes precedence over
    /// [`server`](Self::server).
    #[must_use]
    pub fn fanout(mut self, fanout: bool) -> Self {
        self.target.fanout = fanout;
        self
    }

    /// Sets how long a call may take until its reply, and how long sending a cast is tried. Absent: the transport's
    /// response timeout, 60 s by default. Zero is refused.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Uses the transport's response timeout.
    #[must_use]
    pub fn without_timeout(mut self) -> Self {
        self.timeout = None;
        self
    }

    /// Bounds calls and casts by a deadline, in addition to their timeout. A handler that takes the deadline of its caller
    /// as a parameter passes it here, so that nothing is requested after the caller has stopped waiting. After the
    /// deadline they fail as [`DeadlinePassed`](crate::CallError::DeadlinePassed), and nothing is sent. An unknown
    /// deadline bounds nothing.
    ///
    /// ```
    /// use oxlo_client::{CallError, RPCClient};
    /// use oxlo_transport::{Context, Deadline};
    ///
    /// # #[allow(dead_code)]
    /// async fn price(stock: &RPCClient, ctxt: Context, deadline: Deadline) -> Result<f64, CallError> {
    ///     stock.prepare().within(deadline).call(&ctxt, "price", ()).await
    /// }
    /// ```
    #[must_use]
    pub fn within(mut self, deadline: impl Into<Deadline>) -> Self {
        self.within = deadline.into();
        self
    }

    /// Whether calls and casts that a handler of a server makes are bounded by the deadline of its caller, as by
    /// [`within`](Self::within). Default `false`. It applies to the handler's own task; a task that the handler spawns
    /// inherits the deadline by [`Deadline::scope`].
    #[must_use]
    pub fn inherit_deadline(mut self, inherit: bool) -> Self {
        self.inherits_deadline = inherit;
        self
    }

    /// Removes the bound of a caller's deadline, for requests that are sent even if the caller has stopped waiting.
    #[must_use]
    pub fn without_deadline(mut self) -> Self {
        self.within = Deadline::default();
        self.inherits_deadline = false;
        self
    }

    /// Sets the highest version that may be sent, for example while older servers are running: requests must have its
    /// major number and a version that is not above it. Absent: any version may be sent.
    #[must_use]
    pub fn version_cap(mut self, cap: impl Into<Arc<str>>) -> Self {
        self.version_cap = Some(cap.into());
        self
    }

    /// Removes the version cap.
    #[must_use]
    pub fn without_version_cap(mut self) -> Self {
        self.version_cap = None;
        self
    }

    /// Sets how often connecting and publishing are retried. Default [`Retry::Forever`], within the timeout. A request that
    /// may have run is never sent again.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets how long the server of a call may be silent while it runs the method. The server sends a heartbeat every half
    /// of this time, and the call fails as [`ServerSilent`](oxlo_transport::TransportError::ServerSilent) when they stop.
    /// Whole seconds, at least 2; any other value is refused. It never extends the timeout. Casts are not monitored.
    /// Absent: no monitoring.
    #[must_use]
    pub fn call_monitor_timeout(mut self, silence: Duration) -> Self {
        self.call_monitor_timeout = Some(silence);
        self
    }

    /// Removes the call monitor timeout.
    #[must_use]
    pub fn without_call_monitor_timeout(mut self) -> Self {
        self.call_monitor_timeout = None;
        self
    }

    /// Whether a request that nobody listens for fails at once, as
    /// [`Undeliverable`](oxlo_transport::TransportError::Undeliverable). Absent: calls fail, casts do not, as in
    /// oslo.messaging. A fanout never fails.
    #[must_use]
    pub fn mandatory(mut self, mandatory: bool) -> Self {
        self.mandatory = Some(mandatory);
        self
    }

    /// Restores the default: calls fail if nobody listens, casts do not.
    #[must_use]
    pub fn without_mandatory(mut self) -> Self {
        self.mandatory = None;
        self
    }

    /// Whether running the method twice does no harm, for layers that retry. Default `false`.
    #[must_use]
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }
}
