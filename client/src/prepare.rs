//! The overrides of a prepared client.

use std::{sync::Arc, time::Duration};

use oxlo_transport::{Deadline, Retry};

use crate::rpc_client::RPCClient;

/// # Overrides
///
/// Each takes the client and returns it changed, so they chain after [`prepare`](RPCClient::prepare) or
/// [`new`](RPCClient::new). None of them fails: what cannot be used is refused when something is to be sent.
impl RPCClient {
    /// A client to change, leaving this one as it is. What it does not override it keeps; it can be kept, cloned and
    /// prepared again.
    #[must_use]
    pub fn prepare(&self) -> Self {
        self.clone()
    }

    /// Sends to this exchange.
    #[must_use]
    pub fn exchange(mut self, exchange: impl Into<Arc<str>>) -> Self {
        self.target.exchange = Some(exchange.into());
        self
    }

    /// Sends to the transport's control exchange (`openstack` unless set).
    #[must_use]
    pub fn without_exchange(mut self) -> Self {
        self.target.exchange = None;
        self
    }

    /// Asks the service of this topic.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<Arc<str>>) -> Self {
        self.target.topic = Some(topic.into());
        self
    }

    /// Asks the endpoint of this namespace. `""` is a namespace too; for none there is
    /// [`without_namespace`](Self::without_namespace).
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
        self.target.namespace = Some(namespace.into());
        self
    }

    /// Asks the endpoint without a namespace.
    #[must_use]
    pub fn without_namespace(mut self) -> Self {
        self.target.namespace = None;
        self
    }

    /// Asks for this version, `major.minor[.revision]`: the server must have the same major number and no lower minor.
    #[must_use]
    pub fn version(mut self, version: impl Into<Arc<str>>) -> Self {
        self.target.version = Some(version.into());
        self
    }

    /// Names no version, which servers take as `1.0`. With a version cap such a request is refused.
    #[must_use]
    pub fn without_version(mut self) -> Self {
        self.target.version = None;
        self
    }

    /// Asks this one server of the topic.
    #[must_use]
    pub fn server(mut self, server: impl Into<Arc<str>>) -> Self {
        self.target.server = Some(server.into());
        self
    }

    /// Asks whichever server of the topic comes next.
    #[must_use]
    pub fn without_server(mut self) -> Self {
        self.target.server = None;
        self
    }

    /// Sends to every server of the topic; casts only. It wins over [`server`](Self::server).
    #[must_use]
    pub fn fanout(mut self, fanout: bool) -> Self {
        self.target.fanout = fanout;
        self
    }

    /// How long a call may take, from sending to its reply, and how long a cast is tried. Absent: the transport's
    /// response timeout (60 s unless set). Zero is refused when something is to be sent.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Takes the transport's response timeout.
    #[must_use]
    pub fn without_timeout(mut self) -> Self {
        self.timeout = None;
        self
    }

    /// Bounds calls and casts by a deadline, beside their timeout: in a handler that of its own caller, which a handler
    /// takes as a parameter, so that nothing is asked for that nobody waits for any more. When the deadline has passed,
    /// they are refused as [`DeadlinePassed`](crate::CallError::DeadlinePassed), and nothing is sent. A deadline that is
    /// not known bounds nothing.
    ///
    /// ```
    /// use oxlo_client::{CallError, Context, Deadline, RPCClient};
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

    /// Whether calls and casts that are made while a handler of a server runs are bounded by the deadline of its
    /// caller, as by [`within`](Self::within). Default `false`. It holds for the handler's own task; tasks that a
    /// handler spawns take the deadline along by [`Deadline::scope`].
    #[must_use]
    pub fn inherit_deadline(mut self, inherit: bool) -> Self {
        self.inherits_deadline = inherit;
        self
    }

    /// Bounds nothing by the deadline of a caller, for what is to be sent also when nobody waits any more.
    #[must_use]
    pub fn without_deadline(mut self) -> Self {
        self.within = Deadline::default();
        self.inherits_deadline = false;
        self
    }

    /// The highest version that may be sent, for instance while older servers are still around: requests must have its
    /// major number, and a version that is not above it. Absent: anything may be sent.
    #[must_use]
    pub fn version_cap(mut self, cap: impl Into<Arc<str>>) -> Self {
        self.version_cap = Some(cap.into());
        self
    }

    /// Sends any version.
    #[must_use]
    pub fn without_version_cap(mut self) -> Self {
        self.version_cap = None;
        self
    }

    /// How often connecting and publishing are tried again. Default [`Retry::Forever`], within the timeout. It never
    /// repeats a request that may have run.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// How long the server of a call may be silent while it runs the method: it is asked to send heartbeats every half
    /// of it, and the call fails as [`ServerSilent`](crate::CallError::ServerSilent) when they stop. Whole seconds, at
    /// least 2; anything else is refused when a call is made. It never extends the timeout. Casts have no reply and
    /// thus nothing to monitor. Absent: no monitoring.
    #[must_use]
    pub fn call_monitor_timeout(mut self, silence: Duration) -> Self {
        self.call_monitor_timeout = Some(silence);
        self
    }

    /// Asks for no heartbeats.
    #[must_use]
    pub fn without_call_monitor_timeout(mut self) -> Self {
        self.call_monitor_timeout = None;
        self
    }

    /// Whether nobody listening is an error at once, as [`Undeliverable`](crate::CallError::Undeliverable). Absent:
    /// calls say so, since somebody waits; casts don't, as in oslo. A fanout never does.
    #[must_use]
    pub fn mandatory(mut self, mandatory: bool) -> Self {
        self.mandatory = Some(mandatory);
        self
    }

    /// Calls say when nobody listens, casts don't.
    #[must_use]
    pub fn without_mandatory(mut self) -> Self {
        self.mandatory = None;
        self
    }

    /// Whether running what is asked twice does no harm, for layers that repeat requests. Default `false`.
    #[must_use]
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }
}
