//! Readiness of a server while requests arrive without a pause.
#![allow(clippy::unwrap_used)]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use oxlo_driver_memory::MemoryBus;
use oxlo_server::{Endpoint, RPCServer};
use oxlo_transport::{
    Delivery, Failure, ListenOptions, Listener, Payload, Request, SendOptions, Settings, Target, Transport,
    TransportError, Wrap, wrap,
};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

const SECOND: Duration = Duration::from_secs(1);

/// Does not report changes of a subscription, as some drivers.
#[derive(Debug)]
struct Mute(Arc<dyn Transport>);

#[async_trait]
impl Wrap for Mute {
    fn inner(&self) -> &Arc<dyn Transport> {
        &self.0
    }

    async fn listen(&self, on: &Target, options: &ListenOptions) -> Result<Box<dyn Listener<Request>>, TransportError> {
        Ok(Box::new(MuteListener(self.0.listen(on, options).await?)))
    }
}

#[derive(Debug)]
struct MuteListener(Box<dyn Listener<Request>>);

#[async_trait]
impl Listener<Request> for MuteListener {
    async fn recv(&mut self) -> Result<Delivery<Request>, TransportError> {
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

async fn follows(mute: bool) {
    let bus = MemoryBus::named(&Uuid::new_v4().simple().to_string());
    let sender = bus.connect(Some("sender"), Settings::default());
    let listening: Arc<dyn Transport> = Arc::new(bus.connect(Some("listening"), Settings::default()));
    let listening = if mute { wrap(Mute(listening)) } else { listening };
    let server = RPCServer::builder(listening, Target::topic("t").server("s"))
        .endpoint(Endpoint::new("1.0").method("m", async || Ok::<_, Failure>(())))
        .start()
        .await
        .unwrap();
    let load = async {
        loop {
            let request = Request::new("m", Payload::empty_object());
            sender.cast(&Target::topic("t"), request, &SendOptions::new()).await.unwrap();
            sleep(Duration::from_millis(100)).await;
        }
    };
    let until = async |wanted: bool| {
        let reached = async {
            while server.is_ready() != wanted {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SECOND, reached).await.unwrap_or_else(|_| panic!("readiness did not become {wanted}"));
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
    server.stop();
    server.wait().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn readiness_follows_the_subscription_under_load() {
    follows(false).await;
}

#[tokio::test(start_paused = true)]
async fn readiness_follows_also_where_the_driver_reports_no_changes() {
    follows(true).await;
}
