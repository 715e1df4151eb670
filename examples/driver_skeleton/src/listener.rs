//! A subscription, and the handles that settle and answer what it hands out.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use oxlo_transport::{Delivery, Listener, Notification, Replier, Reply, ReplySink, Request, Settle, TransportError};
use oxlo_wire::{envelope::Poison, request::Caller};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::session::{Session, Taken};

/// For how many looks a listener that took a message lets the others look first. A broker deals messages out in turn;
/// here the quickest would get them all.
const TURN: u32 = 3;

/// Decodes a message, with the handle that answers it.
type Read<M> = fn(&Arc<Session>, &Bytes) -> Result<(M, Option<Replier>), Poison>;

/// Takes messages from some queues.
#[derive(Debug)]
pub(crate) struct FilesListener<M> {
    session: Arc<Session>,
    queues: Vec<PathBuf>,
    /// The queue that goes with this listener.
    own: Option<PathBuf>,
    read: Read<M>,
    prefetch: u16,
    unsettled: Arc<AtomicU16>,
    next_look: Instant,
    stopped: bool,
}

impl<M> FilesListener<M> {
    /// Declares the queues, so that what is sent from now on waits for this listener.
    pub(crate) fn new(
        session: &Arc<Session>,
        (queues, own): (Vec<PathBuf>, Option<PathBuf>),
        prefetch: u16,
        read: Read<M>,
    ) -> Result<Self, TransportError> {
        for queue in &queues {
            session.declare(queue)?;
        }
        Ok(Self {
            session: session.clone(),
            queues,
            own,
            read,
            prefetch: prefetch.max(1),
            unsettled: Arc::default(),
            next_look: Instant::now(),
            stopped: false,
        })
    }

    fn deliver(&self, taken: &Taken) -> Result<Delivery<M>, Poison> {
        let (message, replier) = (self.read)(&self.session, &taken.body)?;
        self.unsettled.fetch_add(1, Ordering::Relaxed);
        let (session, unsettled, name) = (self.session.clone(), self.unsettled.clone(), taken.name);
        // The handle owns what it needs: it works after the listener has stopped.
        let settle = Settle::new(move |settlement| {
            session.settle(&name, settlement);
            unsettled.fetch_sub(1, Ordering::Relaxed);
        });
        let mut delivery = Delivery::new(message, settle);
        delivery.replier = replier;
        delivery.redelivered = name.redeliveries > 0;
        delivery.redeliveries = name.redeliveries;
        delivery.not_before = name.due_in().map(|left| Instant::now() + left);
        Ok(delivery)
    }

    fn unsubscribe(&mut self) {
        self.stopped = true;
        if let Some(own) = self.own.take() {
            let _ = std::fs::remove_dir_all(own);
        }
    }
}

#[async_trait]
impl<M: std::fmt::Debug + Send + 'static> Listener<M> for FilesListener<M> {
    async fn recv(&mut self) -> Result<Delivery<M>, TransportError> {
        loop {
            // Cancel safe: this is the only place to wait, and nothing has been taken here.
            sleep_until(self.next_look).await;
            if self.stopped {
                return Err(TransportError::Closed);
            }
            self.session.check_open()?;
            self.next_look = Instant::now() + self.session.poll_interval;
            if self.unsettled.load(Ordering::Relaxed) >= self.prefetch {
                continue;
            }
            let Some(taken) = self.session.take(&self.queues) else { continue };
            match self.deliver(&taken) {
                Ok(delivery) => {
                    self.next_look += TURN * self.session.poll_interval;
                    return Ok(delivery);
                }
                Err(poison) => self.session.reject(&taken.name, &poison),
            }
        }
    }

    async fn stop(&mut self) {
        self.unsubscribe();
    }

    async fn close(mut self: Box<Self>) {
        self.unsubscribe();
    }

    fn is_subscribed(&self) -> bool {
        !self.stopped && !self.session.is_closed()
    }

    fn prefetch(&self) -> Option<u16> {
        Some(self.prefetch)
    }
}

impl<M> Drop for FilesListener<M> {
    fn drop(&mut self) {
        self.unsubscribe();
    }
}

pub(crate) fn read_request(session: &Arc<Session>, body: &Bytes) -> Result<(Request, Option<Replier>), Poison> {
    let (request, caller) = session.codec.read_request(body)?;
    let Some(caller) = caller else { return Ok((request, None)) };
    // The name comes from a peer: only an id becomes part of a path.
    let session_of_caller: Uuid =
        caller.reply_queue.parse().map_err(|_| Poison::WrongType { key: "_reply_q", expected: "id of a session" })?;
    let queue = session.topology.session(session_of_caller).join("replies");
    let interval = caller.heartbeat_interval;
    let sink = ReplyQueue { session: session.clone(), caller, queue };
    Ok((request, Some(Replier::new(Box::new(sink), interval))))
}

pub(crate) fn read_notification(
    session: &Arc<Session>,
    body: &Bytes,
) -> Result<(Notification, Option<Replier>), Poison> {
    session.codec.read_notification(body).map(|notification| (notification, None))
}

/// Where the caller of one request waits.
struct ReplyQueue {
    session: Arc<Session>,
    caller: Caller,
    queue: PathBuf,
}

impl ReplyQueue {
    fn send(&self, body: &[u8]) -> Result<(), TransportError> {
        if self.session.publish(&self.queue, body)? {
            return Ok(());
        }
        let (exchange, routing_key) = crate::topology::shown(&self.queue);
        Err(TransportError::Undeliverable { exchange, routing_key })
    }
}

#[async_trait]
impl ReplySink for ReplyQueue {
    async fn heartbeat(&self) -> Result<(), TransportError> {
        self.send(&self.session.codec.heartbeat(&self.caller)?)
    }

    async fn finish(self: Box<Self>, reply: Reply) -> Result<(), TransportError> {
        self.send(&self.session.codec.reply(&self.caller, &reply)?)
    }
}
