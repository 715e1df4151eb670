//! Reports calls and casts to oslo.metrics.

use std::{borrow::Cow, sync::Arc, time::Duration};

use oxlo_transport::{
    Target,
    oslo_metrics::{Labels, OsloMetrics},
};

use crate::{contract::MethodError, request_info::CallKind};

/// A call or cast whose start was reported.
pub(crate) struct ReportedCall {
    metrics: OsloMetrics,
    labels: Arc<Labels>,
}

impl ReportedCall {
    /// Reports the start.
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

    /// Reports the end: the class of the exception, or success.
    pub(crate) fn end(&self, exception: Option<&str>, took: Duration) {
        match exception {
            None => self.metrics.ended(&self.labels, took),
            Some(exception) => self.metrics.failed(&self.labels, exception),
        }
    }
}

/// The class of the exception that a Python client would see. The class that a contract's error had on the wire is not
/// known here, so its Rust type is named.
pub(crate) fn method_exception<E>(error: &MethodError<E>) -> Cow<'_, str> {
    match error {
        MethodError::Call(error) => error.oslo_exception().1,
        MethodError::Failed(_) => {
            let path = std::any::type_name::<E>();
            let plain = path.split('<').next().unwrap_or(path);
            plain.rsplit("::").next().unwrap_or(plain).into()
        }
    }
}
