//! Stable names for fanout and reply queues: oslo's queue manager, without its race.
//!
//! oslo counts in a file that processes share, and two of them have ended up with one name. Here a name is a locked
//! file: `host:process:n` belongs to whoever holds the lock of its file, for as long as the process lives or the name is
//! used, and the next process takes the next number.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use oxlo_transport::TransportError;
use uuid::Uuid;

use crate::config::{Config, StableNames};

/// Processes of one name on one machine, at most.
const MOST: u32 = 10_000;

/// What follows the prefix in a queue's name.
#[derive(Debug)]
pub(crate) struct QueueName {
    pub(crate) suffix: String,
    /// Held as long as the name is used; the lock ends with the process, however that ends.
    lock: Option<File>,
}

impl QueueName {
    /// A name for one queue: stable if the configuration says so, else random.
    ///
    /// # Errors
    ///
    /// [`TransportError::Config`] if names cannot be locked on this machine.
    pub(crate) fn draw(config: &Config) -> Result<Self, TransportError> {
        match &config.stable_names {
            None => Ok(Self { suffix: Uuid::new_v4().simple().to_string(), lock: None }),
            Some(names) => stable(names, &folder()),
        }
    }

    /// Whether the queue keeps its name and its messages when the process starts again.
    pub(crate) fn is_stable(&self) -> bool {
        self.lock.is_some()
    }
}

fn stable(names: &StableNames, folder: &Path) -> Result<QueueName, TransportError> {
    let StableNames { host, process } = names;
    for number in 1..=MOST {
        let path = folder.join(format!("oxlo-{host}-{process}-{number}.lock"));
        let unusable = |error: io::Error| {
            let reason =
                format!("the queue name {host}:{process}:{number} cannot be held: {}: {error}", path.display());
            TransportError::Config { option: "use_queue_manager".to_owned(), reason }
        };
        let file = match OpenOptions::new().write(true).create(true).truncate(false).open(&path) {
            Ok(file) => file,
            // Another user's.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && path.exists() => continue,
            Err(error) => return Err(unusable(error)),
        };
        match file.try_lock() {
            Ok(()) => return Ok(QueueName { suffix: format!("{host}:{process}:{number}"), lock: Some(file) }),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
    }
    let reason = format!("all {MOST} names of {host}:{process} are held by other processes; set another processname");
    Err(TransportError::Config { option: "use_queue_manager".to_owned(), reason })
}

/// Gone after a restart of the machine, as the processes are; oslo's place too.
fn folder() -> PathBuf {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() }
}

/// The name of this machine, as far as it can be known.
pub(crate) fn host() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

/// The file name of this program.
pub(crate) fn process() -> String {
    std::env::args_os()
        .next()
        .and_then(|path| PathBuf::from(path).file_name().map(|name| name.to_string_lossy().into_owned()))
        .unwrap_or_default()
}

/// Whether a text can be part of a stable name.
pub(crate) fn is_usable(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_held_until_it_is_dropped_and_then_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let names = StableNames { host: "node-7".into(), process: "nova".into() };
        let first = stable(&names, folder.path()).unwrap();
        let second = stable(&names, folder.path()).unwrap();
        assert_eq!((first.suffix.as_str(), second.suffix.as_str()), ("node-7:nova:1", "node-7:nova:2"));
        drop(first);
        assert_eq!(stable(&names, folder.path()).unwrap().suffix, "node-7:nova:1");
        let other = StableNames { process: "glance".into(), ..names };
        assert_eq!(stable(&other, folder.path()).unwrap().suffix, "node-7:glance:1");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let names = StableNames { host: "h".into(), process: "p".into() };
        let refused = stable(&names, Path::new("/nonexistent")).unwrap_err().to_string();
        assert!(refused.starts_with("option `use_queue_manager`: the queue name h:p:1 cannot be held"), "{refused}");
    }
}
