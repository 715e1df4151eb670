//! oslo's ping method.

use oxlo_transport::{Failure, Payload};

use crate::endpoint::Endpoint;

/// Name of the method that [`ping(true)`](crate::RPCServerBuilder::ping) adds, oslo's `rpc_ping_enabled`.
pub const PING_METHOD: &str = "oslo_rpc_server_ping";

/// Takes any arguments and returns `"pong"`.
pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new("1.0").method(PING_METHOD, async |_: Payload| Ok::<_, Failure>("pong"))
}
