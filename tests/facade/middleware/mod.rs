//! Stock tower layers around clients and servers, on `memory://`.

mod client;
mod extractors;
mod server;

use std::sync::Arc;

use oxlo::{Context, Endpoint, Failure, RPCClient, RPCServer, Target, Transport, server::RPCServerBuilder};

/// Counts how many handlers run, and can hold them.
#[oxlo::contract(version = "1.0")]
pub trait Work {
    #[rpc(idempotent)]
    async fn idempotent(&self, ctxt: &Context) -> u32;
    async fn once(&self, ctxt: &Context) -> u32;
}

pub async fn bus(name: &str) -> Arc<dyn Transport> {
    oxlo::connect(format!("memory://middleware-{name}")).await.unwrap()
}

pub fn builder(transport: &Arc<dyn Transport>) -> RPCServerBuilder {
    RPCServer::builder(transport.clone(), Target::topic("work").server("node-1"))
}

pub fn client(transport: &Arc<dyn Transport>) -> RPCClient {
    RPCClient::new(transport.clone(), Target::topic("work"))
}

/// An endpoint with a method that never ends.
pub fn endless() -> Endpoint {
    Endpoint::new("1.0").method("endless", async || std::future::pending::<Result<(), Failure>>().await)
}
