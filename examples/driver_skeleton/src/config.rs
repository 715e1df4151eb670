//! What the URL says.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use oxlo_transport::{TransportError, TransportUrl};

/// Default of the option `poll_interval`.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// The options of one transport, checked.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The folder that stands for the broker.
    pub(crate) root: PathBuf,
    /// How long a listener waits before it looks for messages again.
    pub(crate) poll_interval: Duration,
}

impl Config {
    pub(crate) fn read(url: &TransportUrl) -> Result<Self, TransportError> {
        let wrong = |reason: &str| TransportError::Config { option: "folder".into(), reason: reason.into() };
        // Refuse what would be ignored: a misspelt URL must not connect to something else.
        if !url.hosts().is_empty() {
            return Err(wrong("the URL names a host; write the absolute path as in files:///path/to/folder"));
        }
        let folder = url.virtual_host().ok_or_else(|| wrong("the URL names no folder: files:///path/to/folder"))?;
        let mut options = url.options();
        let poll_interval = options.seconds("poll_interval", Duration::from_millis(1)..)?.unwrap_or(POLL_INTERVAL);
        // Names the options that nobody asked for, and the one whose spelling is nearest.
        options.finish()?;
        Ok(Self { root: Path::new("/").join(folder), poll_interval })
    }
}
