//! Hand-written RPC on fe2o3-amqp (AMQP 1.0): one connection, one session per link, a reply queue, correlation ids.
//! No deadlines, no duplicate filter, no reconnects.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, bail, ensure};
use fe2o3_amqp::{
    Connection, Delivery, Receiver, Sendable, Sender, Session,
    connection::ConnectionHandle,
    link::receiver::CreditMode,
    sasl_profile::SaslProfile,
    session::SessionHandle,
    types::{
        definitions::SenderSettleMode,
        messaging::{Data, Message, MessageId, Outcome, Properties},
        primitives::Binary,
    },
};
use tokio::{
    net::TcpStream,
    sync::{Mutex as AsyncMutex, oneshot},
};

use super::{Client, EchoArgs, Reply, Request, echoed};

/// The credit of a link: the same as oxlo's.
const CREDIT: u32 = 128;

/// When a message is settled, at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// When its receiver settles it, which the sender waits for, as in oxlo.
    ByReceiver,
    /// When it is written: messages are lost with their connection. The practical limit.
    ByItself,
}

#[derive(Clone)]
pub(crate) struct Fe2o3Rpc {
    requests: Outbox,
    reply_address: Arc<str>,
    waiting: Arc<Waiting>,
    next: Arc<AtomicU64>,
    _held: Arc<Held>,
}

type Waiting = Mutex<HashMap<u64, oneshot::Sender<Vec<u8>>>>;

/// A sender shared by many tasks: locked while a message is written, but not while its outcome is awaited.
#[derive(Clone)]
struct Outbox {
    sender: Arc<AsyncMutex<Sender>>,
    settled: Settled,
}

impl Outbox {
    async fn send(&self, properties: Properties, body: Vec<u8>) -> anyhow::Result<()> {
        let message = Message::builder().properties(properties).data(Binary::from(body)).build();
        let message: Sendable<Data> =
            Sendable::builder().message(message).settled(self.settled == Settled::ByItself).build();
        let outcome = self.sender.lock().await.send_batchable(message).await?;
        ensure!(matches!(outcome.await?, Outcome::Accepted(_)), "the broker did not accept the message");
        Ok(())
    }
}

/// A connection and its sessions, which end when this is dropped.
pub(crate) struct Held {
    connection: ConnectionHandle<()>,
    sessions: Vec<SessionHandle<()>>,
}

impl Held {
    async fn open(url: &str) -> anyhow::Result<Self> {
        let place = url.rsplit_once('@').map_or(url, |(_, place)| place).trim_end_matches('/');
        let stream = TcpStream::connect(place).await?;
        // Otherwise each reply is delayed by about 40 ms in the kernel.
        stream.set_nodelay(true)?;
        let connection = Connection::builder()
            .container_id(format!("bench-{}", std::process::id()))
            .scheme("amqp")
            .sasl_profile(SaslProfile::Plain { username: "guest".to_owned(), password: "guest".to_owned() })
            .open_with_stream(stream)
            .await?;
        Ok(Self { connection, sessions: Vec::new() })
    }

    async fn session(&mut self) -> anyhow::Result<&mut SessionHandle<()>> {
        let session = Session::begin(&mut self.connection).await?;
        self.sessions.push(session);
        self.sessions.last_mut().context("there is a session")
    }

    async fn sender(&mut self, address: &str, settled: Settled) -> anyhow::Result<Outbox> {
        let mode = match settled {
            Settled::ByReceiver => SenderSettleMode::Unsettled,
            Settled::ByItself => SenderSettleMode::Settled,
        };
        let link = Sender::builder().name(format!("to {address}")).target(address).sender_settle_mode(mode);
        let sender = link.attach(self.session().await?).await?;
        Ok(Outbox { sender: Arc::new(AsyncMutex::new(sender)), settled })
    }

    async fn inbox(&mut self, address: &str, settled: Settled) -> anyhow::Result<Inbox> {
        let mode = match settled {
            Settled::ByReceiver => SenderSettleMode::Unsettled,
            Settled::ByItself => SenderSettleMode::Settled,
        };
        let link = Receiver::builder()
            .name(format!("from {address}"))
            .source(address)
            .sender_settle_mode(mode)
            .auto_accept(false)
            .credit_mode(CreditMode::Manual);
        let mut receiver = link.attach(self.session().await?).await?;
        receiver.set_credit(CREDIT).await?;
        Ok(Inbox { receiver, left: CREDIT })
    }
}

/// A receiver that keeps granting credit. fe2o3-amqp's automatic mode counts settlements, which do not occur for messages
/// that arrive settled.
struct Inbox {
    receiver: Receiver,
    left: u32,
}

impl Inbox {
    async fn recv(&mut self) -> anyhow::Result<Delivery<Data>> {
        if self.left <= CREDIT / 2 {
            self.left = CREDIT;
            self.receiver.set_credit(CREDIT).await?;
        }
        let delivery = self.receiver.recv().await?;
        self.left -= 1;
        Ok(delivery)
    }
}

fn queue(name: &str) -> String {
    format!("/queue/{name}")
}

pub(crate) async fn connect(url: &str, topic: &str, settled: Settled) -> anyhow::Result<Fe2o3Rpc> {
    let mut held = Held::open(url).await?;
    let reply_address = queue(&format!("{topic}-replies"));
    let replies = held.inbox(&reply_address, settled).await?;
    let waiting = Arc::<Waiting>::default();
    tokio::spawn(hand_out(replies, settled, waiting.clone()));
    Ok(Fe2o3Rpc {
        requests: held.sender(&queue(topic), settled).await?,
        reply_address: reply_address.into(),
        waiting,
        next: Arc::default(),
        _held: Arc::new(held),
    })
}

async fn hand_out(mut replies: Inbox, settled: Settled, waiting: Arc<Waiting>) -> anyhow::Result<()> {
    loop {
        let delivery = replies.recv().await?;
        if settled == Settled::ByReceiver {
            replies.receiver.accept(&delivery).await?;
        }
        let Message { properties, body, .. } = delivery.into_message();
        if let Some(MessageId::Ulong(id)) = properties.and_then(|properties| properties.correlation_id)
            && let Some(call) = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
        {
            let _ = call.send(body.0.into_vec());
        }
    }
}

impl Client for Fe2o3Rpc {
    async fn call(&self, text: &str) -> anyhow::Result<()> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let body = serde_json::to_vec(&Request { method: "echo", args: EchoArgs { value: text } })?;
        let properties =
            Properties::builder().message_id(MessageId::Ulong(id)).reply_to(self.reply_address.to_string()).build();
        let (sender, reply) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        self.requests.send(properties, body).await?;
        let reply = reply.await?;
        let reply: Reply<'_> = serde_json::from_slice(&reply)?;
        echoed(text, reply.result)
    }
}

/// The server knows the reply address of its one client: one link per reply would be slower.
pub(crate) async fn serve(url: &str, topic: &str, settled: Settled) -> anyhow::Result<Held> {
    let mut held = Held::open(url).await?;
    let reply_address = queue(&format!("{topic}-replies"));
    let mut requests = held.inbox(&queue(topic), settled).await?;
    let replies = held.sender(&reply_address, settled).await?;
    let disposer = requests.receiver.disposer();
    tokio::spawn(async move {
        loop {
            let delivery = requests.recv().await?;
            let disposer = disposer.clone();
            let replies = replies.clone();
            tokio::spawn(async move {
                let (info, Message { properties, body, .. }) = delivery.into_parts();
                let answered = answer(&replies, properties, &body.0).await;
                let ended = match settled {
                    Settled::ByReceiver => disposer.accept(info).await.map_err(anyhow::Error::from),
                    Settled::ByItself => Ok(()),
                };
                if let Err(error) = answered.and(ended) {
                    eprintln!("{error:#}");
                }
            });
        }
        #[expect(unreachable_code, reason = "it names the type of the error")]
        anyhow::Ok(())
    });
    Ok(held)
}

async fn answer(replies: &Outbox, asked: Option<Properties>, body: &[u8]) -> anyhow::Result<()> {
    let request: Request<'_> = serde_json::from_slice(body)?;
    let reply = serde_json::to_vec(&Reply { result: request.args.value })?;
    let Some(Properties { message_id: Some(id), .. }) = asked else { bail!("no message id") };
    replies.send(Properties::builder().correlation_id(id).build(), reply).await
}
