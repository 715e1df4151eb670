//! What a handler returns: a result, a failure, or a decision about the request itself.

use oxlo_transport::{
    Failure, Payload,
    settings::{FromFailure, NonFinite},
    text::one_line,
};
use serde::Serialize;

/// What a handler returns, its value serialised.
pub type HandlerResult = Result<Payload, HandlerError>;

/// Why a handler returns no value.
///
/// `?` converts from a [`Failure`], from any [`RemoteError`](oxlo_transport::settings::RemoteError), and from any type
/// that is `Into<Failure>`. For other errors choose the class that the caller sees, for example
/// `.map_err(|error| Failure::builtin("RuntimeError", error.to_string()))`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HandlerError {
    /// The method failed. The caller receives the failure.
    #[error("{0}")]
    Failure(Box<Failure>),
    /// The method failed in a way that it declares or expects. The caller receives the failure like any other; it is
    /// logged at debug level and counted as `expected_failure`. oslo's `expected_exceptions`;
    /// [`Endpoint::expects`](crate::Endpoint::expects) does the same for a whole endpoint.
    #[error("{0}")]
    Expected(Box<Failure>),
    /// The request was refused and the method did not run, for example because an argument does not fit. The caller
    /// receives the failure and can tell that the method did not run; see [`Failure::is_refusal`].
    #[error("{0}")]
    Refused(Box<Failure>),
    /// Requeues the request for another server. Needs [`AckPolicy::AfterReply`](crate::AckPolicy::AfterReply); under
    /// `BeforeDispatch` the request was acknowledged before, and the caller receives a `RuntimeError` that says so.
    #[error("requeued for another server")]
    Requeue,
    /// Ends the request without a reply: the caller's timeout expires.
    #[error("no reply is sent")]
    Ignore,
}

impl HandlerError {
    /// A failure that the method declares or expects; see [`Expected`](Self::Expected).
    ///
    /// ```
    /// use oxlo_server::{Endpoint, Failure, HandlerError};
    ///
    /// let endpoint = Endpoint::new("1.0").method("find", async || {
    ///     Err::<(), _>(HandlerError::expected(Failure::builtin("KeyError", "no such volume")))
    /// });
    /// ```
    #[must_use]
    pub fn expected(failure: impl Into<Failure>) -> Self {
        Self::Expected(Box::new(failure.into()))
    }

    /// A refusal to run the method, for extractors and layers; see [`Refused`](Self::Refused).
    ///
    /// ```
    /// use oxlo_server::{Call, Failure, FromCall, HandlerError};
    ///
    /// struct Project(String);
    ///
    /// impl FromCall for Project {
    ///     fn from_call(call: &Call) -> Result<Self, HandlerError> {
    ///         let project = call.request.context.get_str("project_id");
    ///         let missing = || HandlerError::refused(Failure::builtin("PermissionError", "the context has no project_id"));
    ///         project.map(|it| Self(it.to_owned())).ok_or_else(missing)
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn refused(failure: impl Into<Failure>) -> Self {
        Self::Refused(Box::new(failure.into()))
    }
}

impl<E: Into<Failure>> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::Failure(Box::new(error.into()))
    }
}

/// A contract's method may return it. Its caller then receives every failure as [`HandlerError::Failure`], expected or
/// not; a request that is requeued or ignored has none.
impl FromFailure for HandlerError {
    fn recognise(failure: &Failure) -> Option<Self> {
        Some(Self::Failure(Box::new(failure.clone())))
    }
}

/// Serialises the value that a method returned.
pub(crate) fn serialised<T: Serialize, E: Into<HandlerError>>(
    method: &str,
    non_finite: NonFinite,
    result: Result<T, E>,
) -> HandlerResult {
    let value = result.map_err(Into::into)?;
    Payload::encode_with(&value, non_finite).map_err(|error| {
        let error = error.to_string();
        let text = format!("the result of {method}() has no JSON form: {}", one_line(&error));
        Failure::builtin("TypeError", text).into()
    })
}
