//! Refuses unknown arguments of methods with a flattened argument.
//!
//! serde's `deny_unknown_fields` would refuse the entries of a flattened map. Instead, the arguments without a field are
//! collected, and refused unless a flattened type accepts any name.

use std::fmt;

use oxlo_transport::{Failure, text::name as shown};
use serde::{
    Deserialize,
    de::{self, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor},
    forward_to_deserialize_any,
};

use crate::{call::Call, result::HandlerError};

/// The names of the arguments without a field, including those that a flattened map accepted.
#[derive(Debug, Default)]
pub struct Rest(Vec<String>);

impl<'de> Deserialize<'de> for Rest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Rest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("named arguments")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Rest, A::Error> {
                let mut names = Vec::new();
                while let Some((name, IgnoredAny)) = map.next_entry()? {
                    names.push(name);
                }
                Ok(Rest(names))
            }
        }

        deserializer.deserialize_map(Names)
    }
}

/// The names that a flattened type accepts; `None` if it accepts any.
pub type Fields = fn() -> Option<&'static [&'static str]>;

/// Refuses arguments without a field, unless a flattened type accepts any name.
///
/// # Errors
///
/// A `TypeError` that names the argument.
pub fn refuse_rest(call: &Call, rest: &Rest, names: &[&str], flattened: &[Fields]) -> Result<(), HandlerError> {
    let Some(name) = rest.0.first() else { return Ok(()) };
    let Some(fields) = flattened.iter().map(|fields| fields()).collect::<Option<Vec<_>>>() else { return Ok(()) };
    let known: Vec<&str> = names.iter().chain(fields.into_iter().flatten()).copied().collect();
    let takes = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let (method, name) = (&call.request.method, shown(name));
    let message = format!("{method}() got an unexpected argument '{name}'; it takes {takes}");
    Err(Failure::builtin("TypeError", message).into())
}

/// The fields of a struct; `None` for a map and other types that accept any name.
#[must_use]
pub fn fields<T: DeserializeOwned>() -> Option<&'static [&'static str]> {
    match T::deserialize(Shape) {
        Err(Seen::Fields(fields)) => Some(fields),
        _ => None,
    }
}

/// The fields of a type that a custom function deserialises.
#[must_use]
pub fn any_fields() -> Option<&'static [&'static str]> {
    None
}

/// A deserializer without a value, which reports the requested shape.
struct Shape;

#[derive(Debug)]
enum Seen {
    Fields(&'static [&'static str]),
    Other,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no value")
    }
}

impl std::error::Error for Seen {}

impl de::Error for Seen {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Other
    }
}

impl<'de> Deserializer<'de> for Shape {
    type Error = Seen;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Seen> {
        Err(Seen::Other)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Seen> {
        Err(Seen::Fields(fields))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Seen> {
        Err(Seen::Fields(variants))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Seen> {
        Err(Seen::Fields(&[]))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, _: V) -> Result<V::Value, Seen> {
        Err(Seen::Fields(&[]))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Seen> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Seen> {
        visitor.visit_some(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf seq tuple tuple_struct map
        identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Deserialize;

    use super::fields;

    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Page {
        limit: u32,
        #[serde(rename = "from")]
        marker: Option<String>,
    }

    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Wrapped(Page);

    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Open {
        limit: u32,
        #[serde(flatten)]
        others: HashMap<String, i64>,
    }

    #[test]
    fn structs_have_fields_and_maps_take_any_name() {
        assert_eq!(fields::<Page>(), Some(&["limit", "from"][..]));
        assert_eq!(fields::<Option<Wrapped>>(), Some(&["limit", "from"][..]));
        assert_eq!(fields::<()>(), Some(&[][..]));
        assert_eq!(fields::<HashMap<String, i64>>(), None);
        assert_eq!(fields::<serde_json::Value>(), None);
        assert_eq!(fields::<Open>(), None);
    }
}
