//! Request and reply on NATS, whose broker stores and confirms nothing.

use anyhow::Context as _;
use futures_util::StreamExt as _;

use super::{Client, EchoArgs, Reply, Request, echoed};

#[derive(Clone)]
pub(crate) struct NatsRpc {
    client: async_nats::Client,
    topic: async_nats::Subject,
}

pub(crate) async fn connect(url: &str, topic: &str) -> anyhow::Result<NatsRpc> {
    Ok(NatsRpc { client: async_nats::connect(url).await?, topic: topic.into() })
}

impl Client for NatsRpc {
    async fn call(&self, text: &str) -> anyhow::Result<()> {
        let body = serde_json::to_vec(&Request { method: "echo", args: EchoArgs { value: text } })?;
        let reply = self.client.request(self.topic.clone(), body.into()).await?;
        let reply: Reply<'_> = serde_json::from_slice(&reply.payload)?;
        echoed(text, reply.result)
    }
}

pub(crate) async fn serve(url: &str, topic: &str) -> anyhow::Result<async_nats::Client> {
    let client = async_nats::connect(url).await?;
    let mut requests = client.queue_subscribe(topic.to_owned(), "servers".to_owned()).await?;
    client.flush().await?;
    let replies = client.clone();
    tokio::spawn(async move {
        // Publishing only enqueues: one task per request would be slower.
        while let Some(message) = requests.next().await {
            let request: Request<'_> = serde_json::from_slice(&message.payload)?;
            let reply = serde_json::to_vec(&Reply { result: request.args.value })?;
            replies.publish(message.reply.context("no reply subject")?, reply.into()).await?;
        }
        anyhow::Ok(())
    });
    Ok(client)
}
