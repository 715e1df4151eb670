//! The section `[oslo_messaging_notifications]`.

use std::{path::PathBuf, sync::Arc};

use oxlo_transport::{Registry, Retry, TransportBuilder, TransportError};

use super::{ProcessConfig, ProcessConfigError};

const SECTION: &str = "oslo_messaging_notifications";
const KNOWN: &[&str] = &["driver", "transport_url", "topics", "retry", "routing_config"];

/// The configuration of notifications, see [`ProcessConfig::notifications`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotificationsConfig {
    /// `driver`, which may be given several times: oslo's driver names, such as `messagingv2`, each with its origin (file and
    /// line, or variable). Default: none, so nothing is sent.
    pub drivers: Vec<(String, Arc<str>)>,
    /// `topics`. Default `notifications`.
    pub topics: Vec<String>,
    /// `retry`: how many times a notification is resent; a negative number is [`Retry::Forever`]. Default: forever.
    pub retry: Retry,
    /// `routing_config`: the path of the file for the driver `routing`. Default: none.
    pub routing_config: Option<PathBuf>,
}

impl ProcessConfig {
    /// Reads `[oslo_messaging_notifications]`, for the notifier.
    ///
    /// # Errors
    ///
    /// [`ProcessConfigError::Option`] for an unknown option or an invalid value.
    pub fn notifications(&self) -> Result<NotificationsConfig, ProcessConfigError> {
        self.check_known(SECTION, KNOWN)?;
        let mut drivers: Vec<(String, Arc<str>)> = Vec::new();
        for value in self.all_resolved(SECTION, "driver")? {
            if !value.text.is_empty() && drivers.iter().all(|(name, _)| *name != value.text) {
                drivers.push((value.text, value.origin));
            }
        }
        let retry = match self.get_as::<i64>(SECTION, "retry")? {
            None | Some(..0) => Retry::Forever,
            Some(times) => Retry::Times(u32::try_from(times).unwrap_or(u32::MAX)),
        };
        Ok(NotificationsConfig {
            drivers,
            topics: self.get_list(SECTION, "topics")?.unwrap_or_else(|| vec!["notifications".to_owned()]),
            retry,
            routing_config: self.get(SECTION, "routing_config")?.filter(|path| !path.is_empty()).map(PathBuf::from),
        })
    }

    /// Starts building the transport of notifications: as [`transport`](Self::transport), with the `transport_url` in
    /// `[oslo_messaging_notifications]` if it is set.
    ///
    /// # Errors
    ///
    /// As [`transport`](Self::transport) and [`notifications`](Self::notifications).
    pub fn notification_transport(&self, drivers: &Registry) -> Result<TransportBuilder, TransportError> {
        self.notifications()?;
        match self.get(SECTION, "transport_url")?.filter(|url| !url.is_empty()) {
            Some(url) => self.builder(drivers, url),
            None => self.transport(drivers),
        }
    }
}
