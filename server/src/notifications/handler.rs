//! Handlers: async functions that take what they name, and their forgotten form.

use std::{future::Future, pin::Pin, sync::Arc};

use serde::de::DeserializeOwned;

use super::{
    extract::{FromNotification, Incoming, Misfit, Received},
    handling::{Handling, HandlingFailure, IntoHandling},
};

/// How one run of a handler ended.
#[derive(Debug)]
pub enum Ended {
    /// As the handler says.
    With(Handling),
    /// It failed.
    Failed(HandlingFailure),
    /// It did not run: the notification does not fit it.
    Misfit(Misfit),
}

impl Ended {
    fn of(outcome: impl IntoHandling) -> Self {
        match outcome.into_handling() {
            Ok(handling) => Self::With(handling),
            Err(failure) => Self::Failed(failure),
        }
    }
}

/// A handler at work.
pub type Running = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// An async function of up to six [extractors](FromNotification) that returns an [outcome](IntoHandling).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot handle notifications",
    label = "not a notification handler",
    note = "a handler looks like `async |ctxt: Context, Body(it): Body<Instance>| {{ .. }}`: up to six extractors, and `()`, `Handling` or a `Result` of one of these as its outcome"
)]
pub trait NotificationHandler<A>: Send + Sync + 'static {
    /// Handles one notification.
    fn handle(&self, incoming: &Incoming) -> Running;
}

macro_rules! handlers {
    ($($parameter:ident)*) => {
        #[allow(unused_variables, non_snake_case, clippy::redundant_closure_call)]
        impl<Function, Fut, Outcome, $($parameter,)*> NotificationHandler<($($parameter,)*)> for Function
        where
            Function: Fn($($parameter),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Outcome> + Send + 'static,
            Outcome: IntoHandling,
            $($parameter: FromNotification,)*
        {
            fn handle(&self, incoming: &Incoming) -> Running {
                let started: Result<Fut, Misfit> = (|| {
                    $(let $parameter = $parameter::from_notification(incoming)?;)*
                    Ok(self($($parameter),*))
                })();
                Box::pin(async move {
                    match started {
                        Ok(handler) => Ended::of(handler.await),
                        Err(misfit) => Ended::Misfit(misfit),
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

/// A handler whose parameters are forgotten.
pub(crate) type ErasedHandler = Arc<dyn Fn(&Incoming) -> Running + Send + Sync>;

pub(crate) fn erase<A: 'static, H: NotificationHandler<A>>(handler: H) -> ErasedHandler {
    Arc::new(move |incoming| handler.handle(incoming))
}

/// What became of a batch that one handler saw.
pub(crate) struct BatchEnded {
    pub(crate) ended: Option<Ended>,
    /// What did not fit, with its place in the batch, in ascending order.
    pub(crate) misfits: Vec<(usize, Misfit)>,
}

type BatchRunning = Pin<Box<dyn Future<Output = BatchEnded> + Send>>;

/// A batch handler whose payload type is forgotten.
pub(crate) type ErasedBatchHandler = Arc<dyn Fn(&[&Incoming]) -> BatchRunning + Send + Sync>;

/// Those that do not fit are left out and counted; the handler does not run if none is left.
pub(crate) fn erase_batch<T, F, Fut, Outcome>(handler: F) -> ErasedBatchHandler
where
    T: DeserializeOwned + Send + 'static,
    F: Fn(Vec<Received<T>>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Outcome> + Send + 'static,
    Outcome: IntoHandling,
{
    Arc::new(move |batch| {
        let (mut fitting, mut misfits) = (Vec::with_capacity(batch.len()), Vec::new());
        for (at, incoming) in batch.iter().enumerate() {
            match Received::from_notification(incoming) {
                Ok(received) => fitting.push(received),
                Err(misfit) => misfits.push((at, misfit)),
            }
        }
        let running = if fitting.is_empty() { None } else { Some(handler(fitting)) };
        Box::pin(async move {
            let ended = match running {
                Some(running) => Some(Ended::of(running.await)),
                None => None,
            };
            BatchEnded { ended, misfits }
        })
    })
}
