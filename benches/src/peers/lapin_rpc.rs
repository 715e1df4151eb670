//! Hand-written RPC on lapin, as its users write it: correlation ids, one reply queue for all calls, one task per request.
//! No confirms, no deadlines, no duplicate filter, no reconnects.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context as _;
use futures_util::{FutureExt, StreamExt};
use lapin::{
    Acker, BasicProperties, Channel, Connection, ConnectionProperties, Consumer,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
        QueueDeclareOptions,
    },
    types::{FieldTable, ShortString},
};
use tokio::sync::oneshot;

use super::{Client, EchoArgs, Reply, Request, amqp_url, echoed};

/// The prefetch of the server: the same as oxlo's.
const PREFETCH: u16 = 128;

/// How deliveries are acknowledged, at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acks {
    /// One frame per delivery, as in the tutorials.
    Each,
    /// No acknowledgements: messages are lost with their connection.
    None,
    /// One frame for all deliveries of a wake-up. Publishes are mandatory and confirmed, on a separate connection: the
    /// delivery guarantees of oxlo, without the rest of oxlo.
    Coalesced,
}

#[derive(Clone)]
pub(crate) struct LapinRpc {
    channel: Channel,
    mandatory: bool,
    topic: ShortString,
    reply_queue: ShortString,
    waiting: Arc<Waiting>,
    next: Arc<AtomicU64>,
    _connection: Arc<Connection>,
}

type Waiting = Mutex<HashMap<String, oneshot::Sender<Vec<u8>>>>;

pub(crate) async fn connect(url: &str, topic: &str, acks: Acks) -> anyhow::Result<LapinRpc> {
    let (connection, channel) = open(url).await?;
    let publishing = publishing(url, &channel, acks).await?;
    let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("".into(), exclusive, FieldTable::default()).await?;
    let reply_queue = queue.name().clone();
    let consumer = consume(&channel, &reply_queue, acks).await?;
    let waiting = Arc::<Waiting>::default();
    tokio::spawn(hand_out(consumer, acks, waiting.clone()));
    Ok(LapinRpc {
        channel: publishing,
        mandatory: acks == Acks::Coalesced,
        topic: topic.into(),
        reply_queue,
        waiting,
        next: Arc::default(),
        _connection: connection,
    })
}

async fn hand_out(mut consumer: Consumer, acks: Acks, waiting: Arc<Waiting>) -> anyhow::Result<()> {
    let mut next = consumer.next().await;
    while let Some(delivery) = next {
        let Delivery { properties, data, acker, .. } = delivery?;
        if let Some(id) = properties.correlation_id()
            && let Some(call) = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(id.as_str())
        {
            let _ = call.send(data);
        }
        next = take_next(&mut consumer, &acker, acks).await?;
    }
    Ok(())
}

/// Acknowledges a delivery as `acks` specifies, and waits for the next one.
async fn take_next(
    consumer: &mut Consumer,
    acker: &Acker,
    acks: Acks,
) -> anyhow::Result<Option<lapin::Result<Delivery>>> {
    match acks {
        Acks::Each => acker.ack(BasicAckOptions::default()).await.map(drop)?,
        Acks::None => {}
        Acks::Coalesced => match consumer.next().now_or_never() {
            Some(next) => return Ok(next),
            None => acker.ack(BasicAckOptions { multiple: true }).await.map(drop)?,
        },
    }
    Ok(consumer.next().await)
}

impl Client for LapinRpc {
    async fn call(&self, text: &str) -> anyhow::Result<()> {
        let id = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let body = serde_json::to_vec(&Request { method: "echo", args: EchoArgs { value: text } })?;
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_reply_to(self.reply_queue.clone())
            .with_correlation_id(id.as_str().into());
        let (sender, reply) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        let options = BasicPublishOptions { mandatory: self.mandatory, immediate: false };
        self.channel.basic_publish("".into(), self.topic.clone(), options, &body, properties).await?.await?;
        let reply = reply.await?;
        let reply: Reply<'_> = serde_json::from_slice(&reply)?;
        echoed(text, reply.result)
    }
}

pub(crate) async fn serve(url: &str, topic: &str, acks: Acks) -> anyhow::Result<Arc<Connection>> {
    let (connection, channel) = open(url).await?;
    let publishing = publishing(url, &channel, acks).await?;
    let topic = ShortString::from(topic);
    channel.queue_declare(topic.clone(), QueueDeclareOptions::default(), FieldTable::default()).await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let mut consumer = consume(&channel, &topic, acks).await?;
    tokio::spawn(async move {
        let mut next = consumer.next().await;
        while let Some(Ok(delivery)) = next {
            let (channel, acker) = (publishing.clone(), delivery.acker.clone());
            tokio::spawn(async move {
                if let Err(error) = answer(&channel, delivery, acks).await {
                    eprintln!("{error:#}");
                }
            });
            next = match acks {
                // The task acknowledges.
                Acks::Each => consumer.next().await,
                _ => take_next(&mut consumer, &acker, acks).await?,
            };
        }
        anyhow::Ok(())
    });
    Ok(connection)
}

async fn answer(channel: &Channel, delivery: Delivery, acks: Acks) -> anyhow::Result<()> {
    let request: Request<'_> = serde_json::from_slice(&delivery.data)?;
    let reply = serde_json::to_vec(&Reply { result: request.args.value })?;
    let asked = &delivery.properties;
    let reply_to = asked.reply_to().clone().context("no reply_to")?;
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_correlation_id(asked.correlation_id().clone().context("no correlation_id")?);
    let options = BasicPublishOptions { mandatory: acks == Acks::Coalesced, immediate: false };
    channel.basic_publish("".into(), reply_to, options, &reply, properties).await?.await?;
    if acks == Acks::Each {
        delivery.acker.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}

async fn open(url: &str) -> anyhow::Result<(Arc<Connection>, Channel)> {
    let connection = Connection::connect(&amqp_url(url), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    Ok((Arc::new(connection), channel))
}

/// The channel to publish on; `consuming` is the other one.
async fn publishing(url: &str, consuming: &Channel, acks: Acks) -> anyhow::Result<Channel> {
    if acks != Acks::Coalesced {
        return Ok(consuming.clone());
    }
    let (_, channel) = open(url).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

async fn consume(channel: &Channel, queue: &ShortString, acks: Acks) -> anyhow::Result<Consumer> {
    let options = BasicConsumeOptions { no_ack: acks == Acks::None, ..BasicConsumeOptions::default() };
    Ok(channel.basic_consume(queue.clone(), "".into(), options, FieldTable::default()).await?)
}
