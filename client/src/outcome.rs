//! From a reply to what the caller asked for.

use oxlo_transport::{
    Failure, Payload, Reply,
    settings::{FromFailure, RemoteErrors},
};
use serde::de::DeserializeOwned;

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
        && !failure.is_refusal()
        && !failure.is_timed_out()
        && let Some(error) = E::recognise(failure)
    {
        return Err(MethodError::Failed(error));
    }
    outcome(reply, allowed, site).map_err(MethodError::Call)
}

fn decode<R: DeserializeOwned>(result: &Payload, site: impl FnOnce() -> CallSite) -> Result<R, CallError> {
    result.decode().map_err(|error| CallError::decode::<R>(site(), &error))
}

fn failed(failure: Failure, allowed: &RemoteErrors, site: CallSite) -> CallError {
    if allowed.allows(&failure.module) {
        let known = allowed.rebuild(&failure);
        return CallError::Remote(Remote::new(site, failure, known));
    }
    CallError::RemoteError {
        site,
        refused: failure.is_refusal(),
        exc_type: failure.class.into(),
        module: failure.module.into(),
        value: failure.message.into(),
        traceback: failure.traceback.into(),
    }
}
