//! Drivers by URL scheme, and the builder of transports.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    error::TransportError,
    options::Retry,
    settings::{NonFinite, RemoteError, Settings},
    text,
    transport::Transport,
    url::{OptionError, TransportUrl},
};

/// Schemes of oslo.messaging, kombu and others without a driver: the reason, and the scheme to use instead.
const FOREIGN_SCHEMES: &[(&str, &str, &str)] = &[
    ("fake", "oslo's in-process driver is named memory here", "memory"),
    ("kombu+memory", "oslo's in-process driver is named memory here", "memory"),
    ("kafka", "there is no driver for Kafka, and oslo's carries notifications only", "rabbit"),
    ("kafka+ssl", "there is no driver for Kafka, and oslo's carries notifications only", "rabbit"),
    ("zmq", "oslo.messaging removed its driver for ZeroMQ", "rabbit"),
    ("pyamqp", "kombu's name for AMQP 0-9-1", "rabbit"),
    ("librabbitmq", "kombu's name for AMQP 0-9-1", "rabbit"),
    ("rabbitmq", "the scheme for RabbitMQ is rabbit", "rabbit"),
    ("qpid", "the brokers of Qpid speak AMQP 1.0", "amqp"),
];

/// Creates transports for one or more URL schemes.
#[async_trait]
pub trait Driver: fmt::Debug + Send + Sync + 'static {
    /// The schemes of this driver.
    fn schemes(&self) -> &'static [&'static str];

    /// The section of an oslo-style INI file that holds its options, if oslo has one.
    fn option_group(&self) -> Option<&'static str> {
        None
    }

    /// Connects to the broker at `url`.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidOption`] for a query option that is unknown or has an invalid value, `Config` for a value
    /// that conflicts with another, `Refused` if the broker refuses the connection, `Unreachable` if no host answers.
    async fn connect(&self, url: &TransportUrl, settings: Settings) -> Result<Arc<dyn Transport>, TransportError>;
}

/// The drivers available to a program.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    drivers: Vec<Arc<dyn Driver>>,
    absent: Vec<(&'static str, &'static str)>,
}

impl Registry {
    /// Creates a registry without drivers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a driver. If two drivers have the same scheme, the later one is used.
    #[must_use]
    pub fn with(mut self, driver: impl Driver) -> Self {
        self.drivers.push(Arc::new(driver));
        self
    }

    /// Records that a cargo feature adds `scheme`, for the error message.
    #[must_use]
    pub fn with_absent(mut self, scheme: &'static str, feature: &'static str) -> Self {
        self.absent.push((scheme, feature));
        self
    }

    /// Returns the driver for a scheme.
    ///
    /// # Errors
    ///
    /// [`TransportError::UnknownScheme`], with the nearest scheme or an alternative, the known schemes, and the cargo feature
    /// that adds this one.
    pub fn driver(&self, scheme: &str) -> Result<&Arc<dyn Driver>, TransportError> {
        self.drivers
            .iter()
            .rev()
            .find(|driver| driver.schemes().contains(&scheme))
            .ok_or_else(|| TransportError::UnknownScheme { scheme: scheme.to_owned(), hint: self.hint(scheme) })
    }

    fn hint(&self, scheme: &str) -> String {
        let known: Vec<String> =
            self.drivers.iter().flat_map(|driver| driver.schemes()).map(|known| format!("{known}://")).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let feature_of = |scheme: &str| self.absent.iter().find(|(absent, _)| *absent == scheme);
        if let Some((_, feature)) = feature_of(scheme) {
            return format!("enable the cargo feature `{feature}`; known here: {known}");
        }
        let advice = match FOREIGN_SCHEMES.iter().find(|(foreign, ..)| *foreign == scheme) {
            Some((_, advice, instead)) => Some((format!("{advice}; use {instead}://"), *instead)),
            None => {
                let schemes = self.drivers.iter().flat_map(|driver| driver.schemes()).copied();
                text::nearest(scheme, schemes.chain(self.absent.iter().map(|(absent, _)| *absent)))
                    .map(|near| (format!("did you mean {near}://?"), near))
            }
        };
        match advice.map(|(advice, instead)| (advice, feature_of(instead))) {
            Some((advice, Some((_, feature)))) => {
                format!("{advice} (with the cargo feature `{feature}`); known here: {known}")
            }
            Some((advice, None)) => format!("{advice}; known here: {known}"),
            None => format!("known here: {known}"),
        }
    }

    /// Starts building a transport for `url`.
    #[must_use]
    pub fn transport(&self, url: impl Into<String>) -> TransportBuilder {
        TransportBuilder {
            registry: self.clone(),
            url: url.into(),
            options: Vec::new(),
            defaults: Vec::new(),
            settings: Settings::default(),
        }
    }
}

/// Configures a transport beyond its URL, then connects.
pub struct TransportBuilder {
    registry: Registry,
    url: String,
    options: Vec<(String, String)>,
    defaults: Vec<(String, String, Arc<str>)>,
    settings: Settings,
}

impl TransportBuilder {
    /// Sets an option of the driver, overriding the URL's query.
    #[must_use]
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.push((name.into(), value.into()));
        self
    }

    /// Sets the default of an option of the driver, used unless the URL's query or [`option`](Self::option) sets it.
    /// `origin` is the source of the value for error messages: a file and a line, or the name of a variable.
    #[must_use]
    pub fn default_option(
        mut self,
        name: impl Into<String>,
        value: impl Into<String>,
        origin: impl Into<Arc<str>>,
    ) -> Self {
        self.defaults.push((name.into(), value.into(), origin.into()));
        self
    }

    /// Sets several options of the driver, for example from its typed builder; each as by [`option`](Self::option).
    #[must_use]
    pub fn options<N: Into<String>, V: Into<String>>(mut self, options: impl IntoIterator<Item = (N, V)>) -> Self {
        self.options.extend(options.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Sets the exchange of targets without one. Default `openstack`.
    #[must_use]
    pub fn control_exchange(mut self, exchange: impl Into<Arc<str>>) -> Self {
        self.settings.control_exchange = exchange.into();
        self
    }

    /// Sets the timeout of calls without one. Default 60 s.
    #[must_use]
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.settings.response_timeout = timeout;
        self
    }

    /// Allows remote failures of a module to arrive as known errors; oslo's `allowed_remote_exmods`.
    #[must_use]
    pub fn allow_remote_module(mut self, module: impl Into<Arc<str>>) -> Self {
        self.settings.remote_errors.allow_module(module);
        self
    }

    /// Allows the module of `E` and recreates its failures as `E`.
    #[must_use]
    pub fn remote_error<E: RemoteError>(mut self) -> Self {
        self.settings.remote_errors.register::<E>();
        self
    }

    /// Sets the largest message body that is sent or accepted, in bytes. Default 16 MiB.
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.settings.max_message_size = bytes;
        self
    }

    /// Sets how many bytes of decompressed messages each listener may hold until their handlers have completed. Default
    /// 64 MiB. [`Settings::max_in_flight_bytes`] has the resulting bound for a server.
    #[must_use]
    pub fn max_in_flight_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_in_flight_bytes = bytes;
        self
    }

    /// Sets the deepest accepted nesting of JSON. Default 128 levels.
    #[must_use]
    pub fn max_depth(mut self, levels: usize) -> Self {
        self.settings.max_depth = levels;
        self
    }

    /// Sets how many times the first connection is retried. Default `Times(0)`; [`Retry::Forever`] waits for the broker.
    #[must_use]
    pub fn connect_retry(mut self, retry: Retry) -> Self {
        self.settings.connect_retry = retry;
        self
    }

    /// Sets how non-finite floats in arguments and results are treated. Default [`NonFinite::Refuse`].
    #[must_use]
    pub fn non_finite(mut self, non_finite: NonFinite) -> Self {
        self.settings.non_finite = non_finite;
        self
    }

    /// Reports every call, cast and served request to the collector of oslo.metrics. Default: none.
    ///
    /// ```no_run
    /// # use oxlo_transport::{Registry, oslo_metrics::OsloMetricsOptions};
    /// # async fn example(registry: Registry) -> Result<(), Box<dyn std::error::Error>> {
    /// let metrics = OsloMetricsOptions::new().process_name("nova-compute").start()?;
    /// let transport = registry.transport("rabbit://h").oslo_metrics(metrics.clone()).connect().await?;
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "oslo-metrics")]
    #[must_use]
    pub fn oslo_metrics(mut self, metrics: crate::oslo_metrics::OsloMetrics) -> Self {
        self.settings.oslo_metrics = Some(metrics);
        self
    }

    /// Replaces all settings.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidUrl`], `UnknownScheme`, or the errors of [`Driver::connect`].
    pub async fn connect(self) -> Result<Arc<dyn Transport>, TransportError> {
        let mut url: TransportUrl = self.url.parse()?;
        for (name, value) in self.options {
            url.set_option(name, value);
        }
        let mut origins = HashMap::new();
        for (name, value, origin) in self.defaults {
            if url.query().all(|(known, _)| known != name) {
                url.set_option(name.as_str(), value);
                origins.insert(name, origin);
            }
        }
        let connected = self.registry.driver(url.scheme())?.connect(&url, self.settings).await;
        connected.map_err(|error| with_origin(error, &origins))
    }
}

/// Adds the origin of the option to an error about it.
fn with_origin(error: TransportError, origins: &HashMap<String, Arc<str>>) -> TransportError {
    let found = |option: &str| Some((option.to_owned(), origins.get(option)?));
    let (option, origin, reason) = match &error {
        TransportError::Config { option, reason } => {
            let Some((option, origin)) = found(option) else { return error };
            (option, origin, reason.clone())
        }
        TransportError::InvalidOption(OptionError::Value { name, wanted }) => {
            let Some((option, origin)) = found(name) else { return error };
            (option, origin, format!("expected {wanted}"))
        }
        TransportError::InvalidOption(OptionError::Unknown { name: Some(name), nearest, known }) => {
            let Some((option, origin)) = found(name) else { return error };
            let nearest = nearest.map(|nearest| format!(", did you mean {nearest}?")).unwrap_or_default();
            (option, origin, format!("no such option{nearest}; known are: {}", known.join(", ")))
        }
        _ => return error,
    };
    TransportError::Config { option, reason: format!("{reason} ({origin})") }
}

impl fmt::Debug for TransportBuilder {
    /// Omits the options, which may contain passwords, and the password of the URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.parse::<TransportUrl>().map(|url| url.to_string()).ok();
        f.debug_struct("TransportBuilder").field("url", &url).field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_scheme_has_a_hint() {
        let registry = Registry::new().with_absent("rabbit", "rabbit").with_absent("memory", "memory");
        for (scheme, start) in [
            ("rabbit", "enable the cargo feature `rabbit`; "),
            ("rabit", "did you mean rabbit://? (with the cargo feature `rabbit`); "),
            ("rabbitmq", "the scheme for RabbitMQ is rabbit; use rabbit:// (with the cargo feature `rabbit`); "),
            (
                "fake",
                "oslo's in-process driver is named memory here; use memory:// (with the cargo feature `memory`); ",
            ),
            ("kafka", "there is no driver for Kafka, and oslo's carries notifications only; use rabbit:// "),
            ("qpid", "the brokers of Qpid speak AMQP 1.0; use amqp://; "),
            ("carrier-pigeon", "known here: none"),
        ] {
            let error = registry.driver(scheme).unwrap_err();
            let TransportError::UnknownScheme { hint, .. } = &error else { panic!("{error}") };
            assert!(hint.starts_with(start), "{scheme}: {hint}");
            assert!(hint.ends_with("known here: none"), "{scheme}: {hint}");
        }
    }
}
