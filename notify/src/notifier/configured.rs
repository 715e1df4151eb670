//! The notifier of the configuration section `[oslo_messaging_notifications]`.

use std::sync::Arc;

use oxlo_config::{NotificationsConfig, ProcessConfig, ProcessConfigError};
use oxlo_transport::{Transport, message::NotificationFormat};

use super::{
    build::{BuildNotifierError, NotifierBuilder},
    driver::{Noop, NotificationDriver, Recorder},
    handle::Notifier,
    log::Log,
    messaging::Messaging,
};

impl Notifier {
    /// Starts to build a notifier with the drivers, topics and retries of `[oslo_messaging_notifications]`.
    ///
    /// `driver` is `messaging`, `messagingv2`, `log`, `noop`, `test` or `routing` (cargo feature `routing`, with the file
    /// that `routing_config` names) and may be given several times. Without a driver nothing is sent, as in oslo.
    /// `messaging` and `messagingv2` send over `transport`.
    ///
    /// # Errors
    ///
    /// [`BuildNotifierError::Config`] for an option that is unknown or has an invalid value, with file and line.
    pub fn configured(
        publisher_id: impl Into<Arc<str>>,
        transport: &Arc<dyn Transport>,
        config: &ProcessConfig,
    ) -> Result<NotifierBuilder, BuildNotifierError> {
        let config = config.notifications().map_err(|error| BuildNotifierError::Config(Arc::new(error)))?;
        let mut builder = Self::builder(publisher_id).retry(config.retry);
        for (name, origin) in &config.drivers {
            let driver = driver(name, transport, &config).map_err(|reason| {
                BuildNotifierError::Config(Arc::new(ProcessConfigError::Option {
                    origin: origin.clone(),
                    option: "driver".to_owned(),
                    reason,
                }))
            })?;
            builder = builder.shared_driver(driver);
        }
        Ok(if config.drivers.is_empty() { builder.driver(Noop) } else { builder })
    }
}

fn driver(
    name: &str,
    transport: &Arc<dyn Transport>,
    config: &NotificationsConfig,
) -> Result<Arc<dyn NotificationDriver>, String> {
    if name == "routing" {
        return routing(transport, config);
    }
    plain(name, transport, config).ok_or_else(|| {
        "unknown driver; known are messaging, messagingv2, log, noop, test and routing, each on a line of its own"
            .to_owned()
    })
}

/// The drivers that do not need other drivers.
fn plain(
    name: &str,
    transport: &Arc<dyn Transport>,
    config: &NotificationsConfig,
) -> Option<Arc<dyn NotificationDriver>> {
    let messaging = |format| {
        let topics = config.topics.iter().map(String::as_str);
        Arc::new(Messaging::new(transport.clone()).topics(topics).format(format))
    };
    Some(match name {
        "messaging" => messaging(NotificationFormat::V1),
        "messagingv2" => messaging(NotificationFormat::V2),
        "log" => Arc::new(Log),
        "noop" => Arc::new(Noop),
        "test" => Arc::new(Recorder::new()),
        _ => return None,
    })
}

#[cfg(feature = "routing")]
fn routing(
    transport: &Arc<dyn Transport>,
    config: &NotificationsConfig,
) -> Result<Arc<dyn NotificationDriver>, String> {
    let Some(file) = &config.routing_config else {
        return Err("the driver routing needs routing_config, the path of its rules file".to_owned());
    };
    let drivers = ["messaging", "messagingv2", "log", "noop", "test"];
    let drivers = drivers.iter().filter_map(|name| plain(name, transport, config)).collect();
    let routing = super::routing::Routing::from_file(file, drivers).map_err(|error| error.to_string())?;
    Ok(Arc::new(routing))
}

#[cfg(not(feature = "routing"))]
fn routing(_: &Arc<dyn Transport>, _: &NotificationsConfig) -> Result<Arc<dyn NotificationDriver>, String> {
    Err("the driver routing is not compiled in; enable the cargo feature `routing`".to_owned())
}
