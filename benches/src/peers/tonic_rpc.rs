//! gRPC by tonic, end to end without a broker. The messages are the same JSON as in the other peers, to exclude the effect of
//! Protocol Buffers.

use std::{
    convert::Infallible,
    future::Ready,
    task::{Context, Poll},
};

use bytes::{Buf as _, BufMut as _, Bytes};
use tokio::task::JoinHandle;
use tonic::{
    Request as Asked, Response, Status,
    body::Body,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::{BoxFuture, Service, http, http::uri::PathAndQuery},
    transport::{Channel, Endpoint, Server},
};

use super::{Client, EchoArgs, Reply, Request, echoed};

const PATH: PathAndQuery = PathAndQuery::from_static("/bench.Echo/echo");

/// A codec that passes bytes unchanged.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

#[derive(Clone)]
pub(crate) struct TonicRpc(Channel);

pub(crate) async fn connect(url: &str) -> anyhow::Result<TonicRpc> {
    Ok(TonicRpc(Endpoint::new(url.to_owned())?.tcp_nodelay(true).connect().await?))
}

impl Client for TonicRpc {
    async fn call(&self, text: &str) -> anyhow::Result<()> {
        let body = serde_json::to_vec(&Request { method: "echo", args: EchoArgs { value: text } })?;
        let mut grpc = Grpc::new(self.0.clone());
        grpc.ready().await?;
        let reply: Response<Bytes> = grpc.unary(Asked::new(Bytes::from(body)), PATH, Raw).await?;
        let reply: Reply<'_> = serde_json::from_slice(reply.get_ref())?;
        echoed(text, reply.result)
    }
}

/// The method.
struct Echo;

impl Service<Asked<Bytes>> for Echo {
    type Response = Response<Bytes>;
    type Error = Status;
    type Future = Ready<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Asked<Bytes>) -> Self::Future {
        let echo = || {
            let request: Request<'_> = serde_json::from_slice(request.get_ref())?;
            serde_json::to_vec(&Reply { result: request.args.value })
        };
        let reply = echo().map_err(|error| Status::invalid_argument(error.to_string()));
        std::future::ready(reply.map(|reply| Response::new(reply.into())))
    }
}

/// The HTTP/2 service. There is only one method, so the path is ignored.
#[derive(Clone)]
struct EchoServer;

impl Service<http::Request<Body>> for EchoServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move { Ok(tonic::server::Grpc::new(Raw).unary(Echo, request).await) })
    }
}

pub(crate) async fn serve(url: &str) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    let place = url.trim_start_matches("http://").parse()?;
    let serving = tokio::spawn(async move { Ok(Server::builder().tcp_nodelay(true).serve(place, EchoServer).await?) });
    // The server is ready when it accepts connections.
    while tokio::net::TcpStream::connect(place).await.is_err() {
        anyhow::ensure!(!serving.is_finished(), "cannot listen on {place}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    Ok(serving)
}
