//! What oslo.metrics is told of a call or cast.

use std::{sync::Arc, time::Duration};

use oxlo_transport::{
    Target,
    oslo_metrics::{Labels, OsloMetrics},
};

use crate::{contract::MethodError, error::CallError, site::CallKind};

/// One call or cast that was told of when it began.
pub(crate) struct Told {
    metrics: OsloMetrics,
    labels: Arc<Labels>,
}

impl Told {
    pub(crate) fn begin(
        metrics: &OsloMetrics,
        kind: CallKind,
        to: &Target,
        topic: &Arc<str>,
        method: &Arc<str>,
    ) -> Self {
        let labels = Arc::new(Labels::client(kind.as_str(), to, topic.clone(), method.clone()));
        metrics.began(&labels);
        Self { metrics: metrics.clone(), labels }
    }

    pub(crate) fn ended(&self, exception: Option<&str>, took: Duration) {
        match exception {
            None => self.metrics.ended(&self.labels, took),
            Some(exception) => self.metrics.failed(&self.labels, exception),
        }
    }
}

/// The class of the exception that oslo.messaging raises where this error is.
pub(crate) fn exception(error: &CallError) -> &str {
    match error {
        CallError::InvalidTarget { .. } => "InvalidTarget",
        CallError::VersionCap { .. } => "RPCVersionCapError",
        CallError::Encode { .. } => "TypeError",
        CallError::Config { .. } | CallError::Decode { .. } => "ValueError",
        CallError::Undeliverable { .. } => "MessageUndeliverable",
        CallError::TimedOut { .. } | CallError::Unconfirmed { .. } | CallError::ServerSilent { .. } => {
            "MessagingTimeout"
        }
        CallError::Refused { .. }
        | CallError::Unreachable { .. }
        | CallError::Blocked { .. }
        | CallError::TooLarge { .. }
        | CallError::Rejected { .. }
        | CallError::MessageRefused { .. }
        | CallError::Topology { .. }
        | CallError::ConnectionLost { .. }
        | CallError::ReplyLost { .. } => "MessageDeliveryFailure",
        // Python cannot rename its own classes.
        CallError::Remote(remote) if remote.original_module() == "builtins" => remote.original_class(),
        CallError::Remote(remote) => remote.class(),
        CallError::RemoteError { .. } => "RemoteError",
        _ => "MessagingException",
    }
}

/// As [`exception`]. What a contract's error was on the wire is not known any more; it has the name of its type.
pub(crate) fn method_exception<E>(error: &MethodError<E>) -> &str {
    match error {
        MethodError::Call(error) => exception(error),
        MethodError::Failed(_) => {
            let path = std::any::type_name::<E>();
            let plain = path.split('<').next().unwrap_or(path);
            plain.rsplit("::").next().unwrap_or(plain)
        }
    }
}
