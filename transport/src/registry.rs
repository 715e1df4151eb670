//! From a URL to a transport: which driver answers for which scheme.

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

/// Schemes of oslo.messaging, kombu and others, why there is no driver for them, and what to use instead.
const FOREIGN_SCHEMES: &[(&str, &str, &str)] = &[
    ("fake", "oslo's in-process driver is called memory here", "memory"),
    ("kombu+memory", "oslo's in-process driver is called memory here", "memory"),
    ("kafka", "there is no driver for Kafka, and oslo's carries notifications only", "rabbit"),
    ("kafka+ssl", "there is no driver for Kafka, and oslo's carries notifications only", "rabbit"),
    ("zmq", "oslo.messaging removed its driver for ZeroMQ", "rabbit"),
    ("pyamqp", "kombu's name for AMQP 0-9-1", "rabbit"),
    ("librabbitmq", "kombu's name for AMQP 0-9-1", "rabbit"),
    ("rabbitmq", "the scheme of RabbitMQ is shorter", "rabbit"),
    ("qpid", "the brokers of Qpid speak AMQP 1.0", "amqp"),
];

/// Makes transports for some URL schemes.
#[async_trait]
pub trait Driver: fmt::Debug + Send + Sync + 'static {
    /// The schemes it answers for.
    fn schemes(&self) -> &'static [&'static str];

    /// The section of an oslo-style INI file that holds its options, if oslo has one.
    fn option_group(&self) -> Option<&'static str> {
        None
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// [`TransportError::Config`] for a query option that is unknown or has a bad value, `Refused` if the broker does
    /// not want us, `Unreachable` if no host answered.
    async fn connect(&self, url: &TransportUrl, settings: Settings) -> Result<Arc<dyn Transport>, TransportError>;
}

/// The drivers that a program knows.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    drivers: Vec<Arc<dyn Driver>>,
    absent: Vec<(&'static str, &'static str)>,
}

impl Registry {
    /// A registry without drivers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a driver. Of two for one scheme the later one wins.
    #[must_use]
    pub fn with(mut self, driver: impl Driver) -> Self {
        self.drivers.push(Arc::new(driver));
        self
    }

    /// Notes that `scheme` would be there with a cargo feature, for the error message.
    #[must_use]
    pub fn with_absent(mut self, scheme: &'static str, feature: &'static str) -> Self {
        self.absent.push((scheme, feature));
        self
    }

    /// The driver for a scheme.
    ///
    /// # Errors
    ///
    /// [`TransportError::UnknownScheme`], naming the nearest one or what to use instead, the known ones, and the feature
    /// that would add this one.
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

    /// Starts to build a transport for `url`.
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

/// Sets what is not in the URL, then connects.
pub struct TransportBuilder {
    registry: Registry,
    url: String,
    options: Vec<(String, String)>,
    defaults: Vec<(String, String, Arc<str>)>,
    settings: Settings,
}

impl TransportBuilder {
    /// Sets a driver's option as if it stood in the URL's query; it wins over the URL.
    #[must_use]
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.push((name.into(), value.into()));
        self
    }

    /// Sets a driver's option that stands unless the URL's query or [`option`](Self::option) says otherwise; `origin` is
    /// where it comes from, for the error about it: a file and a line, the name of a variable.
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

    /// Sets several of a driver's options, for instance from its typed builder; each as by [`option`](Self::option).
    #[must_use]
    pub fn options<N: Into<String>, V: Into<String>>(mut self, options: impl IntoIterator<Item = (N, V)>) -> Self {
        self.options.extend(options.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Sets the exchange of targets that name none. Default `openstack`.
    #[must_use]
    pub fn control_exchange(mut self, exchange: impl Into<Arc<str>>) -> Self {
        self.settings.control_exchange = exchange.into();
        self
    }

    /// Sets the timeout of calls that name none. Default 60 s.
    #[must_use]
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.settings.response_timeout = timeout;
        self
    }

    /// Allows remote failures of a module to arrive as known errors.
    #[must_use]
    pub fn allow_remote_module(mut self, module: impl Into<Arc<str>>) -> Self {
        self.settings.remote_errors.allow_module(module);
        self
    }

    /// Allows the module of `E` and re-creates its failures as `E`.
    #[must_use]
    pub fn remote_error<E: RemoteError>(mut self) -> Self {
        self.settings.remote_errors.register::<E>();
        self
    }

    /// Sets the largest message that is sent or accepted, in bytes of body. Default 16 MiB.
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.settings.max_message_size = bytes;
        self
    }

    /// Sets how many bytes of messages each listener may hold that are unpacked and whose handlers have not ended. Default
    /// 64 MiB; see [`Settings::max_in_flight_bytes`], which says what that comes to.
    #[must_use]
    pub fn max_in_flight_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_in_flight_bytes = bytes;
        self
    }

    /// Sets the deepest nesting of JSON that is accepted. Default 128.
    #[must_use]
    pub fn max_depth(mut self, levels: usize) -> Self {
        self.settings.max_depth = levels;
        self
    }

    /// Sets how often the first connection is tried again. Default `Times(0)`; [`Retry::Forever`] waits for the broker.
    #[must_use]
    pub fn connect_retry(mut self, retry: Retry) -> Self {
        self.settings.connect_retry = retry;
        self
    }

    /// Sets what becomes of floats that are not finite, in arguments and results. Default [`NonFinite::Refuse`].
    #[must_use]
    pub fn non_finite(mut self, non_finite: NonFinite) -> Self {
        self.settings.non_finite = non_finite;
        self
    }

    /// Tells the collector of oslo.metrics of every call, cast and served request. Default: nobody is told.
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
    /// [`TransportError::InvalidUrl`], `UnknownScheme`, or what [`Driver::connect`] says.
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

/// Says where the option stands that an error is about.
fn with_origin(error: TransportError, origins: &HashMap<String, Arc<str>>) -> TransportError {
    let found = |option: &str| Some((option.to_owned(), origins.get(option)?));
    let (option, origin, reason) = match &error {
        TransportError::Config { option, reason } => {
            let Some((option, origin)) = found(option) else { return error };
            (option, origin, reason.clone())
        }
        TransportError::InvalidOption(OptionError::Value { name, wanted }) => {
            let Some((option, origin)) = found(name) else { return error };
            (option, origin, format!("wanted {wanted}"))
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
    /// The options may hold passwords and are left out; the URL is shown without its own.
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
    fn an_unknown_scheme_is_told_what_to_use_instead() {
        let registry = Registry::new().with_absent("rabbit", "rabbit").with_absent("memory", "memory");
        for (scheme, start) in [
            ("rabbit", "enable the cargo feature `rabbit`; "),
            ("rabit", "did you mean rabbit://? (with the cargo feature `rabbit`); "),
            ("rabbitmq", "the scheme of RabbitMQ is shorter; use rabbit:// (with the cargo feature `rabbit`); "),
            (
                "fake",
                "oslo's in-process driver is called memory here; use memory:// (with the cargo feature `memory`); ",
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
