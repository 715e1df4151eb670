//! The lenient parser compared with `serde_json`: the same result and value for all plain JSON.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Map, Value};

use super::*;

fn tolerant<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, JsonError> {
    from_slice_lenient(text.as_bytes(), Limits::default())
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no others", |number| number.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[\\\\\"\u{0}-\u{20}é😀]{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Unit,
    Newtype(u8),
    Tuple(i8, String),
    Struct { a: Option<f32>, b: [u16; 2] },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wrapper(Vec<Shape>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Either {
    Number(i64),
    Text(String),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    A { x: i64 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    shapes: Wrapper,
    unit: (),
    tuple: (u8, char, bool),
    numbers: BTreeMap<i64, u128>,
    flags: HashMap<bool, i128>,
    keyed: BTreeMap<Option<String>, Either>,
    tagged: Tagged,
    nothing: Option<String>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[test]
fn every_kind_of_type_is_decoded() {
    let everything = Everything {
        shapes: Wrapper(vec![
            Shape::Unit,
            Shape::Newtype(1),
            Shape::Tuple(-2, "é\n".into()),
            Shape::Struct { a: Some(0.1), b: [1, 2] },
            Shape::Struct { a: None, b: [0, u16::MAX] },
        ]),
        unit: (),
        tuple: (255, '😀', true),
        numbers: BTreeMap::from([(-5, 0), (7, u128::from(u64::MAX) + 5)]),
        flags: HashMap::from([(true, i128::from(i64::MIN) - 5), (false, 0)]),
        keyed: BTreeMap::from([(Some("k".into()), Either::Number(1)), (Some("l".into()), Either::Text("t".into()))]),
        tagged: Tagged::A { x: 5 },
        nothing: None,
        rest: BTreeMap::from([("other".into(), serde_json::json!({"a": [1.5, null]}))]),
    };
    // Flattened types use serde's buffer, which has no 128-bit integers, so they are tested separately.
    let text = serde_json::to_string(&everything.shapes).unwrap();
    assert_eq!(tolerant::<Wrapper>(&text).unwrap(), everything.shapes);
    let text = serde_json::to_string(&everything.numbers).unwrap();
    assert_eq!(tolerant::<BTreeMap<i64, u128>>(&text).unwrap(), everything.numbers);
    let text = serde_json::to_string(&everything).unwrap();
    assert_eq!(tolerant::<Everything>(&text).unwrap(), everything);
}

#[test]
fn borrowed_text_stays_borrowed() {
    let read: (&str, Cow) = tolerant("[\"plain\", \"esc\\n\"]").unwrap();
    assert_eq!(read, ("plain", Cow("esc\n".into())));
    assert!(tolerant::<&str>("\"esc\\n\"").unwrap_err().is_data());
}

#[derive(Debug, PartialEq, Deserialize)]
struct Cow<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

#[test]
fn a_value_with_trailing_text_is_an_error() {
    assert!(tolerant::<(u8, u8)>("[1, 2, 3]").is_err());
    assert!(tolerant::<(u8, u8)>("[1]").is_err());
    assert!(tolerant::<Shape>("{\"Newtype\": 1, \"Unit\": null}").is_err());
    assert!(tolerant::<Shape>("{}").is_err());
    assert!(tolerant::<HashMap<i64, u8>>("{\"01\": 1}").is_err());
    assert!(tolerant::<HashMap<bool, u8>>("{\"True\": 1}").is_err());
}

/// Whether a text is plain JSON, without values that only Python accepts.
fn strict(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn text_from_serde_json_is_decoded(value in value()) {
        let compact = value.to_string();
        prop_assert_eq!(&tolerant::<Value>(&compact).unwrap(), &value);
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(&tolerant::<Value>(&pretty).unwrap(), &value);
    }

    #[test]
    fn everything_that_serde_json_accepts_is_accepted(text in "[\\[\\]{}\",:\\\\u0-9a-f eE.+\\-nulltrefasNI\n]{0,24}") {
        let ours = tolerant::<Value>(&text);
        match serde_json::from_str::<Value>(&text) {
            Ok(theirs) => prop_assert_eq!(ours.unwrap(), theirs),
            Err(_) if ours.is_ok() => {
                let reasons = ["NaN", "Infinity", "\\u", "e", "E"];
                prop_assert!(reasons.iter().any(|reason| text.contains(reason)), "{:?}", text);
            }
            Err(_) => {}
        }
        let _ = raw_members(&text, Limits::default(), |_, _| {});
    }

    #[test]
    fn any_bytes_are_decoded_or_refused_with_a_position(bytes: Vec<u8>) {
        if let Err(error) = from_slice::<Value>(&bytes) {
            prop_assert!(error.offset().unwrap() <= bytes.len());
        }
    }

    #[test]
    fn a_truncated_text_is_incomplete(value in value(), at: prop::sample::Index) {
        let text = Value::from(vec![value]).to_string();
        let cut = (0..=at.index(text.len())).rev().find(|cut| text.is_char_boundary(*cut)).unwrap();
        let error = validate(&text[..cut], Limits::default()).unwrap_err();
        prop_assert_eq!(error.kind(), &JsonErrorKind::Incomplete);
        prop_assert_eq!(error.offset(), Some(cut));
    }

    #[test]
    fn members_are_those_of_the_value(map in prop::collection::btree_map(any::<String>(), value(), 0..8)) {
        let text = serde_json::to_string(&map).unwrap();
        let mut members = BTreeMap::new();
        raw_members(&text, Limits::default(), |key, raw| {
            members.insert(key.into_owned(), serde_json::from_str::<Value>(raw).unwrap());
        }).unwrap();
        prop_assert_eq!(members, map);
    }

    #[test]
    fn escaped_text_is_ascii_and_decodes_to_the_same(text: String) {
        let mut out = Vec::new();
        escape_into(&mut out, &text);
        prop_assert!(out.iter().all(|byte| (b' '..=b'~').contains(byte)));
        prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text.as_str());
        let mut read = Vec::new();
        prop_assert_eq!(unescape_into(&mut read, &out[1..]), Some(out.len() - 2));
        prop_assert_eq!(read, text.as_bytes());
    }

    #[test]
    fn validate_agrees_with_serde_json_on_plain_json(value in value(), at: prop::sample::Index, put in "[\\[\\]{}\",:0-9 ]") {
        let mut text = Value::from(vec![value]).to_string();
        let at = (0..=at.index(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        text.insert_str(at, &put);
        // Inserted digits can produce a number that only Python accepts.
        if strict(&text) || put.bytes().all(|byte| !byte.is_ascii_digit()) {
            prop_assert_eq!(validate(&text, Limits::default()).is_ok(), strict(&text), "{}", text);
        }
    }
}
