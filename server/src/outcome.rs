//! How a request ended.

use std::sync::Arc;

use oxlo_transport::Context;

/// How a request ended, as the label `outcome` of the metric `oxlo_server_requests_total` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// With a result.
    Result,
    /// With a failure: the request was refused or given up, or its method failed or panicked.
    Failure,
    /// Its handler requeued it for another server.
    Requeue,
    /// Its handler ended it without a reply.
    Ignore,
    /// Its method did not finish within the grace period.
    Abandoned,
    /// With a failure that the method declares or expects.
    Expected,
}

impl Outcome {
    /// Every outcome, in the order of the enum.
    pub(crate) const ALL: [Self; 6] =
        [Self::Result, Self::Failure, Self::Requeue, Self::Ignore, Self::Abandoned, Self::Expected];

    /// The label of the metric.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::Failure => "failure",
            Self::Requeue => "requeue",
            Self::Ignore => "ignore",
            Self::Abandoned => "abandoned",
            Self::Expected => "expected_failure",
        }
    }
}

/// A request that ended, as an [observer](crate::RPCServerBuilder::observe) sees it before the reply is sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FinishedRequest {
    /// The requested method.
    pub method: Arc<str>,
    /// The request's context.
    pub context: Context,
    /// How it ended.
    pub outcome: Outcome,
    /// How often it was redelivered before.
    pub redeliveries: u32,
}

/// Observes every request that ended.
pub(crate) type Observer = Arc<dyn Fn(FinishedRequest) + Send + Sync>;
