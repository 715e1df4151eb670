//! The lenient parser: a serde deserializer for text that the tokenizer has checked.
//!
//! It recurses, so the nesting of the text must have been checked.

use std::{borrow::Cow, collections::HashMap};

use serde::{
    Deserializer,
    de::{
        DeserializeSeed, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
        value::BorrowedStrDeserializer,
    },
    forward_to_deserialize_any,
};

use super::{
    Limits,
    error::Fault,
    key::Key,
    path::Step,
    scan::{Number, Scanner},
};

#[derive(Debug)]
pub(super) struct Reader<'de> {
    scanner: Scanner<'de>,
    last_of_duplicates: bool,
}

/// The struct name by which `serde_json::value::RawValue` requests raw text from a deserializer.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

impl<'de> Reader<'de> {
    pub(super) fn new(text: &'de str) -> Self {
        let limits = Limits::default().with_max_depth(Limits::DEEPEST);
        Self { scanner: Scanner::new(text, limits), last_of_duplicates: false }
    }

    /// Yields only the last of several members with the same key. Costs a scan ahead over each object.
    pub(super) fn last_of_duplicates(mut self) -> Self {
        self.last_of_duplicates = true;
        self
    }

    fn peek(&mut self) -> Result<u8, Fault> {
        self.scanner.peek().ok_or_else(|| self.scanner.incomplete())
    }

    fn null(&mut self) -> Result<bool, Fault> {
        Ok(self.peek()? == b'n' && self.scanner.take_word("null"))
    }

    /// Runs `read`, and sets the position of the next value in errors without one.
    fn placed<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.peek()?;
        let begin = self.scanner.at();
        read(self).map_err(|fault| fault.or_at(begin))
    }

    fn array<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Fault> {
        self.scanner.expect(b'[', "expected an array")?;
        let value = visitor.visit_seq(Items { reader: self, index: 0 })?;
        self.scanner.expect(b']', "expected the end of the array")?;
        Ok(value)
    }

    fn object<V: Visitor<'de>>(&mut self, visitor: V, duplicates_matter: bool) -> Result<V::Value, Fault> {
        self.scanner.expect(b'{', "expected an object")?;
        let last = if duplicates_matter && self.last_of_duplicates { Some(self.last_places()?) } else { None };
        let value = visitor.visit_map(Members { reader: self, first: true, last, key: Cow::Borrowed("") })?;
        self.scanner.expect(b'}', "expected the end of the object")?;
        Ok(value)
    }

    /// The start of the last occurrence of each key of the object that was just entered.
    fn last_places(&self) -> Result<HashMap<Cow<'de, str>, usize>, Fault> {
        let mut scanner = self.scanner.clone();
        let mut last = HashMap::new();
        if scanner.peek() == Some(b'}') {
            return Ok(last);
        }
        loop {
            scanner.peek();
            let begin = scanner.at();
            last.insert(scanner.key()?, begin);
            scanner.skip_value(0)?;
            if scanner.peek() != Some(b',') {
                return Ok(last);
            }
            scanner.take();
        }
    }

    fn number<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Fault> {
        if let Some(special) = self.scanner.special_number() {
            return visitor.visit_f64(special);
        }
        self.scanner.number()?.visit(visitor)
    }

    fn number_as<V: Visitor<'de>>(
        &mut self,
        visitor: V,
        visit: impl FnOnce(Number<'de>, V) -> Result<V::Value, Fault>,
    ) -> Result<V::Value, Fault> {
        self.placed(|reader| match reader.peek()? {
            b'-' | b'0'..=b'9' | b'N' | b'I' => match reader.scanner.special_number() {
                Some(special) => visitor.visit_f64(special),
                None => visit(reader.scanner.number()?, visitor),
            },
            _ => reader.deserialize_any(visitor),
        })
    }
}

impl Number<'_> {
    /// As `serde_json` without an expected type: 64 bits, otherwise the nearest float.
    pub(super) fn visit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.integer && self.text != "-0" {
            if let Ok(number) = self.text.parse() {
                return visitor.visit_u64(number);
            }
            if let Ok(number) = self.text.parse() {
                return visitor.visit_i64(number);
            }
        }
        visitor.visit_f64(self.float()?)
    }

    /// For a type that expects an integer: exact up to 128 bits.
    pub(super) fn visit_integer<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if !self.integer {
            return self.visit(visitor);
        }
        if let Ok(number) = self.text.parse() {
            return visitor.visit_u64(number);
        }
        if let Ok(number) = self.text.parse() {
            return visitor.visit_i64(number);
        }
        if let Ok(number) = self.text.parse() {
            return visitor.visit_u128(number);
        }
        match self.text.parse() {
            Ok(number) => visitor.visit_i128(number),
            Err(_) => Err(Fault::invalid_type(Unexpected::Other("integer"), &visitor)),
        }
    }

    /// Infinity beyond the largest float, as in Python.
    pub(super) fn float(self) -> Result<f64, Fault> {
        self.text.parse().map_err(Fault::custom)
    }
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.number_as(visitor, Number::visit_integer)
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.placed(|reader| match reader.peek()? {
            b'"' => match reader.scanner.string()? {
                Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                Cow::Owned(text) => visitor.visit_string(text),
            },
            b'{' => reader.object(visitor, false),
            b'[' => reader.array(visitor),
            b'n' if reader.scanner.take_word("null") => visitor.visit_unit(),
            b't' if reader.scanner.take_word("true") => visitor.visit_bool(true),
            b'f' if reader.scanner.take_word("false") => visitor.visit_bool(false),
            _ => reader.number(visitor),
        })
    }

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.number_as(visitor, |number, visitor| visitor.visit_f64(number.float()?))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.number_as(visitor, |number, visitor| visitor.visit_f32(number.text.parse().map_err(Fault::custom)?))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.placed(|reader| if reader.null()? { visitor.visit_none() } else { visitor.visit_some(reader) })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Fault> {
        self.placed(|reader| {
            if name == RAW_VALUE {
                return visitor.visit_map(Raw(Some(reader.scanner.raw_value(0)?)));
            }
            visitor.visit_newtype_struct(reader)
        })
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.placed(|reader| match reader.peek()? {
            b'"' => match reader.scanner.string()? {
                Cow::Borrowed(text) => visitor.visit_borrowed_bytes(text.as_bytes()),
                Cow::Owned(text) => visitor.visit_byte_buf(text.into_bytes()),
            },
            _ => reader.deserialize_any(visitor),
        })
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.placed(|reader| match reader.peek()? {
            b'{' => reader.object(visitor, true),
            _ => reader.deserialize_any(visitor),
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.placed(|reader| match reader.peek()? {
            b'"' => visitor.visit_enum(reader.scanner.string()?.into_deserializer()),
            b'{' => {
                reader.scanner.take();
                let value = visitor.visit_enum(Variant { reader, name: Cow::Borrowed("") })?;
                reader.scanner.expect(b'}', "expected the end of the variant")?;
                Ok(value)
            }
            _ => reader.deserialize_any(visitor),
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.scanner.skip_value(0)?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { bool char str string unit unit_struct seq tuple tuple_struct identifier }
}

struct Items<'r, 'de> {
    reader: &'r mut Reader<'de>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        if self.reader.peek()? == b']' {
            return Ok(None);
        }
        if self.index > 0 {
            self.reader.scanner.expect(b',', "expected , or ]")?;
        }
        let index = self.index;
        self.index += 1;
        seed.deserialize(&mut *self.reader).map(Some).map_err(|fault| fault.within(Step::Index(index)))
    }
}

struct Members<'r, 'de> {
    reader: &'r mut Reader<'de>,
    first: bool,
    last: Option<HashMap<Cow<'de, str>, usize>>,
    /// The key of the next value.
    key: Cow<'de, str>,
}

impl<'de> MapAccess<'de> for Members<'_, 'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        loop {
            if self.reader.peek()? == b'}' {
                return Ok(None);
            }
            if !std::mem::take(&mut self.first) {
                self.reader.scanner.expect(b',', "expected , or }")?;
            }
            self.reader.peek()?;
            let begin = self.reader.scanner.at();
            let key = self.reader.scanner.key()?;
            if self.last.as_ref().is_none_or(|last| last.get(&key) == Some(&begin)) {
                self.key = key.clone();
                return seed.deserialize(Key(key)).map(Some).map_err(|fault| fault.of_key().or_at(begin));
            }
            self.reader.scanner.skip_value(0)?;
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        seed.deserialize(&mut *self.reader)
            .map_err(|fault| fault.within(Step::Key(std::mem::take(&mut self.key).into_owned())))
    }
}

/// The rest of `{"variant": content}`, after the opening brace.
struct Variant<'r, 'de> {
    reader: &'r mut Reader<'de>,
    name: Cow<'de, str>,
}

impl Variant<'_, '_> {
    fn within(name: Cow<'_, str>) -> impl FnOnce(Fault) -> Fault {
        move |fault| fault.within(Step::Key(name.into_owned()))
    }
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(mut self, seed: V) -> Result<(V::Value, Self), Fault> {
        self.reader.peek()?;
        let begin = self.reader.scanner.at();
        let key = self.reader.scanner.key()?;
        self.name = key.clone();
        let name = seed.deserialize(Key(key)).map_err(|fault| fault.or_at(begin))?;
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        serde::Deserialize::deserialize(self.reader).map_err(Self::within(self.name))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        seed.deserialize(self.reader).map_err(Self::within(self.name))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.reader.deserialize_seq(visitor).map_err(Self::within(self.name))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        self.reader.deserialize_map(visitor).map_err(Self::within(self.name))
    }
}

/// The single member that passes a `RawValue`.
struct Raw<'de>(Option<&'de str>);

impl<'de> MapAccess<'de> for Raw<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        if self.0.is_none() {
            return Ok(None);
        }
        seed.deserialize(BorrowedStrDeserializer::new(RAW_VALUE)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        seed.deserialize(BorrowedStrDeserializer::new(self.0.take().unwrap_or_default()))
    }
}
