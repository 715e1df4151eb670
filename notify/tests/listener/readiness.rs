//! Readiness of listeners while notifications arrive without a pause.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use oxlo_notify::{
    BatchEndpoint, BatchListener, EventListener, NotificationEndpoint, NotificationListener, Received, Subscription,
};
use oxlo_transport::{
    Delivery, ListenOptions, Listener, Notification, Priority, Target, Transport, TransportError,
    wrap::{Wrap, wrap},
};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::bench::{bus, dispatch, notify};

const SECOND: Duration = Duration::from_secs(1);

/// Cannot report changes of a subscription, as some drivers.
#[derive(Debug)]
struct Mute(Arc<dyn Transport>);

#[async_trait]
impl Wrap for Mute {
    fn inner(&self) -> &Arc<dyn Transport> {
        &self.0
    }

    async fn listen_for_notifications(
        &self,
        on: &[(Target, Priority)],
        pool: Option<&str>,
        options: &ListenOptions,
    ) -> Result<Box<dyn Listener<Notification>>, TransportError> {
        Ok(Box::new(MuteListener(self.0.listen_for_notifications(on, pool, options).await?)))
    }
}

#[derive(Debug)]
struct MuteListener<M: Send + 'static>(Box<dyn Listener<M>>);

#[async_trait]
impl<M: std::fmt::Debug + Send + 'static> Listener<M> for MuteListener<M> {
    async fn recv(&mut self) -> Result<Delivery<M>, TransportError> {
        self.0.recv().await
    }

    async fn stop(&mut self) {
        self.0.stop().await;
    }

    async fn close(self: Box<Self>) {
        self.0.close().await;
    }

    fn is_subscribed(&self) -> bool {
        self.0.is_subscribed()
    }
}

/// Whether it is ready, of whichever kind.
type Ready = Box<dyn Fn() -> bool>;

async fn every_kind(transport: &Arc<dyn Transport>) -> Vec<(&'static str, Ready)> {
    let single = NotificationListener::builder(transport.clone())
        .endpoint(NotificationEndpoint::new().info(async || {}))
        .pool("single")
        .start()
        .await
        .unwrap();
    // Full: it takes nothing, and knows all the same.
    let full = NotificationListener::builder(transport.clone())
        .endpoint(NotificationEndpoint::new().info(async || sleep(1000 * SECOND).await))
        .pool("full")
        .concurrency(1)
        .grace(Duration::ZERO)
        .start()
        .await
        .unwrap();
    let gathers = BatchEndpoint::new().on(Priority::Info, async |_: Vec<Received<u64>>| {});
    let batch = BatchListener::builder(transport.clone())
        .endpoint(gathers)
        .pool("batch")
        .size(1000)
        .timeout(1000 * SECOND)
        .start()
        .await
        .unwrap();
    let events = EventListener::builder(transport.clone(), "billing")
        .on(Subscription::singleton("shop", "paid"), async || {})
        .start()
        .await
        .unwrap();
    vec![
        ("single", Box::new(move || single.is_ready())),
        ("full", Box::new(move || full.is_ready())),
        ("batch", Box::new(move || batch.is_ready())),
        ("events", Box::new(move || events.is_ready())),
    ]
}

async fn follows(mute: bool) {
    let (transport, bus) = bus().await;
    let sender = bus.connect(Some("sender"), oxlo_transport::Settings::default());
    let listening: Arc<dyn Transport> = Arc::new(bus.connect(Some("listening"), oxlo_transport::Settings::default()));
    let listening = if mute { wrap(Mute(listening)) } else { listening };
    let kinds = every_kind(&listening).await;
    let load = async {
        loop {
            notify(&sender, "evt", Priority::Info, json!(1)).await;
            dispatch(&sender, "shop", "paid", json!(1)).await;
            sleep(Duration::from_millis(100)).await;
        }
    };
    let until = async |wanted: bool| {
        let begun = Instant::now();
        for (kind, ready) in &kinds {
            let reached = async {
                while ready() != wanted {
                    sleep(Duration::from_millis(10)).await;
                }
            };
            let within = SECOND.saturating_sub(begun.elapsed());
            timeout(within, reached)
                .await
                .unwrap_or_else(|_| panic!("{kind} did not become {wanted} within {SECOND:?}"));
        }
    };
    let story = async {
        sleep(SECOND).await;
        until(true).await;
        for _ in 0..3 {
            bus.faults().disconnect("listening", "as told");
            until(false).await;
            bus.faults().reconnect("listening");
            until(true).await;
        }
    };
    tokio::select! {
        () = story => {}
        () = load => {}
    }
    transport.close().await;
}

#[tokio::test(start_paused = true)]
async fn readiness_follows_the_subscription_under_load() {
    follows(false).await;
}

#[tokio::test(start_paused = true)]
async fn readiness_follows_also_where_the_driver_reports_no_changes() {
    follows(true).await;
}
