//! How reading a configuration fails.

use std::{path::PathBuf, sync::Arc};

use oxlo_transport::error::TransportError;

/// A file or a variable that cannot be used. Values are never quoted.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ProcessConfigError {
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not an INI file.
    #[error("{origin}: {reason}")]
    Syntax {
        /// File and line.
        origin: Arc<str>,
        /// What was expected.
        reason: String,
    },
    /// An option is unknown, or its value cannot be used.
    #[error("{origin}: option `{option}`: {reason}")]
    Option {
        /// File and line, or the variable.
        origin: Arc<str>,
        /// Name of the option.
        option: String,
        /// What is wrong with it, and what to do.
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
