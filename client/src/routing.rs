//! Routing by argument: which server, or which extra queue, a request goes to.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use oxlo_transport::{
    CallOptions, Payload, PendingReply, Reply, Request, SendOptions, Target, Transport, TransportError,
    wrap::{Wrap, wrap},
};
use serde::de::DeserializeOwned;

use crate::rpc_client::RPCClient;

/// # Routing by argument
impl RPCClient {
    /// Has the arguments of `method` pick where its requests go: `route` gives a server's name, or the routing key of an
    /// extra [request queue](oxlo_transport::RequestQueue). `None` leaves a request as it is, and so does a
    /// [`server`](Self::server) that was named, or a fanout.
    ///
    /// A request that was routed is mandatory, casts too: a key that leads nowhere is an
    /// [`Undeliverable`](crate::CallError::Undeliverable) at once. Arguments that are no `A` are refused before anything
    /// is sent. Clients that are prepared from this one keep the route; a later one for the same method wins.
    ///
    /// ```
    /// use oxlo_client::{RPCClient, Target};
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
    /// Where the request goes if its arguments say so.
    fn route(&self, to: &Target, request: &Request) -> Result<Option<Target>, TransportError> {
        if request.method != self.method || to.server.is_some() || to.fanout {
            return Ok(None);
        }
        let key = (self.pick)(&request.args).map_err(|error| TransportError::InvalidTarget {
            reason: format!("the arguments do not fit what routes `{}`: {error}", self.method),
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
