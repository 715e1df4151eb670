//! Routes notifications to drivers by rules in a file: oslo's driver `routing`.

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

/// Passes each notification to the drivers that a rules file names: oslo's `routing`.
///
/// The file has oslo's YAML format: groups of drivers by name, each with the events and priorities that it accepts. A
/// pattern of both lists must match; a missing list matches everything. A driver that several groups name receives a
/// notification once, if one of the groups accepts it. Patterns are those of Python's `fnmatch`: `*`, `?`, `[abc]`,
/// `[!abc]`. Anchors, aliases and merge keys (`<<`) are supported as in Python.
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
    /// Reads the rules from a file. It may name these `drivers`; a driver that it does not name receives nothing.
    ///
    /// # Errors
    ///
    /// [`RoutingError`] lists all problems, with file, line and column.
    pub fn from_file(path: impl AsRef<Path>, drivers: Vec<Arc<dyn NotificationDriver>>) -> Result<Self, RoutingError> {
        let file = path.as_ref().display().to_string();
        match fs::read_to_string(path.as_ref()) {
            Ok(text) => Self::from_yaml(file, &text, drivers),
            Err(error) => {
                let what = format!("cannot read the file: {error}");
                Err(RoutingError { file: file.into(), problems: vec![RoutingProblem { line: 0, column: 0, what }] })
            }
        }
    }

    /// Reads the rules from a text. Errors name it `file`.
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

/// The problems of a rules file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingError {
    file: Arc<str>,
    problems: Vec<RoutingProblem>,
}

/// One problem of a rules file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoutingProblem {
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// The column, from 1; 0 for the file as a whole.
    pub column: usize,
    /// What is wrong, and what to do.
    pub what: String,
}

impl RoutingError {
    /// The name of the file.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The problems, from the top of the file.
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
