//! One request on its way to a handler.

use std::sync::{Arc, atomic::AtomicBool};

use oxlo_transport::{Request, settings::NonFinite};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{handler::ErasedHandler, states::States};

/// One request on its way to a handler: what layers see and extractors read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Call {
    /// Method, arguments, context, namespace and version, as they came.
    pub request: Request,
    /// When the caller stops waiting, as far as that can be known. It had not passed when the request was taken.
    pub deadline: Option<Instant>,
    /// Whether the broker delivered the request before, to somebody who did not settle it: it may have run already.
    pub redelivered: bool,
    /// How often it came back before, as far as that is counted; see
    /// [`Delivery::redeliveries`](oxlo_transport::Delivery::redeliveries).
    pub redeliveries: u32,
    /// What the endpoint was given by [`Endpoint::with_state`](crate::Endpoint::with_state).
    pub states: Arc<States>,
    /// What layers put in, one of each type, for handlers that take it as an [`Extension`](crate::Extension).
    pub extensions: States,
    /// Whether anybody still wants the answer.
    pub cancellation: Cancellation,
    /// What becomes of such floats in the result.
    pub(crate) non_finite: NonFinite,
    /// What serves it.
    pub(crate) handler: Option<ErasedHandler>,
    /// Set when the handler is called, where layers may keep the call from it.
    pub(crate) reached: Option<Arc<AtomicBool>>,
}

impl Call {
    /// A call that nobody waits for, of an endpoint without state.
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

/// Whether anybody still wants the answer: not when the caller's deadline has passed, and not when the server's grace
/// is over. A handler that waits is dropped when the grace is over; one that blocks, or has tasks of its own, asks this.
#[derive(Clone, Debug, Default)]
pub struct Cancellation {
    pub(crate) deadline: Option<Instant>,
    pub(crate) stopping: CancellationToken,
    pub(crate) abandoned: CancellationToken,
}

impl Cancellation {
    /// Whether nobody wants the answer any more.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.abandoned.is_cancelled() || self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Resolves when nobody wants the answer any more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn cancelled(&self) {
        match self.deadline {
            Some(deadline) => tokio::select! {
                () = self.abandoned.cancelled() => {}
                () = sleep_until(deadline) => {}
            },
            None => self.abandoned.cancelled().await,
        }
    }

    /// Whether the server was told to stop: what can be cut short may well be, before the grace is over.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Resolves when the server is told to stop.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn stopping(&self) {
        self.stopping.cancelled().await;
    }
}
