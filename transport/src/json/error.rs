//! Errors in JSON text, which never quote it.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::{
    expected::{expected, found},
    path::{Path, Step},
};

/// The error of decoding JSON. It has the reason and the position, and never quotes a value: payloads must not appear in
/// logs.
///
/// `Debug` prints the same as `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct JsonError {
    kind: JsonErrorKind,
    place: Option<Place>,
    path: Path,
}

/// The kind of a [`JsonError`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonErrorKind {
    /// Longer than allowed; the text was not parsed.
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
    /// The text ends inside the value.
    Incomplete,
    /// Not JSON. The text describes what was expected.
    Syntax(&'static str),
    /// JSON, but of another type than expected. The text describes the expected and the actual type in the terms of JSON:
    /// `expected an integer from 0 to 255, got a string`.
    Data(String),
    /// JSON, but an object lacks a required field.
    MissingField {
        /// Name of the field.
        field: &'static str,
    },
    /// JSON, but an object has an unknown field. The position is that of the field's name, for callers that may show it.
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

    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> &JsonErrorKind {
        &self.kind
    }

    /// The position in bytes from the start; `None` if the text as a whole was refused.
    #[must_use]
    pub fn offset(&self) -> Option<usize> {
        self.place.map(|place| place.offset)
    }

    /// The line, from 1.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.place.map(|place| place.line)
    }

    /// The byte in the line, from 1.
    #[must_use]
    pub fn column(&self) -> Option<usize> {
        self.place.map(|place| place.column)
    }

    /// The path in the value, such as `disks[3].size`, if the error [is about data](Self::is_data); empty for the value as a
    /// whole. A missing field is part of the path. Names of fields and keys are included; long ones are truncated.
    #[must_use]
    pub fn path(&self) -> String {
        match &self.kind {
            JsonErrorKind::MissingField { field } => self.path.with(&Step::Key((*field).to_owned())),
            _ => self.path.to_string(),
        }
    }

    /// Whether the text is JSON, but does not match the expected type.
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
            return write!(f, "JSON does not match the type{place}: {}", self.kind);
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
            Self::Incomplete => f.write_str("unexpected end of JSON"),
            Self::Syntax(problem) => write!(f, "JSON is malformed: {problem}"),
            Self::Data(problem) => f.write_str(problem),
            Self::MissingField { .. } => f.write_str("the field is missing"),
            Self::UnknownField { known: [] } => f.write_str("got an unknown field, expected none"),
            Self::UnknownField { known } => write!(f, "got an unknown field, expected one of: {}", known.join(", ")),
        }
    }
}

impl std::error::Error for JsonError {}

/// An error during decoding. Boxed, because the parsers recurse and a large error would enlarge each stack frame.
#[derive(Debug)]
pub(super) struct Fault(Box<Inner>);

/// The offset is `None` until it is known; the path grows from the inside out.
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

    /// Sets the offset, unless an inner value has already set it.
    pub(super) fn or_at(mut self, offset: usize) -> Self {
        self.0.offset.get_or_insert(offset);
        self
    }

    /// Adds the member or element in which the error occurred.
    pub(super) fn within(mut self, step: Step) -> Self {
        self.0.path.push_outer(step);
        self
    }

    /// Marks the error as one of an object's key.
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
    /// The message of a type may quote the refused value, so it is dropped.
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::data("the type refused the value".to_owned())
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
            other => format!("{} with an invalid value", found(other)),
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
        let mut fault = Self::data(format!("the field {field:?} is repeated"));
        fault.0.duplicate_field = true;
        fault
    }
}
