//! Shared code of the cases: transports, topics, messages, and a small server.

use std::{sync::Arc, time::Duration};

use oxlo_transport::{
    CallOptions, Context, Delivery, ListenOptions, Listener, Notification, NotificationFormat, Payload, Priority,
    Reply, Request, Settings, Target, Transport, TransportError,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use uuid::Uuid;

use super::Harness;

/// How long a case waits for an expected event.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a case watches for an event that must not occur, where nothing else can prove it.
pub(super) const QUIET_PERIOD: Duration = Duration::from_millis(150);

pub(super) async fn connect(harness: &dyn Harness) -> Arc<dyn Transport> {
    harness.connect(Settings::default()).await
}

/// A topic that no other case uses.
pub(super) fn topic() -> Target {
    Target::topic(format!("conformance-{}", Uuid::new_v4().simple()))
}

pub(super) fn payload(value: &(impl Serialize + ?Sized)) -> Payload {
    Payload::encode(value).unwrap()
}

/// A request with one argument, `number`.
pub(super) fn request(number: usize) -> Request {
    Request::new("method", payload(&serde_json::json!({ "number": number })))
}

/// The argument of [`request`].
pub(super) fn number_of(request: &Request) -> usize {
    let args: Value = request.args.decode().unwrap();
    usize::try_from(args["number"].as_u64().unwrap()).unwrap()
}

pub(super) fn notification(number: usize, priority: Priority) -> Notification {
    Notification {
        context: Context::new(),
        message_id: Uuid::new_v4().to_string().into(),
        publisher_id: "conformance.host".into(),
        event_type: "conformance.event".into(),
        priority,
        payload: payload(&number),
        timestamp: "2026-01-02 03:04:05.678901".into(),
        format: NotificationFormat::V2,
    }
}

/// The payload of [`notification`].
pub(super) fn payload_of(notification: &Notification) -> usize {
    notification.payload.decode().unwrap()
}

pub(super) fn result(value: &(impl Serialize + ?Sized)) -> Reply {
    Reply::Result(payload(value))
}

/// The decoded result of a call.
pub(super) fn value_of<T: DeserializeOwned>(outcome: Result<Reply, TransportError>) -> T {
    match outcome {
        Ok(Reply::Result(value)) => value.decode().unwrap(),
        other => panic!("not a result: {other:?}"),
    }
}

pub(super) fn call_options() -> CallOptions {
    CallOptions::new().with_timeout(TIMEOUT)
}

pub(super) async fn listen(on: &Target, transport: &dyn Transport) -> Box<dyn Listener<Request>> {
    transport.listen(on, &ListenOptions::new()).await.unwrap()
}

/// Waits for the next message, which must arrive.
pub(super) async fn take<M: Send + 'static>(listener: &mut Box<dyn Listener<M>>) -> Delivery<M> {
    timeout(TIMEOUT, listener.recv()).await.expect("no message arrived").unwrap()
}

/// Checks that no message arrives for a short time.
pub(super) async fn nothing_comes<M: Send + 'static>(listener: &mut Box<dyn Listener<M>>) {
    if let Ok(got) = timeout(QUIET_PERIOD, listener.recv()).await {
        panic!("expected no message, got {:?}", got.map(|delivery| delivery.redelivered));
    }
}

/// Waits until `condition` holds for the requests a server has received.
pub(super) async fn until<T>(seen: &mut watch::Receiver<T>, condition: impl FnMut(&T) -> bool) {
    timeout(TIMEOUT, seen.wait_for(condition)).await.expect("the condition never held").unwrap();
}

/// A minimal server: acknowledges each request at once, records it, and answers it in a separate task.
pub(super) struct Server {
    /// All received requests, in order.
    pub(super) seen: watch::Receiver<Vec<Request>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts a server that replies with the result of `answer`.
    pub(super) async fn start(
        transport: &dyn Transport,
        on: &Target,
        answer: impl Fn(&Request) -> Reply + Send + 'static,
    ) -> Self {
        let mut listener = listen(on, transport).await;
        let (note, seen) = watch::channel(Vec::new());
        let task = tokio::spawn(async move {
            while let Ok(delivery) = listener.recv().await {
                delivery.settle.ack();
                if let Some(replier) = delivery.replier {
                    let reply = answer(&delivery.message);
                    // The case checks the caller's side, including callers that no longer wait.
                    tokio::spawn(async move { drop(replier.reply(reply).await) });
                }
                note.send_modify(|seen| seen.push(delivery.message));
            }
        });
        Self { seen, task }
    }

    /// Starts a server that answers with the arguments.
    pub(super) async fn echo(transport: &dyn Transport, on: &Target) -> Self {
        Self::start(transport, on, |request| Reply::Result(request.args.clone())).await
    }

    /// Starts a server that answers with its own name.
    pub(super) async fn named(transport: &dyn Transport, on: &Target, name: &'static str) -> Self {
        Self::start(transport, &on.clone().server(name), move |_| result(name)).await
    }

    pub(super) fn count(&self) -> usize {
        self.seen.borrow().len()
    }

    /// Waits until `count` requests have been received.
    pub(super) async fn saw(&mut self, count: usize) {
        until(&mut self.seen, |seen| seen.len() >= count).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
