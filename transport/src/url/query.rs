//! A driver's options, read from the URL's query with their types.

use std::{
    ops::{RangeBounds, RangeInclusive},
    time::Duration,
};

/// Reads the options of a URL one after the other. Every name that is asked for becomes known; [`finish`](Self::finish)
/// refuses what is left.
///
/// Each method gives `Ok(None)` when the URL does not have the option, so that the default stands where it is used.
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
#[must_use = "call finish, or an unknown option passes unnoticed"]
pub struct QueryReader<'a> {
    query: Vec<(&'a str, &'a str)>,
    known: Vec<&'static str>,
    /// An `@` somewhere in the query hints at the rest of a password; then no name is quoted.
    quotable: bool,
}

/// An option of a URL that is unknown, or whose value cannot be used. Values are never quoted.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// The value has the wrong form or is out of range.
    #[error("option {name} of the transport URL: wanted {wanted}")]
    Value {
        /// The option.
        name: &'static str,
        /// What its value must be.
        wanted: String,
    },
    /// No such option.
    #[error("the transport URL has an unknown option{}{}; known are: {}", quoted(.name), suggested(.nearest), .known.join(", "))]
    Unknown {
        /// Its name, if it looks like the name of an option.
        name: Option<String>,
        /// The known option whose spelling is nearest.
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

    /// A text, as it is; empty in `?name=`.
    pub fn text(&mut self, name: &'static str) -> Option<&'a str> {
        self.known.push(name);
        let at = self.query.iter().position(|(key, _)| *key == name)?;
        Some(self.query.remove(at).1)
    }

    /// `1`, `true`, `yes`, `on` or `0`, `false`, `no`, `off` in any case: what oslo.config takes for a boolean.
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

    /// A whole number in a range.
    ///
    /// # Errors
    ///
    /// [`OptionError::Value`] when it is no number, or out of the range.
    pub fn integer(&mut self, name: &'static str, range: RangeInclusive<i64>) -> Result<Option<i64>, OptionError> {
        let wanted = match (*range.start(), *range.end()) {
            (i64::MIN, i64::MAX) => "a whole number".to_owned(),
            (least, i64::MAX) => format!("a whole number, at least {least}"),
            (least, most) => format!("a whole number from {least} to {most}"),
        };
        self.convert(name, &wanted, |text| text.trim().parse().ok().filter(|number| range.contains(number)))
    }

    /// A duration in seconds, with a fraction or without. `..` allows every duration.
    ///
    /// # Errors
    ///
    /// [`OptionError::Value`] when it is no number, negative, not finite, or out of the range.
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

    /// One of some words, compared in any case; the result is the word as it stands in `choices`.
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

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// [`OptionError::Unknown`] for the first option that nobody asked for: a misspelt option must not be ignored.
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

/// The known name that differs least; none when even that one differs in more than a third of its letters.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    known
        .iter()
        .map(|candidate| (strsim::osa_distance(&name, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate)
}
