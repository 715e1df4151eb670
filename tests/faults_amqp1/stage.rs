//! A server and a caller on AMQP 1.0, and the count of what must not be left.

use std::{sync::Arc, time::Duration};

use oxlo::{AckPolicy, RPCServer, RunningServer, Target, Transport};
use oxlo_test_support::{Broker, History, Rules, Summary};
use tokio::sync::MutexGuard;

use crate::kit::{Caller, Count, Lag, SOON, TOPIC, alone, pending_calls, service, settled};

/// Each on a transport of its own.
pub(crate) struct Stage {
    pub(crate) history: History,
    pub(crate) caller: Caller,
    pub(crate) client: Arc<dyn Transport>,
    servers: Arc<dyn Transport>,
    server: RunningServer,
    before: Count,
    lag: Lag,
    _alone: MutexGuard<'static, ()>,
}

impl Stage {
    /// Both on `url`.
    pub(crate) async fn on(url: &str) -> Self {
        Self::with(url, url, AckPolicy::BeforeDispatch).await
    }

    pub(crate) async fn with(server_url: &str, client_url: &str, policy: AckPolicy) -> Self {
        let alone = alone().await;
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let history = History::new();
        let before = Count::now();
        let lag = Lag::measure();
        let servers = oxlo::connect(server_url).await.unwrap();
        let server = RPCServer::builder(servers.clone(), Target::topic(TOPIC).server("one"))
            .endpoint(service(&history))
            .ack_policy(policy)
            .start()
            .await
            .unwrap();
        let client = oxlo::connect(client_url).await.unwrap();
        let caller = Caller::new(client.clone(), &history);
        // The reply link is attached with the first call; faults begin with everything in place.
        caller.call(0, SOON).await.unwrap();
        Self { history, caller, client, servers, server, before, lag, _alone: alone }
    }

    /// Ends everything, and holds the row against the invariants.
    pub(crate) async fn close(self) -> Summary {
        self.close_by(Rules::default()).await
    }

    pub(crate) async fn close_by(self, rules: Rules) -> Summary {
        let Self { history, caller, client, servers, server, before, lag, _alone } = self;
        history.left("pending calls", 0, pending_calls(&client));
        let slack = rules.slack + lag.longest();
        drop(caller);
        server.stop();
        server.wait().await.unwrap();
        client.close().await;
        servers.close().await;
        drop((client, servers, server));
        let after = settled(async || Count::now(), |now| now.tasks <= before.tasks && now.sockets <= before.sockets);
        let after = after.await;
        history.left("tasks", before.tasks, after.tasks);
        history.left("sockets", before.sockets, after.sockets);
        history.verify(&Rules { slack, ..rules })
    }
}

/// A RabbitMQ node with its AMQP 1.0 plugin, and heartbeats of 2 s.
pub(crate) async fn rabbitmq() -> Broker {
    Broker::builder().plugin("rabbitmq_amqp1_0").config("heartbeat = 2").start().await
}

/// Where it is reached over AMQP 1.0.
pub(crate) fn url_of(broker: &Broker) -> String {
    format!("amqp://guest:guest@127.0.0.1:{}/", broker.port())
}

/// From the fault's end to the first call that succeeds, where both ends reconnect and attach everything again.
pub(crate) const BACK: Duration = Duration::from_secs(2);
