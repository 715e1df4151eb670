//! Names of fanout and reply queues: random, or stable as with oslo's queue manager (`use_queue_manager`), without its
//! race.
//!
//! oslo counts in a file that processes share, and two processes have ended up with one name. Here a process owns
//! `host:process:n` while it has bound the abstract Unix socket of that name, and the next process takes the next
//! number. The kernel frees the name however the process ends. Without a file nothing is left behind, and nobody can
//! plant a link or a pipe in its place.

use std::{io, path::PathBuf};

use oxlo_transport::TransportError;
use uuid::Uuid;

use crate::config::{Config, StableNames};

/// Maximum number of processes with one name on one machine.
const MAX_NUMBER: u32 = 10_000;

/// The part of a queue's name after its prefix.
#[derive(Debug)]
pub(crate) struct QueueName {
    pub(crate) suffix: String,
    /// Holds a stable name.
    claim: Option<claim::Claim>,
}

impl QueueName {
    /// A name for one queue: stable if the configuration says so, otherwise random.
    ///
    /// # Errors
    ///
    /// [`TransportError::Config`] if no stable name can be held on this machine.
    pub(crate) fn draw(config: &Config) -> Result<Self, TransportError> {
        match &config.stable_names {
            None => Ok(Self { suffix: Uuid::new_v4().simple().to_string(), claim: None }),
            Some(names) => stable(names),
        }
    }

    /// Whether the queue keeps its name and its messages when the process restarts.
    pub(crate) fn is_stable(&self) -> bool {
        self.claim.is_some()
    }
}

fn stable(names: &StableNames) -> Result<QueueName, TransportError> {
    let StableNames { host, process } = names;
    let refused = |reason| TransportError::Config { option: "use_queue_manager".to_owned(), reason };
    for number in 1..=MAX_NUMBER {
        match claim::claim(host, process, number) {
            Ok(claim) => return Ok(QueueName { suffix: format!("{host}:{process}:{number}"), claim: Some(claim) }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => {
                return Err(refused(format!("cannot hold the queue name {host}:{process}:{number}: {error}")));
            }
        }
    }
    Err(refused(format!(
        "all {MAX_NUMBER} names of {host}:{process} are held by other processes; set another processname"
    )))
}

#[cfg(target_os = "linux")]
mod claim {
    use std::{
        io,
        os::{
            linux::net::SocketAddrExt as _,
            unix::net::{SocketAddr, UnixDatagram},
        },
    };

    pub(super) type Claim = UnixDatagram;

    /// Bytes for host and process; an abstract address has at most 107.
    const MAX_LENGTH: usize = 90;

    /// # Errors
    ///
    /// `AddrInUse` if another process holds the name.
    pub(super) fn claim(host: &str, process: &str, number: u32) -> io::Result<Claim> {
        let mut name = format!("oxlo/{host}/{process}");
        // Long names that are truncated to the same text share one sequence of numbers, which is harmless.
        name.truncate(MAX_LENGTH);
        UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(format!("{name}/{number}"))?)
    }
}

#[cfg(not(target_os = "linux"))]
mod claim {
    use std::io;

    pub(super) type Claim = std::convert::Infallible;

    pub(super) fn claim(_host: &str, _process: &str, _number: u32) -> io::Result<Claim> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "stable names need abstract sockets, which only Linux has"))
    }
}

/// The host name of this machine.
pub(crate) fn host() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

/// The file name of this program; empty if it is unknown.
pub(crate) fn process() -> String {
    std::env::args_os()
        .next()
        .and_then(|path| PathBuf::from(path).file_name().map(|name| name.to_string_lossy().into_owned()))
        .unwrap_or_default()
}

/// Whether a text may be part of a stable name.
pub(crate) fn is_usable(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn names(process: &str) -> StableNames {
        StableNames { host: "node-7".into(), process: format!("{process}-{}", Uuid::new_v4().simple()) }
    }

    #[test]
    fn a_name_is_held_until_it_is_dropped_and_then_taken_again() {
        let names = names("nova");
        let suffix = |number| format!("node-7:{}:{number}", names.process);
        let first = stable(&names).unwrap();
        let second = stable(&names).unwrap();
        assert_eq!([&first.suffix, &second.suffix], [&suffix(1), &suffix(2)]);
        assert!(first.is_stable());
        drop(first);
        assert_eq!(stable(&names).unwrap().suffix, suffix(1));
        let other = StableNames { process: format!("{}-x", names.process), ..names };
        assert_eq!(stable(&other).unwrap().suffix, format!("node-7:{}:1", other.process));
    }

    #[test]
    fn long_names_are_held_like_others() {
        let names = StableNames { host: "h".repeat(64), process: "p".repeat(64) };
        let (first, second) = (stable(&names).unwrap(), stable(&names).unwrap());
        assert_ne!(first.suffix, second.suffix);
    }
}
