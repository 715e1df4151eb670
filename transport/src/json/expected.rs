//! Descriptions of expected and actual types in the terms of JSON rather than of Rust, because the sender may be written in
//! another language.

use std::borrow::Cow;

use serde::de::{Expected, Unexpected};

/// Describes the type that a visitor expects. serde's own visitors name Rust types; other descriptions are unchanged.
pub(super) fn expected(wanted: &dyn Expected) -> Cow<'static, str> {
    let text = wanted.to_string();
    if let Some(range) = text.strip_prefix("a nonzero ").and_then(positive).or_else(|| integer(&text)) {
        return range.into();
    }
    let words = text.split(' ').collect::<Vec<_>>();
    match *words.as_slice() {
        ["f32" | "f64"] => "a number".into(),
        ["unit"] | ["unit", "struct", ..] => "null".into(),
        ["option"] => "null or a value".into(),
        ["a", "sequence"] | ["tuple", "struct" | "variant", _] => "an array".into(),
        ["a", "map"] | ["struct", ..] => "an object".into(),
        ["a", "tuple", "of", "size", count]
        | ["an", "array", "of", "length", count]
        | ["tuple", "struct" | "variant", _, "with", count, "element" | "elements"] => {
            format!("an array of {count} {}", if count == "1" { "element" } else { "elements" }).into()
        }
        ["a", "borrowed", "string"] => "a string without escapes".into(),
        ["a", "character"] => "a string of one character".into(),
        ["enum", ..] | ["variant", "identifier"] | ["string", "or", "map"] => "the name of a variant".into(),
        ["field", "identifier"] => "the name of a field".into(),
        _ => text.into(),
    }
}

/// Describes an integer type, given by name, as a range.
fn integer(name: &str) -> Option<String> {
    macro_rules! ranges {
        ($($ty:ident)*) => {
            match name {
                $(stringify!($ty) => Some(format!("an integer from {} to {}", $ty::MIN, $ty::MAX)),)*
                _ => None,
            }
        };
    }
    ranges!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize)
}

/// As [`integer`], excluding zero.
fn positive(name: &str) -> Option<String> {
    let range = integer(name)?;
    Some(match range.strip_prefix("an integer from 0 ") {
        Some(rest) => format!("an integer from 1 {rest}"),
        None => format!("{range} but not 0"),
    })
}

/// Describes the type that was found, never its value.
pub(super) fn found(unexpected: Unexpected<'_>) -> &'static str {
    match unexpected {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
        Unexpected::Float(number) if !number.is_finite() => "a non-finite number",
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
        Unexpected::Other(_) => "an integer beyond 64 bits",
    }
}
