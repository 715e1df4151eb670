//! What can be wrong with JSON text, without quoting it.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::{
    expected::{expected, found},
    path::{Path, Step},
};

/// JSON text that cannot be read. It says what and where, and never quotes a value: payloads do not belong into logs.
///
/// `Debug` prints what `Display` does.
#[derive(Clone, PartialEq, Eq)]
pub struct JsonError {
    kind: JsonErrorKind,
    place: Option<Place>,
    path: Path,
}

/// What is wrong with JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonErrorKind {
    /// Longer than allowed; nothing of it was read.
    TooLong {
        /// The limit.
        max_bytes: usize,
    },
    /// Nested deeper than allowed.
    TooDeep {
        /// The limit.
        max_depth: usize,
    },
    /// Not UTF-8.
    NotUtf8,
    /// The text ends within the value.
    Incomplete,
    /// Not JSON. The text says what was expected.
    Syntax(&'static str),
    /// JSON, but not what the type that reads it needs. The text says what was expected and what was found, in the terms
    /// of JSON: `expected an integer from 0 to 255, got a string`.
    Data(String),
    /// JSON, but an object lacks a field that the type needs.
    MissingField {
        /// Name of the field.
        field: &'static str,
    },
    /// JSON, but an object has a field that the type does not know. The place is that of the field's name, for who may
    /// show it.
    UnknownField {
        /// The fields of the type.
        known: &'static [&'static str],
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    offset: usize,
    line: usize,
    column: usize,
}

impl JsonError {
    pub(super) fn without_place(kind: JsonErrorKind) -> Self {
        Self { kind, place: None, path: Path::default() }
    }

    pub(super) fn at(bytes: &[u8], offset: usize, kind: JsonErrorKind) -> Self {
        let before = &bytes[..offset.min(bytes.len())];
        let line_begin = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let place = Place { offset: before.len(), line, column: before.len() - line_begin + 1 };
        Self { kind, place: Some(place), path: Path::default() }
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &JsonErrorKind {
        &self.kind
    }

    /// Where, in bytes from the beginning; `None` when the text as a whole was refused.
    #[must_use]
    pub fn offset(&self) -> Option<usize> {
        self.place.map(|place| place.offset)
    }

    /// In which line, from 1.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.place.map(|place| place.line)
    }

    /// At which byte of the line, from 1.
    #[must_use]
    pub fn column(&self) -> Option<usize> {
        self.place.map(|place| place.column)
    }

    /// Where in the value, such as `disks[3].size`, if it [is about data](Self::is_data); empty for the value as a
    /// whole. A missing field is part of the path. Names of fields and keys are shown, long ones cut.
    #[must_use]
    pub fn path(&self) -> String {
        match &self.kind {
            JsonErrorKind::MissingField { field } => self.path.with(&Step::Key((*field).to_owned())),
            _ => self.path.to_string(),
        }
    }

    /// Whether the text is JSON and only its content is not what was asked for.
    #[must_use]
    pub fn is_data(&self) -> bool {
        matches!(
            self.kind,
            JsonErrorKind::Data(_) | JsonErrorKind::MissingField { .. } | JsonErrorKind::UnknownField { .. }
        )
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_data() {
            let path = self.path();
            let place = if path.is_empty() { path } else { format!(" at `{path}`") };
            return write!(f, "JSON does not fit{place}: {}", self.kind);
        }
        self.kind.fmt(f)?;
        match self.place {
            Some(Place { offset, line, column }) => write!(f, " at line {line}, column {column} (byte {offset})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for JsonErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { max_bytes } => write!(f, "JSON is longer than {max_bytes} bytes"),
            Self::TooDeep { max_depth } => write!(f, "JSON is nested deeper than {max_depth} levels"),
            Self::NotUtf8 => f.write_str("JSON is not UTF-8"),
            Self::Incomplete => f.write_str("JSON ends too early"),
            Self::Syntax(wanted) => write!(f, "JSON is malformed: {wanted}"),
            Self::Data(problem) => f.write_str(problem),
            Self::MissingField { .. } => f.write_str("the field is missing"),
            Self::UnknownField { known: [] } => f.write_str("got an unknown field, expected none"),
            Self::UnknownField { known } => write!(f, "got an unknown field, expected one of: {}", known.join(", ")),
        }
    }
}

impl std::error::Error for JsonError {}

/// An error on its way up. Boxed, because the readers recurse: a large error would make each of their frames larger.
#[derive(Debug)]
pub(super) struct Fault(Box<Inner>);

/// Its place is an offset, or not known yet; its path grows from the inside out.
#[derive(Debug)]
struct Inner {
    kind: JsonErrorKind,
    offset: Option<usize>,
    path: Path,
    duplicate_field: bool,
}

impl Fault {
    fn new(kind: JsonErrorKind) -> Self {
        Self(Box::new(Inner { kind, offset: None, path: Path::default(), duplicate_field: false }))
    }

    pub(super) fn at(offset: usize, kind: JsonErrorKind) -> Self {
        Self::new(kind).or_at(offset)
    }

    pub(super) fn syntax(offset: usize, wanted: &'static str) -> Self {
        Self::at(offset, JsonErrorKind::Syntax(wanted))
    }

    fn data(problem: String) -> Self {
        Self::new(JsonErrorKind::Data(problem))
    }

    /// Sets the place, unless an inner value has already set it.
    pub(super) fn or_at(mut self, offset: usize) -> Self {
        self.0.offset.get_or_insert(offset);
        self
    }

    /// Says in which member or element it arose.
    pub(super) fn within(mut self, step: Step) -> Self {
        self.0.path.push_outer(step);
        self
    }

    /// Says that it is a key that does not fit.
    pub(super) fn of_key(mut self) -> Self {
        if let JsonErrorKind::Data(problem) = &mut self.0.kind {
            problem.insert_str(0, "a key of the object: ");
        }
        self
    }

    pub(super) fn is_duplicate_field(&self) -> bool {
        self.0.duplicate_field
    }

    pub(super) fn place(self, bytes: &[u8]) -> JsonError {
        let Inner { kind, offset, path, .. } = *self.0;
        JsonError { path, ..JsonError::at(bytes, offset.unwrap_or_default(), kind) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.kind.fmt(f)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    /// A type's own message may quote what it refused, so it is not passed on.
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::data("the value is refused by the type that reads it".to_owned())
    }

    fn invalid_type(unexpected: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::data(format!("expected {}, got {}", expected(wanted), found(unexpected)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        let wanted = expected(wanted);
        let got = match unexpected {
            Unexpected::Unsigned(_) | Unexpected::Signed(_) if wanted.starts_with("an integer from ") => {
                "an integer outside that range".to_owned()
            }
            other => format!("{} that cannot be used", found(other)),
        };
        Self::data(format!("expected {wanted}, got {got}"))
    }

    fn invalid_length(found: usize, wanted: &dyn Expected) -> Self {
        let unit = if found == 1 { "element" } else { "elements" };
        Self::data(format!("expected {}, got {found} {unit}", expected(wanted)))
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::data(format!("expected one of {}, got an unknown name", known.join(", ")))
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        Self::new(JsonErrorKind::UnknownField { known })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(JsonErrorKind::MissingField { field })
    }

    fn duplicate_field(field: &'static str) -> Self {
        let mut fault = Self::data(format!("the field {field:?} is there twice"));
        fault.0.duplicate_field = true;
        fault
    }
}
