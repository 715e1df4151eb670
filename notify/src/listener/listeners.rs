//! The listeners of notifications and of batches, and the ways to run them.

use std::{
    fmt,
    future::{Future, pending},
    sync::Arc,
    time::Duration,
};

use oxlo_serving::{Requeue, Shutdown, shutdown_signal};
use oxlo_transport::{Priority, Transport};

use super::{
    batch::BatchSource,
    builder::{BatchListenerBuilder, NotificationListenerBuilder},
    dispatch::{Batches, Single},
    endpoint::{BatchEndpoint, NotificationEndpoint},
    error::ListenError,
    handler::ErasedHandler,
    kind::{Kind, ListenerSpec, NotificationSource, serve, start},
    report::ListenReport,
    running::RunningListener,
};

/// Listens for notifications, and gives each to the handlers of its priority: oslo's `get_notification_listener`.
///
/// It is built once and can run again after it ended.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use oxlo_notify::{EventType, NotificationEndpoint, NotificationListener};
/// # use oxlo_driver_memory::MemoryDriver;
/// # use oxlo_transport::Registry;
/// # let transport = Registry::new().with(MemoryDriver).transport("memory://listener").connect().await?;
///
/// let listener = NotificationListener::builder(transport)
///     .endpoint(NotificationEndpoint::new().error(async |EventType(event)| eprintln!("{event}")))
///     .start()
///     .await?;
/// listener.stop();
/// let report = listener.wait().await?;
/// assert_eq!(report.handled, 0);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct NotificationListener {
    pub(super) spec: ListenerSpec,
    pub(super) endpoints: Arc<[NotificationEndpoint]>,
    pub(super) requeue: Option<Requeue>,
    /// Whether redeliveries count as retries of events.
    pub(super) is_event: bool,
}

/// Listens for notifications, and gives them to handlers in batches: oslo's `get_batch_notification_listener`.
///
/// A batch is complete when it is full, or when its timeout has passed since its first notification. Its notifications
/// are grouped by priority, and each handler of a priority receives its group at once. Batches are handled one after the
/// other; the next batch waits at the broker meanwhile.
///
/// It is built once and can run again after it ended.
#[derive(Clone)]
pub struct BatchListener {
    pub(super) spec: ListenerSpec,
    pub(super) endpoints: Arc<[BatchEndpoint]>,
    pub(super) requeue: Option<Requeue>,
    pub(super) timeout: Duration,
}

impl NotificationListener {
    /// Starts to build a listener.
    pub fn builder(transport: Arc<dyn Transport>) -> NotificationListenerBuilder {
        NotificationListenerBuilder::new(transport)
    }

    /// A listener for the events of one subscription, whatever priority they say they have.
    pub(crate) fn of_events(spec: ListenerSpec, handler: ErasedHandler, requeue: Option<Requeue>) -> Self {
        let handlers = Priority::ALL.into_iter().map(|priority| (priority, handler.clone())).collect();
        let endpoint = NotificationEndpoint { filter: None, handlers };
        Self { spec, endpoints: [endpoint].into(), requeue, is_event: true }
    }
}

impl Kind for NotificationListener {
    type Dispatch = Single;
    type Source = NotificationSource;

    fn spec(&self) -> &ListenerSpec {
        &self.spec
    }

    fn dispatch(&self, shutdown: Shutdown) -> Single {
        Single { endpoints: self.endpoints.clone(), requeue: self.requeue, is_event: self.is_event, shutdown }
    }

    fn source(&self) -> NotificationSource {
        NotificationSource(self.spec.clone())
    }
}

impl BatchListener {
    /// Starts to build a listener.
    pub fn builder(transport: Arc<dyn Transport>) -> BatchListenerBuilder {
        BatchListenerBuilder::new(transport)
    }
}

impl Kind for BatchListener {
    type Dispatch = Batches;
    type Source = BatchSource;

    fn spec(&self) -> &ListenerSpec {
        &self.spec
    }

    fn dispatch(&self, shutdown: Shutdown) -> Batches {
        Batches { endpoints: self.endpoints.clone(), requeue: self.requeue, shutdown }
    }

    fn source(&self) -> BatchSource {
        let source = NotificationSource(self.spec.clone());
        BatchSource { source, size: self.spec.batch_size, timeout: self.timeout }
    }
}

macro_rules! runs {
    ($listener:ident) => {
        impl $listener {
            /// Subscribes, and listens on a task of its own. The listener takes notifications when this returns.
            ///
            /// # Errors
            ///
            /// [`ListenError::Listen`] if the subscription fails, [`ListenError::Option`] if the transport's prefetch is
            /// too small for a batch.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future ends the subscription.
            pub async fn start(&self) -> Result<RunningListener, ListenError> {
                start(self).await
            }

            /// Listens until `shutdown` resolves, with any value, or the transport is closed.
            ///
            /// # Errors
            ///
            /// As [`start`](Self::start), and [`ListenError::Receive`] if the listener fails permanently.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future drops the handlers; unsettled notifications return to the broker.
            pub async fn serve_until(&self, shutdown: impl Future) -> Result<ListenReport, ListenError> {
                serve(self, shutdown, pending::<()>()).await
            }

            /// Listens until the process is asked to end, as [`shutdown_signal`](crate::shutdown_signal) describes: the
            /// first signal stops gracefully, as [`serve_until`](Self::serve_until), the second one at once.
            ///
            /// # Errors
            ///
            /// As [`serve_until`](Self::serve_until), and [`ListenError::Signals`] if the signal handlers cannot be
            /// installed.
            ///
            /// # Cancel safety
            ///
            /// As [`serve_until`](Self::serve_until).
            pub async fn serve_until_signalled(&self) -> Result<ListenReport, ListenError> {
                let signal = shutdown_signal().map_err(ListenError::signals)?;
                let again = signal.again();
                serve(self, signal, again).await
            }
        }

        impl fmt::Debug for $listener {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($listener))
                    .field("on", &self.spec.on)
                    .field("pool", &self.spec.pool)
                    .field("endpoints", &self.endpoints)
                    .finish_non_exhaustive()
            }
        }
    };
}

runs!(NotificationListener);
runs!(BatchListener);
