//! The sending links of a connection, by address.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tracing::debug;

use super::link::AddressLink;
use crate::connection::Connected;

/// The sending links of a transport, by address.
#[derive(Debug)]
pub(crate) struct SenderLinks {
    pub(super) by_address: Mutex<HashMap<Arc<str>, Arc<AddressLink>>>,
    /// How long an unused link is kept.
    pub(super) idle: Duration,
}

impl SenderLinks {
    pub(crate) fn new(idle: Duration) -> Arc<Self> {
        Arc::new(Self { by_address: Mutex::default(), idle })
    }

    /// The link to an address.
    pub(super) fn to(self: &Arc<Self>, address: &str) -> Arc<AddressLink> {
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = by_address.get(address) {
            return known.clone();
        }
        let to = self.new_link(address, false);
        by_address.insert(to.address.clone(), to.clone());
        to
    }

    /// A link for one message, in a session of its own: if the broker refuses the message, no other is affected.
    pub(super) fn isolated(self: &Arc<Self>, address: &str) -> Arc<AddressLink> {
        self.new_link(address, true)
    }

    fn new_link(self: &Arc<Self>, address: &str, is_isolated: bool) -> Arc<AddressLink> {
        Arc::new(AddressLink::new(address.into(), Arc::downgrade(self), is_isolated))
    }

    /// Closes the least recently used link of this connection that awaits no outcome; returns whether there was one.
    pub(super) async fn close_least_recently_used(&self, connected: &Arc<Connected>) -> bool {
        let unused = {
            let by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
            let used = |to: &&Arc<AddressLink>| {
                let link = to.link.try_lock().ok()?;
                link.as_ref().filter(|attached| attached.may_close(connected)).map(|attached| attached.used)
            };
            let used = by_address.values().filter_map(|to| used(&to).map(|used| (used, to)));
            used.min_by_key(|(used, _)| *used).map(|(_, to)| to.clone())
        };
        let Some(to) = unused else { return false };
        let closed =
            to.link.try_lock().ok().and_then(|mut link| link.take_if(|attached| attached.may_close(connected)));
        if let Some(attached) = closed {
            debug!(address = %to.address, "closing the least recently used sending link");
            attached.close().await;
        }
        to.forget_if_detached();
        true
    }
}
