//! Errors of reading a configuration.

use std::{path::PathBuf, sync::Arc};

use oxlo_transport::TransportError;

/// An error in a configuration file or an environment variable. Values are never quoted.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ProcessConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The text is not an INI file.
    #[error("{origin}: {reason}")]
    Syntax {
        /// File and line.
        origin: Arc<str>,
        /// The problem, and what to do.
        reason: String,
    },
    /// An option is unknown, or its value is invalid.
    #[error("{origin}: option `{option}`: {reason}")]
    Option {
        /// File and line, or the variable.
        origin: Arc<str>,
        /// Name of the option.
        option: String,
        /// The problem, and what to do.
        reason: String,
    },
}

oxlo_transport::debug_as_chain!(ProcessConfigError);

impl From<ProcessConfigError> for TransportError {
    fn from(error: ProcessConfigError) -> Self {
        match error {
            ProcessConfigError::Option { origin, option, reason } => {
                Self::Config { option, reason: format!("{reason} ({origin})") }
            }
            other => Self::Config { option: "transport_url".to_owned(), reason: other.to_string() },
        }
    }
}
