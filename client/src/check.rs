//! What is refused before anything is handed to the transport.

use std::time::Duration;

use oxlo_transport::{
    Context, Deadline, Payload, Request, Target, TransportError, Version, settings::NonFinite, text::one_line,
};
use serde::Serialize;

use crate::{
    error::CallError,
    site::{CallKind, CallSite},
};

/// A request that may leave, or the reason why not.
pub(crate) fn request(
    kind: CallKind,
    target: &Target,
    version_cap: Option<&std::sync::Arc<str>>,
    ctxt: &Context,
    method: &str,
    args: impl Serialize,
    non_finite: NonFinite,
) -> Result<Request, CallError> {
    let site = || CallSite::new(kind, method, target);
    let invalid = |reason: String| CallError::InvalidTarget { site: site(), reason: reason.into() };

    target.require_topic().map_err(|error| match error {
        TransportError::InvalidTarget { reason } => invalid(reason),
        other => CallError::of(site(), other),
    })?;
    if kind == CallKind::Call && target.fanout {
        return Err(invalid("a fanout has no single reply; cast it, or prepare().fanout(false)".into()));
    }
    let version = match target.version.as_deref().map(str::parse::<Version>) {
        Some(Ok(version)) => Some(version),
        Some(Err(error)) => return Err(invalid(error.to_string())),
        None => None,
    };
    if let Some(cap) = version_cap {
        let limit: Version = cap.parse().map_err(|error| bad_option(&site, "version_cap", format!("{error}")))?;
        if !version.is_some_and(|version| version.is_compatible_with(&limit)) {
            return Err(CallError::VersionCap { site: site(), version: target.version.clone(), cap: cap.clone() });
        }
    }
    if let Some(fault) = ctxt.fault() {
        return Err(bad_option(&site, "ctxt", fault));
    }
    let args = arguments(args, non_finite, &site)?;

    Ok(Request {
        context: ctxt.clone(),
        method: method.into(),
        args,
        namespace: target.namespace.clone(),
        version: target.version.clone(),
    })
}

/// A timeout of zero is refused: nothing could be waited for, and a broker may still deliver what was sent.
pub(crate) fn timeout(timeout: Duration, site: impl Fn() -> CallSite) -> Result<Duration, CallError> {
    if timeout.is_zero() {
        return Err(bad_option(&site, "timeout", "it is zero, so there is no time left to send anything".into()));
    }
    Ok(timeout)
}

/// The timeout, or what is left until the deadline if that is less.
pub(crate) fn timeout_within(
    timeout: Duration,
    deadline: Deadline,
    site: impl Fn() -> CallSite,
) -> Result<Duration, CallError> {
    let timeout = self::timeout(timeout, &site)?;
    match deadline.remaining() {
        Some(left) if left.is_zero() => Err(CallError::DeadlinePassed { site: site() }),
        Some(left) => Ok(timeout.min(left)),
        None => Ok(timeout),
    }
}

/// Servers count whole seconds and send a heartbeat every half of it, at least a second apart (`oslo-rabbit` 1.5).
pub(crate) fn monitor_timeout(
    silence: Option<Duration>,
    site: impl Fn() -> CallSite,
) -> Result<Option<Duration>, CallError> {
    match silence {
        Some(silence) if silence.subsec_nanos() != 0 || silence.as_secs() < 2 => Err(bad_option(
            &site,
            "call_monitor_timeout",
            format!("{silence:?} is not whole seconds, at least 2; servers send heartbeats every half of it"),
        )),
        other => Ok(other),
    }
}

fn bad_option(site: &impl Fn() -> CallSite, option: &str, reason: String) -> CallError {
    CallError::Config { site: site(), option: option.into(), reason: reason.into() }
}

fn arguments(args: impl Serialize, non_finite: NonFinite, site: &impl Fn() -> CallSite) -> Result<Payload, CallError> {
    let refuse = |reason: &str| CallError::Encode { site: site(), reason: reason.into() };
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
