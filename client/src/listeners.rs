//! Whether anybody listens where requests go.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use oxlo_transport::{Target, Transport, TransportError};
use tokio::{runtime::Handle, time::Instant};
use tracing::Instrument;

use crate::{error::CallError, rpc_client::RPCClient};

/// How long the broker may take to answer after a timeout.
const LOOK: Duration = Duration::from_secs(5);

/// How long nothing more is looked up for a target after it was looked up once, and how many targets are remembered.
const QUIET: Duration = Duration::from_secs(30);
const REMEMBERED: usize = 64;

/// # Listeners
impl RPCClient {
    /// How many servers listen at the moment where this client's requests wait: for its topic, or for the one server
    /// that it names. The queue of a service outlives its servers on most brokers, so that a call to a service that was
    /// stopped ends by its timeout; this tells at once that nobody is there. It takes at most the client's timeout.
    ///
    /// ```
    /// use oxlo_client::{RPCClient, Target};
    /// # use oxlo_driver_memory::MemoryDriver;
    /// # use oxlo_transport::Registry;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = Registry::new().with(MemoryDriver).transport("memory://listeners").connect().await?;
    ///
    /// let client = RPCClient::new(transport, Target::topic("calculator"));
    /// assert_eq!(client.listeners().await?, 0);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TransportError`], as [`Transport::listeners`]; `Unsupported` where the broker cannot tell.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaks nothing.
    pub async fn listeners(&self) -> Result<u32, TransportError> {
        self.transport.listeners(&self.target, self.effective_timeout()).await
    }
}

/// After a call has timed out, logs it if nobody listens where it went: the call has ended by then, and is not delayed.
pub(crate) fn look_after_timeout(transport: &Arc<dyn Transport>, error: &CallError) {
    let CallError::TimedOut { site, waited } = error else { return };
    if !transport.capabilities().counts_listeners || site.target().fanout || !is_due(site.target()) {
        return;
    }
    let Ok(runtime) = Handle::try_current() else { return };
    let (transport, site, waited) = (transport.clone(), site.clone(), *waited);
    let looking = async move {
        if let Ok(0) = transport.listeners(site.target(), LOOK).await {
            tracing::warn!("{site}: no reply within {waited:?}, and nobody listens there now: no server runs");
        }
    };
    runtime.spawn(looking.in_current_span());
}

fn is_due(target: &Target) -> bool {
    static LOOKED: Mutex<Option<HashMap<String, Instant>>> = Mutex::new(None);
    let mut looked = LOOKED.lock().unwrap_or_else(PoisonError::into_inner);
    let looked = looked.get_or_insert_default();
    looked.retain(|_, since| since.elapsed() < QUIET);
    let target = target.to_string();
    if looked.len() >= REMEMBERED || looked.contains_key(&target) {
        return false;
    }
    looked.insert(target, Instant::now());
    true
}
