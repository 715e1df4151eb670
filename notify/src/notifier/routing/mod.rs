//! Which driver gets which notification, by rules in a file: oslo's driver `routing`.

mod depth;
mod pattern;
mod rules;

use std::{fmt, fs, path::Path, sync::Arc};

use async_trait::async_trait;
use futures_util::future::join_all;
use oxlo_transport::Notification;

use self::rules::Rules;
use super::{
    driver::{NotificationDriver, Tries},
    error::DriverError,
};

/// Gives each notification on to the drivers that a file of rules names: oslo's `routing`.
///
/// The file is YAML as oslo's: groups, in each of them drivers by name, and for each driver what it accepts. Both lists
/// must have a pattern that matches; a missing list matches everything. A driver that several groups name gets a
/// notification once, if one of them accepts it. Patterns are those of Python's `fnmatch`: `*`, `?`, `[abc]`, `[!abc]`.
/// Anchors, aliases and merge keys (`<<`) are read as Python reads them.
///
/// ```yaml
/// billing:
///   messagingv2:
///     accepted_events: ["compute.instance.*", "volume.*"]
///     accepted_priorities: [info, error]
/// everything:
///   log:
/// ```
#[derive(Debug)]
pub struct Routing {
    rules: Rules,
    drivers: Vec<Arc<dyn NotificationDriver>>,
}

impl Routing {
    /// Reads the rules from a file. `drivers` are those that it may name; the ones it does not name get nothing.
    ///
    /// # Errors
    ///
    /// [`RoutingError`] lists everything that is wrong, with file, line and column.
    pub fn from_file(path: impl AsRef<Path>, drivers: Vec<Arc<dyn NotificationDriver>>) -> Result<Self, RoutingError> {
        let file = path.as_ref().display().to_string();
        match fs::read_to_string(path.as_ref()) {
            Ok(text) => Self::from_yaml(file, &text, drivers),
            Err(error) => {
                let what = format!("it cannot be read: {error}");
                Err(RoutingError { file: file.into(), problems: vec![RoutingProblem { line: 0, column: 0, what }] })
            }
        }
    }

    /// Reads the rules from a text; `file` is what errors call it.
    ///
    /// # Errors
    ///
    /// As [`from_file`](Self::from_file).
    pub fn from_yaml(
        file: impl Into<Arc<str>>,
        text: &str,
        drivers: Vec<Arc<dyn NotificationDriver>>,
    ) -> Result<Self, RoutingError> {
        let names: Vec<&str> = drivers.iter().map(|driver| driver.name()).collect();
        match rules::read(text, &names) {
            Ok(rules) => Ok(Self { rules, drivers }),
            Err(problems) => Err(RoutingError { file: file.into(), problems }),
        }
    }
}

#[async_trait]
impl NotificationDriver for Routing {
    fn name(&self) -> &str {
        "routing"
    }

    async fn notify(&self, notification: &Notification, tries: &Tries) -> Result<(), Vec<DriverError>> {
        let event_type = &*notification.event_type;
        let accepted = self
            .drivers
            .iter()
            .filter(|driver| self.rules.accepts(driver.name(), event_type, notification.priority.as_str()));
        let outcomes = join_all(accepted.map(|driver| driver.notify(notification, tries))).await;
        let failures: Vec<_> = outcomes.into_iter().filter_map(Result::err).flatten().collect();
        if failures.is_empty() { Ok(()) } else { Err(failures) }
    }

    fn is_enabled(&self) -> bool {
        self.drivers.iter().any(|driver| driver.is_enabled() && self.rules.names(driver.name()))
    }
}

/// A file of rules that cannot be used. All that is wrong is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingError {
    file: Arc<str>,
    problems: Vec<RoutingProblem>,
}

/// One thing that is wrong in a file of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoutingProblem {
    /// Its line, from 1; 0 if it is about the file as a whole.
    pub line: usize,
    /// Its column, from 1; 0 if it is about the file as a whole.
    pub column: usize,
    /// What is wrong, and what to do.
    pub what: String,
}

impl RoutingError {
    /// The file.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What is wrong with it, from the top.
    #[must_use]
    pub fn problems(&self) -> &[RoutingProblem] {
        &self.problems
    }
}

impl fmt::Display for RoutingError {
    /// One line for each problem, `file:line:column: what`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, RoutingProblem { line, column, what }) in self.problems.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            match line {
                0 => write!(f, "{}: {what}", self.file)?,
                _ => write!(f, "{}:{line}:{column}: {what}", self.file)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for RoutingError {}
