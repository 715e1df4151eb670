//! The conditions of a handler one by one, for `#[debug_handler]`: each has a message of its own, and is checked at the
//! type that it is about.

use std::future::Future;

use serde::Serialize;

use crate::{extract::FromCall, result::HandlerError};

/// The value of a method.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a method",
    label = "is not `serde::Serialize`",
    note = "derive it: `#[derive(serde::Serialize)]`",
    note = "a type of another crate may have it behind a cargo feature"
)]
pub trait Value: Serialize {}

#[diagnostic::do_not_recommend]
impl<T: Serialize> Value for T {}

/// The error of a method.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a method",
    label = "is not `Into<HandlerError>`",
    note = "use a `Failure`, a `HandlerError`, or a type of yours with `#[derive(RemoteError)]`",
    note = "for another error, choose the class that the caller gets: `.map_err(|error| Failure::builtin(\"RuntimeError\", error.to_string()))`"
)]
pub trait Error: Into<HandlerError> {}

#[diagnostic::do_not_recommend]
impl<E: Into<HandlerError>> Error for E {}

/// What a handler resolves to.
#[diagnostic::on_unimplemented(
    message = "a handler returns a `Result`, not `{Self}`",
    label = "not a `Result`",
    note = "write `-> Result<{Self}, Failure>` and end with `Ok(..)`; `HandlerError` can be the error as well"
)]
pub trait Outcome {}

impl<T: Value, E: Error> Outcome for Result<T, E> {}

/// Checks a parameter.
pub const fn extractor<T: FromCall>() {}

/// Checks the value of a `Result` that is written out.
pub const fn value<T: Value>() {}

/// Checks the error of a `Result` that is written out.
pub const fn failure<E: Error>() {}

/// Checks a type that is not written out as a `Result`.
pub const fn outcome<T: Outcome>() {}

/// Checks the future of an `async fn`.
pub fn future<F: Future + Send + 'static>(_: F) {}

/// Checks the future of a function that names it `impl Future`.
pub fn future_of_outcome<F: Future<Output: Outcome> + Send + 'static>(_: F) {}
