//! oxlo over any of its drivers, with all defaults.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use oxlo::{Args, Context, Endpoint, Failure, RPCClient, RPCServer, RunningServer, Target, Transport};
use serde::Deserialize;

use super::{Client, EchoArgs, echoed};
use crate::worker::Spread;

#[derive(Clone)]
pub(crate) struct Oxlo {
    /// One per topic.
    clients: Arc<[RPCClient]>,
    next: Arc<AtomicUsize>,
    context: Context,
}

pub(crate) async fn connect(url: &str, topic: &str, spread: Spread) -> anyhow::Result<Oxlo> {
    Ok(on(&oxlo::connect(url).await?, topic, spread))
}

pub(crate) fn on(transport: &Arc<dyn Transport>, topic: &str, spread: Spread) -> Oxlo {
    let client = |topic| RPCClient::new(transport.clone(), Target::topic(topic).version("1.0"));
    Oxlo { clients: topics(topic, spread).map(client).collect(), next: Arc::default(), context: Context::new() }
}

fn topics(topic: &str, spread: Spread) -> impl Iterator<Item = String> {
    (0..spread.topics).map(move |place| if place == 0 { topic.to_owned() } else { format!("{topic}-{place}") })
}

impl Oxlo {
    /// The client of the next topic in turn.
    fn client(&self) -> &RPCClient {
        match &*self.clients {
            [only] => only,
            clients => &clients[self.next.fetch_add(1, Ordering::Relaxed) % clients.len()],
        }
    }
}

impl Client for Oxlo {
    async fn call(&self, text: &str) -> anyhow::Result<()> {
        let came: String = self.client().call(&self.context, "echo", EchoArgs { value: text }).await?;
        echoed(text, &came)
    }

    async fn cast(&self, text: &str) -> anyhow::Result<()> {
        Ok(self.client().cast(&self.context, "echo", EchoArgs { value: text }).await?)
    }
}

pub(crate) async fn serve(url: &str, topic: &str, spread: Spread) -> anyhow::Result<Vec<RunningServer>> {
    serve_on(&oxlo::connect(url).await?, topic, spread).await
}

pub(crate) async fn serve_on(
    transport: &Arc<dyn Transport>,
    topic: &str,
    spread: Spread,
) -> anyhow::Result<Vec<RunningServer>> {
    #[derive(Deserialize)]
    struct Echo {
        value: String,
    }
    let endpoint = || {
        Endpoint::new("1.0").method("echo", async |_ctxt: Context, Args(echo): Args<Echo>| Ok::<_, Failure>(echo.value))
    };
    let mut running = Vec::new();
    for topic in topics(topic, spread) {
        for place in 0..spread.servers {
            let target = Target::topic(topic.clone()).server(format!("bench-{}-{place}", std::process::id()));
            running.push(RPCServer::builder(transport.clone(), target).endpoint(endpoint()).start().await?);
        }
    }
    Ok(running)
}
