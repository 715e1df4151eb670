//! The task of one address: it holds the link, sends one message after the other, and tells each sender what became of its.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fe2o3_amqp::{Sendable, Sender, session::SessionHandle, types::messaging::Data};
use futures_util::{StreamExt, stream::FuturesUnordered};
use oxlo_transport::TransportError;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tracing::{debug, trace};
use uuid::Uuid;

use crate::{
    connection::Connected,
    error::{self, Refused},
};

/// How long the broker may take to attach a link.
pub(crate) const ATTACH_LIMIT: Duration = Duration::from_secs(5);

/// What a message is on its way to an address.
pub(crate) struct Job {
    pub(crate) message: Arc<Sendable<Data>>,
    pub(crate) connected: Arc<Connected>,
    pub(crate) deadline: Instant,
    pub(crate) told: oneshot::Sender<Told>,
    /// Set once, by whoever decides first: the task that begins to send it, or the sender that does not wait any longer.
    pub(crate) decided: Arc<AtomicBool>,
    /// Its share of the room, given back when its outcome is known.
    pub(crate) _room: Arc<OwnedSemaphorePermit>,
}

/// What became of it.
pub(crate) enum Told {
    /// `false`: nobody is there.
    Outcome(Result<bool, TransportError>),
    /// It was not sent, for a reason that may pass.
    NotSent(String),
    /// It was sent, and the link ended before its outcome was known.
    Lost(String),
}

pub(crate) type Senders = Mutex<HashMap<Arc<str>, mpsc::Sender<Job>>>;

/// It was not written in time.
pub(crate) fn blocked(address: &str, begun: Instant) -> TransportError {
    let reason = format!("the broker gives no credit to send to {address}");
    TransportError::Blocked { reason, waited: begun.elapsed() }
}

type UnderWay = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Sends to one address.
pub(crate) struct Task {
    address: Arc<str>,
    idle: Duration,
    senders: Weak<Senders>,
    jobs: mpsc::Receiver<Job>,
    attached: Option<Attached>,
    /// Messages whose outcome is awaited; they survive the link, and then learn that it ended.
    under_way: FuturesUnordered<UnderWay>,
}

struct Attached {
    sender: Sender,
    session: SessionHandle<()>,
    connected: Arc<Connected>,
}

enum Next {
    Job(Job),
    Detached(String),
    Idle,
    Over,
}

impl Task {
    pub(crate) fn new(address: Arc<str>, idle: Duration, senders: &Arc<Senders>, jobs: mpsc::Receiver<Job>) -> Self {
        let senders = Arc::downgrade(senders);
        Self { address, idle, senders, jobs, attached: None, under_way: FuturesUnordered::new() }
    }

    /// Until it has been idle for long, or nobody can reach it any more.
    pub(crate) async fn run(mut self) {
        loop {
            match self.next().await {
                Next::Job(job) => self.send(job).await,
                Next::Detached(cause) => {
                    debug!(address = %self.address, %cause, "a link that sends has ended");
                    self.attached = None;
                }
                Next::Idle => {
                    trace!(address = %self.address, "a link that sends is idle");
                    self.leave();
                    self.jobs.close();
                    while let Some(job) = self.jobs.recv().await {
                        let _ = job.told.send(Told::NotSent("the link was idle, and was closed".to_owned()));
                    }
                    break;
                }
                Next::Over => break,
            }
        }
        while self.under_way.next().await.is_some() {}
        if let Some(mut attached) = self.attached.take() {
            let _ = tokio::time::timeout(ATTACH_LIMIT, attached.session.end()).await;
        }
    }

    /// Takes this task's queue out, unless another one has taken its place.
    fn leave(&self) {
        let Some(senders) = self.senders.upgrade() else { return };
        let mut senders = senders.lock().unwrap_or_else(PoisonError::into_inner);
        senders.remove(&self.address);
    }

    async fn next(&mut self) -> Next {
        let idle_at = Instant::now() + self.idle;
        loop {
            let busy = !self.under_way.is_empty();
            tokio::select! {
                Some(()) = self.under_way.next(), if busy => {}
                cause = ended(&mut self.attached) => return Next::Detached(cause),
                job = self.jobs.recv() => return job.map_or(Next::Over, Next::Job),
                () = sleep_until(idle_at), if !busy => return Next::Idle,
            }
        }
    }

    async fn send(&mut self, mut job: Job) {
        if job.told.is_closed() || job.decided.swap(true, Ordering::AcqRel) {
            return;
        }
        if self.attached.as_ref().is_some_and(|attached| !Arc::ptr_eq(&attached.connected, &job.connected)) {
            self.attached = None;
        }
        if self.attached.is_none() {
            match self.attach(&job).await {
                Ok(attached) => self.attached = Some(attached),
                Err(told) => return drop(job.told.send(told)),
            }
        }
        let Some(attached) = &mut self.attached else { return };
        let sent = {
            let mut sending = std::pin::pin!(attached.sender.send_batchable_ref(&job.message));
            loop {
                let busy = !self.under_way.is_empty();
                tokio::select! {
                    sent = &mut sending => break Some(sent),
                    Some(()) = self.under_way.next(), if busy => {}
                    () = sleep_until(job.deadline) => break None,
                    () = job.told.closed() => break None,
                    () = job.connected.ended() => break None,
                }
            }
        };
        match sent {
            Some(Ok(outcome)) => {
                let (address, told, room) = (self.address.clone(), job.told, job._room);
                self.under_way.push(Box::pin(async move {
                    let _ = told.send(match outcome.await {
                        Ok(outcome) => Told::Outcome(error::outcome(&address, &outcome)),
                        Err(fe2o3_amqp::link::SendError::LinkStateError(state)) => Told::Lost(error::link_end(&state)),
                        Err(error) => Told::Lost(error.to_string()),
                    });
                    drop(room);
                }));
            }
            Some(Err(error)) => {
                self.attached = None;
                let cause = match &error {
                    fe2o3_amqp::link::SendError::LinkStateError(state) => error::link_end(state),
                    error => error.to_string(),
                };
                let told = match error {
                    fe2o3_amqp::link::SendError::MessageSizeExceeded(sizes) => {
                        let narrow = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
                        Told::Outcome(Err(TransportError::TooLarge {
                            size: narrow(sizes.size),
                            limit: narrow(sizes.max_size),
                        }))
                    }
                    _ => Told::NotSent(cause),
                };
                let _ = job.told.send(told);
            }
            None => {
                // Part of a large message may have been written: the link takes it back by ending.
                self.attached = None;
                let told = if Instant::now() < job.deadline {
                    Told::NotSent("the connection was lost".to_owned())
                } else {
                    Told::Outcome(Err(blocked(&self.address, job.deadline)))
                };
                let _ = job.told.send(told);
            }
        }
    }

    async fn attach(&mut self, job: &Job) -> Result<Attached, Told> {
        let limit = job.deadline.min(Instant::now() + ATTACH_LIMIT);
        let address = self.address.clone();
        let attaching = async {
            let mut session = job.connected.session().await.map_err(|error| Told::NotSent(error.to_string()))?;
            let sender = Sender::builder()
                .name(format!("openstack.org/om/sender/[{address}]/{}", Uuid::new_v4().simple()))
                .source(address.to_string())
                .target(address.to_string())
                .attach(&mut session)
                .await
                .map_err(|refusal| match error::sender_refused(&refusal) {
                    Refused::Missing(reason) => {
                        debug!(%address, %reason, "nothing is at an address");
                        Told::Outcome(Ok(false))
                    }
                    Refused::Gone(reason) => {
                        debug!(%address, %reason, "an address cannot be reached");
                        Told::Outcome(Err(TransportError::Undeliverable {
                            exchange: String::new(),
                            routing_key: address.to_string(),
                        }))
                    }
                    Refused::Denied(reason) => {
                        Told::Outcome(Err(TransportError::Topology { object: format!("address `{address}`"), reason }))
                    }
                    Refused::Lost(cause) => Told::NotSent(cause),
                })?;
            Ok(Attached { sender, session, connected: job.connected.clone() })
        };
        let mut attaching = std::pin::pin!(timeout_at(limit, attaching));
        loop {
            let busy = !self.under_way.is_empty();
            tokio::select! {
                attached = &mut attaching => {
                    return attached.unwrap_or_else(|_| Err(Told::NotSent("the broker attached no link in time".to_owned())));
                }
                Some(()) = self.under_way.next(), if busy => {}
            }
        }
    }
}

/// Waits for the end of the link, if there is one.
async fn ended(attached: &mut Option<Attached>) -> String {
    match attached {
        Some(attached) => tokio::select! {
            end = attached.sender.on_detach() => end.to_string(),
            () = attached.connected.ended() => {
                // What is under way learns it from fe2o3-amqp; this only keeps the next message off the old link.
                sleep(Duration::ZERO).await;
                "the connection was lost".to_owned()
            }
        },
        None => std::future::pending().await,
    }
}
