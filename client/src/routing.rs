//! Routing by argument: the arguments select the server or the request queue.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use oxlo_transport::{
    CallOptions, Payload, PendingReply, Reply, Request, SendOptions, Target, Transport, TransportError, Wrap, wrap,
};
use serde::de::DeserializeOwned;

use crate::rpc_client::RPCClient;

/// # Routing by argument
impl RPCClient {
    /// Routes requests of `method` by their arguments: `route` returns the name of a server, or the routing key of an
    /// additional [request queue](oxlo_transport::RequestQueue). `None` leaves a request unchanged. A client that names a
    /// [`server`](Self::server) and a fanout are not routed.
    ///
    /// A routed request is mandatory, also a cast: a key without a queue is an
    /// [`Undeliverable`](oxlo_transport::TransportError::Undeliverable) at once. Arguments that cannot be decoded as `A`
    /// are refused before anything is sent. Prepared clients keep the route; a later route of the same method replaces it.
    ///
    /// ```
    /// use oxlo_client::RPCClient;
    /// use oxlo_transport::Target;
    /// # use oxlo_driver_memory::MemoryDriver;
    /// # use oxlo_transport::Registry;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = Registry::new().with(MemoryDriver).transport("memory://route").connect().await?;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Render {
    ///     frame: u64,
    /// }
    ///
    /// let client = RPCClient::new(transport, Target::topic("render"))
    ///     .route_by("render", |it: Render| Some(format!("shard-{}", it.frame % 4)));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn route_by<A, F>(mut self, method: impl Into<Arc<str>>, route: F) -> Self
    where
        A: DeserializeOwned + 'static,
        F: Fn(A) -> Option<String> + Send + Sync + 'static,
    {
        let pick = move |args: &Payload| match args.decode::<A>() {
            Ok(args) => Ok(route(args)),
            Err(error) => Err(error.to_string()),
        };
        self.transport = wrap(Routed { inner: self.transport, method: method.into(), pick: Arc::new(pick) });
        self
    }
}

type Pick = dyn Fn(&Payload) -> Result<Option<String>, String> + Send + Sync;

struct Routed {
    inner: Arc<dyn Transport>,
    method: Arc<str>,
    pick: Arc<Pick>,
}

impl fmt::Debug for Routed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routed").field("method", &self.method).field("inner", &self.inner).finish()
    }
}

impl Routed {
    /// The target that the arguments select, if they do.
    fn route(&self, to: &Target, request: &Request) -> Result<Option<Target>, TransportError> {
        if request.method != self.method || to.server.is_some() || to.fanout {
            return Ok(None);
        }
        let key = (self.pick)(&request.args).map_err(|error| TransportError::InvalidTarget {
            reason: format!("cannot route `{}` by its arguments: {error}", self.method),
        })?;
        Ok(key.map(|key| to.clone().server(key)))
    }
}

#[async_trait]
impl Wrap for Routed {
    fn inner(&self) -> &Arc<dyn Transport> {
        &self.inner
    }

    async fn cast(&self, to: &Target, request: Request, options: &SendOptions) -> Result<(), TransportError> {
        match self.route(to, &request)? {
            Some(to) => self.inner.cast(&to, request, &options.clone().with_mandatory(true)).await,
            None => self.inner.cast(to, request, options).await,
        }
    }

    async fn start(
        &self,
        to: &Target,
        request: Request,
        options: &CallOptions,
    ) -> Result<PendingReply, TransportError> {
        match self.route(to, &request)? {
            Some(to) => self.inner.start(&to, request, &options.clone().with_mandatory(true)).await,
            None => self.inner.start(to, request, options).await,
        }
    }

    async fn call(&self, to: &Target, request: Request, options: &CallOptions) -> Result<Reply, TransportError> {
        match self.route(to, &request)? {
            Some(to) => self.inner.call(&to, request, &options.clone().with_mandatory(true)).await,
            None => self.inner.call(to, request, options).await,
        }
    }
}
