//! Extractors: the parameters of handlers.

use std::{any::Any, sync::Arc};

use oxlo_serving::Redelivered;
use oxlo_transport::{Context, Deadline, Failure, Payload, Request, text::one_line};
use serde::de::DeserializeOwned;

use crate::{
    call::{Call, Cancellation},
    failures::wrong_arguments,
    result::HandlerError,
    states::States,
};

/// A parameter of a handler, which is extracted from the request.
#[diagnostic::on_unimplemented(
    message = "a handler cannot take a `{Self}`",
    label = "not an extractor",
    note = "parameters are `Context`, `Ctxt<T>` (the context as a type that is `Deserialize`), `Args<T>` (the named arguments as a type that is `Deserialize`), `State<S>`, `Extension<X>`, `Method`, `Deadline`, `Cancellation`, `Redelivered`, `Payload` (the arguments as JSON text)",
    note = "the arguments come together: write `Args(it): Args<Add>` with `#[derive(Deserialize)] struct Add {{ a: i64, b: i64 }}`"
)]
pub trait FromCall: Sized {
    /// Whether the parameter reads the arguments. A handler without such a parameter refuses requests with arguments, like a
    /// Python method without parameters.
    const TAKES_ARGS: bool = false;

    /// Extracts the parameter. The handler does not run if that fails.
    ///
    /// # Errors
    ///
    /// The error for the caller, for example a `TypeError` for arguments that do not fit.
    fn from_call(call: &Call) -> Result<Self, HandlerError>;

    /// The state that the endpoint lacks for this parameter. Checked once, when the server is built.
    #[must_use]
    fn missing(states: &States) -> Option<&'static str> {
        let _ = states;
        None
    }
}

/// Two parameters at once, for handlers that need more than six.
impl<A: FromCall, B: FromCall> FromCall for (A, B) {
    const TAKES_ARGS: bool = A::TAKES_ARGS || B::TAKES_ARGS;

    fn from_call(call: &Call) -> Result<Self, HandlerError> {
        Ok((A::from_call(call)?, B::from_call(call)?))
    }

    fn missing(states: &States) -> Option<&'static str> {
        A::missing(states).or_else(|| B::missing(states))
    }
}

/// The request's context.
impl FromCall for Context {
    fn from_call(call: &Call) -> Result<Self, HandlerError> {
        Ok(call.request.context.clone())
    }
}

/// The named arguments, decoded into one `T`.
///
/// Arguments that do not fit end the request with a `TypeError` that names the method and the argument. Put
/// `#[serde(deny_unknown_fields)]` on `T` to refuse unknown arguments, as a Python method would; `#[serde(default)]`
/// makes one optional.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Args<T>(pub T);

impl<T: DeserializeOwned> FromCall for Args<T> {
    const TAKES_ARGS: bool = true;

    fn from_call(call: &Call) -> Result<Self, HandlerError> {
        arguments(call).map(Self)
    }
}

pub(crate) fn arguments<T: DeserializeOwned>(call: &Call) -> Result<T, HandlerError> {
    let Request { method, args, .. } = &call.request;
    args.decode().map_err(|error| wrong_arguments(method, args, &error))
}

/// The request's context, decoded into a `C`; entries without a field are ignored.
///
/// A context that does not fit ends the request with a `TypeError` that names the method and the entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ctxt<C>(pub C);

impl<C: DeserializeOwned + 'static> FromCall for Ctxt<C> {
    fn from_call(call: &Call) -> Result<Self, HandlerError> {
        context(call).map(Self)
    }
}

/// A [`Context`] is cloned, any other type is decoded from JSON.
pub(crate) fn context<C: DeserializeOwned + 'static>(call: &Call) -> Result<C, HandlerError> {
    let Request { method, context, .. } = &call.request;
    let mut own: Option<C> = None;
    if let Some(own) = (&mut own as &mut dyn Any).downcast_mut::<Option<Context>>() {
        *own = Some(context.clone());
    }
    match own {
        Some(own) => Ok(own),
        None => context.to_typed().map_err(|error| {
            let error = error.to_string();
            let text = format!("{method}(): its context does not fit: {}", one_line(&error));
            HandlerError::refused(Failure::builtin("TypeError", text))
        }),
    }
}

/// The named arguments as JSON text.
impl FromCall for Payload {
    const TAKES_ARGS: bool = true;

    fn from_call(call: &Call) -> Result<Self, HandlerError> {
        Ok(call.request.args.clone())
    }
}

/// A clone of a value of [`Endpoint::with_state`](crate::Endpoint::with_state). A server whose endpoint lacks the value
/// cannot be built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State<S>(pub S);

impl<S: Clone + Send + Sync + 'static> FromCall for State<S> {
    fn from_call(call: &Call) -> Result<Self, HandlerError> {
        call.states.get().cloned().map(Self).ok_or_else(|| {
            let message = format!("{}() is not set up on this server", call.request.method);
            HandlerError::refused(Failure::builtin("RuntimeError", message))
        })
    }

    fn missing(states: &States) -> Option<&'static str> {
        if states.get::<S>().is_some() { None } else { Some(std::any::type_name::<S>()) }
    }
}

/// The name by which the method was called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method(pub Arc<str>);

impl FromCall for Method {
    fn from_call(call: &Call) -> Result<Self, HandlerError> {
        Ok(Self(call.request.method.clone()))
    }
}

/// When the caller stops waiting.
impl FromCall for Deadline {
    fn from_call(call: &Call) -> Result<Self, HandlerError> {
        Ok(Self(call.deadline))
    }
}

/// Whether the result is still wanted.
impl FromCall for Cancellation {
    fn from_call(call: &Call) -> Result<Self, HandlerError> {
        Ok(call.cancellation.clone())
    }
}

/// A value that a layer inserted into the call, such as the identity of the caller. A request that passed no such layer ends
/// with a `RuntimeError`; take an `Option<Extension<X>>` if that may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extension<X>(pub X);

impl<X: Clone + Send + Sync + 'static> FromCall for Extension<X> {
    fn from_call(call: &Call) -> Result<Self, HandlerError> {
        call.extensions.get().cloned().map(Self).ok_or_else(|| {
            tracing::error!(
                method = &*call.request.method,
                extension = std::any::type_name::<X>(),
                "no layer of this server inserted this extension"
            );
            let message = format!("{}() is not set up on this server", call.request.method);
            HandlerError::refused(Failure::builtin("RuntimeError", message))
        })
    }
}

impl<X: Clone + Send + Sync + 'static> FromCall for Option<Extension<X>> {
    fn from_call(call: &Call) -> Result<Self, HandlerError> {
        Ok(call.extensions.get().cloned().map(Extension))
    }
}

/// Whether the broker delivered the request before: the method may have run already.
impl FromCall for Redelivered {
    fn from_call(call: &Call) -> Result<Self, HandlerError> {
        Ok(Self(call.redelivered))
    }
}
