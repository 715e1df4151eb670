//! Options of `oslo_messaging_rabbit`: their effect at the broker, compared with that of a Python server.

mod delivery;
mod names;
mod retry;
mod streams;
mod topology;

use std::{sync::Arc, time::Duration};

use oxlo::{Args, Context, Endpoint, Failure, RPCClient, RPCServer, RunningServer, Target, Transport, TransportError};
use oxlo_test_support::{PythonPeer, VhostAdmin, eventually};
use serde_json::json;
use tokio::sync::mpsc;

const SOON: Duration = Duration::from_secs(30);

async fn connect(url: &str) -> Arc<dyn Transport> {
    oxlo::connect(url).await.unwrap()
}

fn client(transport: &Arc<dyn Transport>) -> RPCClient {
    RPCClient::new(transport.clone(), Target::topic("t")).timeout(SOON)
}

/// A server that reports every `note` it runs, and answers `whoami`.
async fn server(transport: &Arc<dyn Transport>, name: &str) -> (RunningServer, mpsc::UnboundedReceiver<i64>) {
    #[derive(serde::Deserialize)]
    struct Note {
        x: i64,
    }
    let (noted, notes) = mpsc::unbounded_channel();
    let own = name.to_owned();
    let endpoint = Endpoint::new("1.0")
        .method("note", move |Args(it): Args<Note>| {
            let _ = noted.send(it.x);
            async move { Ok::<_, Failure>(()) }
        })
        .method("whoami", move || {
            let own = own.clone();
            async move { Ok::<_, Failure>(own) }
        });
    let running = RPCServer::builder(transport.clone(), Target::topic("t").server(name))
        .endpoint(endpoint)
        .start()
        .await
        .unwrap();
    (running, notes)
}

async fn note(client: &RPCClient, x: i64) {
    client.prepare().fanout(true).cast(&Context::new(), "note", json!({ "x": x })).await.unwrap();
}

async fn next(notes: &mut mpsc::UnboundedReceiver<i64>) -> i64 {
    tokio::time::timeout(SOON, notes.recv()).await.expect("nothing came").unwrap()
}

/// Python's server on topic `t`; `further` are lines of its configuration file.
async fn python_server(url: &str, further: &[&str]) -> PythonPeer {
    let mut arguments = vec!["--url", url, "--topic", "t", "--server", "s1"];
    for line in further {
        arguments.extend(["--set", line]);
    }
    let mut peer = PythonPeer::spawn("server.py", &arguments);
    peer.expect_ready().await;
    peer
}

/// Waits until a queue has a consumer; a Python server reports ready before that.
async fn consumed(vhost: &VhostAdmin, queue: &str) {
    let consumers = async || vhost.queue(queue).await.map_or(0, |queue| queue.consumers);
    eventually(SOON, "the queue is consumed", consumers, |count| *count > 0).await;
}

fn is_topology(error: &oxlo::ServeError, part: &str) -> bool {
    matches!(error, oxlo::ServeError::Listen { source: source @ TransportError::Topology { .. }, .. }
        if source.to_string().contains(part))
}
