//! Configuration from INI files in oslo.config's format and from environment variables.
//!
//! # Cargo features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `oslo-metrics` | no | `metrics_enabled` in `[oslo_messaging_metrics]`, which is refused without the feature |

use std::{fmt, fs::File, io::Read, path::Path, sync::Arc, time::Duration};

mod error;
mod ini;
mod notifications;
mod oslo_metrics;
mod template;
#[cfg(test)]
mod tests;
mod values;

use oxlo_transport::{Registry, TransportBuilder, TransportError};

use self::values::{BOOLEAN, DEFAULT, Resolved, Value, Values, boolean, section_key};
pub use self::{error::ProcessConfigError, notifications::NotificationsConfig};

/// The configuration of a transport and of its service, from oslo-style INI files and environment variables.
///
/// The following options are read: `transport_url`, `control_exchange`, `rpc_response_timeout`, `executor_thread_pool_size`
/// (or `rpc_thread_pool_size`) and `rpc_ping_enabled` in `[DEFAULT]`, and the sections `[oslo_messaging_...]`: a driver reads
/// its own section, `[oslo_messaging_metrics]` enables the datagrams of oslo.metrics, and `[oslo_messaging_notifications]`
/// configures the notifier. A service reads its own sections with [`get`](Self::get) and its siblings. Other options in
/// `[DEFAULT]` are ignored unless the name looks like a misspelling of one of these. In the sections of oslo.messaging an
/// unknown option is an error; errors name the file and the line.
///
/// Values are read as oslo.config reads them, including references such as `$my_ip`: see [`get`](Self::get). A dollar sign
/// in a password is written `$$`.
///
/// Sources are added in order, and a later one overrides an earlier one. The query of the URL overrides the section of a
/// driver, as in oslo.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use oxlo_config::ProcessConfig;
/// # let file = tempfile::NamedTempFile::new()?;
/// # std::fs::write(file.path(), "[DEFAULT]\ntransport_url = rabbit://nova:secret@mq1/prod\n[oslo_messaging_rabbit]\nssl = true\n")?;
/// # let path = file.path();
/// let config = ProcessConfig::new().file(path)?.environment()?;
/// assert_eq!(config.transport_url(), "rabbit://nova:***@mq1/prod");
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct ProcessConfig {
    values: Values,
    sources: usize,
}

/// The sections of oslo.messaging.
const GROUPS: &[&str] = &[
    "oslo_messaging_amqp",
    "oslo_messaging_kafka",
    "oslo_messaging_metrics",
    "oslo_messaging_notifications",
    "oslo_messaging_rabbit",
    "oslo_messaging_tracing",
];
const KNOWN: &[&str] = &[
    "transport_url",
    "control_exchange",
    "rpc_response_timeout",
    "executor_thread_pool_size",
    "rpc_thread_pool_size",
    "rpc_ping_enabled",
];
/// The largest file, in bytes.
const MAX_FILE: u64 = 16 << 20;

impl ProcessConfig {
    /// Creates an empty configuration: `rabbit://`, and oslo's defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an INI file of at most 16 MiB.
    ///
    /// # Errors
    ///
    /// [`ProcessConfigError`] if the file cannot be read, is not an INI file, or has an option in `[DEFAULT]` with an invalid
    /// value or a misspelled name, or a misspelled section of oslo.messaging. Values with references are checked on use.
    pub fn file(self, path: impl AsRef<Path>) -> Result<Self, ProcessConfigError> {
        let path = path.as_ref();
        let text = read(path).map_err(|source| ProcessConfigError::Read { path: path.to_owned(), source })?;
        self.text(&text, &path.display().to_string())
    }

    /// Adds the text of an INI file; `name` identifies it in errors.
    ///
    /// # Errors
    ///
    /// As [`file`](Self::file).
    pub fn text(mut self, text: &str, name: &str) -> Result<Self, ProcessConfigError> {
        self.sources += 1;
        let assignments = ini::read(text).map_err(|refused| ProcessConfigError::Syntax {
            origin: format!("{name}:{}", refused.line).into(),
            reason: refused.reason.to_owned(),
        })?;
        for it in assignments {
            let origin: Arc<str> = format!("{name}:{}", it.line).into();
            check_name(&it.section, &it.option, &origin)?;
            self.values.add(&it.section, &it.option, Value { text: it.value, origin, source: self.sources });
        }
        self.check_literals()?;
        Ok(self)
    }

    /// Adds the environment variables, with oslo.config's names: `OS_DEFAULT__TRANSPORT_URL`,
    /// `OS_OSLO_MESSAGING_RABBIT__HEARTBEAT_TIMEOUT_THRESHOLD`, `OS_SHOP__CURRENCY` and so on.
    ///
    /// # Errors
    ///
    /// As [`file`](Self::file).
    pub fn environment(self) -> Result<Self, ProcessConfigError> {
        self.variables(std::env::vars_os().filter_map(|(name, value)| {
            // Names and values of options are UTF-8; other variables are ignored.
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }))
    }

    /// Adds variables as [`environment`](Self::environment) does.
    ///
    /// # Errors
    ///
    /// As [`file`](Self::file).
    pub fn variables(
        mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ProcessConfigError> {
        self.sources += 1;
        for (name, text) in variables {
            let Some((section, option)) = name.strip_prefix("OS_").and_then(|rest| rest.split_once("__")) else {
                continue;
            };
            let section = if section == DEFAULT { DEFAULT.to_owned() } else { section.to_lowercase() };
            let option = option.to_lowercase();
            let origin: Arc<str> = format!("variable {name}").into();
            check_name(&section, &option, &origin)?;
            self.values.add_variable(name, Value { text, origin, source: self.sources });
        }
        self.check_literals()?;
        Ok(self)
    }

    /// Sets the default of an option, used by [`get`](Self::get) and by references if no source sets the option.
    ///
    /// The value has the same syntax as in a file: a dollar sign is written `$$`. The options that this crate reads have
    /// oslo's defaults.
    #[must_use]
    pub fn default_value(mut self, section: &str, option: &str, value: impl Into<String>) -> Self {
        let origin = format!("default of [{section}]").into();
        self.values.add_default(section, option, Value { text: value.into(), origin, source: 0 });
        self
    }

    /// The URL to connect to, for display: without passwords. Default `rabbit://`.
    #[must_use]
    pub fn transport_url(&self) -> String {
        match self.url().map(|url| url.parse::<oxlo_transport::TransportUrl>()) {
            Ok(Ok(url)) => url.to_string(),
            _ => "(not a URL)".to_owned(),
        }
    }

    /// `executor_thread_pool_size` (or its old name `rpc_thread_pool_size`), for the server's concurrency.
    ///
    /// # Errors
    ///
    /// [`ProcessConfigError::Option`] if the value is not an integer, at least 1.
    pub fn executor_thread_pool_size(&self) -> Result<Option<usize>, ProcessConfigError> {
        let size = match self.of_default("executor_thread_pool_size")? {
            Some(size) => Some(size),
            None => self.of_default("rpc_thread_pool_size")?,
        };
        Ok(size.and_then(|size| size.text.trim().parse().ok()))
    }

    /// `rpc_ping_enabled`, for the `ping` of the server.
    ///
    /// # Errors
    ///
    /// [`ProcessConfigError::Option`] if the value is not a boolean.
    pub fn rpc_ping_enabled(&self) -> Result<Option<bool>, ProcessConfigError> {
        Ok(self.of_default("rpc_ping_enabled")?.and_then(|value| boolean(&value.text)))
    }

    /// Starts building the transport, with the driver for the scheme of the URL.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidUrl`] and `UnknownScheme`; `Config` for options in `[DEFAULT]` and
    /// `[oslo_messaging_metrics]`, and for references that cannot be resolved. Errors in the driver's section are reported
    /// on connecting, with file and line.
    pub fn transport(&self, drivers: &Registry) -> Result<TransportBuilder, TransportError> {
        self.builder(drivers, self.url()?)
    }

    fn builder(&self, drivers: &Registry, url: String) -> Result<TransportBuilder, TransportError> {
        let parsed: oxlo_transport::TransportUrl = url.parse()?;
        let group = drivers.driver(parsed.scheme())?.option_group();
        let mut builder = drivers.transport(url);
        if let Some(exchange) = self.of_default("control_exchange")? {
            builder = builder.control_exchange(exchange.text);
        }
        if let Some(seconds) = self.of_default("rpc_response_timeout")?.and_then(|value| seconds(&value.text)) {
            builder = builder.response_timeout(seconds);
        }
        if let Some(group) = group {
            for option in self.values.options(group) {
                if let Some(value) = self.resolved(group, &option)? {
                    builder = builder.default_option(option, value.text, value.origin);
                }
            }
        }
        self.oslo_metrics(builder)
    }

    fn url(&self) -> Result<String, ProcessConfigError> {
        let url = self.of_default("transport_url")?;
        Ok(url.map_or_else(|| "rabbit://".to_owned(), |value| value.text))
    }

    /// The checked value of one of the [`KNOWN`] options; `None` if no source sets it.
    fn of_default(&self, option: &str) -> Result<Option<Resolved>, ProcessConfigError> {
        let Some(value) = self.resolved(DEFAULT, option)? else { return Ok(None) };
        match invalid(option, &value.text) {
            Some(reason) => Err(value.refused(option, reason)),
            None => Ok(Some(value)),
        }
    }

    /// Refuses an invalid value in `[DEFAULT]` at once; a value with references is checked when all sources are known.
    fn check_literals(&self) -> Result<(), ProcessConfigError> {
        let found = KNOWN.iter().filter_map(|option| Some((*option, self.values.find(DEFAULT, option)?)));
        for (option, value) in found.filter(|(_, value)| !value.text.contains('$')) {
            if let Some(reason) = invalid(option, &value.text) {
                let origin = value.origin.clone();
                return Err(ProcessConfigError::Option { origin, option: option.to_owned(), reason });
            }
        }
        Ok(())
    }

    /// Refuses unknown options of a section.
    fn check_known(&self, section: &str, known: &[&str]) -> Result<(), ProcessConfigError> {
        for option in self.values.options(section) {
            if known.contains(&option.as_str()) {
                continue;
            }
            let near = known.iter().find(|known| strsim::osa_distance(known, &option) <= 3);
            let near = near.map(|near| format!(", did you mean {near}?")).unwrap_or_default();
            if let Some(value) = self.resolved(section, &option)? {
                return Err(value.refused(&option, format!("no such option{near}; known are: {}", known.join(", "))));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ProcessConfig {
    /// Prints names and origins; values may contain passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.values.origins()).finish()
    }
}

/// Reads the text of a file of at most [`MAX_FILE`] bytes.
fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(std::io::Error::other(format!("the file is larger than {} MiB", MAX_FILE >> 20)));
    }
    Ok(text)
}

/// Refuses a misspelled section, and an invalid option name in the sections of oslo.messaging.
fn check_name(section: &str, option: &str, origin: &Arc<str>) -> Result<(), ProcessConfigError> {
    let refused = |reason: String| {
        Err(ProcessConfigError::Option { origin: origin.clone(), option: values::shown(option), reason })
    };
    let key = section_key(section);
    // Without `=`, the first colon of the value ends the name: `transport_url rabbit://..`.
    let word = option.split_whitespace().next().unwrap_or_default();
    let broken = word != option;
    if key == DEFAULT {
        if broken && near(KNOWN, word, 2).is_some() {
            let reason = format!("missing `=` after `{}`", values::shown(word));
            return Err(ProcessConfigError::Syntax { origin: origin.clone(), reason });
        }
        return match near(KNOWN, option, 2) {
            Some(known) if known != option => refused(format!("no such option; did you mean {known}?")),
            _ => Ok(()),
        };
    }
    if GROUPS.contains(&key.as_str()) {
        if broken {
            let reason = "the option name contains white space; it must be followed by `=`".to_owned();
            return Err(ProcessConfigError::Syntax { origin: origin.clone(), reason });
        }
        return Ok(());
    }
    if key.trim().eq_ignore_ascii_case(DEFAULT) && KNOWN.contains(&option) {
        return refused("the section must be written [DEFAULT], in upper case".to_owned());
    }
    match near(GROUPS, &key, 3) {
        Some(known) => refused(format!("section [{}] is unknown; did you mean [{known}]?", values::shown(section))),
        None => Ok(()),
    }
}

/// Returns `name` itself if it is known, otherwise a known name with a similar spelling.
fn near(known: &[&'static str], name: &str, distance: usize) -> Option<&'static str> {
    let mut candidates: Vec<_> = known.iter().map(|known| (strsim::osa_distance(known, name), *known)).collect();
    candidates.sort_unstable();
    candidates.first().filter(|(found, _)| *found <= distance).map(|(_, known)| *known)
}

/// Why the value of an option in `[DEFAULT]` is invalid; `None` if it is valid.
fn invalid(option: &str, value: &str) -> Option<String> {
    let reason = match option {
        "rpc_response_timeout" if seconds(value).is_none_or(|it| it.is_zero()) => {
            "expected a number of seconds, above 0"
        }
        "executor_thread_pool_size" | "rpc_thread_pool_size"
            if !value.trim().parse().is_ok_and(|size: usize| size > 0) =>
        {
            "expected an integer, at least 1"
        }
        "rpc_ping_enabled" if boolean(value).is_none() => BOOLEAN,
        "control_exchange" if value.is_empty() => "the value is empty; remove the option to use `openstack`",
        _ => return None,
    };
    Some(reason.to_owned())
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.trim().parse().ok()?).ok()
}

/// Compiles the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
