//! Assigns links to sessions.
//!
//! A link has a session of its own as long as the broker's limit leaves room for others, because some brokers end the session
//! of a link that fails. After that links share sessions, and each is tried in a session for trials first, so that an
//! address that is refused ends no other link.

use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicU32, Ordering},
};

use fe2o3_amqp::{Receiver, Sender, link::receiver::CreditMode, session::SessionHandle, types::messaging::Source};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{Duration, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::{self, Refused};

/// How long the broker may take to attach a link.
pub(crate) const ATTACH_LIMIT: Duration = Duration::from_secs(5);
/// How long the broker may take to end a session or to close a link.
pub(crate) const FAREWELL: Duration = Duration::from_secs(2);

/// A link that is to be attached.
enum Job {
    Sender { address: Arc<str>, answer: oneshot::Sender<Result<Sender, Refused>> },
    Receiver { name: String, source: Box<Source>, answer: oneshot::Sender<Result<Receiver, Refused>> },
}

/// A session that ends when no link has a seat in it.
#[derive(Debug)]
struct Kept {
    jobs: mpsc::UnboundedSender<Job>,
    /// Seats that are taken.
    links: AtomicU32,
    ended: CancellationToken,
}

/// Seats of links in a session. Dropping it releases them, and ends the session if they were the last.
#[derive(Debug)]
pub(crate) struct Seat {
    kept: Arc<Kept>,
    links: u32,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.kept.links.fetch_sub(self.links, Ordering::AcqRel);
    }
}

impl Seat {
    /// Seats in a session that is not shared.
    pub(crate) fn alone(session: SessionHandle<()>, links: u32) -> Self {
        let (jobs, inbox) = mpsc::unbounded_channel();
        let ended = CancellationToken::new();
        tokio::spawn(keep(session, inbox, ended.clone()));
        Self { kept: Arc::new(Kept { jobs, links: AtomicU32::new(links), ended }), links }
    }

    /// Whether other links are in the session.
    pub(crate) fn is_shared(&self) -> bool {
        self.kept.links.load(Ordering::Acquire) > self.links
    }

    /// Cancelled when the session has ended.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.kept.ended.clone()
    }

    /// Attaches a link that sends to an address.
    ///
    /// # Errors
    ///
    /// The broker's refusal, or `Lost` if it does not answer.
    pub(crate) async fn sender(&self, address: Arc<str>) -> Result<Sender, Refused> {
        self.attach(|answer| Job::Sender { address, answer }).await
    }

    /// Attaches a link that receives, without credit; `name` is what the link is for.
    ///
    /// # Errors
    ///
    /// As [`sender`](Self::sender).
    pub(crate) async fn receiver(&self, name: &str, source: Source) -> Result<Receiver, Refused> {
        let (name, source) = (name.to_owned(), Box::new(source));
        self.attach(|answer| Job::Receiver { name, source, answer }).await
    }

    async fn attach<L>(&self, job: impl FnOnce(oneshot::Sender<Result<L, Refused>>) -> Job) -> Result<L, Refused> {
        let (answer, attached) = oneshot::channel();
        let gone = || Refused::Lost("the session has ended".to_owned());
        self.kept.jobs.send(job(answer)).map_err(|_| gone())?;
        attached.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Closes a sending link and releases its seat.
    pub(crate) async fn close_sender(self, sender: Sender) {
        if self.is_shared() {
            let _ = timeout(FAREWELL, sender.close()).await;
        } else {
            drop(sender);
        }
        self.end().await;
    }

    /// As [`close_sender`](Self::close_sender), for all receiving links; every settlement has then reached the broker.
    pub(crate) async fn close_receivers(self, receivers: Vec<Receiver>) {
        if self.is_shared() {
            for receiver in receivers {
                let _ = timeout(FAREWELL, receiver.close()).await;
            }
            return;
        }
        self.end().await;
        drop(receivers);
    }

    async fn end(self) {
        let (ended, is_shared) = (self.ended(), self.is_shared());
        drop(self);
        if !is_shared {
            let _ = timeout(FAREWELL, ended.cancelled()).await;
        }
    }
}

/// Attaches links to a session until it ends, or no link has a seat in it.
async fn keep(mut session: SessionHandle<()>, mut jobs: mpsc::UnboundedReceiver<Job>, ended: CancellationToken) {
    loop {
        tokio::select! {
            _ = session.on_end() => break,
            job = jobs.recv() => match job {
                Some(job) => job.run(&mut session).await,
                None => {
                    let _ = timeout(FAREWELL, session.end()).await;
                    break;
                }
            },
        }
    }
    ended.cancel();
}

impl Job {
    async fn run(self, session: &mut SessionHandle<()>) {
        match self {
            Self::Sender { address, answer } => {
                let attaching = Sender::builder()
                    .name(format!("openstack.org/om/sender/[{address}]/{}", Uuid::new_v4().simple()))
                    .source(address.to_string())
                    .target(address.to_string())
                    .attach(session);
                let attached = timeout(ATTACH_LIMIT, Box::pin(attaching)).await;
                let _ = answer.send(in_time(attached).and_then(|it| it.map_err(|error| error::sender_refused(&error))));
            }
            Self::Receiver { name, source, answer } => {
                let attaching = Receiver::builder()
                    .name(format!("openstack.org/om/receiver/[{name}]/{}", Uuid::new_v4().simple()))
                    .source(*source)
                    .target(name)
                    .credit_mode(CreditMode::Manual)
                    .attach(session);
                let attached = timeout(ATTACH_LIMIT, Box::pin(attaching)).await;
                let _ =
                    answer.send(in_time(attached).and_then(|it| it.map_err(|error| error::receiver_refused(&error))));
            }
        }
    }
}

fn in_time<T>(attached: Result<T, tokio::time::error::Elapsed>) -> Result<T, Refused> {
    attached.map_err(|_| Refused::Lost(format!("the broker did not answer the attach within {ATTACH_LIMIT:?}")))
}

/// The sessions of a connection in which links have seats.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    sessions: Mutex<Vec<Weak<Kept>>>,
    /// The session in which links are tried before they share one with others.
    pub(crate) trial: tokio::sync::Mutex<Option<Seat>>,
    /// Sessions that are being begun, and a notification when one has begun or failed.
    coming: AtomicU32,
    came: Notify,
}

/// A session of a pool that is being begun.
pub(crate) struct Coming<'a>(&'a Pool);

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        self.0.coming.fetch_sub(1, Ordering::AcqRel);
        self.0.came.notify_waiters();
    }
}

impl Pool {
    /// Registers a session that is being begun, until the returned guard is dropped.
    pub(crate) fn expect(&self) -> Coming<'_> {
        self.coming.fetch_add(1, Ordering::AcqRel);
        Coming(self)
    }

    /// As [`share`](Self::share), once no session is being begun that would have room.
    pub(crate) async fn share_when_come(&self, links: u32, most: u32) -> Option<Seat> {
        loop {
            let came = self.came.notified();
            let is_last_word = self.coming.load(Ordering::Acquire) == 0;
            match self.share(links, most) {
                None if !is_last_word => came.await,
                seat => return seat,
            }
        }
    }

    /// Seats in a new session, which other links may share later.
    pub(crate) fn add(&self, session: SessionHandle<()>, links: u32) -> Seat {
        let seat = Seat::alone(session, links);
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|session| session.strong_count() > 0);
        sessions.push(Arc::downgrade(&seat.kept));
        seat
    }

    /// Seats in the session with the fewest links, if that has room below `most`.
    fn share(&self, links: u32, most: u32) -> Option<Seat> {
        // Held until the seats are counted, so that no other task takes them.
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = sessions.iter().filter_map(Weak::upgrade).filter(|kept| !kept.ended.is_cancelled());
        let kept = alive.min_by_key(|kept| kept.links.load(Ordering::Acquire))?;
        if kept.links.load(Ordering::Acquire).saturating_add(links) > most {
            return None;
        }
        kept.links.fetch_add(links, Ordering::AcqRel);
        drop(sessions);
        Some(Seat { kept, links })
    }
}
