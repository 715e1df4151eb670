//! The failures with which the server itself answers a request.

use oxlo_transport::{
    Failure, Payload,
    json::{JsonError, JsonErrorKind},
    text::{FOREIGN_NAME, folded},
};

use crate::result::HandlerError;

/// The arguments do not fit the method: a `TypeError`, as from a Python server. It names the argument and the path within
/// it, and never quotes values.
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

/// The method panicked.
pub(crate) fn panicked(method: &str) -> Failure {
    Failure::builtin("RuntimeError", format!("{method}() panicked in the server"))
}

/// The grace period ended before the method.
pub(crate) fn abandoned(method: &str) -> Failure {
    Failure::builtin("RuntimeError", format!("{method}() was abandoned: its server stopped before it finished"))
}

/// The method requeued its request, which the server acknowledged before.
pub(crate) fn requeue_refused(method: &str) -> Failure {
    let message = format!("{method}() requeued its request, but this server acknowledges before it dispatches");
    Failure::builtin("RuntimeError", message)
}

/// The request was redelivered too often.
pub(crate) fn given_up(method: &str, redeliveries: u32) -> Failure {
    let message = format!("{method}() was given up: its request was redelivered {redeliveries} times");
    Failure::builtin("RuntimeError", message)
}

/// The result exceeds `max_message_size`.
pub(crate) fn result_too_large(method: &str, size: usize, limit: usize) -> Failure {
    let message = format!("the result of {method}() has {size} bytes, the limit is {limit}");
    Failure::builtin("ValueError", message)
}
