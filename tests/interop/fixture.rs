//! Shared by the tests: ready peers, and requests to them.

use std::{sync::Arc, time::Duration};

use oxlo::{Context, RPCClient, Target, Transport};
use oxlo_test_support::{PythonPeer, VhostAdmin, eventually};
use serde_json::{Value, json};

/// The topic of all servers.
pub(crate) const TOPIC: &str = "t";

/// Time limit for everything that must happen, generous for a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) async fn python(program: &str, arguments: &[&str]) -> PythonPeer {
    let mut peer = PythonPeer::spawn(program, arguments);
    peer.expect_ready().await;
    peer
}

pub(crate) async fn python_server(url: &str, name: &str) -> PythonPeer {
    python("server.py", &["--url", url, "--topic", TOPIC, "--server", name]).await
}

pub(crate) async fn python_client(url: &str) -> PythonPeer {
    python("client.py", &["--url", url, "--topic", TOPIC]).await
}

pub(crate) async fn raw(url: &str) -> PythonPeer {
    python("raw.py", &["--url", url]).await
}

pub(crate) async fn connect(url: &str) -> Arc<dyn Transport> {
    oxlo::connect(url).await.unwrap()
}

/// A client for [`TOPIC`].
pub(crate) fn client_on(transport: &Arc<dyn Transport>) -> RPCClient {
    RPCClient::new(transport.clone(), Target::topic(TOPIC)).timeout(SOON)
}

pub(crate) async fn rust_client(url: &str) -> RPCClient {
    client_on(&connect(url).await)
}

/// The command for `client.py` that calls a method.
pub(crate) fn call(method: &str, args: Value) -> Value {
    json!({"op": "call", "method": method, "args": args, "timeout": SOON.as_secs()})
}

/// A command with additional keys.
pub(crate) fn with(mut order: Value, further: Value) -> Value {
    let (Value::Object(order_keys), Value::Object(further)) = (&mut order, further) else { panic!("no objects") };
    order_keys.extend(further);
    order
}

pub(crate) trait Ask {
    /// The answer to a command that must succeed.
    async fn ok(&mut self, order: Value) -> Value;

    /// The error of a command that must fail.
    async fn error(&mut self, order: Value) -> Value;
}

impl Ask for PythonPeer {
    async fn ok(&mut self, order: Value) -> Value {
        let mut answer = self.request(order.clone()).await;
        assert!(answer.get("ok").is_some(), "{order} was answered by {answer}");
        answer["ok"].take()
    }

    async fn error(&mut self, order: Value) -> Value {
        let mut answer = self.request(order.clone()).await;
        assert!(answer.get("error").is_some(), "{order} was answered by {answer}");
        answer["error"].take()
    }
}

/// Waits until a server has taken the request that was sent.
pub(crate) async fn taken(vhost: &VhostAdmin) {
    let waiting = async || vhost.queue(TOPIC).await.map(|queue| queue.messages);
    eventually(SOON, "the request was taken", waiting, |messages| *messages == Some(0)).await;
}

/// Calls without a context; must succeed.
pub(crate) async fn ask(client: &RPCClient, method: &str, args: Value) -> Value {
    client.call(&Context::new(), method, args).await.unwrap_or_else(|error| panic!("{method}: {error:?}"))
}
