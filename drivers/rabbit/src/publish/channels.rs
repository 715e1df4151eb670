//! The publishing channels of a connection, with what is declared on it.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use foldhash::HashSet;
use oxlo_transport::Removal;
use tokio::sync::Mutex;

use super::{confirm_channel::ConfirmChannel, ledger::ClosedChannels, refusal::Candidate};
use crate::{
    connection::Session,
    control::{
        channels::OpenChannel,
        declare::{DeclareError, declare_all, delete_unused},
    },
    topology::{Declaration, Route},
};

/// How many refused exchanges are remembered.
const MAX_REFUSED: usize = 1000;

/// The publishing channels of one connection. When the broker closes one of them, another value with a new channel in
/// its place takes over and shares the rest.
pub(crate) struct PublishChannels {
    session: Arc<Session>,
    /// For messages that the broker is expected to accept.
    shared: Arc<ConfirmChannel>,
    /// For messages that the broker may refuse, which closes their channel.
    risky: Arc<ConfirmChannel>,
    topology: Arc<KnownTopology>,
}

/// What is known of the broker's objects and limits on one connection.
#[derive(Debug)]
struct KnownTopology {
    declared: RwLock<HashSet<String>>,
    /// The channel for declarations.
    declarer: Mutex<Option<OpenChannel>>,
    /// Exchanges whose messages the broker refused.
    refused: RwLock<HashSet<String>>,
    /// Whether there are any, without the lock.
    has_refused: AtomicBool,
    /// The largest body in bytes that the broker is known to accept.
    max_body: AtomicUsize,
}

/// One of the publishing channels.
pub(super) enum ChannelRole {
    Shared,
    Risky,
}

impl PublishChannels {
    pub(super) async fn open(session: Arc<Session>, closed_channels: &ClosedChannels) -> lapin::Result<Self> {
        let shared = Arc::new(ConfirmChannel::open(&session, closed_channels.clone()).await?);
        let risky = Arc::new(ConfirmChannel::open(&session, closed_channels.clone()).await?);
        let topology = Arc::new(KnownTopology {
            declared: RwLock::default(),
            declarer: Mutex::new(None),
            refused: RwLock::default(),
            has_refused: AtomicBool::new(false),
            max_body: AtomicUsize::new(usize::MAX),
        });
        Ok(Self { session, shared, risky, topology })
    }

    /// The same channels with a new one in place of one that is gone.
    pub(super) async fn replace(&self, gone: ChannelRole, closed_channels: &ClosedChannels) -> lapin::Result<Self> {
        let opening = ConfirmChannel::open(&self.session, closed_channels.clone());
        let new = Arc::new(self.session.meanwhile(opening).await?);
        let (session, topology) = (self.session.clone(), self.topology.clone());
        Ok(match gone {
            ChannelRole::Shared => Self { session, shared: new, risky: self.risky.clone(), topology },
            ChannelRole::Risky => Self { session, shared: self.shared.clone(), risky: new, topology },
        })
    }

    /// Resolves when a channel is gone.
    pub(super) async fn gone(&self) -> ChannelRole {
        tokio::select! {
            () = self.shared.gone() => ChannelRole::Shared,
            () = self.risky.gone() => ChannelRole::Risky,
        }
    }

    /// The connection of the channels.
    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The channel for a message.
    pub(super) fn channel(&self, candidate: Candidate<'_>) -> &ConfirmChannel {
        let Candidate { route, size } = candidate;
        let is_refused =
            || self.topology.refused.read().unwrap_or_else(PoisonError::into_inner).contains(&route.exchange);
        if route.declared_as.is_none()
            || size > self.topology.max_body.load(Ordering::Relaxed)
            || (self.topology.has_refused.load(Ordering::Relaxed) && is_refused())
        {
            &self.risky
        } else {
            &self.shared
        }
    }

    /// Moves messages for this exchange to the channel for risky messages.
    pub(super) fn set_refused(&self, exchange: &str) {
        let mut refused = self.topology.refused.write().unwrap_or_else(PoisonError::into_inner);
        if refused.len() < MAX_REFUSED {
            refused.insert(exchange.to_owned());
            self.topology.has_refused.store(true, Ordering::Relaxed);
        }
    }

    /// Moves messages with more than `bytes` of body to the channel for risky messages.
    pub(super) fn set_max_body(&self, bytes: usize) {
        self.topology.max_body.store(bytes, Ordering::Relaxed);
    }

    /// Whether everything that a route needs was declared on this connection.
    pub(super) fn has_declared(&self, route: &Route) -> bool {
        let declared = |name| self.topology.declared.read().unwrap_or_else(PoisonError::into_inner).contains(name);
        route.declares.is_empty() || route.declared_as.as_ref().is_some_and(declared)
    }

    /// Declares the objects of a route again before its next message.
    pub(super) fn forget_declared(&self, route: &Route) {
        if let Some(name) = &route.declared_as {
            self.topology.declared.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        }
    }

    /// Declares what a route needs, unless that was done.
    pub(super) async fn declare_route(&self, route: &Route) -> Result<(), DeclareError> {
        if self.has_declared(route) {
            return Ok(());
        }
        self.declare(&route.declares).await?;
        if let Some(name) = &route.declared_as {
            self.topology.declared.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        }
        Ok(())
    }

    /// Declares objects, in the order of the calls.
    pub(super) async fn declare(&self, declares: &[Declaration]) -> Result<(), DeclareError> {
        let mut declarer = self.topology.declarer.lock().await;
        *declarer = Some(self.session.meanwhile(declare_all(&self.session, declarer.take(), declares)).await?);
        Ok(())
    }

    /// Deletes a queue without consumers, in the order of the calls.
    pub(super) async fn delete(&self, queue: &str, removal: Removal) -> Result<(), DeclareError> {
        let mut declarer = self.topology.declarer.lock().await;
        let deleting = async {
            let channel = declare_all(&self.session, declarer.take(), &[]).await?;
            let result = delete_unused(&channel, queue, removal).await;
            *declarer = Some(channel);
            result
        };
        self.session.meanwhile(deleting).await
    }
}
