//! RabbitMQ 4's management over AMQP 1.0: HTTP-like requests on a pair of links declare queues and bindings.
//!
//! Addresses of version 2 name existing queues only; using an address creates nothing.

use bytes::Bytes;
use fe2o3_amqp::{
    Receiver, Sendable, Sender,
    link::{RecvError, SendError, receiver::CreditMode},
    types::{
        definitions::{Fields, SenderSettleMode},
        messaging::{Body, Message, MessageId, Properties, Source, Target},
        primitives::{OrderedMap, Symbol, Value},
    },
};
use oxlo_transport::TransportError;
use tokio::time::{Duration, timeout};

use crate::{
    address::escaped,
    connection::Connected,
    consume::Failed,
    error::{self, Refused},
    fe2o3_internals::{PAIR_RECEIVER, PAIR_SENDER},
    message, receive,
};

/// The address of the management node.
pub(crate) const NODE: &str = "/management";
/// How long the broker keeps an unused queue of one process, in milliseconds: oslo's default of
/// `rabbit_transient_queues_ttl`.
const EXPIRES_MS: i64 = 1_800_000;
/// The time limit for an answer, and for attaching a link.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// An object to declare before a link is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Declaration {
    /// A queue with this name.
    Queue(String, QueueKind),
    /// A binding of a queue to an exchange by this key.
    Binding { exchange: &'static str, key: String, queue: String },
}

/// The lifetime of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueKind {
    /// Permanent: several processes share it.
    Shared,
    /// Deleted after half an hour without use: it belongs to one process.
    Own,
    /// Deleted with its consumer.
    Transient,
}

struct Request {
    method: &'static str,
    to: String,
    body: Value,
    /// The object, for errors.
    object: String,
}

impl Declaration {
    fn request(&self) -> Request {
        match self {
            Self::Queue(name, kind) => {
                let transient = *kind == QueueKind::Transient;
                let mut arguments = Vec::new();
                if *kind == QueueKind::Own {
                    arguments.push(("x-expires", Value::Long(EXPIRES_MS)));
                }
                if *kind != QueueKind::Shared {
                    // Not the virtual host's default type: only classic queues may be exclusive.
                    arguments.push(("x-queue-type", Value::String("classic".to_owned())));
                }
                let fields = vec![
                    ("durable", Value::Bool(true)),
                    ("exclusive", Value::Bool(transient)),
                    ("auto_delete", Value::Bool(transient)),
                    ("arguments", map(arguments)),
                ];
                Request {
                    method: "PUT",
                    to: format!("/queues/{}", escaped(name)),
                    body: map(fields),
                    object: format!("queue `{name}`"),
                }
            }
            Self::Binding { exchange, key, queue } => {
                let text = |text: &str| Value::String(text.to_owned());
                let fields = vec![
                    ("source", text(exchange)),
                    ("binding_key", text(key)),
                    ("destination_queue", text(queue)),
                    ("arguments", map(Vec::new())),
                ];
                Request {
                    method: "POST",
                    to: "/bindings".to_owned(),
                    body: map(fields),
                    object: format!("binding of `{queue}` to `{exchange}`"),
                }
            }
        }
    }
}

fn map(fields: Vec<(&str, Value)>) -> Value {
    let fields = fields.into_iter().map(|(key, value)| (Value::String(key.to_owned()), value));
    Value::Map(fields.collect::<OrderedMap<_, _>>())
}

/// Declares objects in order.
///
/// # Errors
///
/// `Refused` if the broker refuses, or an object exists with different properties.
pub(crate) async fn declare(up: &Connected, declares: &[Declaration]) -> Result<(), Failed> {
    if declares.is_empty() {
        return Ok(());
    }
    perform(up, declares.iter().map(Declaration::request).collect()).await.map(drop)
}

/// Deletes a queue with its messages.
///
/// # Errors
///
/// As [`declare`].
pub(crate) async fn delete_queue(up: &Connected, name: &str) -> Result<(), Failed> {
    let request = Request {
        method: "DELETE",
        to: format!("/queues/{}", escaped(name)),
        body: Value::Null,
        object: format!("queue `{name}`"),
    };
    perform(up, vec![request]).await.map(drop)
}

/// The number of consumers of a queue; 0 if it does not exist.
///
/// # Errors
///
/// As [`declare`].
pub(crate) async fn consumers(up: &Connected, name: &str) -> Result<u32, Failed> {
    let request = Request {
        method: "GET",
        to: format!("/queues/{}", escaped(name)),
        body: Value::Null,
        object: format!("queue `{name}`"),
    };
    let Some(described) = perform(up, vec![request]).await? else { return Ok(0) };
    let count = message::answered_number(&described, "consumer_count");
    count
        .and_then(|count| u32::try_from(count).ok())
        .ok_or_else(|| Failed::Lost("the broker's management reported no consumer_count".to_owned()))
}

async fn perform(up: &Connected, requests: Vec<Request>) -> Result<Option<Bytes>, Failed> {
    let _turn = up.managers.acquire().await;
    let within = ANSWER_LIMIT * u32::try_from(requests.len() + 2).unwrap_or(u32::MAX);
    let silent = || Failed::Lost(format!("`{NODE}` did not answer within {within:?}"));
    timeout(within, Box::pin(ask(up, requests))).await.unwrap_or_else(|_| Err(silent()))
}

/// Sends requests in order and returns the last answer; `None` if the object of a `GET` does not exist.
async fn ask(up: &Connected, requests: Vec<Request>) -> Result<Option<Bytes>, Failed> {
    let refused = |refusal| match refusal {
        Refused::Missing(reason) | Refused::Gone(reason) | Refused::Denied(reason) => {
            let advice = "; address_profile=rabbitmq works without RabbitMQ 4's management";
            Failed::Refused(TransportError::Topology {
                object: format!("address `{NODE}`"),
                reason: format!("{reason}{advice}"),
            })
        }
        Refused::Lost(cause) => Failed::Lost(cause),
    };
    let mut session = up.session().await.map_err(|error| Failed::new("session", error))?;
    let mut paired = Fields::new();
    paired.insert(Symbol::from("paired"), Value::Bool(true));
    let mut sender = Sender::builder()
        .name(PAIR_SENDER)
        .source(Source::builder().address(NODE).build())
        .target(Target::builder().address(NODE).build())
        .sender_settle_mode(SenderSettleMode::Settled)
        .properties(paired.clone())
        .attach(&mut session)
        .await
        .map_err(|error| refused(error::sender_refused(&error)))?;
    let mut receiver = Receiver::builder()
        .name(PAIR_RECEIVER)
        .source(Source::builder().address(NODE).build())
        .target(Target::builder().address(NODE).build())
        .sender_settle_mode(SenderSettleMode::Settled)
        .credit_mode(CreditMode::Auto(8))
        .properties(paired)
        .attach(&mut session)
        .await
        .map_err(|error| refused(error::receiver_refused(&error)))?;
    let mut last = None;
    for (number, request) in requests.into_iter().enumerate() {
        let asks = request.method == "GET";
        let properties = Properties {
            message_id: Some(MessageId::Ulong(number as u64)),
            to: Some(request.to),
            subject: Some(request.method.to_owned()),
            reply_to: Some("$me".to_owned()),
            ..Properties::default()
        };
        let message = Message::builder().properties(properties).value(request.body).build();
        // A broker that refuses a request may end the link or the session instead of answering.
        let sent = sender.send(Sendable::builder().message(message).settled(true).build()).await;
        sent.map_err(|error| match error {
            SendError::LinkStateError(state) => Failed::new(&request.object, error::link_refused(&state)),
            error => Failed::Lost(error.to_string()),
        })?;
        let delivery = receiver.recv::<Body<Value>>().await.map_err(|error| match error {
            RecvError::LinkStateError(state) => Failed::new(&request.object, error::link_refused(&state)),
            error => Failed::Lost(error.to_string()),
        })?;
        let answered = receive::bytes(delivery.into_body());
        match message::answer(&answered) {
            Some((200..300, _)) => last = Some(answered),
            Some((404, _)) if asks => last = None,
            Some((status, reason)) => {
                let advice = if status == 409 {
                    "; it exists with different properties: delete it first, or use address_profile=rabbitmq in the whole fleet"
                } else {
                    ""
                };
                let reason = reason.unwrap_or_else(|| format!("the broker answered with status {status}"));
                let error = TransportError::Topology { object: request.object, reason: format!("{reason}{advice}") };
                return Err(Failed::Refused(error));
            }
            None => return Err(Failed::Lost("cannot decode the answer of the broker's management".to_owned())),
        }
    }
    let _ = timeout(ANSWER_LIMIT, session.end()).await;
    Ok(last)
}
