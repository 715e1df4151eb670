//! Endpoints: handlers by priority.

use std::{fmt, future::Future};

use oxlo_transport::Priority;
use serde::de::DeserializeOwned;

use super::{
    extract::Received,
    filter::Filter,
    handler::{ErasedBatchHandler, ErasedHandler, NotificationHandler, erase, erase_batch},
    result::IntoNotificationResult,
};

macro_rules! by_priority {
    ($($name:ident $priority:ident)*) => {
        $(
            #[doc = concat!("Handles the notifications of priority `", stringify!($name), "`.")]
            pub fn $name<A: 'static>(self, handler: impl NotificationHandler<A>) -> Self {
                self.on(Priority::$priority, handler)
            }
        )*
    };
}

/// Handlers by priority, and a filter for all of them. A listener subscribes to the priorities that its endpoints handle.
///
/// ```
/// use oxlo_notify::{Body, EventType, Filter, NotificationEndpoint};
///
/// #[derive(serde::Deserialize)]
/// struct Instance {
///     id: u64,
/// }
///
/// let audit = NotificationEndpoint::new()
///     .filter(Filter::new().event_type(r"compute\.instance\.")?)
///     .info(async |EventType(event), Body(it): Body<Instance>| println!("{event} of {}", it.id))
///     .error(async |EventType(event)| eprintln!("{event}"));
/// # Ok::<(), oxlo_notify::FilterError>(())
/// ```
#[derive(Clone, Default)]
#[must_use = "an endpoint does nothing until a listener has it"]
pub struct NotificationEndpoint {
    pub(crate) filter: Option<Filter>,
    pub(crate) handlers: Vec<(Priority, ErasedHandler)>,
}

impl NotificationEndpoint {
    /// An endpoint without handlers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets which notifications the handlers receive. Default: all.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Handles the notifications of a priority. Several handlers of a priority run one after the other, as those of
    /// several endpoints do.
    pub fn on<A: 'static>(mut self, priority: Priority, handler: impl NotificationHandler<A>) -> Self {
        self.handlers.push((priority, erase(handler)));
        self
    }

    by_priority! { audit Audit debug Debug info Info warn Warn error Error critical Critical sample Sample }
}

impl fmt::Debug for NotificationEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let priorities: Vec<_> = self.handlers.iter().map(|(priority, _)| priority.as_str()).collect();
        f.debug_struct("NotificationEndpoint").field("filter", &self.filter).field("handles", &priorities).finish()
    }
}

/// Handlers of batches by priority, and a filter for all of them.
#[derive(Clone, Default)]
#[must_use = "an endpoint does nothing until a listener has it"]
pub struct BatchEndpoint {
    pub(crate) filter: Option<Filter>,
    pub(crate) handlers: Vec<(Priority, ErasedBatchHandler)>,
}

impl BatchEndpoint {
    /// An endpoint without handlers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets which notifications the handlers receive. Default: all.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Handles a batch's notifications of a priority, oldest first. Notifications whose payload cannot be decoded as a `T`
    /// are left out, logged and counted.
    pub fn on<T, Fut, Returned>(
        mut self,
        priority: Priority,
        handler: impl Fn(Vec<Received<T>>) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        T: DeserializeOwned + Send + 'static,
        Fut: Future<Output = Returned> + Send + 'static,
        Returned: IntoNotificationResult,
    {
        self.handlers.push((priority, erase_batch(handler)));
        self
    }
}

impl fmt::Debug for BatchEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let priorities: Vec<_> = self.handlers.iter().map(|(priority, _)| priority.as_str()).collect();
        f.debug_struct("BatchEndpoint").field("filter", &self.filter).field("handles", &priorities).finish()
    }
}
