//! What a handler gives: a result, a failure, or a word about the request itself.

use oxlo_transport::{
    Failure, Payload,
    json::{JsonError, JsonErrorKind},
    settings::{FromFailure, NonFinite},
    text::{FOREIGN_NAME, folded, one_line},
};
use serde::Serialize;

/// What a handler gives, its result serialised.
pub type Answer = Result<Payload, HandlerError>;

/// Why a handler gives no result.
///
/// `?` makes one from a [`Failure`], from any [`RemoteError`](oxlo_transport::settings::RemoteError), and from every
/// type of yours that is `Into<Failure>`. Other errors need a decision which class the caller is to see, for example
/// `.map_err(|error| Failure::builtin("RuntimeError", error.to_string()))`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HandlerError {
    /// The method failed; the caller gets this.
    #[error("{0}")]
    Failure(Box<Failure>),
    /// The method failed, as it may: the caller gets this as any other failure, the log says it at debug, and the metric
    /// has a label of its own. oslo's `expected_exceptions`; for a whole endpoint there is
    /// [`Endpoint::expects`](crate::Endpoint::expects).
    #[error("{0}")]
    Expected(Box<Failure>),
    /// The request was refused and the method did not run, for example because an argument does not fit. The caller gets
    /// the failure and can tell that nothing ran; see [`Failure::is_refusal`].
    #[error("{0}")]
    Refused(Box<Failure>),
    /// Not me: another server shall run it. Needs [`AckPolicy::AfterReply`](crate::AckPolicy::AfterReply); under
    /// `BeforeDispatch` the broker has forgotten the request, and the caller gets a `RuntimeError` that says so.
    #[error("another server shall run it")]
    Requeue,
    /// It is done, and the caller gets no reply: it runs into its timeout.
    #[error("the caller gets no reply")]
    Ignore,
}

impl HandlerError {
    /// A failure that is part of what the method may say; see [`Expected`](Self::Expected).
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
    ///         let nobody = || HandlerError::refused(Failure::builtin("PermissionError", "the context names no project_id"));
    ///         project.map(|it| Self(it.to_owned())).ok_or_else(nobody)
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

/// A contract's method may return it. Its caller then gets every failure as [`HandlerError::Failure`], whether it was
/// expected or not; a request that is requeued or ignored ends without one.
impl FromFailure for HandlerError {
    fn recognise(failure: &Failure) -> Option<Self> {
        Some(Self::Failure(Box::new(failure.clone())))
    }
}

/// Serialises what a method gave.
pub(crate) fn answer<T: Serialize, E: Into<HandlerError>>(
    method: &str,
    non_finite: NonFinite,
    result: Result<T, E>,
) -> Answer {
    let value = result.map_err(Into::into)?;
    Payload::encode_with(&value, non_finite).map_err(|error| {
        let error = error.to_string();
        let text = format!("the result of {method}() has no JSON form: {}", one_line(&error));
        Failure::builtin("TypeError", text).into()
    })
}

/// The arguments do not fit the method: a `TypeError`, as from a Python server. The argument is named, and the path
/// within it; values never are.
pub(crate) fn wrong_arguments(method: &str, args: &Payload, error: &JsonError) -> HandlerError {
    let path = error.path();
    let message = match error.kind() {
        JsonErrorKind::UnknownField { known } if path.is_empty() => {
            let name = error.offset().and_then(|offset| string_at(args, offset));
            let what =
                name.map_or_else(|| "an unexpected argument".to_owned(), |it| format!("an unexpected argument '{it}'"));
            match known {
                [] => format!("{method}() got {what}; it takes none"),
                known => format!("{method}() got {what}; it takes {}", known.join(", ")),
            }
        }
        JsonErrorKind::UnknownField { known } => {
            let name = error.offset().and_then(|offset| string_at(args, offset));
            let what =
                name.map_or_else(|| "an unexpected field".to_owned(), |it| format!("an unexpected field '{it}'"));
            match known {
                [] => format!("{method}(): argument '{path}' has {what}; it takes none"),
                known => format!("{method}(): argument '{path}' has {what}; it takes {}", known.join(", ")),
            }
        }
        JsonErrorKind::MissingField { .. } => format!("{method}(): argument '{path}' is missing"),
        JsonErrorKind::Data(problem) if path.is_empty() => format!("{method}(): its arguments: {problem}"),
        JsonErrorKind::Data(problem) => format!("{method}(): argument '{path}': {problem}"),
        _ => format!("{method}(): {error}"),
    };
    HandlerError::refused(Failure::builtin("TypeError", message))
}

fn string_at(json: &Payload, offset: usize) -> Option<String> {
    let rest = json.as_bytes().get(offset..)?;
    let name: String = serde_json::Deserializer::from_slice(rest).into_iter().next()?.ok()?;
    Some(folded(&name, FOREIGN_NAME).into_owned())
}

pub(crate) fn panicked(method: &str) -> Failure {
    Failure::builtin("RuntimeError", format!("{method}() panicked in the server"))
}

pub(crate) fn abandoned(method: &str) -> Failure {
    Failure::builtin("RuntimeError", format!("{method}() was abandoned: its server stopped before it finished"))
}

pub(crate) fn requeue_refused(method: &str) -> Failure {
    let message = format!("{method}() asked for another server, but this server acknowledges before it dispatches");
    Failure::builtin("RuntimeError", message)
}

pub(crate) fn given_up(method: &str, redeliveries: u32) -> Failure {
    let message = format!("{method}() was given up: its request came back {redeliveries} times without an end");
    Failure::builtin("RuntimeError", message)
}

pub(crate) fn result_too_large(method: &str, size: usize, limit: usize) -> Failure {
    let message = format!("the result of {method}() has {size} bytes, the limit is {limit}");
    Failure::builtin("ValueError", message)
}
