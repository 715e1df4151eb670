//! Converts the errors of fe2o3-amqp and of the stream.

use std::{io, sync::Arc, time::Duration};

use fe2o3_amqp::{
    connection::OpenError,
    link::{LinkStateError, ReceiverAttachError, SendError, SenderAttachError, SessionStopReason},
    session::BeginError,
    types::{
        definitions::{self, AmqpError, ConnectionError, ErrorCondition, LinkError},
        messaging::Outcome,
        primitives::Symbol,
    },
};
use oxlo_driver_kit::{hosts::Host, link::AttemptError, text};
use oxlo_transport::{Refusal, TransportError};

use crate::stream;

/// An error of fe2o3-amqp, which may quote the broker.
pub(crate) fn shown(error: &impl std::fmt::Display) -> String {
    text::said(&error.to_string())
}

/// The error for a task that waited for a link, a session or a connection that was lost.
pub(crate) fn lost(cause: &str) -> TransportError {
    TransportError::ConnectionLost { source: Some(Arc::new(text::Said::new(cause))) }
}

/// The AMQP connection could not be opened. `failure` is how the stream failed, which is nearer to the cause.
pub(crate) fn from_open(
    host: &Host,
    hostname: Option<&str>,
    waited: Duration,
    error: &OpenError,
    failure: Option<Arc<io::Error>>,
) -> AttemptError {
    if let Some(failure) = failure {
        if !stream::is_permanent(&failure) {
            return AttemptError::passing(host.place(), waited, Some(failure));
        }
        let tls = failure.get_ref().is_some_and(|inner| inner.is::<oxlo_driver_kit::tls::TlsError>());
        let refusal = if tls { Refusal::Tls } else { Refusal::Protocol };
        return AttemptError::refused(host.place(), refusal, failure.to_string());
    }
    let who = match host.user() {
        "" => "nobody (SASL ANONYMOUS)".to_owned(),
        user => format!("user `{user}`"),
    };
    match error {
        OpenError::SaslError { .. } => AttemptError::refused(
            host.place(),
            Refusal::Credentials,
            format!("{who} was not let in; check user, password and sasl_mechanisms"),
        ),
        OpenError::NotImplemented(_) => AttemptError::refused(
            host.place(),
            Refusal::Credentials,
            format!("the broker offers no way to log in as {who}; check user and sasl_mechanisms"),
        ),
        OpenError::ProtocolHeaderMismatch(header) => AttemptError::refused(
            host.place(),
            Refusal::Protocol,
            format!("the broker answers with the protocol header {}", header.escape_ascii()),
        ),
        OpenError::RemoteClosedWithError(error) => closed(host, hostname, waited, error),
        error => AttemptError::passing(host.place(), waited, Some(Arc::new(text::Said::new(&error.to_string())))),
    }
}

/// The first session of a connection could not begin.
pub(crate) fn from_begin(host: &Host, hostname: Option<&str>, waited: Duration, error: &BeginError) -> AttemptError {
    use fe2o3_amqp::connection::ConnectionStopReason as Stop;
    match error {
        BeginError::RemoteEndedWithError(error) | BeginError::ConnectionStopped(Stop::RemoteClosedWithError(error)) => {
            closed(host, hostname, waited, error)
        }
        error => AttemptError::passing(host.place(), waited, Some(Arc::new(text::Said::new(&error.to_string())))),
    }
}

/// The broker closed a connection that had just been opened.
fn closed(host: &Host, hostname: Option<&str>, waited: Duration, error: &definitions::Error) -> AttemptError {
    let denied = [AmqpError::UnauthorizedAccess, AmqpError::NotAllowed, AmqpError::NotFound];
    if let Some((refusal, why)) = passing(error) {
        return AttemptError::refused(host.place(), refusal, format!("{why} ({})", said(error)));
    }
    match &error.condition {
        ErrorCondition::AmqpError(condition) if denied.contains(condition) => AttemptError::refused(
            host.place(),
            Refusal::VirtualHost,
            match hostname {
                Some(name) => {
                    let name = name.strip_prefix("vhost:").unwrap_or(name);
                    format!("virtual host `{name}` does not exist, or we may not enter it: {}", said(error))
                }
                None => format!("the virtual host is not open to us: {}", said(error)),
            },
        ),
        _ => AttemptError::passing(host.place(), waited, Some(Arc::new(text::Said::new(&said(error))))),
    }
}

/// The refusal and what to do, if the broker cannot open a connection for now.
fn passing(error: &definitions::Error) -> Option<(Refusal, &'static str)> {
    let description = error.description.as_deref().unwrap_or_default();
    if matches!(error.condition, ErrorCondition::AmqpError(AmqpError::ResourceLimitExceeded))
        || description.contains("limit") && description.contains("reached")
    {
        return Some((Refusal::ConnectionLimit, "too many connections are open; close some, or raise the limit"));
    }
    if description.contains("is down") {
        return Some((Refusal::Unavailable, "the virtual host is down; restart it"));
    }
    let forced = ErrorCondition::ConnectionError(ConnectionError::ConnectionForced);
    (error.condition == forced).then_some((Refusal::Unavailable, "the broker is being stopped or drained"))
}

/// The broker's error as text, without the payloads that its map may hold.
pub(crate) fn said(error: &definitions::Error) -> String {
    let condition = match &error.condition {
        ErrorCondition::AmqpError(condition) => format!("{condition:?}"),
        ErrorCondition::Custom(symbol) => text::said(&symbol.to_string()),
        other => format!("{other:?}"),
    };
    match &error.description {
        Some(told) => format!("{condition}: {}", text::said(told)),
        None => condition,
    }
}

/// Why a link could not be attached.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The node does not exist.
    Missing(String),
    /// The node cannot be reached, which is how some brokers refer to a reply node that is gone.
    Gone(String),
    /// The broker refused it.
    Denied(String),
    /// The session or the connection was lost: retry.
    Lost(String),
}

/// Why a session could not begin.
pub(crate) fn begin_refused(error: &BeginError) -> Refused {
    match error {
        BeginError::RemoteEndedWithError(error) => match refused(error) {
            Refused::Missing(reason) | Refused::Gone(reason) => Refused::Denied(reason),
            refused => refused,
        },
        error => Refused::Lost(shown(error)),
    }
}

fn refused(error: &definitions::Error) -> Refused {
    match &error.condition {
        ErrorCondition::AmqpError(AmqpError::NotFound) => Refused::Missing(said(error)),
        ErrorCondition::AmqpError(AmqpError::InternalError | AmqpError::ResourceLocked) => Refused::Gone(said(error)),
        _ => Refused::Denied(said(error)),
    }
}

fn stopped(reason: &SessionStopReason) -> Refused {
    match reason {
        SessionStopReason::RemoteEndedWithError(error) => refused(error),
        reason => Refused::Lost(shown(&format_args!("{reason:?}"))),
    }
}

pub(crate) fn sender_refused(error: &SenderAttachError) -> Refused {
    match error {
        SenderAttachError::RemoteClosedWithError(error) => refused(error),
        SenderAttachError::SessionStopped(reason) => stopped(reason),
        // How a broker refuses with fe2o3-amqp not finding the reason: an attach without target, then a detach.
        SenderAttachError::IncomingTargetIsNone => Refused::Gone("the broker attached no target".to_owned()),
        error => Refused::Lost(shown(error)),
    }
}

pub(crate) fn receiver_refused(error: &ReceiverAttachError) -> Refused {
    match error {
        ReceiverAttachError::RemoteClosedWithError(error) => refused(error),
        ReceiverAttachError::SessionStopped(reason) => stopped(reason),
        ReceiverAttachError::IncomingSourceIsNone => Refused::Denied("the broker attached no source".to_owned()),
        error => Refused::Lost(shown(error)),
    }
}

/// The end of a link that carried a request: some brokers refuse by ending the link, or its session.
///
/// An internal error is no refusal: RabbitMQ 4 reports one when two clients declare the same queue at once.
pub(crate) fn link_refused(state: &LinkStateError) -> Refused {
    let refused = match state {
        LinkStateError::RemoteDetachedWithError(error) | LinkStateError::RemoteClosedWithError(error) => refused(error),
        LinkStateError::SessionStopped(reason) => stopped(reason),
        state => Refused::Lost(state.to_string()),
    };
    match refused {
        Refused::Gone(reason) => Refused::Lost(reason),
        refused => refused,
    }
}

/// Why the outcome of a message is unknown.
#[derive(Debug)]
pub(crate) enum Unknown {
    /// The broker refused a message, this one or another, by ending the link or the session: its condition and its text.
    Refused { code: String, reason: String },
    /// The link ended for another reason.
    Lost(String),
}

/// What the end of a link means for a message in flight.
pub(crate) fn unknown(error: &SendError) -> Unknown {
    let SendError::LinkStateError(state) = error else { return Unknown::Lost(shown(error)) };
    let (LinkStateError::RemoteDetachedWithError(told)
    | LinkStateError::RemoteClosedWithError(told)
    | LinkStateError::SessionStopped(SessionStopReason::RemoteEndedWithError(told))) = state
    else {
        return Unknown::Lost(link_end(state));
    };
    let code = match &told.condition {
        ErrorCondition::LinkError(condition @ LinkError::MessageSizeExceeded) => Symbol::from(condition),
        ErrorCondition::AmqpError(
            condition @ (AmqpError::UnauthorizedAccess
            | AmqpError::NotAllowed
            | AmqpError::PreconditionFailed
            | AmqpError::InvalidField
            | AmqpError::DecodeError
            | AmqpError::NotImplemented
            | AmqpError::ResourceLimitExceeded
            | AmqpError::FrameSizeTooSmall),
        ) => Symbol::from(condition),
        _ => return Unknown::Lost(said(told)),
    };
    Unknown::Refused { code: code.to_string(), reason: said(told) }
}

/// A message that the broker refuses whenever it is sent: it did not run, and the broker's text says why.
pub(crate) fn message_refused(address: &str, code: String, reason: String) -> TransportError {
    TransportError::MessageRefused {
        exchange: Box::default(),
        routing_key: address.into(),
        code: code.into(),
        reason: reason.into(),
        may_pass: false,
    }
}

/// How a link ended, as one sentence.
pub(crate) fn link_end(error: &LinkStateError) -> String {
    match error {
        LinkStateError::RemoteDetachedWithError(error) | LinkStateError::RemoteClosedWithError(error) => said(error),
        LinkStateError::SessionStopped(SessionStopReason::RemoteEndedWithError(error)) => said(error),
        error => shown(error),
    }
}

/// The outcome of a message: `Ok(true)` if it was accepted, `Ok(false)` if no one is there to take it.
///
/// # Errors
///
/// [`TransportError::Rejected`].
pub(crate) fn outcome(address: &str, outcome: &Outcome) -> Result<bool, TransportError> {
    let rejected = |reason: String| TransportError::Rejected { routing_key: address.to_owned(), reason };
    match outcome {
        Outcome::Accepted(_) => Ok(true),
        Outcome::Released(_) => Ok(false),
        Outcome::Rejected(why) => Err(rejected(why.error.as_ref().map_or_else(|| "no reason given".to_owned(), said))),
        Outcome::Modified(how) if how.delivery_failed != Some(true) && how.undeliverable_here != Some(true) => {
            Ok(false)
        }
        Outcome::Modified(_) => Err(rejected("it could not be delivered".to_owned())),
        #[allow(unreachable_patterns)]
        _ => Err(rejected("it was not accepted".to_owned())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn host() -> Host {
        let config = crate::config::Config::from_url(&"amqp://nova:tooth-fairy@mq1/".parse().unwrap()).unwrap();
        config.hosts.into_iter().next().unwrap()
    }

    #[test]
    fn an_internal_error_over_a_request_is_retried() {
        let ended = |condition: AmqpError| {
            let error = definitions::Error::new(condition, Some("told".to_owned()), None);
            link_refused(&LinkStateError::SessionStopped(SessionStopReason::RemoteEndedWithError(error)))
        };
        assert!(matches!(ended(AmqpError::InternalError), Refused::Lost(_)));
        assert!(matches!(ended(AmqpError::UnauthorizedAccess), Refused::Denied(_)));
    }

    #[test]
    fn a_refusal_that_may_pass_is_told_from_one_that_does_not() {
        let over = "access to vhost 'x' refused for user 'nova': connection limit (0) is reached";
        let cases: [(ErrorCondition, &str, Refusal); 5] = [
            (AmqpError::NotAllowed.into(), over, Refusal::ConnectionLimit),
            (AmqpError::ResourceLimitExceeded.into(), "too many clients", Refusal::ConnectionLimit),
            (AmqpError::InternalError.into(), "vhost 'x' is down", Refusal::Unavailable),
            (ConnectionError::ConnectionForced.into(), "Node was put into maintenance mode", Refusal::Unavailable),
            (AmqpError::NotAllowed.into(), "vhost 'x' not found", Refusal::VirtualHost),
        ];
        for (condition, description, refusal) in cases {
            let error = definitions::Error::new(condition, Some(description.to_owned()), None);
            let attempt = closed(&host(), Some("vhost:x"), Duration::ZERO, &error);
            assert_eq!(attempt.permanent, refusal == Refusal::VirtualHost, "{description}");
            let TransportError::Refused { refusal: told, reason, .. } = &attempt.error else { panic!("{attempt:?}") };
            assert!(*told == refusal && reason.contains(description), "{attempt:?}");
        }
    }
}
