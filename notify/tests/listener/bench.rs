//! What the tests are built from.

use std::sync::{Arc, Mutex};

use oxlo_driver_memory::{MemoryBus, MemoryDriver};
use oxlo_transport::{
    Context, Notification, Payload, Priority, Registry, SendOptions, Target, Transport, message::NotificationFormat,
};
use serde_json::Value;
use tokio::sync::mpsc;
use uuid::Uuid;

/// A transport on a bus of its own, and the bus.
pub(crate) async fn bus() -> (Arc<dyn Transport>, MemoryBus) {
    let name = Uuid::new_v4().simple().to_string();
    let transport = Registry::new().with(MemoryDriver).transport(format!("memory://{name}")).connect().await.unwrap();
    (transport, MemoryBus::named(&name))
}

pub(crate) fn notification(event_type: &str, priority: Priority, payload: &Value) -> Notification {
    Notification {
        context: Context::new().with("request_id", "r"),
        message_id: Uuid::new_v4().to_string().into(),
        publisher_id: "compute.host".into(),
        event_type: event_type.into(),
        priority,
        payload: Payload::encode(payload).unwrap(),
        timestamp: "2026-01-02 03:04:05".into(),
        format: NotificationFormat::V2,
    }
}

pub(crate) async fn notify(transport: &dyn Transport, event_type: &str, priority: Priority, payload: Value) {
    let to = Target::topic("notifications");
    transport.notify(&to, notification(event_type, priority, &payload), &SendOptions::new()).await.unwrap();
}

pub(crate) async fn dispatch(transport: &dyn Transport, source: &str, event_type: &str, payload: Value) {
    let to = Target::topic(event_type).exchange(format!("events.{source}"));
    let options = SendOptions::new().with_default_queue(false);
    transport.notify(&to, notification(event_type, Priority::Info, &payload), &options).await.unwrap();
}

/// What handlers write to, and the test reads from.
pub(crate) fn channel<T>() -> (mpsc::UnboundedSender<T>, mpsc::UnboundedReceiver<T>) {
    mpsc::unbounded_channel()
}

/// Counts runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs(Arc<Mutex<u32>>);

impl Runs {
    /// Counts one more, and says which it is, from 1.
    pub(crate) fn next(&self) -> u32 {
        let mut runs = self.0.lock().unwrap();
        *runs += 1;
        *runs
    }

    pub(crate) fn count(&self) -> u32 {
        *self.0.lock().unwrap()
    }
}
