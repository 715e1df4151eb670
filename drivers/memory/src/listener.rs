//! Taking messages from the bus.

use std::sync::Arc;

use async_trait::async_trait;
use oxlo_transport::{Delivery, Listener, Notification, Replier, Request, Settle, TransportError};
use tokio::{
    sync::{Notify, watch},
    task::coop::consume_budget,
    time::Instant,
};

use crate::{
    broker::{ConsumerId, Taken},
    bus::{Carried, Incoming},
    link::Link,
    reply::Answerer,
};

/// A subscription; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct MemoryListener<C: Delivered> {
    link: Arc<Link>,
    consumer: ConsumerId,
    wake: Arc<Notify>,
    prefetch: u16,
    stopped: bool,
    carries: std::marker::PhantomData<fn() -> C>,
}

/// How what the bus carries is handed to an application.
pub(crate) trait Delivered: Carried {
    type Message: Send + 'static;

    fn deliver(self, link: &Arc<Link>, settle: Settle) -> Delivery<Self::Message>;
}

impl Delivered for Incoming {
    type Message = Request;

    fn deliver(self, link: &Arc<Link>, settle: Settle) -> Delivery<Request> {
        let mut delivery = Delivery::new(self.request, settle);
        if let Some(answer) = self.answer {
            // As oslo: half of the whole seconds, and only if that is a second or more.
            let interval = answer
                .monitor_timeout
                .map(|silence| std::time::Duration::from_secs(silence.as_secs()) / 2)
                .filter(|interval| interval.as_secs() >= 1);
            delivery.deadline = Some(answer.deadline);
            delivery.replier = Some(Replier::new(Box::new(Answerer { link: link.clone(), answer }), interval));
        }
        delivery
    }
}

impl Delivered for Notification {
    type Message = Self;

    fn deliver(self, _: &Arc<Link>, settle: Settle) -> Delivery<Self> {
        Delivery::new(self, settle)
    }
}

impl<C: Delivered> MemoryListener<C> {
    pub(crate) fn new(link: Arc<Link>, consumer: ConsumerId, wake: Arc<Notify>, prefetch: u16) -> Self {
        Self { link, consumer, wake, prefetch, stopped: false, carries: std::marker::PhantomData }
    }

    fn unsubscribe(&mut self) {
        if !self.stopped {
            self.stopped = true;
            C::broker(&mut self.link.bus.lock()).unsubscribe(self.consumer, Instant::now());
        }
    }

    fn hand_out(&self, taken: Taken<C>) -> Delivery<C::Message> {
        let Taken { tag, content, redelivered, redeliveries, not_before, identity } = taken;
        let link = self.link.clone();
        let settle = Settle::new(move |settlement| {
            link.bus.lock().settle::<C>(link.id, tag, identity, settlement);
        });
        let mut delivery = content.deliver(&self.link, settle);
        delivery.redelivered = redelivered;
        delivery.redeliveries = redeliveries;
        delivery.not_before = not_before;
        delivery
    }
}

#[async_trait]
impl<C: Delivered> Listener<C::Message> for MemoryListener<C> {
    async fn recv(&mut self) -> Result<Delivery<C::Message>, TransportError> {
        // Nothing below waits while there are messages; a loop over them must not keep the thread.
        consume_budget().await;
        loop {
            let taken = self.link.bus.lock().take::<C>(self.link.id, self.consumer, Instant::now());
            match taken {
                Ok(Some(taken)) => return Ok(self.hand_out(taken)),
                // A message that is pushed between the look and this line leaves a permit behind.
                Ok(None) => self.wake.notified().await,
                Err(_) => return Err(TransportError::Closed),
            }
        }
    }

    async fn stop(&mut self) {
        self.unsubscribe();
    }

    async fn close(mut self: Box<Self>) {
        self.unsubscribe();
    }

    fn is_subscribed(&self) -> bool {
        !self.stopped && self.link.is_connected()
    }

    fn subscribed(&self) -> watch::Receiver<bool> {
        if self.stopped { watch::channel(false).1 } else { self.link.bus.lock().subscribed(self.link.id) }
    }

    fn prefetch(&self) -> Option<u16> {
        Some(self.prefetch)
    }
}

impl<C: Delivered> Drop for MemoryListener<C> {
    fn drop(&mut self) {
        self.unsubscribe();
    }
}
