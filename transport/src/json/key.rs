//! Keys of objects: always strings in the text, whatever the target type.

use std::borrow::Cow;

use serde::{
    Deserializer,
    de::{Error, IntoDeserializer, Unexpected, Visitor},
    forward_to_deserialize_any,
};

use super::{
    Limits,
    error::Fault,
    scan::{Number, Scanner},
};

/// A deserializer for a key. Python writes other keys as strings: `1` as `"1"`, true as `"true"`.
#[derive(Debug)]
pub(super) struct Key<'de>(pub(super) Cow<'de, str>);

impl Key<'_> {
    /// The key as a number, if the whole key is one.
    fn number(&self) -> Option<Number<'_>> {
        Scanner::new(&self.0, Limits::default()).number().ok().filter(|number| number.text.len() == self.0.len())
    }
}

macro_rules! numbers {
    ($visit:expr; $($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match self.number() {
                Some(number) => $visit(number, visitor),
                None => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    numbers! { Number::visit_integer;
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    numbers! { |number: Number<'_>, visitor: V| visitor.visit_f64(number.float()?); deserialize_f32 deserialize_f64 }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &*self.0 {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            other => Err(Fault::invalid_type(Unexpected::Str(other), &visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
