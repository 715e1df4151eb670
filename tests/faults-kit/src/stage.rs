//! A server and a caller, with the checks at the end of a row.

use std::sync::Arc;

use oxlo::{AckPolicy, RPCServer, RunningServer, Target, Transport};
use oxlo_test_support::{Footprint, History, Lag, Rules, Summary, VhostAdmin, eventually, settled};
use tokio::sync::{Mutex, MutexGuard, Semaphore};

use crate::{Caller, SOON, TOPIC, service::service_until};

/// A server and a caller, each on its own transport.
#[derive(Debug)]
pub struct Stage {
    /// The recorded events.
    pub history: History,
    /// Makes calls and casts.
    pub caller: Caller,
    /// The caller's transport.
    pub client: Arc<dyn Transport>,
    /// The server's transport.
    pub servers: Arc<dyn Transport>,
    /// Measures the machine's scheduling delays.
    pub lag: Lag,
    server: RunningServer,
    released: Arc<Semaphore>,
    watched: Option<VhostAdmin>,
    before: Footprint,
    _alone: MutexGuard<'static, ()>,
}

impl Stage {
    /// Both on `url`.
    pub async fn on(url: &str) -> Self {
        Self::with(url, url, AckPolicy::BeforeDispatch).await
    }

    /// Each on its own URL.
    pub async fn with(server_url: &str, client_url: &str, policy: AckPolicy) -> Self {
        let alone = alone().await;
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let history = History::new();
        let before = Footprint::now();
        let lag = Lag::measure();
        let released = Arc::new(Semaphore::new(0));
        let servers = oxlo::connect(server_url).await.unwrap();
        let server = RPCServer::builder(servers.clone(), Target::topic(TOPIC).server("one"))
            .endpoint(service_until(&history, &released))
            .ack_policy(policy)
            .start()
            .await
            .unwrap();
        let client = oxlo::connect(client_url).await.unwrap();
        let caller = Caller::new(client.clone(), &history);
        // The reply queue is declared with the first call; faults begin after that.
        caller.call(0, SOON).await.unwrap();
        Self { history, caller, client, servers, lag, server, released, watched: None, before, _alone: alone }
    }

    /// Also checks at the end that no connections and no exclusive queues are left in `vhost`.
    #[must_use]
    pub fn watching(mut self, vhost: &VhostAdmin) -> Self {
        self.watched = Some(vhost.clone());
        self
    }

    /// Releases the server's running methods; later ones return at once.
    pub fn release(&self) {
        self.released.close();
    }

    /// Closes everything, and checks the row against the invariants.
    pub async fn close(self) -> Summary {
        self.close_by(Rules::default()).await
    }

    /// As [`close`](Self::close), with other rules. The machine's lag is added to their limits.
    pub async fn close_by(self, rules: Rules) -> Summary {
        let Self { history, caller, client, servers, lag, server, released: _, watched, before, _alone } = self;
        // A stopping server leaves undelivered messages in the queue. A confirmed cast that never runs violates an invariant.
        settled(SOON, async || history.casts_to_run(), |left| *left == 0).await;
        history.left("pending calls", 0, pending_calls(&client));
        let rules = Rules { lag: rules.lag + lag.longest(), ..rules };
        drop((caller, lag));
        server.stop();
        server.wait().await.unwrap();
        client.close().await;
        servers.close().await;
        drop((client, servers, server));
        if let Some(vhost) = watched {
            let left = async || (own_queues(&vhost).await, vhost.connections().await.len());
            let none = |(queues, connections): &(Vec<String>, usize)| queues.is_empty() && *connections == 0;
            let (queues, connections) = settled(SOON, left, none).await;
            history.left("queues of a transport alone", 0, queues.len() as u64);
            history.left("connections", 0, connections as u64);
        }
        let after = settled(SOON, async || Footprint::now(), |now| now.fits(&before)).await;
        history.left("tasks", before.tasks, after.tasks);
        history.left("threads of lapin", before.io_threads, after.io_threads);
        history.left("sockets", before.sockets, after.sockets);
        history.verify(&rules)
    }
}

/// Rows count threads and memory of the process, so only one row runs at a time.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

/// The queues on `rabbit://` that belong to one transport.
async fn own_queues(vhost: &VhostAdmin) -> Vec<String> {
    let own = |name: &String| name.starts_with("reply_") || name.contains("_fanout_");
    vhost.queues().await.into_iter().map(|queue| queue.name).filter(own).collect()
}

/// The pending calls of a transport, from its `Debug` output.
pub fn pending_calls(transport: &Arc<dyn Transport>) -> u64 {
    let text = format!("{transport:?}");
    let (_, rest) = text.split_once("waiting: ").unwrap_or_else(|| panic!("no count of pending calls in {text}"));
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

/// Waits until a transport's state is `wanted`, a word of its `Display`. That is the state of the worse of its connections; the
/// other may not have noticed the fault yet, see [`Caller::refusal`].
pub async fn state(transport: &Arc<dyn Transport>, wanted: &str) -> String {
    let mut state = transport.state();
    let seen = tokio::time::timeout(SOON, state.wait_for(|state| state.to_string().starts_with(wanted))).await;
    seen.unwrap_or_else(|_| panic!("the state did not become {wanted}: {:?}", transport.state().borrow()))
        .unwrap()
        .to_string()
}

/// Waits until the call or cast ran.
pub async fn ran(history: &History, id: &str) {
    eventually(SOON, "the method runs", async || history.executions(id), |runs| *runs > 0).await;
}
