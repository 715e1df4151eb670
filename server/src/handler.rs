//! Handlers: the functions and closures that serve methods.

use std::{fmt, future::Future, panic, pin::Pin, sync::Arc};

use oxlo_transport::{Deadline, Failure, Request};
use serde::{Deserialize, Serialize};

use crate::{
    call::Call,
    extract::FromCall,
    failures::wrong_arguments,
    result::{HandlerError, HandlerResult, serialised},
    states::States,
};

/// A running handler.
pub type HandlerFuture = Pin<Box<dyn Future<Output = HandlerResult> + Send>>;

/// An async function or closure that serves a method.
///
/// Implemented for functions and closures of up to six [extractors](FromCall) whose future is `Send` and resolves to a
/// `Result` of a serialisable value and an error that converts into a [`HandlerError`]:
///
/// ```
/// use oxlo_server::{Args, Context, Endpoint, Failure};
///
/// #[derive(serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Add {
///     a: i64,
///     b: i64,
/// }
///
/// let endpoint = Endpoint::new("1.0").method("add", async |_ctxt: Context, Args(it): Args<Add>| {
///     Ok::<_, Failure>(it.a + it.b)
/// });
/// ```
///
/// An async closure cannot use captured variables, because its future would borrow from the closure. Take shared values as
/// [`State`](crate::State), or clone them for each call:
///
/// ```
/// # use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
/// # use oxlo_server::{Endpoint, Failure};
/// let calls = Arc::new(AtomicU64::new(0));
/// let endpoint = Endpoint::new("1.0").method("count", move || {
///     let calls = calls.clone();
///     async move { Ok::<_, Failure>(calls.fetch_add(1, Ordering::Relaxed)) }
/// });
/// ```
///
/// Of a closure the compiler reports only that it is not a handler. Write it as an `async fn` with
/// [`#[debug_handler]`](macro@crate::debug_handler) to see which condition fails, and where.
///
/// # Cancel safety
///
/// The future is dropped when the server's grace period ends. It is not cancelled when its caller gives up.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot serve a method",
    label = "not a handler",
    note = "a handler looks like `async |ctxt: Context, Args(it): Args<Add>| -> Result<i64, Failure> {{ .. }}`: up to six extractors, a `Send` future, a `Result` whose value is `Serialize` and whose error is `Into<HandlerError>`",
    note = "an async closure may not use what it captured: take it as `State<S>`, or write `move |..| {{ let s = s.clone(); async move {{ .. }} }}`",
    note = "a function that blocks goes to `blocking_method`",
    note = "to learn which condition fails, write it as an `async fn` with `#[oxlo::debug_handler]`"
)]
pub trait Handler<A>: Send + Sync + 'static {
    /// Serves one request.
    fn call(&self, call: Call) -> HandlerFuture;

    /// The state that the endpoint lacks for the parameters.
    #[must_use]
    fn missing(states: &States) -> Option<&'static str>;
}

/// A function or closure that serves a method and may block; it runs on tokio's blocking threads.
///
/// Its parameters and results are those of a [`Handler`], without `async`. It cannot be cancelled: when the server's grace
/// period ends, its caller receives a failure, and the function runs on.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot serve a blocking method",
    label = "not a blocking handler",
    note = "a blocking handler looks like `|ctxt: Context, Args(it): Args<Hash>| -> Result<String, HandlerError> {{ .. }}`: up to six extractors, a `Result` whose value is `Serialize` and whose error is `Into<HandlerError>`",
    note = "an async function or closure goes to `method`",
    note = "to learn which condition fails, write it as a `fn` with `#[oxlo::debug_handler(blocking)]`"
)]
pub trait BlockingHandler<A>: Send + Sync + 'static {
    /// Serves one request on this thread.
    ///
    /// # Errors
    ///
    /// Why the method returns no value.
    fn call(&self, call: Call) -> HandlerResult;

    /// The state that the endpoint lacks for the parameters.
    #[must_use]
    fn missing(states: &States) -> Option<&'static str>;
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoArgs {}

fn refuse_args(call: &Call) -> Result<(), HandlerError> {
    let Request { method, args, .. } = &call.request;
    if args.as_bytes().as_ref() == b"{}" {
        return Ok(());
    }
    args.decode().map(|NoArgs {}| ()).map_err(|error| wrong_arguments(method, args, &error))
}

macro_rules! handlers {
    ($($parameter:ident)*) => {
        #[allow(unused_variables, non_snake_case)]
        impl<Function, Fut, T, E, $($parameter,)*> Handler<($($parameter,)*)> for Function
        where
            Function: Fn($($parameter),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<T, E>> + Send + 'static,
            T: Serialize,
            E: Into<HandlerError>,
            $($parameter: FromCall,)*
        {
            fn call(&self, call: Call) -> HandlerFuture {
                let started: Result<Fut, HandlerError> = (|| {
                    if !(false $(|| $parameter::TAKES_ARGS)*) {
                        refuse_args(&call)?;
                    }
                    $(let $parameter = $parameter::from_call(&call)?;)*
                    Ok(self($($parameter),*))
                })();
                Box::pin(async move {
                    let result = started?.await;
                    serialised(&call.request.method, call.non_finite, result)
                })
            }

            fn missing(states: &States) -> Option<&'static str> {
                None$(.or_else(|| $parameter::missing(states)))*
            }
        }

        #[allow(unused_variables, non_snake_case)]
        impl<Function, T, E, $($parameter,)*> BlockingHandler<($($parameter,)*)> for Function
        where
            Function: Fn($($parameter),*) -> Result<T, E> + Send + Sync + 'static,
            T: Serialize,
            E: Into<HandlerError>,
            $($parameter: FromCall,)*
        {
            fn call(&self, call: Call) -> HandlerResult {
                if !(false $(|| $parameter::TAKES_ARGS)*) {
                    refuse_args(&call)?;
                }
                $(let $parameter = $parameter::from_call(&call)?;)*
                serialised(&call.request.method, call.non_finite, self($($parameter),*))
            }

            fn missing(states: &States) -> Option<&'static str> {
                None$(.or_else(|| $parameter::missing(states)))*
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

type Missing = fn(&States) -> Option<&'static str>;

/// A handler without the types of its parameters.
#[derive(Clone)]
pub(crate) struct ErasedHandler {
    call: Arc<dyn Fn(Call) -> HandlerFuture + Send + Sync>,
    missing: Missing,
}

impl fmt::Debug for ErasedHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ErasedHandler")
    }
}

impl ErasedHandler {
    pub(crate) fn new<A, H: Handler<A>>(handler: H) -> Self {
        Self { call: Arc::new(move |call| handler.call(call)), missing: H::missing }
    }

    pub(crate) fn blocking<A, H: BlockingHandler<A>>(handler: H) -> Self {
        Self::whole_blocking(H::missing, move |call| handler.call(call))
    }

    /// A function of the whole call.
    pub(crate) fn whole(missing: Missing, function: impl Fn(Call) -> HandlerFuture + Send + Sync + 'static) -> Self {
        Self { call: Arc::new(function), missing }
    }

    /// [`whole`](Self::whole) for a function that may block.
    pub(crate) fn whole_blocking(
        missing: Missing,
        function: impl Fn(Call) -> HandlerResult + Send + Sync + 'static,
    ) -> Self {
        let function = Arc::new(function);
        let call = move |call: Call| -> HandlerFuture {
            let function = function.clone();
            Box::pin(async move {
                // The deadline is task-local and does not reach the blocking thread by itself.
                let deadline = Deadline(call.deadline);
                match tokio::task::spawn_blocking(move || deadline.sync_scope(|| function(call))).await {
                    Ok(answer) => answer,
                    Err(ended) => match ended.try_into_panic() {
                        Ok(payload) => panic::resume_unwind(payload),
                        Err(_) => Err(Failure::builtin("RuntimeError", "the server's runtime is shutting down").into()),
                    },
                }
            })
        };
        Self { call: Arc::new(call), missing }
    }

    pub(crate) fn call(&self, call: Call) -> HandlerFuture {
        (self.call)(call)
    }

    pub(crate) fn missing(&self, states: &States) -> Option<&'static str> {
        (self.missing)(states)
    }
}
