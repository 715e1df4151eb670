//! The two ends of every peer. All do the same work: the server returns the text in the request, and both ends encode and
//! decode it as JSON with serde.

mod amqprs_rpc;
mod fe2o3_rpc;
mod lapin_casts;
mod lapin_rpc;
mod local;
#[cfg(feature = "orientation")]
mod nats_rpc;
mod oxlo_rpc;
mod sink;
#[cfg(feature = "orientation")]
mod tonic_rpc;

use std::future::Future;

use anyhow::bail;
use serde::{Deserialize, Serialize};

use crate::{
    growth::{listener, swallow},
    worker::{Side, Spread, follow_orders, until_input_ends},
};

/// The client.
pub(crate) trait Client: Clone + Send + Sync + 'static {
    /// Calls the server with `text`, and checks that the reply contains it.
    fn call(&self, text: &str) -> impl Future<Output = anyhow::Result<()>> + Send {
        let _ = text;
        async { bail!("this peer does not support calls") }
    }

    /// Sends `text` and waits for the broker's confirm.
    fn cast(&self, text: &str) -> impl Future<Output = anyhow::Result<()>> + Send {
        let _ = text;
        async { bail!("this peer does not support casts") }
    }
}

/// The request of peers without their own wire format.
#[derive(Serialize, Deserialize)]
struct Request<'a> {
    method: &'a str,
    #[serde(borrow)]
    args: EchoArgs<'a>,
}

#[derive(Serialize, Deserialize)]
struct EchoArgs<'a> {
    value: &'a str,
}

/// The reply of peers without their own wire format.
#[derive(Serialize, Deserialize)]
struct Reply<'a> {
    result: &'a str,
}

fn echoed(sent: &str, came: &str) -> anyhow::Result<()> {
    if sent.len() != came.len() {
        bail!("sent {} bytes, received {}", sent.len(), came.len());
    }
    Ok(())
}

pub(crate) async fn run(side: Side, peer: &str, url: &str, topic: &str, spread: Spread) -> anyhow::Result<()> {
    use fe2o3_rpc::Settled;
    use lapin_rpc::Acks;
    match (side, peer) {
        (Side::Client, "oxlo") => follow_orders(oxlo_rpc::connect(url, topic, spread).await?).await,
        (Side::Server, "oxlo") => {
            let _servers = oxlo_rpc::serve(url, topic, spread).await?;
            until_input_ends().await
        }
        (Side::Server, "oxlo-hole") => {
            let transport = oxlo::connect(url).await?;
            tokio::spawn(swallow(listener(&transport, topic).await?));
            until_input_ends().await
        }
        (Side::Client, "lapin-tutorial") => follow_orders(lapin_rpc::connect(url, topic, Acks::Each).await?).await,
        (Side::Server, "lapin-tutorial") => {
            let _server = lapin_rpc::serve(url, topic, Acks::Each).await?;
            until_input_ends().await
        }
        (Side::Client, "lapin-noack") => follow_orders(lapin_rpc::connect(url, topic, Acks::None).await?).await,
        (Side::Server, "lapin-noack") => {
            let _server = lapin_rpc::serve(url, topic, Acks::None).await?;
            until_input_ends().await
        }
        (Side::Client, "lapin-confirmed") => {
            follow_orders(lapin_rpc::connect(url, topic, Acks::Coalesced).await?).await
        }
        (Side::Server, "lapin-confirmed") => {
            let _server = lapin_rpc::serve(url, topic, Acks::Coalesced).await?;
            until_input_ends().await
        }
        (Side::Client, "lapin-confirms") => follow_orders(lapin_casts::connect(url, topic).await?).await,
        (Side::Server, "sink") => {
            let _sink = sink::drain(url, topic).await?;
            until_input_ends().await
        }
        (Side::Client, "amqprs") => follow_orders(amqprs_rpc::connect(url, topic).await?).await,
        (Side::Server, "amqprs") => {
            let _server = amqprs_rpc::serve(url, topic).await?;
            until_input_ends().await
        }
        (Side::Client, "fe2o3-amqp") => follow_orders(fe2o3_rpc::connect(url, topic, Settled::ByReceiver).await?).await,
        (Side::Server, "fe2o3-amqp") => {
            let _server = fe2o3_rpc::serve(url, topic, Settled::ByReceiver).await?;
            until_input_ends().await
        }
        (Side::Client, "fe2o3-settled") => {
            follow_orders(fe2o3_rpc::connect(url, topic, Settled::ByItself).await?).await
        }
        (Side::Server, "fe2o3-settled") => {
            let _server = fe2o3_rpc::serve(url, topic, Settled::ByItself).await?;
            until_input_ends().await
        }
        #[cfg(feature = "orientation")]
        (Side::Client, "nats") => follow_orders(nats_rpc::connect(url, topic).await?).await,
        #[cfg(feature = "orientation")]
        (Side::Server, "nats") => {
            let _server = nats_rpc::serve(url, topic).await?;
            until_input_ends().await
        }
        #[cfg(feature = "orientation")]
        (Side::Client, "tonic") => follow_orders(tonic_rpc::connect(url).await?).await,
        #[cfg(feature = "orientation")]
        (Side::Server, "tonic") => {
            let _server = tonic_rpc::serve(url).await?;
            until_input_ends().await
        }
        (Side::Client, "memory") => {
            let transport = oxlo::connect("memory://bench").await?;
            let _servers = oxlo_rpc::serve_on(&transport, topic, spread).await?;
            follow_orders(oxlo_rpc::on(&transport, topic, spread)).await
        }
        (Side::Client, "channels") => follow_orders(local::channels()).await,
        (Side::Client, "tarpc") => follow_orders(local::tarpc()).await,
        _ => bail!("unknown peer `{peer}` for {side:?}"),
    }
}

/// The broker's URL for libraries that require `amqp://` and an escaped virtual host.
pub(crate) fn amqp_url(rabbit: &str) -> String {
    rabbit.replacen("rabbit://", "amqp://", 1) + "%2f"
}
