//! Hand-written RPC on amqprs, as in the tutorials: one acknowledgement per message, no confirms.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use amqprs::{
    BasicProperties, Deliver,
    channel::{
        BasicAckArguments, BasicConsumeArguments, BasicPublishArguments, BasicQosArguments, Channel,
        QueueDeclareArguments,
    },
    connection::{Connection, OpenConnectionArguments},
    consumer::AsyncConsumer,
};
use anyhow::Context as _;
use async_trait::async_trait;
use tokio::sync::oneshot;

use super::{Client, EchoArgs, Reply, Request, echoed};

type Waiting = Mutex<HashMap<String, oneshot::Sender<Vec<u8>>>>;

#[derive(Clone)]
pub(crate) struct AmqprsRpc {
    channel: Channel,
    topic: Arc<str>,
    reply_queue: Arc<str>,
    waiting: Arc<Waiting>,
    next: Arc<AtomicU64>,
    _connection: Connection,
}

struct Replies(Arc<Waiting>);

#[async_trait]
impl AsyncConsumer for Replies {
    async fn consume(&mut self, channel: &Channel, deliver: Deliver, properties: BasicProperties, content: Vec<u8>) {
        if let Some(id) = properties.correlation_id()
            && let Some(call) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
        {
            let _ = call.send(content);
        }
        let _ = channel.basic_ack(BasicAckArguments::new(deliver.delivery_tag(), false)).await;
    }
}

pub(crate) async fn connect(url: &str, topic: &str) -> anyhow::Result<AmqprsRpc> {
    let (connection, channel) = open(url).await?;
    let queue = QueueDeclareArguments::new("").exclusive(true).finish();
    let (queue, ..) = channel.queue_declare(queue).await?.context("no name for the reply queue")?;
    let waiting = Arc::<Waiting>::default();
    channel.basic_consume(Replies(waiting.clone()), BasicConsumeArguments::new(&queue, "replies")).await?;
    Ok(AmqprsRpc {
        channel,
        topic: topic.into(),
        reply_queue: queue.into(),
        waiting,
        next: Arc::default(),
        _connection: connection,
    })
}

impl Client for AmqprsRpc {
    async fn call(&self, text: &str) -> anyhow::Result<()> {
        let id = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let body = serde_json::to_vec(&Request { method: "echo", args: EchoArgs { value: text } })?;
        let properties = BasicProperties::default()
            .with_content_type("application/json")
            .with_reply_to(&self.reply_queue)
            .with_correlation_id(&id)
            .finish();
        let (sender, reply) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        self.channel.basic_publish(properties, body, BasicPublishArguments::new("", &self.topic)).await?;
        let reply = reply.await?;
        let reply: Reply<'_> = serde_json::from_slice(&reply)?;
        echoed(text, reply.result)
    }
}

struct Requests;

#[async_trait]
impl AsyncConsumer for Requests {
    async fn consume(&mut self, channel: &Channel, deliver: Deliver, properties: BasicProperties, content: Vec<u8>) {
        if let Err(error) = answer(channel, &deliver, &properties, &content).await {
            eprintln!("{error:#}");
        }
    }
}

async fn answer(channel: &Channel, deliver: &Deliver, asked: &BasicProperties, content: &[u8]) -> anyhow::Result<()> {
    let request: Request<'_> = serde_json::from_slice(content)?;
    let reply = serde_json::to_vec(&Reply { result: request.args.value })?;
    let reply_to = asked.reply_to().context("no reply_to")?;
    let properties = BasicProperties::default()
        .with_content_type("application/json")
        .with_correlation_id(asked.correlation_id().context("no correlation_id")?)
        .finish();
    channel.basic_publish(properties, reply, BasicPublishArguments::new("", reply_to)).await?;
    channel.basic_ack(BasicAckArguments::new(deliver.delivery_tag(), false)).await?;
    Ok(())
}

pub(crate) async fn serve(url: &str, topic: &str) -> anyhow::Result<(Connection, Channel)> {
    let (connection, channel) = open(url).await?;
    channel.queue_declare(QueueDeclareArguments::new(topic)).await?;
    channel.basic_qos(BasicQosArguments::new(0, 128, false)).await?;
    channel.basic_consume(Requests, BasicConsumeArguments::new(topic, "requests")).await?;
    Ok((connection, channel))
}

async fn open(url: &str) -> anyhow::Result<(Connection, Channel)> {
    let port = url.trim_end_matches('/').rsplit_once(':').context("the URL has no port")?.1.parse()?;
    let connection = Connection::open(&OpenConnectionArguments::new("127.0.0.1", port, "guest", "guest")).await?;
    let channel = connection.open_channel(None).await?;
    Ok((connection, channel))
}
