//! RabbitMQ 4's management over AMQP 1.0: queues and bindings are made by requests on a pair of links, in the manner of HTTP.
//!
//! Its addresses of version 2 name queues that are there; nothing comes into being by being named.

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
    message, receive,
    stream::{PAIR_RECEIVER, PAIR_SENDER},
};

pub(crate) const NODE: &str = "/management";
/// How long the broker keeps a queue that nobody uses and that nobody will miss: oslo's `rabbit_transient_queues_ttl`.
const EXPIRES_MS: i64 = 1_800_000;
/// How long it may take to answer a request, or to attach its links.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// What must be at the broker before a link is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A queue of this name.
    Queue(String, Kind),
    /// A binding of an exchange's messages with this key to a queue.
    Binding { exchange: &'static str, key: String, queue: String },
}

/// How long a queue lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// For ever: it is shared, and what is in it is waited for.
    Shared,
    /// Until nobody has used it for half an hour: it belongs to one process.
    Own,
    /// As long as its consumer.
    Passing,
}

struct Request {
    method: &'static str,
    to: String,
    body: Value,
    /// For errors.
    object: String,
}

impl Need {
    fn request(&self) -> Request {
        match self {
            Self::Queue(name, kind) => {
                let passing = *kind == Kind::Passing;
                let mut arguments = Vec::new();
                if *kind == Kind::Own {
                    arguments.push(("x-expires", Value::Long(EXPIRES_MS)));
                }
                if *kind != Kind::Shared {
                    // Whatever the virtual host's own choice is: only this type may be exclusive, and expires quickly.
                    arguments.push(("x-queue-type", Value::String("classic".to_owned())));
                }
                let fields = vec![
                    ("durable", Value::Bool(true)),
                    ("exclusive", Value::Bool(passing)),
                    ("auto_delete", Value::Bool(passing)),
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

/// Makes what is needed, unless it is there.
///
/// # Errors
///
/// `Refused` if the broker does not want to, or has it with other properties.
pub(crate) async fn make(up: &Connected, needs: &[Need]) -> Result<(), Failed> {
    if needs.is_empty() {
        return Ok(());
    }
    perform(up, needs.iter().map(Need::request).collect()).await.map(drop)
}

/// Deletes a queue with what is in it.
///
/// # Errors
///
/// As [`make`].
pub(crate) async fn delete_queue(up: &Connected, name: &str) -> Result<(), Failed> {
    let request = Request {
        method: "DELETE",
        to: format!("/queues/{}", escaped(name)),
        body: Value::Null,
        object: format!("queue `{name}`"),
    };
    perform(up, vec![request]).await.map(drop)
}

/// Consumers of a queue; none if there is no such queue.
///
/// # Errors
///
/// As [`make`].
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
        .ok_or_else(|| Failed::Lost("the broker's management named no consumer_count".to_owned()))
}

async fn perform(up: &Connected, requests: Vec<Request>) -> Result<Option<Bytes>, Failed> {
    let _turn = up.managers.acquire().await;
    let within = ANSWER_LIMIT * u32::try_from(requests.len() + 2).unwrap_or(u32::MAX);
    let silent = || Failed::Lost(format!("`{NODE}` did not answer within {within:?}"));
    timeout(within, Box::pin(ask(up, requests))).await.unwrap_or_else(|_| Err(silent()))
}

/// Makes requests in order, and gives the last answer; none if what a `GET` asked for is not there.
async fn ask(up: &Connected, requests: Vec<Request>) -> Result<Option<Bytes>, Failed> {
    let refused = |refusal| match refusal {
        Refused::Missing(reason) | Refused::Gone(reason) | Refused::Denied(reason) => {
            let advice = "; address_profile=rabbitmq does without the management that RabbitMQ 4 has";
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
                    "; it exists with other properties: delete it first, or use address_profile=rabbitmq for all"
                } else {
                    ""
                };
                let reason = reason.unwrap_or_else(|| format!("the broker answers {status}"));
                let error = TransportError::Topology { object: request.object, reason: format!("{reason}{advice}") };
                return Err(Failed::Refused(error));
            }
            None => return Err(Failed::Lost("the broker's management answered in something else".to_owned())),
        }
    }
    let _ = timeout(ANSWER_LIMIT, session.end()).await;
    Ok(last)
}
