//! oxlo over any of its drivers, with every default on.

use std::sync::Arc;

use oxlo::{Args, Context, Endpoint, Failure, RPCClient, RPCServer, RunningServer, Target, Transport};
use serde::Deserialize;

use super::{Client, EchoArgs, echoed};

#[derive(Clone)]
pub(crate) struct Oxlo {
    client: RPCClient,
    context: Context,
}

pub(crate) async fn connect(url: &str, topic: &str) -> anyhow::Result<Oxlo> {
    Ok(on(oxlo::connect(url).await?, topic))
}

pub(crate) fn on(transport: Arc<dyn Transport>, topic: &str) -> Oxlo {
    let client = RPCClient::new(transport, Target::topic(topic).version("1.0"));
    Oxlo { client, context: Context::new() }
}

impl Client for Oxlo {
    async fn call(&self, text: &str) -> anyhow::Result<()> {
        let came: String = self.client.call(&self.context, "echo", EchoArgs { value: text }).await?;
        echoed(text, &came)
    }

    async fn cast(&self, text: &str) -> anyhow::Result<()> {
        Ok(self.client.cast(&self.context, "echo", EchoArgs { value: text }).await?)
    }
}

pub(crate) async fn serve(url: &str, topic: &str) -> anyhow::Result<RunningServer> {
    serve_on(oxlo::connect(url).await?, topic).await
}

pub(crate) async fn serve_on(transport: Arc<dyn Transport>, topic: &str) -> anyhow::Result<RunningServer> {
    #[derive(Deserialize)]
    struct Echo {
        value: String,
    }
    let endpoint = Endpoint::new("1.0")
        .method("echo", async |_ctxt: Context, Args(echo): Args<Echo>| Ok::<_, Failure>(echo.value));
    let target = Target::topic(topic).server("bench");
    Ok(RPCServer::builder(transport, target).endpoint(endpoint).start().await?)
}
