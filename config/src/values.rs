//! Values of options, with references resolved.

use std::{
    any::type_name,
    collections::BTreeMap,
    str::FromStr,
    sync::{Arc, LazyLock},
};

use super::{
    ProcessConfig, ProcessConfigError,
    template::{Part, escaped, parts},
};

pub(super) const DEFAULT: &str = "DEFAULT";
/// The maximum depth of references to values with references.
const MAX_DEPTH: usize = 32;
/// The maximum number of references in resolving one value.
const MAX_REFERENCES: usize = 10_000;
/// The maximum size of a resolved value in bytes.
const MAX_BYTES: usize = 1 << 20;

/// An unresolved value.
#[derive(Clone)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) origin: Arc<str>,
    /// The number of the source; the value with the highest number counts.
    pub(super) source: usize,
}

/// A value with its references resolved.
pub(super) struct Resolved {
    pub(super) text: String,
    pub(super) origin: Arc<str>,
}

impl Resolved {
    pub(super) fn refused(&self, option: &str, reason: impl Into<String>) -> ProcessConfigError {
        ProcessConfigError::Option { origin: self.origin.clone(), option: shown(option), reason: reason.into() }
    }
}

/// All values, by section and option.
#[derive(Clone, Default)]
pub(super) struct Values {
    /// Oldest first: an option with several values takes all of them.
    files: BTreeMap<String, BTreeMap<String, Vec<Value>>>,
    /// By the full name of the variable.
    variables: BTreeMap<String, Value>,
    defaults: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Values {
    pub(super) fn add(&mut self, section: &str, option: &str, value: Value) {
        let options = self.files.entry(section_key(section)).or_default();
        options.entry(option.to_owned()).or_default().push(value);
    }

    pub(super) fn add_variable(&mut self, name: String, value: Value) {
        self.variables.insert(name, value);
    }

    pub(super) fn add_default(&mut self, section: &str, option: &str, value: Value) {
        self.defaults.entry(section_key(section)).or_default().insert(option.to_owned(), value);
    }

    fn in_files(&self, section: &str, option: &str) -> &[Value] {
        self.files.get(section).and_then(|options| options.get(option)).map_or(&[], Vec::as_slice)
    }

    /// The value that counts, without defaults.
    pub(super) fn find(&self, section: &str, option: &str) -> Option<&Value> {
        let variable = self.variables.get(&variable_name(section, option));
        self.in_files(section, option).last().into_iter().chain(variable).max_by_key(|value| value.source)
    }

    fn find_or_default(&self, section: &str, option: &str) -> Option<&Value> {
        self.find(section, option).or_else(|| self.defaults.get(section)?.get(option))
    }

    /// All values of an option with several values: a later file adds to an earlier one; a variable replaces them.
    fn find_all(&self, section: &str, option: &str) -> Vec<&Value> {
        let files = self.in_files(section, option);
        match (files.last(), self.variables.get(&variable_name(section, option))) {
            (last, Some(variable)) if last.is_none_or(|last| last.source < variable.source) => vec![variable],
            (Some(_), _) => files.iter().collect(),
            (None, _) => self.find_or_default(section, option).into_iter().collect(),
        }
    }

    /// The names of a section's options.
    pub(super) fn options(&self, section: &str) -> Vec<String> {
        let files = self.files.get(section).into_iter().flat_map(BTreeMap::keys).cloned();
        let prefix = variable_name(section, "");
        let variables = self.variables.keys().filter_map(|name| Some(name.strip_prefix(&prefix)?.to_lowercase()));
        let mut names: Vec<String> = files.chain(variables).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Every option with the origin of its value.
    pub(super) fn origins(&self) -> impl Iterator<Item = (String, &Arc<str>)> {
        let files = self.files.iter().flat_map(|(section, options)| {
            let name = move |option| format!("[{}] {}", shown(section), shown(option));
            options.iter().filter_map(move |(option, values)| Some((name(option), &values.last()?.origin)))
        });
        files.chain(self.variables.iter().map(|(name, value)| (shown(name), &value.origin)))
    }
}

impl ProcessConfig {
    /// Returns the value of an option in any section, such as the service's own; `None` if no source sets it.
    ///
    /// References are resolved: `$name` is the value of that option in the same section or else in `[DEFAULT]`,
    /// `${section.name}` that of another section; `$$` and `\$` are a dollar sign. Section names are case-insensitive, except
    /// `[DEFAULT]`; option names are case-sensitive.
    ///
    /// ```
    /// # fn main() -> Result<(), oxlo_config::ProcessConfigError> {
    /// use oxlo_config::ProcessConfig;
    ///
    /// let config = ProcessConfig::new().text(
    ///     "[DEFAULT]\nregion = eu\n[shop]\ncurrency = EUR\nbucket = orders-$region\nport = 8080\n",
    ///     "shop.conf",
    /// )?;
    /// assert_eq!(config.get("shop", "currency")?.as_deref(), Some("EUR"));
    /// assert_eq!(config.get("shop", "bucket")?.as_deref(), Some("orders-eu"));
    /// assert_eq!(config.get_as::<u16>("shop", "port")?, Some(8080));
    /// assert_eq!(config.get("shop", "colour")?, None);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ProcessConfigError::Option`] for a reference to an option without a value (set one with
    /// [`default_value`](Self::default_value)), for circular references, and for references that expand to more than 1 MiB or
    /// are nested more than 32 levels deep.
    pub fn get(&self, section: &str, option: &str) -> Result<Option<String>, ProcessConfigError> {
        Ok(self.resolved(section, option)?.map(|value| value.text))
    }

    /// Returns the value parsed with [`FromStr`], such as a number or an address; surrounding white space is ignored. `None`
    /// if no source sets the option, or if its value is empty.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and for a value that cannot be parsed.
    pub fn get_as<T: FromStr>(&self, section: &str, option: &str) -> Result<Option<T>, ProcessConfigError> {
        let Some(value) = self.resolved(section, option)? else { return Ok(None) };
        let text = value.text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let name = type_name::<T>().rsplit("::").next().unwrap_or_default();
        text.parse().map(Some).map_err(|_| value.refused(option, format!("cannot parse the value as {name}")))
    }

    /// Returns the value as a boolean: `1`, `true`, `yes`, `on` or `0`, `false`, `no`, `off`, in any case.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and for any other value.
    pub fn get_bool(&self, section: &str, option: &str) -> Result<Option<bool>, ProcessConfigError> {
        let Some(value) = self.resolved(section, option)? else { return Ok(None) };
        boolean(&value.text).map(Some).ok_or_else(|| value.refused(option, BOOLEAN))
    }

    /// Returns the value as a list of items separated by commas, without white space around the items. `None` if no source
    /// sets the option.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_list(&self, section: &str, option: &str) -> Result<Option<Vec<String>>, ProcessConfigError> {
        Ok(self.resolved(section, option)?.map(|value| list(&value.text)))
    }

    /// Returns all values of an option that may be repeated, in the order of the files: oslo.config's `MultiStrOpt`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_all(&self, section: &str, option: &str) -> Result<Vec<String>, ProcessConfigError> {
        Ok(self.all_resolved(section, option)?.into_iter().map(|value| value.text).collect())
    }

    pub(super) fn all_resolved(&self, section: &str, option: &str) -> Result<Vec<Resolved>, ProcessConfigError> {
        let section = section_key(section);
        let values = self.values.find_all(&section, option).into_iter();
        values.map(|value| resolve(&self.values, &section, option, value)).collect()
    }

    pub(super) fn resolved(&self, section: &str, option: &str) -> Result<Option<Resolved>, ProcessConfigError> {
        let section = section_key(section);
        let value = self.values.find_or_default(&section, option);
        value.map(|value| resolve(&self.values, &section, option, value)).transpose()
    }
}

pub(super) const BOOLEAN: &str = "expected one of 1, true, yes, on, 0, false, no, off";

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn list(text: &str) -> Vec<String> {
    let text = text.trim().trim_end_matches(',');
    if text.is_empty() { Vec::new() } else { text.split(',').map(|item| item.trim().to_owned()).collect() }
}

/// The lookup key of a section.
pub(super) fn section_key(section: &str) -> String {
    if section == DEFAULT { section.to_owned() } else { section.to_lowercase() }
}

fn variable_name(section: &str, option: &str) -> String {
    format!("OS_{}__{}", section.to_uppercase(), option.to_uppercase())
}

/// A name for use in messages. Text that does not have the form of a name may be part of a value after a line break.
pub(super) fn shown(name: &str) -> String {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.chars().all(is_name) { name.to_owned() } else { "(not a name)".to_owned() }
}

/// Resolves the references in a value.
fn resolve(values: &Values, section: &str, option: &str, value: &Value) -> Result<Resolved, ProcessConfigError> {
    let mut resolver = Resolver { values, path: Vec::new(), references: 0 };
    let text = resolver.expand(section, option, value)?;
    Ok(Resolved { text, origin: value.origin.clone() })
}

/// The defaults of oslo.messaging's options, for references to them.
static OSLO_DEFAULTS: LazyLock<BTreeMap<&str, Value>> = LazyLock::new(|| {
    let defaults = [
        ("transport_url", "rabbit://"),
        ("control_exchange", "openstack"),
        ("rpc_response_timeout", "60"),
        ("executor_thread_pool_size", "64"),
        ("rpc_ping_enabled", "False"),
    ];
    let value = |text: &str| Value { text: text.to_owned(), origin: "default of oslo.messaging".into(), source: 0 };
    defaults.map(|(option, text)| (option, value(text))).into()
});

struct Resolver<'a> {
    values: &'a Values,
    /// Section and option of each value being expanded, outermost first.
    path: Vec<(String, String)>,
    references: usize,
}

impl Resolver<'_> {
    fn expand(&mut self, section: &str, option: &str, value: &Value) -> Result<String, ProcessConfigError> {
        if !value.text.contains('$') {
            return Ok(value.text.clone());
        }
        let refused = |reason: String| {
            Err(ProcessConfigError::Option { origin: value.origin.clone(), option: shown(option), reason })
        };
        let here = (section.to_owned(), option.to_owned());
        if let Some(begun) = self.path.iter().position(|on_path| *on_path == here) {
            let cycle = self.path[begun..].iter().chain([&here]);
            let cycle: Vec<String> =
                cycle.map(|(section, option)| format!("[{}] {}", shown(section), shown(option))).collect();
            return refused(format!("circular reference: {}", cycle.join(" -> ")));
        }
        if self.path.len() == MAX_DEPTH {
            return refused(format!("references are nested more than {MAX_DEPTH} levels deep"));
        }
        self.path.push(here);
        let text = escaped(&value.text);
        let mut expanded = String::with_capacity(text.len());
        let mut count = 0;
        for part in parts(&text) {
            match part {
                Part::Text(text) => expanded.push_str(text),
                Part::Reference(name) => {
                    count += 1;
                    self.references += 1;
                    let Some((section, option, value)) = self.referred(section, name) else {
                        // The name is not shown: after an unescaped dollar sign it may be part of a password.
                        return refused(format!(
                            "reference {count} in the value cannot be resolved; set the option it names, or write $$ for a \
                             dollar sign"
                        ));
                    };
                    expanded.push_str(&self.expand(&section, option, value)?);
                }
            }
            if expanded.len() > MAX_BYTES || self.references > MAX_REFERENCES {
                return refused(format!(
                    "the value expands to more than {MAX_BYTES} bytes or {MAX_REFERENCES} references"
                ));
            }
        }
        self.path.pop();
        Ok(expanded)
    }
}

impl<'a> Resolver<'a> {
    fn referred<'n>(&self, section: &str, name: &'n str) -> Option<(String, &'n str, &'a Value)> {
        let values = self.values;
        let found = |section: String, option: &'n str| {
            let value = values.find_or_default(&section, option)?;
            Some((section, option, value))
        };
        let near = match name.split_once('.') {
            // oslo.config has no group named DEFAULT.
            Some((DEFAULT, _)) => None,
            Some((section, option)) => found(section_key(section), option),
            None => found(section.to_owned(), name),
        };
        near.or_else(|| found(DEFAULT.to_owned(), name)).or_else(|| {
            let (option, value) = OSLO_DEFAULTS.get_key_value(name)?;
            Some((DEFAULT.to_owned(), *option, value))
        })
    }
}
