//! One request on its way to a handler.

use std::sync::Arc;

use oxlo_transport::Request;
use tokio::time::Instant;

use crate::states::States;

/// One request on its way to a handler: what extractors read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Call {
    /// Method, arguments, context, namespace and version, as they came.
    pub request: Request,
    /// When the caller stops waiting, as far as that can be known. It had not passed when the handler was started.
    pub deadline: Option<Instant>,
    /// Whether the broker delivered the request before, to somebody who did not settle it: it may have run already.
    pub redelivered: bool,
    /// How often it came back before, as far as that is counted; see
    /// [`Delivery::redeliveries`](oxlo_transport::Delivery::redeliveries).
    pub redeliveries: u32,
    /// What the endpoint was given by [`Endpoint::with_state`](crate::Endpoint::with_state).
    pub states: Arc<States>,
}

impl Call {
    /// A call that nobody waits for, of an endpoint without state.
    #[must_use]
    pub fn new(request: Request) -> Self {
        Self { request, deadline: None, redelivered: false, redeliveries: 0, states: Arc::default() }
    }
}
