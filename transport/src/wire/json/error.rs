//! What can be wrong with JSON text, without quoting it.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

/// JSON text that cannot be read. It says what and where, and never quotes the text: payloads do not belong into logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    kind: JsonErrorKind,
    place: Option<Place>,
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
    /// JSON, but not what the type that reads it needs. The text names types and field names of that type only.
    Data(String),
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
        Self { kind, place: None }
    }

    pub(super) fn at(bytes: &[u8], offset: usize, kind: JsonErrorKind) -> Self {
        let before = &bytes[..offset.min(bytes.len())];
        let line_begin = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let place = Place { offset: before.len(), line, column: before.len() - line_begin + 1 };
        Self { kind, place: Some(place) }
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

    /// Whether the text is JSON and only its content is not what was asked for.
    #[must_use]
    pub fn is_data(&self) -> bool {
        matches!(self.kind, JsonErrorKind::Data(_) | JsonErrorKind::UnknownField { .. })
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        match self.place {
            Some(Place { offset, line, column }) => write!(f, " at line {line}, column {column} (byte {offset})"),
            None => Ok(()),
        }
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
            Self::Data(problem) => write!(f, "JSON does not fit: {problem}"),
            Self::UnknownField { known } => {
                write!(f, "JSON does not fit: found an unknown field, wanted one of: {}", known.join(", "))
            }
        }
    }
}

impl std::error::Error for JsonError {}

/// An error on its way up: its place is an offset, or not known yet.
#[derive(Debug)]
pub(super) struct Fault {
    kind: JsonErrorKind,
    offset: Option<usize>,
    duplicate_field: bool,
}

impl Fault {
    pub(super) fn at(offset: usize, kind: JsonErrorKind) -> Self {
        Self { kind, offset: Some(offset), duplicate_field: false }
    }

    pub(super) fn syntax(offset: usize, wanted: &'static str) -> Self {
        Self::at(offset, JsonErrorKind::Syntax(wanted))
    }

    fn data(problem: String) -> Self {
        Self { kind: JsonErrorKind::Data(problem), offset: None, duplicate_field: false }
    }

    /// Sets the place, unless an inner value has already set it.
    pub(super) fn or_at(mut self, offset: usize) -> Self {
        self.offset.get_or_insert(offset);
        self
    }

    pub(super) fn is_duplicate_field(&self) -> bool {
        self.duplicate_field
    }

    pub(super) fn place(self, bytes: &[u8]) -> JsonError {
        JsonError::at(bytes, self.offset.unwrap_or_default(), self.kind)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    /// A type's own message may quote what it refused, so it is not passed on.
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::data("the value is refused by the type that reads it".to_owned())
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::data(format!("found {}, wanted {wanted}", name(found)))
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::data(format!("found {} that cannot be used, wanted {wanted}", name(found)))
    }

    fn invalid_length(found: usize, wanted: &dyn Expected) -> Self {
        Self::data(format!("found {found} elements, wanted {wanted}"))
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::data(format!("found an unknown variant, wanted one of: {}", known.join(", ")))
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        Self { kind: JsonErrorKind::UnknownField { known }, offset: None, duplicate_field: false }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::data(format!("the field {field:?} is missing"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self { duplicate_field: true, ..Self::data(format!("the field {field:?} is there twice")) }
    }
}

fn name(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
        Unexpected::Float(_) => "a floating-point number",
        Unexpected::Char(_) | Unexpected::Str(_) | Unexpected::Bytes(_) => "a string",
        Unexpected::Unit | Unexpected::Option => "null",
        Unexpected::Seq => "an array",
        Unexpected::Map => "an object",
        Unexpected::UnitVariant
        | Unexpected::NewtypeStruct
        | Unexpected::NewtypeVariant
        | Unexpected::TupleVariant
        | Unexpected::StructVariant
        | Unexpected::Enum => "a variant",
        Unexpected::Other(_) => "an integer beyond 64 bit",
    }
}
