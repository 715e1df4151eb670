//! Shared by the tests: transports in a vhost, Python peers, and a collector.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use oxlo::{Transport, notify::Received};
use oxlo_test_support::{PythonPeer, TestVhost, eventually};
use serde_json::{Value, json};

/// Time limit for everything that must arrive.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn connect(vhost: &TestVhost) -> Arc<dyn Transport> {
    oxlo::connect(vhost.url()).await.unwrap()
}

/// Starts a Python peer on this virtual host, and waits until it is ready.
pub(crate) async fn python(program: &str, url: &str, arguments: &[&str]) -> PythonPeer {
    let mut all = vec!["--url", url];
    all.extend(arguments);
    let mut peer = PythonPeer::spawn(program, &all);
    peer.expect_ready().await;
    peer
}

/// Sends a Python peer a command that must succeed.
pub(crate) async fn ask(peer: &mut PythonPeer, request: Value) -> Value {
    let mut answer = peer.request(request.clone()).await;
    assert!(answer.get("error").is_none(), "{request}: {answer}");
    answer["ok"].take()
}

/// Waits until a Python listener has received this many, and returns them.
pub(crate) async fn seen(peer: &mut PythonPeer, count: usize) -> Vec<Value> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let seen = ask(peer, json!({"op": "seen"})).await;
        let seen = seen.as_array().unwrap();
        if seen.len() >= count {
            return seen.clone();
        }
        assert!(tokio::time::Instant::now() < deadline, "{} of {count} came: {seen:?}", seen.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Collects what handlers receive.
#[derive(Clone, Debug)]
pub(crate) struct Collected<T>(Arc<Mutex<Vec<T>>>);

impl<T> Default for Collected<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone + std::fmt::Debug> Collected<T> {
    pub(crate) fn add(&self, one: T) {
        self.0.lock().unwrap().push(one);
    }

    pub(crate) fn now(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }

    /// Waits until this many have arrived, and returns them.
    pub(crate) async fn wait(&self, count: usize) -> Vec<T> {
        eventually(
            PATIENCE,
            &format!("{count} have come"),
            || std::future::ready(self.now()),
            |all: &Vec<T>| all.len() >= count,
        )
        .await
    }
}

/// A received notification as JSON, for comparisons.
pub(crate) fn shown(it: &Received<Value>) -> Value {
    json!({
        "priority": it.priority.as_str(),
        "ctxt": it.context,
        "publisher_id": &*it.publisher_id,
        "event_type": &*it.event_type,
        "payload": it.payload,
    })
}
