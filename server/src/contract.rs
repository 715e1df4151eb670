//! What the code that `#[contract]` and `#[endpoint]` write calls. No part of the API.

use std::{any::Any, future::Future, marker::PhantomData};

use oxlo_transport::{Failure, Payload, settings::RemoteError};
use serde::{Serialize, de::DeserializeOwned};

pub use crate::{
    call::Call,
    endpoint::Endpoint,
    extract::FromCall,
    flatten::{Fields, Rest, any_fields, fields, refuse_rest},
    result::{HandlerError, HandlerResult},
    states::States,
};
use crate::{extract, handler::ErasedHandler, result};

/// Adds an async method that takes the call as a whole. `missing` names what its parameters need of the endpoint.
pub fn method<Function, Fut>(
    mut endpoint: Endpoint,
    name: &str,
    missing: fn(&States) -> Option<&'static str>,
    function: Function,
) -> Endpoint
where
    Function: Fn(Call) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = HandlerResult> + Send + 'static,
{
    let handler = ErasedHandler::whole(missing, move |call| Box::pin(function(call)));
    endpoint.methods.push((name.into(), handler));
    endpoint
}

/// Adds a method that may block.
pub fn blocking_method<Function>(
    mut endpoint: Endpoint,
    name: &str,
    missing: fn(&States) -> Option<&'static str>,
    function: Function,
) -> Endpoint
where
    Function: Fn(Call) -> HandlerResult + Send + Sync + 'static,
{
    endpoint.methods.push((name.into(), ErasedHandler::whole_blocking(missing, function)));
    endpoint
}

/// Reads the named arguments.
///
/// # Errors
///
/// A `TypeError` that names what does not fit.
pub fn arguments<T: DeserializeOwned>(call: &Call) -> Result<T, HandlerError> {
    extract::arguments(call)
}

/// Reads the context as the method's own type.
///
/// # Errors
///
/// A `TypeError` that names the method and what is missing.
pub fn context<C: DeserializeOwned + Any>(call: &Call) -> Result<C, HandlerError> {
    extract::context(call)
}

/// Reads a parameter that is marked `#[extract]`.
///
/// # Errors
///
/// As [`FromCall::from_call`].
pub fn extract<T: FromCall>(call: &Call) -> Result<T, HandlerError> {
    T::from_call(call)
}

/// What the endpoint would have to provide for such a parameter and does not.
#[must_use]
pub fn missing<T: FromCall>(states: &States) -> Option<&'static str> {
    T::missing(states)
}

/// The answer of a method that gave a value.
///
/// # Errors
///
/// A `TypeError` if the value has no JSON form.
pub fn answer<T: Serialize + ?Sized>(call: &Call, value: &T) -> Result<Payload, HandlerError> {
    result::serialised::<_, Failure>(&call.request.method, call.non_finite, Ok(value))
}

/// Turns the error of a method into its answer. A [`RemoteError`] finds the inherent method: the contract declares it, so
/// it is expected. Any other error finds that of [`FailUndeclared`].
#[derive(Debug)]
pub struct Fail<E>(PhantomData<fn() -> E>);

impl<E> Fail<E> {
    /// For errors of type `E`.
    #[allow(clippy::new_without_default)]
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<E: RemoteError> Fail<E> {
    /// The answer of a method that failed with an error that its contract declares.
    ///
    /// # Errors
    ///
    /// Always.
    #[allow(clippy::unused_self)]
    pub fn fail(&self, error: E) -> HandlerResult {
        Err(HandlerError::expected(error))
    }
}

/// See [`Fail`].
pub trait FailUndeclared<E> {
    /// The answer of a method that failed with another error.
    ///
    /// # Errors
    ///
    /// Always.
    fn fail(&self, error: E) -> HandlerResult;
}

impl<E: Into<HandlerError>> FailUndeclared<E> for Fail<E> {
    fn fail(&self, error: E) -> HandlerResult {
        Err(error.into())
    }
}
