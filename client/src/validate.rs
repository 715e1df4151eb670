//! Checks of a request before it is handed to the transport.

use std::{sync::Arc, time::Duration};

use oxlo_transport::{Context, Deadline, NonFinite, Payload, Request, Target, TransportError, Version, text::one_line};
use serde::Serialize;

use crate::{
    error::CallError,
    request_info::{CallKind, RequestInfo},
};

/// Returns the request if it may be sent.
pub(crate) fn request(
    kind: CallKind,
    target: &Target,
    version_cap: Option<&Arc<str>>,
    ctxt: &Context,
    method: &str,
    args: impl Serialize,
    non_finite: NonFinite,
) -> Result<Request, CallError> {
    let info = || RequestInfo::new(kind, method, target);
    let invalid = |reason: String| CallError::transport(info(), TransportError::InvalidTarget { reason });

    target.require_topic().map_err(|error| CallError::transport(info(), error))?;
    if kind == CallKind::Call && target.fanout {
        return Err(invalid("a fanout has no single reply; cast it, or prepare().fanout(false)".into()));
    }
    let version = match target.version.as_deref().map(str::parse::<Version>) {
        Some(Ok(version)) => Some(version),
        Some(Err(error)) => return Err(invalid(error.to_string())),
        None => None,
    };
    if let Some(cap) = version_cap {
        let limit: Version = cap.parse().map_err(|error| bad_option(&info, "version_cap", format!("{error}")))?;
        if !version.is_some_and(|version| version.is_compatible_with(&limit)) {
            return Err(CallError::VersionCap { request: info(), version: target.version.clone(), cap: cap.clone() });
        }
    }
    if let Some(fault) = ctxt.fault() {
        return Err(bad_option(&info, "ctxt", fault));
    }
    let args = arguments(args, non_finite, &info)?;

    Ok(Request {
        context: ctxt.clone(),
        method: method.into(),
        args,
        namespace: target.namespace.clone(),
        version: target.version.clone(),
    })
}

/// Refuses a timeout of zero: there is no time to wait, but a broker might still deliver what was sent.
pub(crate) fn timeout(timeout: Duration, info: impl Fn() -> RequestInfo) -> Result<Duration, CallError> {
    if timeout.is_zero() {
        return Err(bad_option(&info, "timeout", "it is zero, so there is no time left to send anything".into()));
    }
    Ok(timeout)
}

/// The timeout, or the time until the deadline if that is shorter.
pub(crate) fn timeout_within(
    timeout: Duration,
    deadline: Deadline,
    info: impl Fn() -> RequestInfo,
) -> Result<Duration, CallError> {
    let timeout = self::timeout(timeout, &info)?;
    match deadline.remaining() {
        Some(left) if left.is_zero() => Err(CallError::DeadlinePassed { request: info() }),
        Some(left) => Ok(timeout.min(left)),
        None => Ok(timeout),
    }
}

/// Servers count whole seconds and send a heartbeat every half of the timeout, at least a second apart (`oslo-rabbit` 1.5).
pub(crate) fn monitor_timeout(
    silence: Option<Duration>,
    info: impl Fn() -> RequestInfo,
) -> Result<Option<Duration>, CallError> {
    match silence {
        Some(silence) if silence.subsec_nanos() != 0 || silence.as_secs() < 2 => Err(bad_option(
            &info,
            "call_monitor_timeout",
            format!("{silence:?} is not whole seconds, at least 2; servers send heartbeats every half of it"),
        )),
        other => Ok(other),
    }
}

fn bad_option(info: &impl Fn() -> RequestInfo, option: &str, reason: String) -> CallError {
    CallError::transport(info(), TransportError::Config { option: option.into(), reason })
}

fn arguments(
    args: impl Serialize,
    non_finite: NonFinite,
    info: &impl Fn() -> RequestInfo,
) -> Result<Payload, CallError> {
    let refuse = |reason: &str| CallError::Encode { request: info(), reason: reason.into() };
    let args = Payload::encode_with(&args, non_finite)
        .map_err(|error| refuse(&format!("have no JSON form: {}", one_line(&error.to_string()))))?;
    if args.is_object() {
        return Ok(args);
    }
    let text = args.as_bytes().trim_ascii();
    let reason = match text.first() {
        _ if text == b"null" => return Ok(Payload::empty_object()),
        Some(b'[') => "must be a JSON object of names and values, not an array",
        Some(b'"') => "must be a JSON object of names and values, not a string",
        Some(b't' | b'f') => "must be a JSON object of names and values, not a boolean",
        _ => "must be a JSON object of names and values, not a number",
    };
    Err(refuse(reason))
}
