//! Handlers: async functions of extractors, and their type-erased form.

use std::{future::Future, pin::Pin, sync::Arc};

use serde::de::DeserializeOwned;

use super::{
    extract::{ExtractError, FromNotification, Incoming, Received},
    result::{BoxError, IntoNotificationResult, NotificationResult},
};

/// What one run of a handler returned.
pub type HandlerResult = Result<NotificationResult, HandlerError>;

/// Why a handler returned no result.
#[derive(Debug)]
pub enum HandlerError {
    /// It failed.
    Failed(BoxError),
    /// It did not run, because the notification does not fit its parameters.
    Extract(ExtractError),
}

fn result(returned: impl IntoNotificationResult) -> HandlerResult {
    returned.into_notification_result().map_err(HandlerError::Failed)
}

/// A running handler.
pub type HandlerFuture = Pin<Box<dyn Future<Output = HandlerResult> + Send>>;

/// An async function of up to six [extractors](FromNotification) that returns a [result](IntoNotificationResult).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot handle notifications",
    label = "not a notification handler",
    note = "a handler looks like `async |ctxt: Context, Body(it): Body<Instance>| {{ .. }}`: up to six extractors, and it returns `()`, `NotificationResult` or a `Result` of one of these"
)]
pub trait NotificationHandler<A>: Send + Sync + 'static {
    /// Handles one notification.
    fn handle(&self, incoming: &Incoming) -> HandlerFuture;
}

macro_rules! handlers {
    ($($parameter:ident)*) => {
        #[allow(unused_variables, non_snake_case, clippy::redundant_closure_call)]
        impl<Function, Fut, Returned, $($parameter,)*> NotificationHandler<($($parameter,)*)> for Function
        where
            Function: Fn($($parameter),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Returned> + Send + 'static,
            Returned: IntoNotificationResult,
            $($parameter: FromNotification,)*
        {
            fn handle(&self, incoming: &Incoming) -> HandlerFuture {
                let started: Result<Fut, ExtractError> = (|| {
                    $(let $parameter = $parameter::from_notification(incoming)?;)*
                    Ok(self($($parameter),*))
                })();
                Box::pin(async move {
                    match started {
                        Ok(handler) => result(handler.await),
                        Err(error) => Err(HandlerError::Extract(error)),
                    }
                })
            }
        }
    };
}

handlers!();
handlers!(P1);
handlers!(P1 P2);
handlers!(P1 P2 P3);
handlers!(P1 P2 P3 P4);
handlers!(P1 P2 P3 P4 P5);
handlers!(P1 P2 P3 P4 P5 P6);

/// A handler without the types of its parameters.
pub(crate) type ErasedHandler = Arc<dyn Fn(&Incoming) -> HandlerFuture + Send + Sync>;

pub(crate) fn erase<A: 'static, H: NotificationHandler<A>>(handler: H) -> ErasedHandler {
    Arc::new(move |incoming| handler.handle(incoming))
}

/// What a batch handler returned.
pub(crate) struct BatchResult {
    /// `None`: it did not run, because no notification fits.
    pub(crate) result: Option<Result<NotificationResult, BoxError>>,
    /// The notifications that do not fit, with their positions in the batch, in ascending order.
    pub(crate) mismatches: Vec<(usize, ExtractError)>,
}

type BatchFuture = Pin<Box<dyn Future<Output = BatchResult> + Send>>;

/// A batch handler without the type of its payloads.
pub(crate) type ErasedBatchHandler = Arc<dyn Fn(&[&Incoming]) -> BatchFuture + Send + Sync>;

/// Leaves out notifications that do not fit. The handler does not run if none is left.
pub(crate) fn erase_batch<T, F, Fut, Returned>(handler: F) -> ErasedBatchHandler
where
    T: DeserializeOwned + Send + 'static,
    F: Fn(Vec<Received<T>>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Returned> + Send + 'static,
    Returned: IntoNotificationResult,
{
    Arc::new(move |batch| {
        let (mut fitting, mut mismatches) = (Vec::with_capacity(batch.len()), Vec::new());
        for (at, incoming) in batch.iter().enumerate() {
            match Received::from_notification(incoming) {
                Ok(received) => fitting.push(received),
                Err(error) => mismatches.push((at, error)),
            }
        }
        let running = if fitting.is_empty() { None } else { Some(handler(fitting)) };
        Box::pin(async move {
            let result = match running {
                Some(running) => Some(running.await.into_notification_result()),
                None => None,
            };
            BatchResult { result, mismatches }
        })
    })
}
