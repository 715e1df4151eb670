//! One request on its way to a handler.

use std::sync::{Arc, atomic::AtomicBool};

use oxlo_serving::Shutdown;
use oxlo_transport::{Request, settings::NonFinite};
use tokio::time::{Instant, sleep_until};

use crate::{handler::ErasedHandler, states::States};

/// One request on its way to a handler: what layers see and extractors read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Call {
    /// The request as it was received: method, arguments, context, namespace and version.
    pub request: Request,
    /// When the caller stops waiting, if known. It had not passed when the request was taken.
    pub deadline: Option<Instant>,
    /// Whether the broker delivered the request before, to a server that did not settle it: it may have run already.
    pub redelivered: bool,
    /// How often it was redelivered before, as far as the broker counts; see
    /// [`Delivery::redeliveries`](oxlo_transport::Delivery::redeliveries).
    pub redeliveries: u32,
    /// The values of [`Endpoint::with_state`](crate::Endpoint::with_state).
    pub states: Arc<States>,
    /// Values that layers inserted, one of each type, for handlers that take an [`Extension`](crate::Extension).
    pub extensions: States,
    /// Whether the result is still wanted.
    pub cancellation: Cancellation,
    /// How floats in the result that are not finite are encoded.
    pub(crate) non_finite: NonFinite,
    /// The handler of the method.
    pub(crate) handler: Option<ErasedHandler>,
    /// Set when the handler is called, for layers that may fail before that.
    pub(crate) reached: Option<Arc<AtomicBool>>,
}

impl Call {
    /// A call without a caller that waits, for an endpoint without state.
    #[must_use]
    pub fn new(request: Request) -> Self {
        Self {
            request,
            deadline: None,
            redelivered: false,
            redeliveries: 0,
            states: Arc::default(),
            extensions: States::new(),
            cancellation: Cancellation::default(),
            non_finite: NonFinite::Refuse,
            handler: None,
            reached: None,
        }
    }
}

/// Whether the result is still wanted: until the caller's deadline, and until the server's grace period ends. An async
/// handler is dropped when the grace period ends; a blocking handler, or one that spawns tasks, checks this instead.
#[derive(Clone, Debug, Default)]
pub struct Cancellation {
    pub(crate) deadline: Option<Instant>,
    pub(crate) shutdown: Shutdown,
}

impl Cancellation {
    /// Whether the result is no longer wanted.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.shutdown.abandon.is_cancelled() || self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Resolves when the result is no longer wanted.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn cancelled(&self) {
        match self.deadline {
            Some(deadline) => tokio::select! {
                () = self.shutdown.abandon.cancelled() => {}
                () = sleep_until(deadline) => {}
            },
            None => self.shutdown.abandon.cancelled().await,
        }
    }

    /// Whether the server is stopping: long work can end early, before the grace period does.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.shutdown.stopping.is_cancelled()
    }

    /// Resolves when the server starts to stop.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn stopping(&self) {
        self.shutdown.stopping.cancelled().await;
    }
}
