//! From lapin's errors and the stream's to ours: pure.

use std::sync::Arc;

use lapin::{Error, ErrorKind};
use oxlo_driver_net::link::AttemptError;
use oxlo_transport::{TransportError, error::Refusal, text::one_line};

use crate::{
    config::Host,
    stream::{self, StreamEnd},
};

/// An administrator, or the broker's end, closed the connection.
const CONNECTION_FORCED: u16 = 320;
const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;
const NOT_ALLOWED: u16 = 530;
const NOT_IMPLEMENTED: u16 = 540;
const INTERNAL_ERROR: u16 = 541;

/// What a broker calls queues that are neither durable nor exclusive when it denies them.
const DENIED_QUEUES: &str = "transient_nonexcl_queues";

/// Whether the object is there with other properties. The broker uses the code for other things, too.
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

/// Whether the object is not there.
pub(crate) fn is_not_found(error: &Error) -> bool {
    reply_code(error) == Some(NOT_FOUND)
}

/// A stream, but no AMQP connection on it. `end` is how the stream ended, which is nearer to the cause.
pub(crate) fn from_handshake(
    host: &Host,
    virtual_host: &str,
    waited: std::time::Duration,
    error: Error,
    end: Option<StreamEnd>,
) -> AttemptError {
    match reply_code(&error) {
        Some(ACCESS_REFUSED) => {
            let reason = format!("user `{}` was not let in; check user, password and login method", host.user);
            AttemptError::refused(host.place(), Refusal::Credentials, reason)
        }
        Some(NOT_ALLOWED) => {
            let reason = format!(
                "virtual host `{virtual_host}` does not exist, or user `{}` may not enter it ({})",
                host.user,
                text(&error)
            );
            AttemptError::refused(host.place(), Refusal::VirtualHost, reason)
        }
        _ => match end {
            Some(StreamEnd::Failed(error)) if stream::is_permanent(&error) => {
                AttemptError::refused(host.place(), Refusal::Protocol, error.to_string())
            }
            Some(StreamEnd::Failed(cause)) => AttemptError::passing(host.place(), waited, Some(cause)),
            _ => AttemptError::passing(host.place(), waited, Some(Arc::new(error))),
        },
    }
}

/// A queue, an exchange, a binding or a consumer that the broker refuses; `None` if the error is none of its doing.
pub(crate) fn topology(object: &str, error: &Error) -> Option<TransportError> {
    let advice = match reply_code(error)? {
        CONNECTION_FORCED => return None,
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

/// A queue that the broker does not remove; `None` if the error is none of its doing.
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
        ErrorKind::ProtocolError(error) => one_line(&error.get_message().to_string()).into_owned(),
        _ => one_line(&error.to_string()).into_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPHardError, AMQPSoftError};

    use super::*;

    fn host() -> Host {
        Host { name: "mq1".into(), port: 5672, user: "nova".into(), password: "tooth-fairy".to_owned().into() }
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

    #[test]
    fn what_the_broker_says_stays_on_one_line() {
        let told = closed_by_broker(AMQPSoftError::PRECONDITIONFAILED.into(), "PRECONDITION_FAILED -\r\n  x\u{7}");
        assert_eq!(topology("queue `T`", &told).unwrap().to_string(), "queue `T`: PRECONDITION_FAILED - x");
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
