//! Both ends in one process, with the same JSON work as the other peers.

use anyhow::Context as _;
use futures_util::StreamExt as _;
use tarpc::{
    context,
    server::{BaseChannel, Channel as _},
};
use tokio::sync::{mpsc, oneshot};

use super::{Client, EchoArgs, Reply, Request, echoed};

type Letter = (Vec<u8>, oneshot::Sender<Vec<u8>>);

/// Only tokio's channels: the practical limit within a process. One task serves requests sequentially.
#[derive(Clone)]
pub(crate) struct Channels(mpsc::Sender<Letter>);

pub(crate) fn channels() -> Channels {
    let (sender, mut inbox) = mpsc::channel::<Letter>(1024);
    tokio::spawn(async move {
        while let Some((request, answer)) = inbox.recv().await {
            let _ = answer.send(echo(&request).unwrap_or_default());
        }
    });
    Channels(sender)
}

impl Client for Channels {
    async fn call(&self, text: &str) -> anyhow::Result<()> {
        let (answer, reply) = oneshot::channel();
        self.0.send((request(text)?, answer)).await?;
        read(text, &reply.await?)
    }
}

#[tarpc::service]
trait Echo {
    async fn echo(request: Vec<u8>) -> Vec<u8>;
}

#[derive(Clone)]
struct EchoServer;

impl Echo for EchoServer {
    async fn echo(self, _: context::Context, request: Vec<u8>) -> Vec<u8> {
        echo(&request).unwrap_or_default()
    }
}

/// tarpc over its in-process channel, with one task per request.
#[derive(Clone)]
pub(crate) struct Tarpc(EchoClient);

pub(crate) fn tarpc() -> Tarpc {
    let (client, server) = tarpc::transport::channel::unbounded();
    let requests = BaseChannel::with_defaults(server).execute(EchoServer.serve());
    tokio::spawn(requests.for_each(async |request| drop(tokio::spawn(request))));
    Tarpc(EchoClient::new(tarpc::client::Config::default(), client).spawn())
}

impl Client for Tarpc {
    async fn call(&self, text: &str) -> anyhow::Result<()> {
        let reply = self.0.echo(context::current(), request(text)?).await?;
        read(text, &reply)
    }
}

fn request(text: &str) -> anyhow::Result<Vec<u8>> {
    Ok(serde_json::to_vec(&Request { method: "echo", args: EchoArgs { value: text } })?)
}

fn echo(request: &[u8]) -> anyhow::Result<Vec<u8>> {
    let request: Request<'_> = serde_json::from_slice(request)?;
    Ok(serde_json::to_vec(&Reply { result: request.args.value })?)
}

fn read(text: &str, reply: &[u8]) -> anyhow::Result<()> {
    let reply: Reply<'_> = serde_json::from_slice(reply).context("cannot decode the reply")?;
    echoed(text, reply.result)
}
