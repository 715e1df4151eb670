//! Typed access to the options in a URL's query.

use std::{
    ops::{RangeBounds, RangeInclusive},
    time::Duration,
};

/// Reads the options of a URL. Each name that is read becomes a known option; [`finish`](Self::finish) refuses the
/// remaining ones.
///
/// Each method returns `Ok(None)` if the URL does not have the option, so that the caller applies its default.
///
/// ```
/// use oxlo_transport::TransportUrl;
///
/// let url: TransportUrl = "rabbit://h/?ssl=yes&heartbeat_timeout_treshold=5".parse()?;
/// let mut options = url.options();
/// assert_eq!(options.bool("ssl")?, Some(true));
/// assert_eq!(options.seconds("heartbeat_timeout_threshold", ..)?, None);
/// let error = options.finish().unwrap_err();
/// assert!(error.to_string().contains("did you mean heartbeat_timeout_threshold?"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "call `finish`, or unknown options are ignored"]
pub struct QueryReader<'a> {
    query: Vec<(&'a str, &'a str)>,
    known: Vec<&'static str>,
    /// Whether names may be quoted. An `@` in the query may be the rest of a password.
    quotable: bool,
}

/// An unknown option of a URL, or one with an invalid value. Values are never quoted.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// The value is malformed or out of range.
    #[error("option {name} of the transport URL: expected {wanted}")]
    Value {
        /// The option.
        name: &'static str,
        /// The expected value.
        wanted: String,
    },
    /// The option is unknown.
    #[error("the transport URL has an unknown option{}{}; known are: {}", quoted(.name), suggested(.nearest), .known.join(", "))]
    Unknown {
        /// The name, if it has the form of an option name.
        name: Option<String>,
        /// The known option with the nearest spelling.
        nearest: Option<&'static str>,
        /// All known options, in alphabetical order.
        known: Vec<&'static str>,
    },
}

crate::debug_as_chain!(OptionError);

fn quoted(name: &Option<String>) -> String {
    name.as_ref().map_or_else(String::new, |name| format!(" {name:?}"))
}

fn suggested(nearest: &Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!(", did you mean {nearest}?"))
}

impl<'a> QueryReader<'a> {
    pub(super) fn new(query: &'a [(String, String)]) -> Self {
        let quotable = !query.iter().any(|(key, value)| key.contains('@') || value.contains('@'));
        Self {
            query: query.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            known: Vec::new(),
            quotable,
        }
    }

    /// Reads a text, unchanged; empty in `?name=`.
    pub fn text(&mut self, name: &'static str) -> Option<&'a str> {
        self.known.push(name);
        let at = self.query.iter().position(|(key, _)| *key == name)?;
        Some(self.query.remove(at).1)
    }

    /// Reads a boolean: `1`, `true`, `yes`, `on` or `0`, `false`, `no`, `off` in any case, as oslo.config does.
    ///
    /// # Errors
    ///
    /// [`OptionError::Value`] for any other value.
    pub fn bool(&mut self, name: &'static str) -> Result<Option<bool>, OptionError> {
        self.convert(name, "one of 1, true, yes, on, 0, false, no, off", |text| {
            match text.to_ascii_lowercase().as_str() {
                "1" | "true" | "yes" | "on" => Some(true),
                "0" | "false" | "no" | "off" => Some(false),
                _ => None,
            }
        })
    }

    /// Reads an integer in a range.
    ///
    /// # Errors
    ///
    /// [`OptionError::Value`] if the value is not an integer, or out of range.
    pub fn integer(&mut self, name: &'static str, range: RangeInclusive<i64>) -> Result<Option<i64>, OptionError> {
        let wanted = match (*range.start(), *range.end()) {
            (i64::MIN, i64::MAX) => "an integer".to_owned(),
            (least, i64::MAX) => format!("an integer, at least {least}"),
            (least, most) => format!("an integer from {least} to {most}"),
        };
        self.convert(name, &wanted, |text| text.trim().parse().ok().filter(|number| range.contains(number)))
    }

    /// Reads a duration in seconds, with an optional fraction. `..` allows every duration.
    ///
    /// # Errors
    ///
    /// [`OptionError::Value`] if the value is not a number, negative, not finite, or out of range.
    pub fn seconds(
        &mut self,
        name: &'static str,
        range: impl RangeBounds<Duration>,
    ) -> Result<Option<Duration>, OptionError> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let mut wanted = "a number of seconds".to_owned();
        match range.start_bound() {
            Included(least) => wanted.push_str(&format!(", at least {}", least.as_secs_f64())),
            Excluded(least) => wanted.push_str(&format!(", above {}", least.as_secs_f64())),
            Unbounded => wanted.push_str(", not negative"),
        }
        match range.end_bound() {
            Included(most) => wanted.push_str(&format!(", at most {}", most.as_secs_f64())),
            Excluded(most) => wanted.push_str(&format!(", below {}", most.as_secs_f64())),
            Unbounded => {}
        }
        self.convert(name, &wanted, |text| {
            let seconds = text.trim().parse::<f64>().ok()?;
            Duration::try_from_secs_f64(seconds).ok().filter(|duration| range.contains(duration))
        })
    }

    /// Reads one of several words, ignoring case; returns the word as spelled in `choices`.
    ///
    /// # Errors
    ///
    /// [`OptionError::Value`] for any other word.
    pub fn choice(
        &mut self,
        name: &'static str,
        choices: &'static [&'static str],
    ) -> Result<Option<&'static str>, OptionError> {
        let wanted = format!("one of {}", choices.join(", "));
        self.convert(name, &wanted, |text| choices.iter().copied().find(|choice| choice.eq_ignore_ascii_case(text)))
    }

    /// Checks that all options of the URL were read.
    ///
    /// # Errors
    ///
    /// [`OptionError::Unknown`] for the first option that was not read, so that a misspelled option is not ignored.
    pub fn finish(self) -> Result<(), OptionError> {
        let Some((name, _)) = self.query.first() else { return Ok(()) };
        let mut known = self.known;
        known.sort_unstable();
        known.dedup();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let quotable = self.quotable && name.bytes().all(plain);
        Err(OptionError::Unknown { nearest: nearest(name, &known), name: quotable.then(|| (*name).to_owned()), known })
    }

    fn convert<T>(
        &mut self,
        name: &'static str,
        wanted: &str,
        convert: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, OptionError> {
        match self.text(name) {
            None => Ok(None),
            Some(text) => match convert(text) {
                Some(value) => Ok(Some(value)),
                None => Err(OptionError::Value { name, wanted: wanted.to_owned() }),
            },
        }
    }
}

/// The most similar known name, or `None` if it differs in more than a third of its letters.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    known
        .iter()
        .map(|candidate| (strsim::osa_distance(&name, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate)
}
