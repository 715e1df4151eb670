//! What a transport does at the broker: publish, take, settle.
//!
//! A message is a file, and the file's name holds everything that may change about it. So each step is one `rename`,
//! which either happens or does not: a message is in one queue, or held by one session.
//!
//! The calls of `std::fs` block, which a small file on a local disk makes bearable. A driver on a network awaits here.

use std::{
    collections::HashMap,
    error::Error,
    fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use oxlo_driver_kit::pending::PendingCalls;
use oxlo_transport::{ConnectionState, Deferral, Settings, Settlement, TransportError, limited};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{codec::Codec, config::Config, topology::Topology};

/// One transport's place at the broker. Closed when the last handle on it is dropped.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: Uuid,
    pub(crate) settings: Settings,
    pub(crate) topology: Topology,
    pub(crate) codec: Codec,
    pub(crate) pending: PendingCalls,
    pub(crate) poll_interval: Duration,
    state: watch::Sender<ConnectionState>,
    /// The messages that were taken and not settled, and the queues they came from.
    held: Mutex<HashMap<Uuid, (Name, PathBuf)>>,
}

/// A message that was taken.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) name: Name,
    pub(crate) body: Bytes,
}

/// The name of a message's file. Names sort in the order in which their messages are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    /// Nanoseconds since 1970, when it came to its place in the queue.
    order: u64,
    /// Milliseconds since 1970, when it is due; 0 if it is due at once.
    due: u64,
    pub(crate) redeliveries: u32,
    pub(crate) id: Uuid,
}

impl Session {
    pub(crate) fn open(config: Config, settings: Settings) -> Result<Self, TransportError> {
        let topology = Topology { root: config.root, control_exchange: settings.control_exchange.clone() };
        let session = Self {
            id: Uuid::new_v4(),
            codec: Codec::new(&settings),
            settings,
            topology,
            pending: PendingCalls::new(),
            poll_interval: config.poll_interval,
            state: watch::channel(ConnectionState::Connected).0,
            held: Mutex::default(),
        };
        for folder in ["replies", "held", "written"] {
            session.declare(&session.own(folder))?;
        }
        Ok(session)
    }

    pub(crate) fn state(&self) -> watch::Receiver<ConnectionState> {
        self.state.subscribe()
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.state.borrow() == ConnectionState::Closed
    }

    pub(crate) fn check_open(&self) -> Result<(), TransportError> {
        if self.is_closed() { Err(TransportError::Closed) } else { Ok(()) }
    }

    /// A folder of this session alone.
    fn own(&self, folder: &str) -> PathBuf {
        self.topology.session(self.id).join(folder)
    }

    /// Creates a queue, unless it exists.
    pub(crate) fn declare(&self, queue: &Path) -> Result<(), TransportError> {
        fs::create_dir_all(queue).map_err(|error| TransportError::Topology {
            object: format!("folder `{}`", queue.display()),
            reason: error.to_string(),
        })
    }

    /// Puts a message at the end of a queue. Returns `false` if there is no such queue.
    pub(crate) fn publish(&self, queue: &Path, body: &[u8]) -> Result<bool, TransportError> {
        let name = Name::new();
        let written = self.own("written").join(name.to_string());
        // Written elsewhere first, so that nobody takes half of a message.
        let published = fs::write(&written, body).and_then(|()| fs::rename(&written, queue.join(name.to_string())));
        match published {
            Ok(()) => Ok(true),
            Err(error) => {
                let _ = fs::remove_file(&written);
                self.check_open()?;
                if error.kind() == io::ErrorKind::NotFound {
                    return Ok(false);
                }
                let routing_key = queue.display().to_string();
                Err(TransportError::Rejected { routing_key, reason: error.to_string() })
            }
        }
    }

    /// Takes the first message of these queues.
    pub(crate) fn take(&self, queues: &[PathBuf]) -> Option<Taken> {
        let mut waiting: Vec<(Name, &PathBuf)> =
            queues.iter().flat_map(|queue| names(queue).map(move |name| (name, queue))).collect();
        waiting.sort_unstable();
        for (name, queue) in waiting {
            let file = self.own("held").join(name.to_string());
            let mut held = self.held();
            // `close` gives back what is held under the same lock: nothing is taken after that.
            if self.is_closed() {
                return None;
            }
            // Several listeners may see the file; the rename succeeds for one of them.
            if fs::rename(queue.join(name.to_string()), &file).is_err() {
                continue;
            }
            held.insert(name.id, (name, queue.clone()));
            drop(held);
            match self.read(&file) {
                Ok(body) => return Some(Taken { name, body }),
                Err(error) => self.reject(&name, &error),
            }
        }
        None
    }

    fn read(&self, file: &Path) -> io::Result<Bytes> {
        // The size is checked before memory is taken for it.
        if fs::metadata(file)?.len() > self.codec.max_bytes() {
            return Err(io::Error::other("the message exceeds max_message_size"));
        }
        fs::read(file).map(Bytes::from)
    }

    /// Drops a message that cannot be read. Peers can cause the line, so it is limited.
    pub(crate) fn reject(&self, name: &Name, error: &(dyn Error + 'static)) {
        limited!(warn, "rejected an unreadable message", error);
        self.settle(name, Settlement::Reject);
    }

    /// Settles a message. Does nothing if the session was closed, which has given it back.
    pub(crate) fn settle(&self, name: &Name, settlement: Settlement) {
        let Some((name, queue)) = self.held().remove(&name.id) else { return };
        let file = self.own("held").join(name.to_string());
        let back = match settlement {
            Settlement::Ack | Settlement::Reject => {
                let _ = fs::remove_file(file);
                return;
            }
            // Keeps its place in the order of the queue.
            Settlement::Requeue => Name { redeliveries: name.redeliveries + 1, ..name },
            Settlement::Defer(Deferral { delay, counts }) => Name {
                order: Name::new().order,
                due: if delay.is_zero() { 0 } else { millis(SystemTime::now() + delay) },
                redeliveries: name.redeliveries + u32::from(counts),
                ..name
            },
        };
        // The queue may be gone: that of a fanout goes with its listener.
        if fs::rename(&file, queue.join(back.to_string())).is_err() {
            let _ = fs::remove_file(file);
        }
    }

    /// Hands the replies that came to the calls that wait for them.
    pub(crate) fn deliver_replies(&self) {
        let replies = self.own("replies");
        let mut came: Vec<Name> = names(&replies).collect();
        came.sort_unstable();
        for name in came {
            let file = replies.join(name.to_string());
            let body = self.read(&file);
            let _ = fs::remove_file(&file);
            match body.map(|body| self.codec.read_reply(&body)) {
                // Nobody waits if the call has timed out or was dropped.
                Ok(Ok((message_id, part))) => _ = self.pending.deliver(&message_id, part),
                Ok(Err(poison)) => limited!(warn, "discarded an unreadable reply", error = &poison as &dyn Error),
                Err(error) => limited!(warn, "discarded an unreadable reply", error = &error as &dyn Error),
            }
        }
    }

    /// Ends everything: pending calls fail, what is held goes back, what belongs to this session is deleted.
    pub(crate) fn close(&self) {
        let held: Vec<Name> = {
            let held = self.held();
            if self.state.send_replace(ConnectionState::Closed) == ConnectionState::Closed {
                return;
            }
            held.values().map(|(name, _)| *name).collect()
        };
        self.pending.close();
        for name in held {
            self.settle(&name, Settlement::Requeue);
        }
        let _ = fs::remove_dir_all(self.topology.session(self.id));
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Uuid, (Name, PathBuf)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.close();
    }
}

impl Name {
    fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        // Messages of one process keep their order, also when the clock does not move or jumps back.
        let next = |last: u64| Some(now.max(last + 1));
        let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or(now);
        Self { order: now.max(last + 1), due: 0, redeliveries: 0, id: Uuid::new_v4() }
    }

    /// How long until it is due; `None` if it is due.
    pub(crate) fn due_in(&self) -> Option<Duration> {
        self.due.checked_sub(millis(SystemTime::now())).filter(|left| *left > 0).map(Duration::from_millis)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{:013}-{}-{}", self.order, self.due, self.redeliveries, self.id.simple())
    }
}

impl FromStr for Name {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        fn part<T: FromStr>(part: Option<&str>) -> Result<T, ()> {
            part.and_then(|part| part.parse().ok()).ok_or(())
        }
        let mut parts = text.split('-');
        let mut next = || parts.next();
        Ok(Self { order: part(next())?, due: part(next())?, redeliveries: part(next())?, id: part(next())? })
    }
}

/// The messages in a queue, in no order; files of other names are ignored.
fn names(queue: &Path) -> impl Iterator<Item = Name> {
    let entries = fs::read_dir(queue).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
