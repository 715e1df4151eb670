//! What the tests are built from.

use std::sync::Arc;

use async_trait::async_trait;
use oxlo_driver_memory::{MemoryBus, MemoryDriver};
use oxlo_notify::{DriverError, NotificationDriver, Tries};
use oxlo_transport::{ListenOptions, Listener, Notification, Priority, Registry, Target, Transport, TransportError};
use tokio::sync::{Semaphore, mpsc};
use uuid::Uuid;

/// A transport on a bus of its own, and the bus.
pub(crate) async fn bus() -> (Arc<dyn Transport>, MemoryBus) {
    let name = Uuid::new_v4().simple().to_string();
    let transport = Registry::new().with(MemoryDriver).transport(format!("memory://{name}")).connect().await.unwrap();
    (transport, MemoryBus::named(&name))
}

pub(crate) async fn listen(
    transport: &dyn Transport,
    topic: &str,
    priority: Priority,
) -> Box<dyn Listener<Notification>> {
    let on = [(Target::topic(topic), priority)];
    transport.listen_for_notifications(&on, None, &ListenOptions::new()).await.unwrap()
}

pub(crate) async fn take(listener: &mut Box<dyn Listener<Notification>>) -> Notification {
    let delivery = listener.recv().await.unwrap();
    delivery.settle.ack();
    delivery.message
}

/// A driver that says what it was handed, and is done when it is allowed to.
#[derive(Clone, Debug)]
pub(crate) struct Gated {
    handed: mpsc::UnboundedSender<String>,
    pub(crate) gate: Arc<Semaphore>,
    fails: bool,
}

impl Gated {
    /// Shut, until permits are added to its gate.
    pub(crate) fn shut() -> (Self, mpsc::UnboundedReceiver<String>) {
        let (handed, events) = mpsc::unbounded_channel();
        (Self { handed, gate: Arc::new(Semaphore::new(0)), fails: false }, events)
    }

    pub(crate) fn failing() -> Self {
        let (handed, _) = mpsc::unbounded_channel();
        Self { handed, gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)), fails: true }
    }
}

#[async_trait]
impl NotificationDriver for Gated {
    fn name(&self) -> &str {
        "gated"
    }

    async fn notify(&self, notification: &Notification, _: &Tries) -> Result<(), Vec<DriverError>> {
        let _ = self.handed.send(notification.event_type.to_string());
        self.gate.acquire().await.unwrap().forget();
        if self.fails {
            return Err(vec![DriverError::new("gated", Arc::new(TransportError::Closed))]);
        }
        Ok(())
    }
}
