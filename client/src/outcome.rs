//! From a reply to what the caller asked for.

use std::sync::Arc;

use oxlo_transport::{
    Failure, Payload, Reply,
    error::Cause,
    settings::{FromFailure, RemoteErrors},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{contract::MethodError, error::CallError, remote::Remote, site::CallSite};

/// `site` is only made when there is something to complain about.
pub(crate) fn outcome<R: DeserializeOwned>(
    reply: Reply,
    allowed: &RemoteErrors,
    site: impl FnOnce() -> CallSite,
) -> Result<R, CallError> {
    match reply {
        Reply::Result(result) => decode(&result, site),
        Reply::Failure(failure) => Err(failed(*failure, allowed, site())),
    }
}

/// As [`outcome`], for a method whose contract names its error.
pub(crate) fn method_outcome<R: DeserializeOwned, E: FromFailure>(
    reply: Reply,
    allowed: &RemoteErrors,
    site: impl FnOnce() -> CallSite,
) -> Result<R, MethodError<E>> {
    // What a server gives in place of the method is no error of the method.
    if let Reply::Failure(failure) = &reply
        && !failure.is_overloaded()
        && !failure.is_timed_out()
        && let Some(error) = E::recognise(failure)
    {
        return Err(MethodError::Failed(error));
    }
    outcome(reply, allowed, site).map_err(MethodError::Call)
}

fn decode<R: DeserializeOwned>(result: &Payload, site: impl FnOnce() -> CallSite) -> Result<R, CallError> {
    result.decode().map_err(|error| {
        let cause: Cause = Arc::new(error);
        CallError::decode::<R>(site(), path_of_mismatch::<R>(result), cause)
    })
}

/// Where in the result it stops being an `R`. Reading once more with a record of the path costs the caller nothing as
/// long as results are what they should be.
fn path_of_mismatch<R: DeserializeOwned>(result: &Payload) -> String {
    let Ok(value) = result.decode::<Value>() else { return String::new() };
    match serde_path_to_error::deserialize::<_, R>(value) {
        Err(error) if error.path().iter().len() > 0 => error.path().to_string(),
        _ => String::new(),
    }
}

fn failed(failure: Failure, allowed: &RemoteErrors, site: CallSite) -> CallError {
    if allowed.allows(&failure.module) {
        let known = allowed.rebuild(&failure);
        return CallError::Remote(Remote::new(site, failure, known));
    }
    CallError::RemoteError {
        site,
        exc_type: failure.class.into(),
        module: failure.module.into(),
        value: failure.message.into(),
        traceback: failure.traceback.into(),
    }
}
