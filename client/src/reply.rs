//! Decodes a reply into the result or the error of the call.

use oxlo_transport::{FromFailure, RemoteErrors, Reply};
use serde::de::DeserializeOwned;

use crate::{contract::MethodError, error::CallError, remote_failure::RemoteFailure, request_info::RequestInfo};

/// `request` is a closure because only errors need it.
pub(crate) fn decode<R: DeserializeOwned>(
    reply: Reply,
    errors: &RemoteErrors,
    request: impl FnOnce() -> RequestInfo,
) -> Result<R, CallError> {
    match reply {
        Reply::Result(result) => result.decode().map_err(|error| CallError::decode::<R>(request(), &error)),
        Reply::Failure(failure) => {
            Err(CallError::Remote { request: request(), failure: RemoteFailure::new(*failure, errors) })
        }
    }
}

/// As [`decode`], for a method whose contract declares its error.
pub(crate) fn decode_method<R: DeserializeOwned, E: FromFailure>(
    reply: Reply,
    errors: &RemoteErrors,
    request: impl FnOnce() -> RequestInfo,
) -> Result<R, MethodError<E>> {
    // A refusal or a timeout of the server is not an error of the method.
    if let Reply::Failure(failure) = &reply
        && !failure.is_refusal()
        && !failure.is_timed_out()
        && let Some(error) = E::recognise(failure)
    {
        return Err(MethodError::Failed(error));
    }
    decode(reply, errors, request).map_err(MethodError::Call)
}
