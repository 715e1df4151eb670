//! The values of options, with the references in them replaced.

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
/// A reference may lead to a value with references, and so on; this many times.
const MAX_DEPTH: usize = 32;
/// Bounds what references to references can add up to, in references and in bytes.
const MAX_REFERENCES: usize = 10_000;
const MAX_BYTES: usize = 1 << 20;

/// A value as it stands in its source.
#[derive(Clone)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) origin: Arc<str>,
    /// Of two values the one with the higher number counts.
    pub(super) source: usize,
}

/// A value without references.
pub(super) struct Resolved {
    pub(super) text: String,
    pub(super) origin: Arc<str>,
}

impl Resolved {
    pub(super) fn refused(&self, option: &str, reason: impl Into<String>) -> ProcessConfigError {
        ProcessConfigError::Option { origin: self.origin.clone(), option: shown(option), reason: reason.into() }
    }
}

/// What was read, by section and option.
#[derive(Clone, Default)]
pub(super) struct Values {
    /// Oldest first: an option that takes several values takes all of them.
    files: BTreeMap<String, BTreeMap<String, Vec<Value>>>,
    /// By the variable's whole name.
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

    /// The value that counts, of those that a source gave.
    pub(super) fn find(&self, section: &str, option: &str) -> Option<&Value> {
        let variable = self.variables.get(&variable_name(section, option));
        self.in_files(section, option).last().into_iter().chain(variable).max_by_key(|value| value.source)
    }

    fn find_or_default(&self, section: &str, option: &str) -> Option<&Value> {
        self.find(section, option).or_else(|| self.defaults.get(section)?.get(option))
    }

    /// All values of an option that takes several: a later file adds to an earlier one, a variable counts alone.
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

    /// Every option with the place that its value comes from.
    pub(super) fn origins(&self) -> impl Iterator<Item = (String, &Arc<str>)> {
        let files = self.files.iter().flat_map(|(section, options)| {
            let name = move |option| format!("[{}] {}", shown(section), shown(option));
            options.iter().filter_map(move |(option, values)| Some((name(option), &values.last()?.origin)))
        });
        files.chain(self.variables.iter().map(|(name, value)| (shown(name), &value.origin)))
    }
}

impl ProcessConfig {
    /// The value of an option of any section, for instance of the service's own; `None` if nothing sets it.
    ///
    /// References are replaced: `$name` by the value of that option in the same section or else in `[DEFAULT]`,
    /// `${section.name}` by that of another section; `$$` and `\$` stand for a dollar sign. Sections are found without
    /// regard to case, except `[DEFAULT]`; options are not.
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
    /// [`ProcessConfigError::Option`] for a reference to an option that has no value (give it one with
    /// [`default_value`](Self::default_value)), for options that refer to each other in a circle, and for references that
    /// add up to more than 1 MiB or lead on more than 32 times.
    pub fn get(&self, section: &str, option: &str) -> Result<Option<String>, ProcessConfigError> {
        Ok(self.resolved(section, option)?.map(|value| value.text))
    }

    /// The value as a number, an address, or whatever else is written as [`FromStr`] reads it; white space around it is
    /// ignored. `None` if nothing sets the option, or if its value is empty.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and for a value that does not have this type.
    pub fn get_as<T: FromStr>(&self, section: &str, option: &str) -> Result<Option<T>, ProcessConfigError> {
        let Some(value) = self.resolved(section, option)? else { return Ok(None) };
        let text = value.text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let name = type_name::<T>().rsplit("::").next().unwrap_or_default();
        text.parse().map(Some).map_err(|_| value.refused(option, format!("cannot be read as {name}")))
    }

    /// The value as a boolean: `1`, `true`, `yes`, `on` or `0`, `false`, `no`, `off`, in any case.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and for any other value.
    pub fn get_bool(&self, section: &str, option: &str) -> Result<Option<bool>, ProcessConfigError> {
        let Some(value) = self.resolved(section, option)? else { return Ok(None) };
        boolean(&value.text).map(Some).ok_or_else(|| value.refused(option, BOOLEAN))
    }

    /// The value as a list with commas between its items; white space around an item is not part of it. `None` if nothing
    /// sets the option.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_list(&self, section: &str, option: &str) -> Result<Option<Vec<String>>, ProcessConfigError> {
        Ok(self.resolved(section, option)?.map(|value| list(&value.text)))
    }

    /// All values of an option that is set several times, in the order of the files: oslo.config's `MultiStrOpt`.
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

pub(super) const BOOLEAN: &str = "wanted one of 1, true, yes, on, 0, false, no, off";

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

/// By which a section is found.
pub(super) fn section_key(section: &str) -> String {
    if section == DEFAULT { section.to_owned() } else { section.to_lowercase() }
}

fn variable_name(section: &str, option: &str) -> String {
    format!("OS_{}__{}", section.to_uppercase(), option.to_uppercase())
}

/// A name for a message. What does not look like one may be part of a value whose line was broken.
pub(super) fn shown(name: &str) -> String {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.chars().all(is_name) { name.to_owned() } else { "(not a name)".to_owned() }
}

/// The value with its references replaced.
fn resolve(values: &Values, section: &str, option: &str, value: &Value) -> Result<Resolved, ProcessConfigError> {
    let mut resolver = Resolver { values, path: Vec::new(), references: 0 };
    let text = resolver.expand(section, option, value)?;
    Ok(Resolved { text, origin: value.origin.clone() })
}

/// What a reference to an option of oslo.messaging gives that nothing sets.
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
    /// Section and option of each value that is being expanded, outermost first.
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
            let circle = self.path[begun..].iter().chain([&here]);
            let circle: Vec<String> =
                circle.map(|(section, option)| format!("[{}] {}", shown(section), shown(option))).collect();
            return refused(format!("it refers to itself: {}", circle.join(" -> ")));
        }
        if self.path.len() == MAX_DEPTH {
            return refused(format!("it is reached through more than {MAX_DEPTH} references"));
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
                        // The name is not told: where a dollar sign was not escaped, it is part of a password.
                        return refused(format!(
                            "reference {count} in its value names no option that has a value; set that option, or \
                             write $$ for a dollar sign"
                        ));
                    };
                    expanded.push_str(&self.expand(&section, option, value)?);
                }
            }
            if expanded.len() > MAX_BYTES || self.references > MAX_REFERENCES {
                return refused(format!(
                    "its references add up to more than {MAX_BYTES} bytes or {MAX_REFERENCES} references"
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
            // oslo.config has no group of this name.
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
