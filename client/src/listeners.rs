//! How many servers listen on a target.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use oxlo_transport::{Target, Transport, TransportError};
use tokio::{runtime::Handle, time::Instant};
use tracing::Instrument;

use crate::{error::CallError, rpc_client::RPCClient};

/// How long the broker may take to answer the look-up after a timeout.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// A target is looked up at most once in this time.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(30);

/// How many targets are looked up in that time.
const MAX_TARGETS: usize = 64;

/// # Listeners
impl RPCClient {
    /// Returns how many servers listen on this client's target: on its topic, or on the server that it names.
    ///
    /// On most brokers the queue of a service outlives its servers, so that a call to a stopped service ends by its
    /// timeout. This tells at once that no server runs. It takes at most the client's timeout.
    ///
    /// ```
    /// use oxlo_client::RPCClient;
    /// use oxlo_transport::Target;
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
    /// Those of [`Transport::listeners`]; `Unsupported` if the broker cannot tell.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the look-up and leaks nothing.
    pub async fn listeners(&self) -> Result<u32, TransportError> {
        self.transport.listeners(&self.target, self.effective_timeout()).await
    }
}

/// Logs a warning if a call timed out and nobody listens on its target. Runs in a task of its own, so that the call is
/// not delayed.
pub(crate) fn warn_if_nobody_listens(transport: &Arc<dyn Transport>, error: &CallError) {
    let CallError::Transport { request, error: TransportError::TimedOut { waited } } = error else { return };
    if !transport.capabilities().counts_listeners || request.target().fanout || !is_due(request.target()) {
        return;
    }
    let Ok(runtime) = Handle::try_current() else { return };
    let (transport, request, waited) = (transport.clone(), request.clone(), *waited);
    let lookup = async move {
        if let Ok(0) = transport.listeners(request.target(), LOOKUP_TIMEOUT).await {
            tracing::warn!("{request}: no reply within {waited:?}, and nobody listens there now: no server runs");
        }
    };
    runtime.spawn(lookup.in_current_span());
}

fn is_due(target: &Target) -> bool {
    static LOOKED_UP: Mutex<Option<HashMap<String, Instant>>> = Mutex::new(None);
    let mut recent = LOOKED_UP.lock().unwrap_or_else(PoisonError::into_inner);
    let recent = recent.get_or_insert_default();
    recent.retain(|_, since| since.elapsed() < LOOKUP_INTERVAL);
    let target = target.to_string();
    if recent.len() >= MAX_TARGETS || recent.contains_key(&target) {
        return false;
    }
    recent.insert(target, Instant::now());
    true
}
