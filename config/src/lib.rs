//! What operators have: an INI file as oslo.config reads it, and environment variables.

use std::{fmt, fs::File, io::Read, path::Path, sync::Arc, time::Duration};

mod error;
mod ini;
mod notifications;
mod oslo_metrics;
mod template;
#[cfg(test)]
mod tests;
mod values;

use oxlo_transport::{
    error::TransportError,
    registry::{Registry, TransportBuilder},
};

use self::values::{BOOLEAN, DEFAULT, Resolved, Value, Values, boolean, section_key};
pub use self::{error::ProcessConfigError, notifications::NotificationsConfig};

/// A transport's configuration as a service's operator writes it: oslo-style INI files and environment variables.
///
/// What is read: `transport_url`, `control_exchange`, `rpc_response_timeout`, `executor_thread_pool_size` (or
/// `rpc_thread_pool_size`) and `rpc_ping_enabled` of `[DEFAULT]`, and every section `[oslo_messaging_...]`, of which a
/// driver takes its own; `[oslo_messaging_metrics]` switches on the datagrams of oslo.metrics, and
/// `[oslo_messaging_notifications]` is for the notifier. The rest is the service's: it reads its own sections with
/// [`get`](Self::get) and the like, and options of `[DEFAULT]` are left alone unless their name looks like a misspelling
/// of one of these. In the sections of oslo.messaging every option must be known; an error says in which file, and on
/// which line.
///
/// Values are read as oslo.config reads them, references such as `$my_ip` included: see [`get`](Self::get). A dollar sign
/// in a password is written `$$`.
///
/// Sources are added in order, and a later one wins. The query of the URL wins over a driver's section, as in oslo.
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

/// oslo.messaging's sections.
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
    /// Nothing configured: `rabbit://`, and oslo's defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an INI file of at most 16 MiB.
    ///
    /// # Errors
    ///
    /// [`ProcessConfigError`] if it cannot be read, is not an INI file, has an option of `[DEFAULT]` with a bad value or a
    /// misspelt name, or a misspelt section of oslo.messaging. Values with references are checked when they are used.
    pub fn file(self, path: impl AsRef<Path>) -> Result<Self, ProcessConfigError> {
        let path = path.as_ref();
        let text = read(path).map_err(|source| ProcessConfigError::Read { path: path.to_owned(), source })?;
        self.text(&text, &path.display().to_string())
    }

    /// Adds the text of an INI file; `name` stands for it in errors.
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

    /// Adds the environment, by oslo.config's names: `OS_DEFAULT__TRANSPORT_URL`,
    /// `OS_OSLO_MESSAGING_RABBIT__HEARTBEAT_TIMEOUT_THRESHOLD`, `OS_SHOP__CURRENCY` and so on.
    ///
    /// # Errors
    ///
    /// As [`file`](Self::file).
    pub fn environment(self) -> Result<Self, ProcessConfigError> {
        self.variables(std::env::vars_os().filter_map(|(name, value)| {
            // A variable that is not UTF-8 cannot name an option, or cannot be its value.
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

    /// Sets the value of an option that no source sets, for [`get`](Self::get) and for references to it.
    ///
    /// It is read as a value of a file is: `$$` stands for a dollar sign. The options that this crate reads have oslo's
    /// defaults.
    #[must_use]
    pub fn default_value(mut self, section: &str, option: &str, value: impl Into<String>) -> Self {
        let origin = format!("default of [{section}]").into();
        self.values.add_default(section, option, Value { text: value.into(), origin, source: 0 });
        self
    }

    /// The URL to connect to, as a person may see it. Default `rabbit://`.
    #[must_use]
    pub fn transport_url(&self) -> String {
        match self.url().map(|url| url.parse::<oxlo_transport::url::TransportUrl>()) {
            Ok(Ok(url)) => url.to_string(),
            _ => "(not a URL)".to_owned(),
        }
    }

    /// `executor_thread_pool_size` (or its old name `rpc_thread_pool_size`), for the server's concurrency.
    ///
    /// # Errors
    ///
    /// [`ProcessConfigError::Option`] if it is not a whole number, at least 1.
    pub fn executor_thread_pool_size(&self) -> Result<Option<usize>, ProcessConfigError> {
        let size = match self.of_default("executor_thread_pool_size")? {
            Some(size) => Some(size),
            None => self.of_default("rpc_thread_pool_size")?,
        };
        Ok(size.and_then(|size| size.text.trim().parse().ok()))
    }

    /// `rpc_ping_enabled`, for the server.
    ///
    /// # Errors
    ///
    /// [`ProcessConfigError::Option`] if it is not a boolean.
    pub fn rpc_ping_enabled(&self) -> Result<Option<bool>, ProcessConfigError> {
        Ok(self.of_default("rpc_ping_enabled")?.and_then(|value| boolean(&value.text)))
    }

    /// Starts to build the transport, by the driver for the URL's scheme.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidUrl`] and `UnknownScheme`; `Config` for options of `[DEFAULT]`, for
    /// `[oslo_messaging_metrics]`, and for references that cannot be replaced. What is wrong with the options of the
    /// driver's section is reported when it connects, with file and line.
    pub fn transport(&self, drivers: &Registry) -> Result<TransportBuilder, TransportError> {
        self.builder(drivers, self.url()?)
    }

    fn builder(&self, drivers: &Registry, url: String) -> Result<TransportBuilder, TransportError> {
        let parsed: oxlo_transport::url::TransportUrl = url.parse()?;
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

    /// One of the [`KNOWN`], checked; `None` if no source sets it.
    fn of_default(&self, option: &str) -> Result<Option<Resolved>, ProcessConfigError> {
        let Some(value) = self.resolved(DEFAULT, option)? else { return Ok(None) };
        match unusable(option, &value.text) {
            Some(reason) => Err(value.refused(option, reason)),
            None => Ok(Some(value)),
        }
    }

    /// Refuses a bad value of `[DEFAULT]` at once; one with references is checked when all sources are known.
    fn check_literals(&self) -> Result<(), ProcessConfigError> {
        let found = KNOWN.iter().filter_map(|option| Some((*option, self.values.find(DEFAULT, option)?)));
        for (option, value) in found.filter(|(_, value)| !value.text.contains('$')) {
            if let Some(reason) = unusable(option, &value.text) {
                let origin = value.origin.clone();
                return Err(ProcessConfigError::Option { origin, option: option.to_owned(), reason });
            }
        }
        Ok(())
    }

    /// Refuses an option that a section does not have.
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
    /// Names and where they come from; values may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.values.origins()).finish()
    }
}

/// The text of a file, unless it is too large to be a configuration.
fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(std::io::Error::other(format!("it is larger than {} MiB", MAX_FILE >> 20)));
    }
    Ok(text)
}

/// Refuses a misspelt section, and a name that cannot be an option's where oslo.messaging's options stand.
fn check_name(section: &str, option: &str, origin: &Arc<str>) -> Result<(), ProcessConfigError> {
    let refused = |reason: String| {
        Err(ProcessConfigError::Option { origin: origin.clone(), option: values::shown(option), reason })
    };
    let key = section_key(section);
    // The rest of such a name belongs to the value: `transport_url rabbit://..` has no other `:` or `=`.
    let word = option.split_whitespace().next().unwrap_or_default();
    let broken = word != option;
    if key == DEFAULT {
        if broken && near(KNOWN, word, 2).is_some() {
            let reason = format!("there is no `=` after `{}`", values::shown(word));
            return Err(ProcessConfigError::Syntax { origin: origin.clone(), reason });
        }
        return match near(KNOWN, option, 2) {
            Some(known) if known != option => refused(format!("no such option; did you mean {known}?")),
            _ => Ok(()),
        };
    }
    if GROUPS.contains(&key.as_str()) {
        if broken {
            let reason = "white space in the name of an option; a `=` must follow the name".to_owned();
            return Err(ProcessConfigError::Syntax { origin: origin.clone(), reason });
        }
        return Ok(());
    }
    if key.trim().eq_ignore_ascii_case(DEFAULT) && KNOWN.contains(&option) {
        return refused("its section is not [DEFAULT], which must be written exactly so".to_owned());
    }
    match near(GROUPS, &key, 3) {
        Some(known) => refused(format!("section [{}] is unknown; did you mean [{known}]?", values::shown(section))),
        None => Ok(()),
    }
}

/// The name itself if it is known, or else a known one with a similar spelling.
fn near(known: &[&'static str], name: &str, distance: usize) -> Option<&'static str> {
    let mut candidates: Vec<_> = known.iter().map(|known| (strsim::osa_distance(known, name), *known)).collect();
    candidates.sort_unstable();
    candidates.first().filter(|(found, _)| *found <= distance).map(|(_, known)| *known)
}

/// What is wrong with the value of an option of `[DEFAULT]`.
fn unusable(option: &str, value: &str) -> Option<String> {
    let wanted = match option {
        "rpc_response_timeout" if seconds(value).is_none_or(|it| it.is_zero()) => "wanted a number of seconds, above 0",
        "executor_thread_pool_size" | "rpc_thread_pool_size"
            if !value.trim().parse().is_ok_and(|size: usize| size > 0) =>
        {
            "wanted a whole number, at least 1"
        }
        "rpc_ping_enabled" if boolean(value).is_none() => BOOLEAN,
        "control_exchange" if value.is_empty() => "it is empty; leave it out for `openstack`",
        _ => return None,
    };
    Some(wanted.to_owned())
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.trim().parse().ok()?).ok()
}
