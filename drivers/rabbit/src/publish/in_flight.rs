//! A message on its way to the broker.

use std::sync::Arc;

use amq_protocol::protocol::BasicProperties;
use oxlo_driver_kit::{pending::PendingCalls, send_budget::SendBudget, telemetry::Destination};
use oxlo_transport::TransportError;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use uuid::Uuid;

use super::refusal::Candidate;
use crate::{properties::CompressionAlgorithm, topology::Route};

/// A message to publish, before a connection takes it.
pub(crate) struct Outgoing<'a> {
    pub(crate) route: &'a Arc<Route>,
    pub(crate) body: Vec<u8>,
    pub(crate) mandatory: bool,
    /// Whether the broker drops the message after its deadline.
    pub(crate) expires: bool,
    /// The properties of a received message that is sent once more, with its body unchanged. Absent for a new message.
    pub(crate) again: Option<Box<BasicProperties>>,
}

impl<'a> Outgoing<'a> {
    /// The destination for spans.
    pub(crate) fn destination(&self) -> Destination<'a> {
        let Route { exchange, routing_key, .. } = self.route.as_ref();
        Destination { system: "rabbitmq", exchange, key: routing_key, size: self.body.len() }
    }
}

/// The receiver of a publish's outcome.
pub(crate) enum Completion {
    /// A task that waits for the confirm.
    Waiter(oneshot::Sender<Result<(), TransportError>>),
    /// A call that waits for its reply, and learns of failures only.
    Call { pending: PendingCalls, message_id: String },
}

impl Completion {
    fn complete(self, outcome: Result<(), TransportError>) {
        match self {
            Self::Waiter(waiter) => {
                // The waiter may have been dropped.
                let _ = waiter.send(outcome);
            }
            Self::Call { pending, message_id } => {
                if let Err(error) = outcome {
                    pending.fail(&message_id, error);
                }
            }
        }
    }
}

/// A message on its way to the broker, with everything needed to publish it again.
pub(crate) struct InFlight {
    pub(crate) route: Arc<Route>,
    /// The encoded body.
    pub(crate) body: Vec<u8>,
    pub(crate) compression: Option<CompressionAlgorithm>,
    pub(crate) mandatory: bool,
    /// Whether the broker drops the message after its deadline.
    pub(crate) expires: bool,
    /// The properties of a received message that is sent once more.
    pub(crate) again: Option<Box<BasicProperties>>,
    pub(crate) patience: SendBudget,
    pub(crate) completion: Completion,
    /// Its share of the send budget.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
    /// The id under which it was sent, if it was.
    pub(crate) id: Option<Uuid>,
    /// An earlier publish of it may have reached its queue.
    pub(crate) may_have_arrived: bool,
    /// How often its exchange was declared again because the broker did not find it.
    pub(crate) redeclared: u8,
}

impl InFlight {
    /// The message as a candidate for a refusal of the broker.
    pub(super) fn candidate(&self) -> Candidate<'_> {
        Candidate { route: &self.route, size: self.body.len() }
    }

    /// Completes it as the broker confirmed it.
    pub(crate) fn finish(self, acked: bool, returned: bool) {
        let Self { route, completion, .. } = self;
        completion.complete(if returned {
            metrics::counter!("oxlo_returned_total").increment(1);
            Err(TransportError::Undeliverable {
                exchange: route.exchange.clone(),
                routing_key: route.routing_key.clone(),
            })
        } else if acked {
            Ok(())
        } else {
            let reason = "it answered basic.nack; the queue may be full or its node down".to_owned();
            Err(TransportError::Rejected { routing_key: route.routing_key.clone(), reason })
        });
    }

    /// Completes it with an error.
    pub(crate) fn fail(self, error: TransportError) {
        self.completion.complete(Err(error));
    }

    /// Completes it with an error that means that nothing was sent, unless an earlier publish may have arrived.
    pub(crate) fn fail_unsent(self, error: TransportError) {
        let error = match self.may_have_arrived {
            true => TransportError::ConnectionLost { source: Some(Arc::new(error)) },
            false => error,
        };
        self.fail(error);
    }

    /// Whether somebody still waits for the outcome.
    pub(crate) fn is_awaited(&self) -> bool {
        match &self.completion {
            Completion::Waiter(waiter) => !waiter.is_closed(),
            Completion::Call { pending, message_id } => pending.is_waiting(message_id),
        }
    }
}
