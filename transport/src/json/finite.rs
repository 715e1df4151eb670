//! Encoding of values with non-finite floats. JSON cannot represent them; `serde_json` writes `null`, and Python writes
//! `NaN`, `Infinity` and `-Infinity`.
//!
//! A serializer that wraps `serde_json`'s checks each float. The path is only built after one was refused.

use std::{
    cell::{Cell, RefCell},
    fmt::Display,
};

use serde::{
    Serialize,
    ser::{
        Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant, Serializer,
    },
};

use super::path::{Path, Step};
use crate::settings::NonFinite;

/// The struct name by which `serde_json` recognizes raw text.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// Appends the encoded `value` to `text`.
///
/// # Errors
///
/// [`serde_json::Error`] if the value has no JSON representation, or contains a non-finite float that `non_finite` refuses;
/// the error then has its path.
pub(crate) fn write<T: Serialize + ?Sized>(
    text: &mut Vec<u8>,
    value: &T,
    non_finite: NonFinite,
) -> Result<(), serde_json::Error> {
    let notes = Notes { non_finite, number: Cell::new(None), path: RefCell::default() };
    let written = value.serialize(Writer { inner: &mut serde_json::Serializer::new(text), notes: &notes });
    written.map_err(|error| notes.explain(error))
}

/// Converts `value` to a tree, which cannot contain a non-finite float.
///
/// # Errors
///
/// As [`write`] with [`NonFinite::Refuse`].
pub(crate) fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<serde_json::Value, serde_json::Error> {
    let notes = Notes { non_finite: NonFinite::Refuse, number: Cell::new(None), path: RefCell::default() };
    value
        .serialize(Writer { inner: serde_json::value::Serializer, notes: &notes })
        .map_err(|error| notes.explain(error))
}

fn refusal(path: &Path, number: &str) -> String {
    let path = path.to_string();
    let place = if path.is_empty() { "the value".to_owned() } else { format!("`{path}`") };
    format!("{place} is {number}, which JSON cannot represent: send null with an Option, or set non_finite to AsPython")
}

struct Notes {
    non_finite: NonFinite,
    /// The refused number.
    number: Cell<Option<&'static str>>,
    path: RefCell<Path>,
}

impl Notes {
    fn explain(&self, error: serde_json::Error) -> serde_json::Error {
        match self.number.get() {
            Some(number) => serde_json::Error::custom(refusal(&self.path.borrow(), number)),
            None => error,
        }
    }

    /// Called for each value that contains the refused one, from the inside out.
    fn within<O, E>(&self, result: Result<O, E>, step: impl FnOnce() -> Step) -> Result<O, E> {
        if result.is_err() && self.number.get().is_some() {
            self.path.borrow_mut().push_outer(step());
        }
        result
    }
}

/// Python's name of a non-finite number.
fn named(number: f64) -> Option<&'static str> {
    match number {
        _ if number.is_finite() => None,
        _ if number.is_nan() => Some("NaN"),
        _ if number > 0.0 => Some("Infinity"),
        _ => Some("-Infinity"),
    }
}

struct Writer<'a, S> {
    inner: S,
    notes: &'a Notes,
}

impl<S: Serializer> Writer<'_, S> {
    fn float(self, number: f64, write: impl FnOnce(S) -> Result<S::Ok, S::Error>) -> Result<S::Ok, S::Error> {
        match (named(number), self.notes.non_finite) {
            (None, _) => write(self.inner),
            (Some(name), NonFinite::AsPython) => {
                let mut raw = self.inner.serialize_struct(RAW_VALUE, 1)?;
                raw.serialize_field(RAW_VALUE, name)?;
                raw.end()
            }
            (Some(name), NonFinite::Refuse) => {
                self.notes.number.set(Some(name));
                Err(S::Error::custom("non-finite number"))
            }
        }
    }
}

/// A value inside another one.
struct Inner<'a, T: ?Sized> {
    value: &'a T,
    notes: &'a Notes,
}

impl<T: Serialize + ?Sized> Serialize for Inner<'_, T> {
    fn serialize<S: Serializer>(&self, inner: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(Writer { inner, notes: self.notes })
    }
}

/// An array or an object being encoded.
struct Compound<'a, C> {
    inner: C,
    notes: &'a Notes,
    /// The name of the variant, if this is its content.
    variant: Option<&'static str>,
    index: usize,
}

impl<C> Compound<'_, C> {
    fn in_variant<O, E>(&self, result: Result<O, E>) -> Result<O, E> {
        match self.variant {
            Some(variant) => self.notes.within(result, || Step::Key(variant.to_owned())),
            None => result,
        }
    }
}

macro_rules! forward {
    ($($method:ident($ty:ty))*) => {$(
        fn $method(self, value: $ty) -> Result<S::Ok, S::Error> {
            self.inner.$method(value)
        }
    )*};
}

macro_rules! begin {
    ($($method:ident($($arg:ident: $ty:ty),*) -> $compound:ident, variant $variant:expr;)*) => {$(
        fn $method(self, $($arg: $ty),*) -> Result<Self::$compound, S::Error> {
            let inner = self.inner.$method($($arg),*)?;
            Ok(Compound { inner, notes: self.notes, variant: $variant, index: 0 })
        }
    )*};
}

impl<'a, S: Serializer> Serializer for Writer<'a, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Compound<'a, S::SerializeSeq>;
    type SerializeTuple = Compound<'a, S::SerializeTuple>;
    type SerializeTupleStruct = Compound<'a, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Compound<'a, S::SerializeTupleVariant>;
    type SerializeMap = Compound<'a, S::SerializeMap>;
    type SerializeStruct = Compound<'a, S::SerializeStruct>;
    type SerializeStructVariant = Compound<'a, S::SerializeStructVariant>;

    forward! {
        serialize_bool(bool) serialize_char(char) serialize_str(&str) serialize_bytes(&[u8])
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_u128(u128)
        serialize_unit_struct(&'static str)
    }

    fn serialize_f32(self, number: f32) -> Result<S::Ok, S::Error> {
        self.float(number.into(), |inner| inner.serialize_f32(number))
    }

    fn serialize_f64(self, number: f64) -> Result<S::Ok, S::Error> {
        self.float(number, |inner| inner.serialize_f64(number))
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit()
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_none()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.serialize_some(&Inner { value, notes: self.notes })
    }

    fn serialize_unit_variant(self, name: &'static str, at: u32, variant: &'static str) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit_variant(name, at, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.serialize_newtype_struct(name, &Inner { value, notes: self.notes })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        at: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let notes = self.notes;
        let written = self.inner.serialize_newtype_variant(name, at, variant, &Inner { value, notes });
        notes.within(written, || Step::Key(variant.to_owned()))
    }

    begin! {
        serialize_seq(len: Option<usize>) -> SerializeSeq, variant None;
        serialize_tuple(len: usize) -> SerializeTuple, variant None;
        serialize_tuple_struct(name: &'static str, len: usize) -> SerializeTupleStruct, variant None;
        serialize_map(len: Option<usize>) -> SerializeMap, variant None;
        serialize_struct(name: &'static str, len: usize) -> SerializeStruct, variant None;
        serialize_tuple_variant(
            name: &'static str, at: u32, variant: &'static str, len: usize
        ) -> SerializeTupleVariant, variant Some(variant);
        serialize_struct_variant(
            name: &'static str, at: u32, variant: &'static str, len: usize
        ) -> SerializeStructVariant, variant Some(variant);
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! elements {
    ($($compound:ident::$method:ident)*) => {$(
        impl<C: $compound> $compound for Compound<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                let index = self.index;
                self.index += 1;
                let written = self.inner.$method(&Inner { value, notes: self.notes });
                let written = self.notes.within(written, || Step::Index(index));
                self.in_variant(written)
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        }
    )*};
}

elements! {
    SerializeSeq::serialize_element
    SerializeTuple::serialize_element
    SerializeTupleStruct::serialize_field
    SerializeTupleVariant::serialize_field
}

macro_rules! fields {
    ($($compound:ident)*) => {$(
        impl<C: $compound> $compound for Compound<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), C::Error> {
                let written = self.inner.serialize_field(key, &Inner { value, notes: self.notes });
                let written = self.notes.within(written, || Step::Key(key.to_owned()));
                self.in_variant(written)
            }

            fn skip_field(&mut self, key: &'static str) -> Result<(), C::Error> {
                self.inner.skip_field(key)
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        }
    )*};
}

fields!(SerializeStruct SerializeStructVariant);

impl<C: SerializeMap> SerializeMap for Compound<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        self.inner.serialize_key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        let written = self.inner.serialize_value(&Inner { value, notes: self.notes });
        self.notes.within(written, || Step::Key("*".to_owned()))
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), C::Error> {
        let written = self.inner.serialize_entry(key, &Inner { value, notes: self.notes });
        self.notes.within(written, || Step::Key(text_of(key)))
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}

/// A key as encoded in the object.
fn text_of<K: Serialize + ?Sized>(key: &K) -> String {
    let json = serde_json::to_string(key).unwrap_or_default();
    serde_json::from_str(&json).unwrap_or(json)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::{Value, value::RawValue};

    use super::*;

    #[derive(Serialize)]
    struct Load {
        host: &'static str,
        average: [f64; 2],
        by_core: BTreeMap<u8, f32>,
        shape: Shape,
        rest: Option<Box<Load>>,
    }

    #[derive(Serialize)]
    enum Shape {
        Unit,
        Newtype(f64),
        Tuple(u8, f64),
        Struct { x: f64 },
    }

    #[derive(Serialize)]
    struct Flat {
        #[serde(flatten)]
        load: BTreeMap<String, f64>,
    }

    fn load(average: f64) -> Load {
        Load { host: "h", average: [0.5, average], by_core: BTreeMap::new(), shape: Shape::Unit, rest: None }
    }

    fn written(value: &impl Serialize, non_finite: NonFinite) -> Result<String, String> {
        let mut text = Vec::new();
        write(&mut text, value, non_finite).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(text).unwrap())
    }

    fn refused(value: &impl Serialize) -> String {
        let text = written(value, NonFinite::Refuse).unwrap_err();
        text.split(", which").next().unwrap().to_owned()
    }

    #[test]
    fn a_non_finite_number_is_refused_with_its_path() {
        assert_eq!(refused(&f64::NAN), "the value is NaN");
        assert_eq!(refused(&f32::INFINITY), "the value is Infinity");
        assert_eq!(refused(&load(f64::NEG_INFINITY)), "`average[1]` is -Infinity");
        let cores = BTreeMap::from([(0, 0.5), (1, f32::NAN)]);
        assert_eq!(refused(&Load { by_core: cores, ..load(0.0) }), "`by_core.1` is NaN");
        let nested = Load { rest: Some(Box::new(load(f64::NAN))), ..load(0.0) };
        assert_eq!(refused(&BTreeMap::from([("a b", vec![nested])])), r#"["a b"][0].rest.average[1]"#.join_is_nan());
        for (shape, place) in [
            (Shape::Newtype(f64::NAN), "shape.Newtype"),
            (Shape::Tuple(1, f64::NAN), "shape.Tuple[1]"),
            (Shape::Struct { x: f64::NAN }, "shape.Struct.x"),
        ] {
            assert_eq!(refused(&Load { shape, ..load(0.0) }), place.join_is_nan());
        }
        assert_eq!(refused(&Flat { load: BTreeMap::from([("x".to_owned(), f64::NAN)]) }), "`x` is NaN");
    }

    trait JoinIsNan {
        fn join_is_nan(&self) -> String;
    }

    impl JoinIsNan for str {
        fn join_is_nan(&self) -> String {
            format!("`{self}` is NaN")
        }
    }

    #[test]
    fn a_non_finite_number_can_be_encoded_as_in_python() {
        let numbers = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.5];
        assert_eq!(written(&numbers, NonFinite::AsPython).unwrap(), "[NaN,Infinity,-Infinity,1.5]");
        assert_eq!(written(&Some(f32::NAN), NonFinite::AsPython).unwrap(), "NaN");
        let shape = Shape::Struct { x: f64::NAN };
        assert_eq!(written(&shape, NonFinite::AsPython).unwrap(), r#"{"Struct":{"x":NaN}}"#);
    }

    #[test]
    fn a_tree_with_a_non_finite_number_is_refused() {
        assert_eq!(to_value(&load(0.5)).unwrap(), serde_json::to_value(load(0.5)).unwrap());
        let refused = to_value(&load(f64::NAN)).unwrap_err().to_string();
        assert!(refused.starts_with("`average[1]` is NaN, "), "{refused}");
    }

    #[test]
    fn the_deepest_decodable_nesting_is_encoded() {
        let deepest = (1..crate::json::Limits::DEEPEST).fold(Value::Array(Vec::new()), |inner, depth| {
            if depth % 2 == 0 { Value::Array(vec![inner]) } else { serde_json::json!({ "a": inner }) }
        });
        let text = written(&deepest, NonFinite::Refuse).unwrap();
        assert_eq!(text.matches(['[', '{']).count(), crate::json::Limits::DEEPEST);
    }

    #[test]
    fn other_errors_are_unchanged() {
        let keys = BTreeMap::from([((1, 2), 3)]);
        let ours = written(&keys, NonFinite::Refuse).unwrap_err();
        assert_eq!(ours, serde_json::to_string(&keys).unwrap_err().to_string());
    }

    #[test]
    fn raw_text_is_unchanged() {
        let raw = RawValue::from_string("[1,  2]".to_owned()).unwrap();
        assert_eq!(written(&[raw], NonFinite::Refuse).unwrap(), "[[1,  2]]");
    }

    proptest! {
        #[test]
        fn other_values_are_encoded_as_by_serde_json(
            text: String, number: i64, float in any::<f64>().prop_filter("finite", |float| float.is_finite()), flag: bool,
        ) {
            let value = serde_json::json!({"t": [text, number, null], "f": {"x": float, "b": flag}});
            let typed = (text.as_str(), number, Some(float), load(float), 'c', u128::MAX, ());
            for non_finite in [NonFinite::Refuse, NonFinite::AsPython] {
                prop_assert_eq!(written(&value, non_finite).unwrap(), value.to_string());
                prop_assert_eq!(written(&typed, non_finite).unwrap(), serde_json::to_string(&typed).unwrap());
            }
            prop_assert_eq!(serde_json::from_str::<Value>(&written(&value, NonFinite::Refuse).unwrap()).unwrap(), value);
        }
    }
}
