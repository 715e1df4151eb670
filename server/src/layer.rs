//! Layers around handlers: tower's `Layer` and `Service` for calls.

use std::{
    error::Error,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use oxlo_transport::{Failure, Payload, error::is_caused_by};
use tower::{ServiceExt, load_shed::error::Overloaded, timeout::error::Elapsed, util::BoxCloneSyncService};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    call::Call,
    handler::HandlerFuture,
    result::{HandlerError, HandlerResult},
};

/// The error of any layer.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The service that a layer of a server wraps: it runs the handler of a [`Call`] and resolves to the serialised result.
///
/// Its errors are [`HandlerError`]s, and the errors of inner layers.
#[derive(Clone)]
pub struct CallService(BoxCloneSyncService<Call, Payload, BoxError>);

impl Service<Call> for CallService {
    type Response = Payload;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Payload, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        self.0.call(call)
    }
}

impl fmt::Debug for CallService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallService")
    }
}

/// The innermost service: the handler of the call.
#[derive(Clone)]
struct Handlers;

impl Service<Call> for Handlers {
    type Response = Payload;
    type Error = HandlerError;
    type Future = HandlerFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), HandlerError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut call: Call) -> HandlerFuture {
        match call.handler.take() {
            Some(handler) => {
                if let Some(reached) = &call.reached {
                    reached.store(true, Ordering::Relaxed);
                }
                handler.call(call)
            }
            None => {
                let text = format!("a layer constructed a call of {}(), which has no handler", call.request.method);
                Box::pin(async move { Err(Failure::builtin("RuntimeError", text).into()) })
            }
        }
    }
}

impl CallService {
    fn new<S>(service: S) -> Self
    where
        S: Service<Call, Response = Payload> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
    {
        Self(BoxCloneSyncService::new(service.map_err(Into::into)))
    }

    /// Wraps `inner` in one more layer.
    pub(crate) fn layered<L>(inner: Option<Self>, layer: &L) -> Self
    where
        L: Layer<Self>,
        L::Service: Service<Call, Response = Payload> + Clone + Send + Sync + 'static,
        <L::Service as Service<Call>>::Error: Into<BoxError>,
        <L::Service as Service<Call>>::Future: Send + 'static,
    {
        Self::new(layer.layer(inner.unwrap_or_else(|| Self::new(Handlers))))
    }

    /// Runs one call through the layers.
    pub(crate) async fn answer(mut self, mut call: Call) -> HandlerResult {
        let (method, reached) = (call.request.method.clone(), Arc::new(AtomicBool::new(false)));
        call.reached = Some(reached.clone());
        let answer = async {
            poll_fn(|cx| self.poll_ready(cx)).await?;
            self.call(call).await
        };
        answer.await.map_err(|error| layer_error(error, &method, reached.load(Ordering::Relaxed)))
    }
}

/// The error for the caller of a request that failed in a layer. `reached`: the method started.
fn layer_error(error: BoxError, method: &str, reached: bool) -> HandlerError {
    let error = match error.downcast::<HandlerError>() {
        Ok(error) => return *error,
        Err(error) => error,
    };
    match error.downcast::<Failure>() {
        Ok(failure) => HandlerError::Failure(failure),
        Err(error) => {
            let (shed, late) = (is_caused_by::<Overloaded>(&*error), is_caused_by::<Elapsed>(&*error));
            match (reached, shed, late) {
                (false, true, _) | (false, _, true) => {
                    Failure::overloaded(format!("{method}() did not run: {error}")).into()
                }
                (true, _, true) => Failure::timed_out(format!("{method}() was given up: {error}")).into(),
                _ => Failure::builtin("RuntimeError", error.to_string()).into(),
            }
        }
    }
}
