//! From lapin's errors and the stream's to ours: pure.

use std::sync::Arc;

use lapin::{Error, ErrorKind};
use oxlo_driver_kit::{
    hosts::Host,
    link::AttemptError,
    text::{Said, said},
};
use oxlo_transport::{Cause, Refusal, TransportError};

use crate::stream::{self, StreamEnd};

/// An administrator, or the broker's end, closed the connection.
const CONNECTION_FORCED: u16 = 320;
const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;
const RESOURCE_ERROR: u16 = 506;
const NOT_ALLOWED: u16 = 530;
const NOT_IMPLEMENTED: u16 = 540;
const INTERNAL_ERROR: u16 = 541;

/// What a broker calls queues that are neither durable nor exclusive when it denies them.
const DENIED_QUEUES: &str = "transient_nonexcl_queues";
/// What RabbitMQ says of every limit of channels, of a connection, a user or a node.
const CHANNELS_OPENED: &str = "number of channels opened";

/// Whether the object exists with different properties. The broker uses the code for other failures as well.
pub(crate) fn is_mismatch(error: &Error) -> bool {
    reply_code(error) == Some(PRECONDITION_FAILED) && text(error).contains("inequivalent arg")
}

/// The reply code that the broker closed a channel or a connection with.
pub(crate) fn reply_code(error: &Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

/// Whether the object does not exist.
pub(crate) fn is_not_found(error: &Error) -> bool {
    reply_code(error) == Some(NOT_FOUND)
}

/// A connection that the broker closes before it is open, other than for credentials: why, and whether that may pass.
fn refusal(host: &Host, virtual_host: &str, code: u16, told: &str) -> Option<(Refusal, String)> {
    match code {
        NOT_ALLOWED if told.contains("limit") && told.contains("reached") => Some((
            Refusal::ConnectionLimit,
            format!("too many connections are open; close some, or raise the limit ({told})"),
        )),
        NOT_ALLOWED => Some((
            Refusal::VirtualHost,
            format!(
                "virtual host `{virtual_host}` does not exist, or user `{}` may not enter it ({told})",
                host.user()
            ),
        )),
        INTERNAL_ERROR if told.contains("is down") => {
            Some((Refusal::Unavailable, format!("virtual host `{virtual_host}` is down; restart it ({told})")))
        }
        CONNECTION_FORCED => Some((Refusal::Unavailable, format!("the node is being stopped or drained ({told})"))),
        RESOURCE_ERROR => Some((Refusal::ConnectionLimit, format!("the broker lacks a resource ({told})"))),
        INTERNAL_ERROR => Some((Refusal::Unavailable, format!("the broker failed ({told})"))),
        _ => None,
    }
}

/// A channel that the broker does not allow on a connection to `place`; `None` if it failed for another reason. `agreed` is
/// the connection's `channel_max`.
pub(crate) fn channel_limit(place: &str, agreed: u16, error: &Error) -> Option<TransportError> {
    let reason = match error.kind() {
        ErrorKind::ChannelsLimitReached => format!(
            "all {agreed} channels that the broker allows on one connection are open (its channel_max); raise it, or \
             serve less on this transport"
        ),
        _ if reply_code(error) == Some(NOT_ALLOWED) && text(error).contains(CHANNELS_OPENED) => {
            format!("too many channels are open; close some, or raise the limit ({})", text(error))
        }
        _ => return None,
    };
    Some(TransportError::Refused { refusal: Refusal::ChannelLimit, broker: place.to_owned(), reason })
}

/// Whether a limit keeps channels from being opened.
pub(crate) fn is_limit(error: &TransportError) -> bool {
    matches!(error, TransportError::Refused { refusal: Refusal::ChannelLimit, .. })
}

/// The error for a task that waited for a channel or a connection that was lost.
pub(crate) fn lost(error: Error) -> TransportError {
    TransportError::ConnectionLost { source: Some(cause(error)) }
}

/// A stream, but no AMQP connection on it. `end` is how the stream ended, which is nearer to the cause.
pub(crate) fn from_handshake(
    host: &Host,
    virtual_host: &str,
    waited: std::time::Duration,
    error: Error,
    end: Option<StreamEnd>,
) -> AttemptError {
    let code = reply_code(&error);
    if code == Some(ACCESS_REFUSED) {
        let reason = format!("user `{}` was not let in; check user, password and login method", host.user());
        return AttemptError::refused(host.place(), Refusal::Credentials, reason);
    }
    if let Some((why, reason)) = code.and_then(|code| refusal(host, virtual_host, code, &text(&error))) {
        return AttemptError::refused(host.place(), why, reason);
    }
    match end {
        Some(StreamEnd::Failed(error)) if stream::is_permanent(&error) => {
            AttemptError::refused(host.place(), Refusal::Protocol, error.to_string())
        }
        Some(StreamEnd::Failed(cause)) => AttemptError::passing(host.place(), waited, Some(cause)),
        _ => AttemptError::passing(host.place(), waited, Some(cause(error))),
    }
}

/// The broker refused a queue, an exchange, a binding or a consumer; `None` if the failure is not the broker's refusal.
pub(crate) fn topology(object: &str, error: &Error) -> Option<TransportError> {
    let advice = match reply_code(error)? {
        CONNECTION_FORCED => return None,
        // Somebody else's channel, which ended the connection that this was declared on.
        NOT_ALLOWED if text(error).contains(CHANNELS_OPENED) => return None,
        PRECONDITION_FAILED if is_mismatch(error) => {
            "; it exists with other properties: give this transport the options of the service that declared it \
             (durable, auto-delete, quorum, TTL), delete it first, or use it as it is with on_declare_mismatch=adopt"
        }
        ACCESS_REFUSED => "; the user needs configure, write and read permission for it",
        NOT_FOUND => "; the node that holds it may be down",
        INTERNAL_ERROR if text(error).contains(DENIED_QUEUES) => {
            "; the broker denies queues that are neither durable nor exclusive, as RabbitMQ 4.3 does by default: set \
             rabbit_transient_quorum_queue=true, and amqp_durable_queues=true or rabbit_quorum_queue=true, in the whole \
             fleet, or allow them with deprecated_features.permit.transient_nonexcl_queues = true in rabbitmq.conf"
        }
        _ => "",
    };
    Some(TransportError::Topology { object: object.to_owned(), reason: format!("{}{advice}", text(error)) })
}

/// The broker refused to delete a queue; `None` if the failure is not the broker's refusal.
pub(crate) fn removal(queue: &str, error: &Error) -> Option<TransportError> {
    reply_code(error)?;
    let advice = match reply_code(error) {
        Some(PRECONDITION_FAILED) => "; stop those who listen on it, and take or discard the requests in it",
        Some(NOT_IMPLEMENTED) => "; a quorum queue is deleted by an administrator, or by a policy with `expires`",
        _ => "",
    };
    Some(TransportError::Topology { object: format!("queue `{queue}`"), reason: format!("{}{advice}", text(error)) })
}

/// What the broker said, on one line.
pub(crate) fn text(error: &Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(error) => said(error.get_message().as_str()),
        _ => said(&error.to_string()),
    }
}

/// An error as the source of another one: what the broker said only as it may be shown.
fn cause(error: Error) -> Cause {
    match error.kind() {
        ErrorKind::ProtocolError(told) => Arc::new(Said::new(&told.to_string())),
        _ => Arc::new(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPHardError, AMQPSoftError};
    use oxlo_driver_kit::hosts::Account;

    use super::*;

    fn host() -> Host {
        let account = Account { user: "nova".into(), password: "tooth-fairy".to_owned().into() };
        Host { name: "mq1".into(), port: 5672, account: Some(account) }
    }

    fn closed_by_broker(kind: AMQPErrorKind, text: &str) -> Error {
        ErrorKind::ProtocolError(AMQPError::new(kind, text.into())).into()
    }

    #[test]
    fn refusals_are_permanent_and_say_what_to_check() {
        let login = closed_by_broker(AMQPSoftError::ACCESSREFUSED.into(), "ACCESS_REFUSED - Login was refused");
        let refused = from_handshake(&host(), "/", Duration::ZERO, login, None);
        assert!(refused.permanent);
        assert_eq!(
            refused.error.to_string(),
            "mq1:5672 refused the connection: user `nova` was not let in; check user, password and login method"
        );
        let nowhere = closed_by_broker(AMQPHardError::NOTALLOWED.into(), "NOT_ALLOWED - vhost x not found");
        let refused = from_handshake(&host(), "x", Duration::ZERO, nowhere, None);
        assert!(refused.permanent && refused.error.to_string().contains("virtual host `x` does not exist"));
        assert!(!format!("{refused:?}").contains("tooth-fairy"));
    }

    /// In RabbitMQ's words (3.10 and 4.0), of its `rabbit_reader`.
    #[test]
    fn a_refusal_that_may_pass_is_told_from_one_that_does_not() {
        let over = "NOT_ALLOWED - access to vhost 'x' refused for user 'nova': connection limit (0) is reached";
        let user = "NOT_ALLOWED - connection refused for user 'nova': user connection limit (2) is reached";
        let node = "NOT_ALLOWED - connection refused: node connection limit (100) is reached";
        let down = "INTERNAL_ERROR - access to vhost 'x' refused for user 'nova': vhost 'x' is down";
        let drained = "CONNECTION_FORCED - Node was put into maintenance mode";
        let not_allowed = AMQPHardError::NOTALLOWED;
        for (kind, said, expected) in [
            (not_allowed.clone(), over, Refusal::ConnectionLimit),
            (not_allowed.clone(), user, Refusal::ConnectionLimit),
            (not_allowed.clone(), node, Refusal::ConnectionLimit),
            (AMQPHardError::INTERNALERROR, down, Refusal::Unavailable),
            (AMQPHardError::CONNECTIONFORCED, drained, Refusal::Unavailable),
            (not_allowed.clone(), "NOT_ALLOWED - vhost x not found", Refusal::VirtualHost),
            (not_allowed, "NOT_ALLOWED - access to vhost 'x' refused for user 'nova'", Refusal::VirtualHost),
        ] {
            let attempt = from_handshake(&host(), "x", Duration::ZERO, closed_by_broker(kind.into(), said), None);
            assert_eq!(attempt.permanent, expected == Refusal::VirtualHost, "{said}");
            let TransportError::Refused { refusal, reason, .. } = &attempt.error else { panic!("{attempt:?}") };
            assert!(*refusal == expected && reason.contains(said), "{attempt:?}");
            assert_eq!(attempt.error.is_retryable(), !attempt.permanent);
        }
    }

    #[test]
    fn a_limit_of_channels_is_told_from_other_trouble() {
        let user =
            "NOT_ALLOWED - number of channels opened for user 'u' has reached the maximum allowed user limit of (1)";
        let user = closed_by_broker(AMQPHardError::NOTALLOWED.into(), user);
        let here = Error::from(ErrorKind::ChannelsLimitReached);
        for (error, part) in
            [(&here, "all 7 channels that the broker allows"), (&user, "maximum allowed user limit of (1)")]
        {
            let limit = channel_limit("mq1:5672", 7, error).unwrap();
            let text = limit.to_string();
            assert!(text.starts_with("mq1:5672 refused a channel: ") && text.contains(part), "{text}");
            assert!(is_limit(&limit) && limit.is_retryable() && !limit.may_have_run());
        }
        let other =
            closed_by_broker(AMQPHardError::NOTALLOWED.into(), "NOT_ALLOWED - attempt to reuse consumer tag '1'");
        assert!(channel_limit("mq1:5672", 7, &other).is_none());
    }

    #[test]
    fn what_the_broker_says_stays_on_one_line() {
        let told = closed_by_broker(AMQPSoftError::PRECONDITIONFAILED.into(), "PRECONDITION_FAILED -\r\n  x\u{7}");
        assert_eq!(topology("queue `T`", &told).unwrap().to_string(), "queue `T`: PRECONDITION_FAILED - x");
    }

    #[test]
    fn the_broker_does_not_make_us_print_our_password() {
        oxlo_driver_kit::text::keep_secret("nova", "tooth-fairy");
        let told = || closed_by_broker(AMQPHardError::NOTALLOWED.into(), "NOT_ALLOWED - nova:tooth-fairy\n\u{1b}[31m");
        let errors = [
            topology("queue `T`", &told()).unwrap(),
            lost(told()),
            from_handshake(&host(), "/", Duration::ZERO, told(), None).error,
            from_handshake(
                &host(),
                "/",
                Duration::ZERO,
                closed_by_broker(AMQPHardError::FRAMEERROR.into(), "tooth-fairy\n\u{1b}[31m"),
                None,
            )
            .error,
        ];
        for error in errors {
            let shown = format!("{error} {error:?} {}", oxlo_driver_kit::text::chain(&error));
            assert!(shown.contains("***") && !shown.contains("tooth-fairy"), "{shown}");
            assert!(!shown.contains(char::is_control), "{shown:?}");
        }
    }

    #[test]
    fn a_lost_connection_is_no_refusal() {
        let error = Error::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        let attempt = from_handshake(&host(), "/", Duration::from_secs(1), error, None);
        assert!(!attempt.permanent && matches!(attempt.error, TransportError::Unreachable { .. }));
    }

    #[test]
    fn a_connection_that_was_closed_refuses_no_queue() {
        let closed = closed_by_broker(AMQPHardError::CONNECTIONFORCED.into(), "CONNECTION_FORCED - shutdown");
        assert!(topology("queue `T`", &closed).is_none());
    }

    #[test]
    fn denied_queues_name_the_options_that_help() {
        let told = "INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated.";
        let error = topology("queue `T`", &closed_by_broker(AMQPHardError::INTERNALERROR.into(), told)).unwrap();
        let text = error.to_string();
        assert!(text.starts_with("queue `T`: INTERNAL_ERROR - Feature"), "{text}");
        assert!(text.contains("rabbit_transient_quorum_queue=true") && text.contains("4.3"), "{text}");
        let other = closed_by_broker(AMQPHardError::INTERNALERROR.into(), "INTERNAL_ERROR");
        assert_eq!(topology("queue `T`", &other).unwrap().to_string(), "queue `T`: INTERNAL_ERROR");
    }

    #[test]
    fn a_mismatch_names_the_object_and_both_values() {
        let told = "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'T' in vhost '/': received 'true' but current is 'false'";
        let error = topology("queue `T`", &closed_by_broker(AMQPSoftError::PRECONDITIONFAILED.into(), told)).unwrap();
        let text = error.to_string();
        assert!(text.starts_with("queue `T`: ") && text.contains("received 'true' but current is 'false'"), "{text}");
        assert!(text.contains("delete it first") && text.contains("on_declare_mismatch=adopt"), "{text}");
    }
}
