//! Prevents two servers of one name, which would share the queue of that name and receive each other's requests.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use oxlo_transport::{ListenScope, Target, Transport};
use tokio_util::sync::CancellationToken;

use crate::error::BuildError;

/// The running servers of this process, by transport, exchange, topic and name.
static TAKEN: Mutex<Option<HashMap<Key, Holder>>> = Mutex::new(None);

type Key = (usize, Option<Arc<str>>, Option<Arc<str>>, Option<Arc<str>>);

/// The holder of a name.
struct Holder {
    run: Arc<()>,
    /// A stopped server takes no more requests, and another one may take its name while it drains.
    stop: CancellationToken,
}

fn taken() -> MutexGuard<'static, Option<HashMap<Key, Holder>>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Holds a server's name. Dropping it frees the name.
pub(crate) struct NameGuard {
    key: Key,
    run: Arc<()>,
    /// Keeps the transport's address, which is part of the key, from being reused.
    _transport: Arc<dyn Transport>,
}

impl NameGuard {
    /// Takes a name; `None` if the scope does not use it. `stop` is cancelled when the server takes no more requests.
    pub(crate) fn take(
        transport: &Arc<dyn Transport>,
        target: &Target,
        scope: &ListenScope,
        stop: &CancellationToken,
    ) -> Result<Option<Self>, BuildError> {
        if !matches!(scope, ListenScope::Server | ListenScope::Named) {
            return Ok(None);
        }
        let address = Arc::as_ptr(transport).cast::<()>() as usize;
        let key = (address, target.exchange.clone(), target.topic.clone(), target.server.clone());
        let mut taken = taken();
        let names = taken.get_or_insert_default();
        if names.get(&key).is_some_and(|holder| !holder.stop.is_cancelled()) {
            return Err(BuildError::NameTaken { target: target.to_string() });
        }
        let run = Arc::new(());
        names.insert(key.clone(), Holder { run: run.clone(), stop: stop.clone() });
        Ok(Some(Self { key, run, _transport: transport.clone() }))
    }
}

impl Drop for NameGuard {
    fn drop(&mut self) {
        let mut taken = taken();
        let Some(names) = taken.as_mut() else { return };
        if names.get(&self.key).is_some_and(|holder| Arc::ptr_eq(&holder.run, &self.run)) {
            names.remove(&self.key);
        }
    }
}
