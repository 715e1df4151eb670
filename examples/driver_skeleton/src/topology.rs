//! Which queue a target means.
//!
//! A queue is a folder, and the exchange is the folder above it:
//!
//! ```text
//! openstack/topic.compute                 any server of the topic
//! openstack/server.compute.node-7         one server of it
//! openstack/fanout.compute/<listener>     every server of it: one queue each
//! openstack/notifications.compute.info    notifications of one priority
//! .sessions/<session>/replies             the replies to one transport
//! ```
//!
//! Pure functions from targets to paths: the tests of a real driver compare them with what oslo.messaging declares.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use oxlo_transport::{ListenScope, Priority, Target, TransportError};
use uuid::Uuid;

/// Where a message is sent.
#[derive(Debug)]
pub(crate) enum Destination {
    /// To one queue.
    Queue(PathBuf),
    /// To every queue in a folder.
    Fanout(PathBuf),
}

/// The names of queues below one root folder.
#[derive(Clone, Debug)]
pub(crate) struct Topology {
    pub(crate) root: PathBuf,
    /// The exchange of targets that name none.
    pub(crate) control_exchange: Arc<str>,
}

impl Topology {
    /// Where a request goes. A fanout wins over a server, as in oslo.
    pub(crate) fn destination(&self, to: &Target) -> Result<Destination, TransportError> {
        let topic = to.require_topic()?;
        Ok(match &to.server {
            _ if to.fanout => Destination::Fanout(self.path(to, &["fanout", topic])),
            Some(server) => Destination::Queue(self.path(to, &["server", topic, server])),
            None => Destination::Queue(self.path(to, &["topic", topic])),
        })
    }

    /// The queues of a listener for requests. The last one, if the scope has a fanout, is the listener's own.
    pub(crate) fn subscription(
        &self,
        on: &Target,
        scope: &ListenScope,
        listener: Uuid,
    ) -> Result<(Vec<PathBuf>, Option<PathBuf>), TransportError> {
        let topic = self.path(on, &["topic", on.require_topic()?]);
        if *scope == ListenScope::Topic {
            return Ok((vec![topic], None));
        }
        let (name, server) = on.require_topic_and_server()?;
        let server = self.path(on, &["server", name, server]);
        match scope {
            ListenScope::Named => Ok((vec![server], None)),
            ListenScope::Server => {
                let own = self.path(on, &["fanout", name]).join(listener.simple().to_string());
                Ok((vec![topic, server, own.clone()], Some(own)))
            }
            _ => Err(TransportError::Unsupported { what: "listening on an extra request queue".into() }),
        }
    }

    /// The queue of notifications of one topic and priority.
    pub(crate) fn notifications(&self, on: &Target, priority: Priority) -> Result<PathBuf, TransportError> {
        Ok(self.path(on, &["notifications", on.require_topic()?, priority.as_str()]))
    }

    /// What belongs to one transport alone, and goes with it.
    pub(crate) fn session(&self, session: Uuid) -> PathBuf {
        self.root.join(".sessions").join(session.simple().to_string())
    }

    fn path(&self, target: &Target, parts: &[&str]) -> PathBuf {
        let exchange = target.exchange.as_ref().unwrap_or(&self.control_exchange);
        let queue: Vec<String> = parts.iter().map(|part| escaped(part)).collect();
        self.root.join(escaped(exchange)).join(queue.join("."))
    }
}

/// A queue as errors and spans name it: relative to the root.
pub(crate) fn shown(queue: &Path) -> (String, String) {
    let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    (part(queue.parent().and_then(Path::file_name)), part(queue.file_name()))
}

/// A name as part of a file name. Names come from configuration and from peers: nothing in one may mean a path, or part
/// of another name.
fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02x}").unwrap_or_default(),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_root_or_into_another_queue() {
        let topology = Topology { root: "/spool".into(), control_exchange: "openstack".into() };
        let queue = |topic: &str| topology.path(&Target::topic(topic), &["topic", topic]);
        assert_eq!(queue("compute"), Path::new("/spool/openstack/topic.compute"));
        assert_eq!(queue("../../etc"), Path::new("/spool/openstack/topic.%2e%2e%2f%2e%2e%2fetc"));
        assert_ne!(queue("a.b"), topology.path(&Target::topic("a"), &["topic", "a", "b"]));
    }
}
