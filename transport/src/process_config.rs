//! What operators have: an INI file as oslo.config reads it, and environment variables.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use configparser::ini::Ini;

mod oslo_metrics;

use crate::{
    error::TransportError,
    registry::{Registry, TransportBuilder},
};

/// A transport's configuration as a service's operator writes it: oslo-style INI files and environment variables.
///
/// What is read: `transport_url`, `control_exchange`, `rpc_response_timeout`, `executor_thread_pool_size` (or
/// `rpc_thread_pool_size`) and `rpc_ping_enabled` of `[DEFAULT]`, and every section `[oslo_messaging_...]`, of which a
/// driver takes its own; `[oslo_messaging_metrics]` switches on the datagrams of oslo.metrics. The rest of the file is
/// the service's: other sections are passed over, and so are other options of `[DEFAULT]` unless their name looks like a
/// misspelling of one of these. In the driver's section every option must be known; an error says in which file, and on
/// which line.
///
/// Sources are added in order, and a later one wins. The query of the URL wins over a driver's section, as in oslo.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use oxlo_transport::ProcessConfig;
/// # let file = tempfile::NamedTempFile::new()?;
/// # std::fs::write(file.path(), "[DEFAULT]\ntransport_url = rabbit://nova:secret@mq1/prod\n[oslo_messaging_rabbit]\nssl = true\n")?;
/// # let path = file.path();
/// let config = ProcessConfig::new().file(path)?.environment()?;
/// assert_eq!(config.transport_url(), "rabbit://nova:***@mq1/prod");
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct ProcessConfig {
    values: HashMap<(String, String), Value>,
}

#[derive(Clone)]
struct Value {
    text: String,
    origin: Arc<str>,
}

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
    /// The file is no INI file.
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

crate::debug_as_chain!(ProcessConfigError);

const DEFAULT: &str = "DEFAULT";
/// Stands for what comes before the first section.
const HEADLESS: &str = "\n";
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

impl ProcessConfig {
    /// Nothing configured: `rabbit://`, and oslo's defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an INI file.
    ///
    /// # Errors
    ///
    /// [`ProcessConfigError`] if it cannot be read, is no INI file, or has an option of `[DEFAULT]` with a bad value or
    /// a misspelt name.
    pub fn file(self, path: impl AsRef<Path>) -> Result<Self, ProcessConfigError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|source| ProcessConfigError::Read { path: path.to_owned(), source })?;
        self.text(&text, &path.display().to_string())
    }

    /// Adds the text of an INI file; `name` stands for it in errors.
    ///
    /// # Errors
    ///
    /// As [`file`](Self::file).
    pub fn text(mut self, text: &str, name: &str) -> Result<Self, ProcessConfigError> {
        let mut parser = Ini::new_cs();
        parser.set_default_section(HEADLESS);
        // `#` and `;` may stand in a URL.
        parser.set_inline_comment_symbols(Some(&[]));
        parser.set_multiline(true);
        let sections = parser.read(text.to_owned()).map_err(|error| {
            let (line, reason) =
                error.strip_prefix("line ").and_then(|rest| rest.split_once(": ")).unwrap_or(("?", &error));
            ProcessConfigError::Syntax { origin: format!("{name}:{line}").into(), reason: reason.to_owned() }
        })?;
        for (section, options) in &sections {
            for (option, value) in options {
                let origin = origin(text, name, section, option);
                if section == HEADLESS {
                    let reason = "it stands before the first section; put it under [DEFAULT]".to_owned();
                    return Err(ProcessConfigError::Option { origin, option: option.clone(), reason });
                }
                let Some(value) = value else {
                    return Err(ProcessConfigError::Syntax { origin, reason: "neither `=` nor `:` in it".to_owned() });
                };
                self.add(section, option, value, origin)?;
            }
        }
        Ok(self)
    }

    /// Adds the environment, by oslo.config's names: `OS_DEFAULT__TRANSPORT_URL`,
    /// `OS_OSLO_MESSAGING_RABBIT__HEARTBEAT_TIMEOUT_THRESHOLD` and so on.
    ///
    /// # Errors
    ///
    /// As [`file`](Self::file).
    pub fn environment(self) -> Result<Self, ProcessConfigError> {
        self.variables(std::env::vars_os().filter_map(|(name, value)| {
            // One that is no text is none of ours, or useless.
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
        for (name, value) in variables {
            let Some((section, option)) = name.strip_prefix("OS_").and_then(|rest| rest.split_once("__")) else {
                continue;
            };
            let section = if section == DEFAULT { DEFAULT.to_owned() } else { section.to_ascii_lowercase() };
            self.add(&section, &option.to_ascii_lowercase(), &value, format!("variable {name}").into())?;
        }
        Ok(self)
    }

    /// The URL to connect to, as a person may see it. Default `rabbit://`.
    #[must_use]
    pub fn transport_url(&self) -> String {
        match self.url().parse::<crate::url::TransportUrl>() {
            Ok(url) => url.to_string(),
            Err(_) => "(not a URL)".to_owned(),
        }
    }

    /// `executor_thread_pool_size` (or its old name `rpc_thread_pool_size`), for the server's concurrency.
    #[must_use]
    pub fn executor_thread_pool_size(&self) -> Option<usize> {
        self.of_default("executor_thread_pool_size")
            .or_else(|| self.of_default("rpc_thread_pool_size"))?
            .text
            .parse()
            .ok()
    }

    /// `rpc_ping_enabled`, for the server.
    #[must_use]
    pub fn rpc_ping_enabled(&self) -> Option<bool> {
        boolean(&self.of_default("rpc_ping_enabled")?.text)
    }

    /// Starts to build the transport, by the driver for the URL's scheme.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidUrl`] and `UnknownScheme`; `Config` for `[oslo_messaging_metrics]`. What is wrong with the options of the driver's section is
    /// said when it connects, with file and line.
    pub fn transport(&self, drivers: &Registry) -> Result<TransportBuilder, TransportError> {
        let url: crate::url::TransportUrl = self.url().parse()?;
        let group = drivers.driver(url.scheme())?.option_group();
        let mut builder = drivers.transport(self.url());
        if let Some(exchange) = self.of_default("control_exchange") {
            builder = builder.control_exchange(exchange.text.as_str());
        }
        if let Some(seconds) = self.of_default("rpc_response_timeout").and_then(|value| seconds(&value.text)) {
            builder = builder.response_timeout(seconds);
        }
        let mut options: Vec<_> =
            self.values.iter().filter(|((section, _), _)| Some(section.as_str()) == group).collect();
        options.sort_by_key(|(key, _)| *key);
        for ((_, option), value) in options {
            builder = builder.default_option(option.as_str(), value.text.as_str(), value.origin.clone());
        }
        self.oslo_metrics(builder)
    }

    fn url(&self) -> &str {
        self.of_default("transport_url").map_or("rabbit://", |value| value.text.as_str())
    }

    fn of_default(&self, option: &str) -> Option<&Value> {
        self.values.get(&(DEFAULT.to_owned(), option.to_owned()))
    }

    fn add(&mut self, section: &str, option: &str, value: &str, origin: Arc<str>) -> Result<(), ProcessConfigError> {
        if section == DEFAULT {
            if let Some(reason) = unusable(option, value) {
                return Err(ProcessConfigError::Option { origin, option: option.to_owned(), reason });
            }
            if !KNOWN.contains(&option) {
                return Ok(());
            }
        } else if !GROUPS.contains(&section) {
            let near = GROUPS.iter().find(|known| strsim::osa_distance(known, section) <= 3);
            return near.map_or(Ok(()), |near| {
                let reason = format!("section [{section}] is unknown; did you mean [{near}]?");
                Err(ProcessConfigError::Option { origin, option: option.to_owned(), reason })
            });
        }
        let text = unquoted(value).to_owned();
        self.values.insert((section.to_owned(), option.to_owned()), Value { text, origin });
        Ok(())
    }
}

impl fmt::Debug for ProcessConfig {
    /// Names and where they come from; values may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut origins: Vec<_> = self
            .values
            .iter()
            .map(|((section, option), value)| (format!("[{section}] {option}"), &value.origin))
            .collect();
        origins.sort();
        f.debug_map().entries(origins).finish()
    }
}

/// What is wrong with an option of `[DEFAULT]`.
fn unusable(option: &str, value: &str) -> Option<String> {
    let value = unquoted(value);
    let wanted = match option {
        "rpc_response_timeout" if seconds(value).is_none_or(|it| it.is_zero()) => "wanted a number of seconds, above 0",
        "executor_thread_pool_size" | "rpc_thread_pool_size" if !value.parse().is_ok_and(|size: usize| size > 0) => {
            "wanted a whole number, at least 1"
        }
        "rpc_ping_enabled" if boolean(value).is_none() => "wanted one of 1, true, yes, on, 0, false, no, off",
        "control_exchange" if value.is_empty() => "it is empty; leave it out for `openstack`",
        _ if KNOWN.contains(&option) => return None,
        _ => {
            let near = KNOWN.iter().find(|known| strsim::osa_distance(known, option) <= 2)?;
            return Some(format!("no such option; did you mean {near}?"));
        }
    };
    Some(wanted.to_owned())
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// oslo.config takes quotes around a whole value off.
fn unquoted(value: &str) -> &str {
    let value = value.trim();
    let mut pairs = ['"', '\''].into_iter();
    pairs.find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(value)
}

/// File and line of an option, for a person.
fn origin(text: &str, name: &str, section: &str, option: &str) -> Arc<str> {
    let mut current = HEADLESS;
    let mut last = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            current = header.trim();
        } else if current == section
            && line
                .strip_prefix(option)
                .is_some_and(|rest| rest.is_empty() || rest.trim_start().starts_with(['=', ':']))
        {
            last = Some(number);
        }
    }
    last.map_or_else(|| name.into(), |line| format!("{name}:{line}").into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::{registry::Driver, settings::Settings, transport::Transport, url::TransportUrl};

    /// Knows `ssl` and `prefetch`, and says what it was given instead of connecting.
    #[derive(Debug)]
    struct Told;

    #[async_trait]
    impl Driver for Told {
        fn schemes(&self) -> &'static [&'static str] {
            &["rabbit"]
        }

        fn option_group(&self) -> Option<&'static str> {
            Some("oslo_messaging_rabbit")
        }

        async fn connect(&self, url: &TransportUrl, settings: Settings) -> Result<Arc<dyn Transport>, TransportError> {
            let mut options = url.options();
            let (ssl, prefetch) = (options.bool("ssl")?, options.integer("prefetch", 0..=9)?);
            options.finish()?;
            let told = format!("{ssl:?} {prefetch:?} {} {:?}", settings.control_exchange, settings.response_timeout);
            Err(TransportError::InvalidTarget { reason: told })
        }
    }

    async fn told(config: &ProcessConfig) -> String {
        let builder = config.transport(&Registry::new().with(Told)).unwrap();
        builder.connect().await.unwrap_err().to_string()
    }

    fn ini(text: &str) -> Result<ProcessConfig, ProcessConfigError> {
        ProcessConfig::new().text(text, "nova.conf")
    }

    #[tokio::test]
    async fn a_file_a_variable_and_the_url_each_win_over_the_one_before() {
        let config = ini("# Nova\n[DEFAULT]\ndebug = true\ntransport_url = rabbit://h/?prefetch=3\n\
                          control_exchange: nova\nrpc_response_timeout = \"90\"\n[database]\nconnection = x\n\
                          [oslo_messaging_rabbit]\nssl = yes\nprefetch = 1\n")
        .unwrap();
        let wanted = "the target cannot be used: Some(true) Some(3) nova 90s";
        assert_eq!(told(&config).await, wanted, "the query wins over the section");
        let variables =
            [("OS_OSLO_MESSAGING_RABBIT__SSL", "off"), ("OS_DEFAULT__CONTROL_EXCHANGE", "cells"), ("HOME", "/")];
        let config = config.variables(variables.map(|(name, value)| (name.into(), value.into()))).unwrap();
        assert_eq!(told(&config).await, "the target cannot be used: Some(false) Some(3) cells 90s");
        let debug = format!("{config:?}");
        assert!(debug.contains("variable OS_DEFAULT__CONTROL_EXCHANGE") && !debug.contains("cells"), "{debug}");
    }

    #[tokio::test]
    async fn an_unknown_option_is_named_with_file_and_line() {
        let config = ini("[DEFAULT]\n\n[oslo_messaging_rabbit]\nssl = 1\nprefech = 1\n").unwrap();
        let refused = told(&config).await;
        assert!(refused.starts_with("option `prefech`: ") && refused.contains("nova.conf:5"), "{refused}");
        assert!(refused.contains("did you mean prefetch?"), "{refused}");
        let config = ini("[oslo_messaging_rabbit]\nprefetch = 12\n").unwrap();
        let refused = told(&config).await;
        assert_eq!(refused, "option `prefetch`: wanted a whole number from 0 to 9 (nova.conf:2)");
        let variable = [("OS_OSLO_MESSAGING_RABBIT__NOSUCH".to_owned(), "1".to_owned())];
        let refused = told(&ProcessConfig::new().variables(variable).unwrap()).await;
        assert!(refused.contains("variable OS_OSLO_MESSAGING_RABBIT__NOSUCH"), "{refused}");
    }

    #[test]
    fn what_cannot_be_used_is_named_with_file_and_line() {
        for (text, wanted) in [
            (
                "[DEFAULT]\ntransport_ulr = x\n",
                "nova.conf:2: option `transport_ulr`: no such option; did you mean transport_url?",
            ),
            (
                "[DEFAULT]\nrpc_response_timeout = soon\n",
                "nova.conf:2: option `rpc_response_timeout`: wanted a number of seconds, above 0",
            ),
            (
                "[DEFAULT]\nrpc_ping_enabled = 2\n",
                "nova.conf:2: option `rpc_ping_enabled`: wanted one of 1, true, yes, on, 0, false, no, off",
            ),
            ("ssl = 1\n", "nova.conf:1: option `ssl`: it stands before the first section; put it under [DEFAULT]"),
            (
                "[oslo_messaging_rabit]\nssl = 1\n",
                "nova.conf:2: option `ssl`: section [oslo_messaging_rabit] is unknown; did you mean [oslo_messaging_rabbit]?",
            ),
        ] {
            assert_eq!(ini(text).unwrap_err().to_string(), wanted);
        }
        for (text, wanted) in [
            ("# x\n[DEFAULT\n", "nova.conf:2: Found opening bracket for section name but no closing bracket"),
            ("[DEFAULT]\ntransport_url\n", "nova.conf:2: neither `=` nor `:` in it"),
        ] {
            assert_eq!(ini(text).unwrap_err().to_string(), wanted);
        }
        assert_eq!(
            ini("[DEFAULT]\ntransport_url = rabbit://u:a#b@h # c\n").unwrap().of_default("transport_url").unwrap().text,
            "rabbit://u:a#b@h # c",
            "as in oslo, a comment has a line of its own"
        );
        let missing = ProcessConfig::new().file("/nonexistent/nova.conf").unwrap_err();
        assert_eq!(missing.to_string(), "/nonexistent/nova.conf cannot be read");
    }

    #[test]
    fn what_belongs_to_the_server_is_there_for_it() {
        let config = ini("[DEFAULT]\nrpc_thread_pool_size = 8\nrpc_ping_enabled = true\n").unwrap();
        assert_eq!((config.executor_thread_pool_size(), config.rpc_ping_enabled()), (Some(8), Some(true)));
        assert_eq!(ProcessConfig::new().transport_url(), "rabbit:///");
    }
}
