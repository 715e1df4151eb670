//! Testing a service without a broker: its endpoints on a separate in-process bus.
//!
//! ```
//! use oxlo::{Args, Context, Endpoint, Failure, testing::TestService};
//! use serde_json::json;
//!
//! #[derive(serde::Deserialize)]
//! struct Add {
//!     a: i64,
//!     b: i64,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let endpoint = Endpoint::new("1.0").method("add", async |Args(args): Args<Add>| Ok::<_, Failure>(args.a + args.b));
//! let service = TestService::start(endpoint).await?;
//!
//! let ctxt = Context::new().with("user_id", "alice");
//! let sum: i64 = service.fire(&ctxt, "add", json!({"a": 1, "b": 2})).await?;
//! assert_eq!(sum, 3);
//! # Ok(()) }
//! ```
//!
//! A cast has no result; wait for its handler with [`wait_for`](TestService::wait_for):
//!
//! ```
//! # use oxlo::{Context, Endpoint, Outcome, Failure, testing::TestService};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let endpoint = Endpoint::new("1.0").method("reload", async || Ok::<_, Failure>(()));
//! let service = TestService::start(endpoint).await?;
//! service.cast(&Context::new().with("request_id", "req-1"), "reload", ()).await?;
//! let reload = service.wait_for("reload").await;
//! assert_eq!((reload.outcome, reload.context.get_str("request_id")), (Outcome::Result, Some("req-1")));
//! # Ok(()) }
//! ```
//!
//! Faults are scripted, and with time frozen a minute passes at once:
//!
//! ```
//! use std::time::Duration;
//!
//! use oxlo::{TransportError, memory::{Fault, Traffic}};
//! # use oxlo::{Context, Endpoint, Failure, testing::{TestService, freeze_time}};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let endpoint = Endpoint::new("1.0").method("add", async || Ok::<_, Failure>(3));
//! let service = TestService::start(endpoint).await?;
//! freeze_time();
//! service.faults().inject(Traffic::Replies, 1, Fault::Drop);
//! let lost = service.fire::<i64>(&Context::new(), "add", ()).await.unwrap_err();
//! assert!(matches!(lost.transport_error(), Some(TransportError::TimedOut { .. })) && lost.may_have_run());
//! # Ok(()) }
//! ```
//!
//! Use [`TestService::with`] to set options of the server, or for a service that has clients itself.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use oxlo_client::{CallError, RPCClient};
use oxlo_driver_memory::{Faults, MemoryBus};
use oxlo_server::{Endpoint, FinishedRequest, RPCServer, RPCServerBuilder, RunningServer, ServeError, ServeReport};
use oxlo_transport::{Context, Settings, Target, Transport};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::watch, time::timeout};

/// The topic of the service under test.
pub const TOPIC: &str = "service";
/// The name of its server.
pub const SERVER: &str = "under-test";

/// How long a test waits for an expected event, in tokio's time.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A service that runs on its own bus, and a client for it. Dropping it stops the service.
///
/// Exchanges share queues by topic, as on RabbitMQ. To test a service for a broker that isolates exchanges, start it on
/// `memory://` directly.
#[derive(Debug)]
pub struct TestService {
    running: RunningServer,
    client: RPCClient,
    transport: Arc<dyn Transport>,
    bus: MemoryBus,
    finished: watch::Receiver<Vec<FinishedRequest>>,
    /// How many requests of each method were waited for.
    seen: Mutex<HashMap<String, usize>>,
}

impl TestService {
    /// Starts a service with this endpoint and the default options of a server.
    ///
    /// # Errors
    ///
    /// [`ServeError::Build`] for an endpoint that cannot be served.
    pub async fn start(endpoint: impl Into<Endpoint>) -> Result<Self, ServeError> {
        let endpoint = endpoint.into();
        Self::with(|_, builder| builder.endpoint(endpoint)).await
    }

    /// Starts a service configured by `build`, which receives the service's transport, for clients that the service itself
    /// uses, and the builder of its server.
    ///
    /// # Errors
    ///
    /// [`ServeError::Build`] if the server cannot be built.
    pub async fn with(
        build: impl FnOnce(Arc<dyn Transport>, RPCServerBuilder) -> RPCServerBuilder,
    ) -> Result<Self, ServeError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let bus = MemoryBus::named(&format!("oxlo-testing-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let ours: Arc<dyn Transport> = Arc::new(bus.connect(Some("service"), Settings::default()).sharing_exchanges());
        let theirs: Arc<dyn Transport> = Arc::new(bus.connect(Some("caller"), Settings::default()).sharing_exchanges());
        let (note, finished) = watch::channel(Vec::new());
        let builder = RPCServer::builder(ours.clone(), Target::topic(TOPIC).server(SERVER));
        let running = build(ours, builder).observe(move |it| note.send_modify(|all| all.push(it))).start().await?;
        let client = RPCClient::new(theirs.clone(), Target::topic(TOPIC));
        Ok(Self { running, client, transport: theirs, bus, finished, seen: Mutex::default() })
    }

    /// Calls a method as a remote caller, and returns its result.
    ///
    /// # Errors
    ///
    /// Any [`CallError`], as a remote caller would get it.
    pub async fn fire<R: DeserializeOwned>(
        &self,
        ctxt: &Context,
        method: &str,
        args: impl Serialize,
    ) -> Result<R, CallError> {
        self.client.call(ctxt, method, args).await
    }

    /// Casts to a method; use [`wait_for`](Self::wait_for) to wait for it.
    ///
    /// # Errors
    ///
    /// Any [`CallError`] of a cast.
    pub async fn cast(&self, ctxt: &Context, method: &str, args: impl Serialize) -> Result<(), CallError> {
        self.client.cast(ctxt, method, args).await
    }

    /// Waits until a request for this method has ended, and returns it: the first request since the service was started,
    /// then the second, and so on.
    ///
    /// # Panics
    ///
    /// If the method does not run within a minute; the message names the methods that ran.
    pub async fn wait_for(&self, method: &str) -> FinishedRequest {
        let nth = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let count = seen.entry(method.to_owned()).or_default();
            *count += 1;
            *count - 1
        };
        let find = |all: &[FinishedRequest]| all.iter().filter(|it| &*it.method == method).nth(nth).cloned();
        let mut finished = self.finished.clone();
        let found = timeout(TIMEOUT, finished.wait_for(|all| find(all).is_some())).await;
        match found {
            Ok(Ok(all)) => find(&all),
            _ => None,
        }
        .unwrap_or_else(|| {
            let others: Vec<Arc<str>> = self.finished().into_iter().map(|it| it.method).collect();
            panic!("{method} did not run {} times within {TIMEOUT:?}; what ran: {others:?}", nth + 1)
        })
    }

    /// The requests that have ended, oldest first.
    #[must_use]
    pub fn finished(&self) -> Vec<FinishedRequest> {
        self.finished.borrow().clone()
    }

    /// Scripted faults between the caller and the service. Their connections are named `caller` and `service`.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.bus.faults()
    }

    /// The bus of caller and service.
    #[must_use]
    pub fn bus(&self) -> &MemoryBus {
        &self.bus
    }

    /// The client, for calls with other namespaces, versions and timeouts.
    #[must_use]
    pub fn client(&self) -> &RPCClient {
        &self.client
    }

    /// The caller's transport, for typed clients of the service.
    #[must_use]
    pub fn transport(&self) -> Arc<dyn Transport> {
        self.transport.clone()
    }

    /// The server, for example to pause, reset or ping it.
    pub fn server(&self) -> &RunningServer {
        &self.running
    }

    /// Stops the service in order, and returns its report.
    ///
    /// # Errors
    ///
    /// As [`RunningServer::wait`].
    pub async fn stop(self) -> Result<ServeReport, ServeError> {
        self.running.stop();
        self.running.wait().await
    }
}

/// Freezes tokio's time for the rest of the test. Frozen time advances to the next timer whenever every task waits, and with
/// [`advance_time`].
///
/// # Panics
///
/// If time is already frozen, or the runtime has more than one thread.
pub fn freeze_time() {
    tokio::time::pause();
}

/// Advances frozen time.
///
/// # Panics
///
/// If time is not frozen.
pub async fn advance_time(by: Duration) {
    tokio::time::advance(by).await;
}
