//! JSON from Python: agreement with `json.loads`, limits, and that no error quotes the text.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fmt,
    num::NonZeroU8,
};

use oxlo_transport::json::{self, JsonErrorKind, Limits};
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny},
};
use serde_json::{Value, value::RawValue};

/// A value as the parser presents it to a type that accepts any.
#[derive(Debug, Clone, PartialEq)]
enum Any {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Any>),
    Dict(BTreeMap<String, Any>),
}

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Any;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_unit<E>(self) -> Result<Any, E> {
                Ok(Any::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Any, E> {
                Ok(Any::Bool(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Any, E> {
                Ok(Any::Unsigned(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Any, E> {
                Ok(Any::Signed(value))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Any, E> {
                Ok(Any::Float(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<Any, E> {
                Ok(Any::Text(value.to_owned()))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Any, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Any::List(items))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Any, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((key, value)) = map.next_entry()? {
                    members.insert(key, value);
                }
                Ok(Any::Dict(members))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

fn same(ours: &Any, python: &Value) -> bool {
    let value = &python[1];
    match (python[0].as_str().unwrap(), ours) {
        ("null", Any::Null) => true,
        ("bool", Any::Bool(ours)) => value == ours,
        ("int", Any::Unsigned(ours)) => value.as_str().unwrap() == ours.to_string(),
        ("int", Any::Signed(ours)) => value.as_str().unwrap() == ours.to_string(),
        ("int", Any::Float(ours)) => {
            let digits = value.as_str().unwrap();
            let beyond = digits.parse::<u64>().is_err() && digits.parse::<i64>().is_err();
            (beyond && digits.parse::<f64>().unwrap() == *ours) || (digits == "0" && *ours == 0.0)
        }
        ("float", Any::Float(ours)) => {
            let python: f64 = value.as_str().unwrap().parse().unwrap();
            python.to_bits() == ours.to_bits() || (python.is_nan() && ours.is_nan())
        }
        ("str", Any::Text(ours)) => value == ours,
        ("list", Any::List(ours)) => {
            let python = value.as_array().unwrap();
            python.len() == ours.len() && ours.iter().zip(python).all(|(ours, python)| same(ours, python))
        }
        ("dict", Any::Dict(ours)) => {
            let python = value.as_array().unwrap();
            let found = |pair: &Value| ours.get(pair[0].as_str().unwrap()).is_some_and(|ours| same(ours, &pair[1]));
            python.len() == ours.len() && python.iter().all(found)
        }
        _ => false,
    }
}

#[test]
fn agrees_with_python_over_the_corpus() {
    let rows: Vec<(String, Option<Value>)> = serde_json::from_str(include_str!("data/json_corpus.json")).unwrap();
    let taken = rows.iter().filter(|(_, python)| python.is_some()).count();
    assert!(rows.len() > 1_000 && taken > 200, "the corpus is truncated: {} rows, {taken} taken", rows.len());
    for (text, python) in &rows {
        let ours = json::from_str::<Any>(text);
        match python {
            Some(python) => {
                let ours = ours.unwrap_or_else(|error| panic!("Python takes {text:?}: {error}"));
                assert!(same(&ours, python), "{text:?} is {ours:?}, in Python {python}");
            }
            None => {
                let error = ours.expect_err(text);
                assert!(error.offset().unwrap() <= text.len() && !error.is_data(), "{text:?}: {error}");
            }
        }
        assert_eq!(json::validate(text, Limits::default()).is_ok(), python.is_some(), "{text:?}");

        let mut members = BTreeMap::new();
        let walked = json::raw_members(text, Limits::default(), |key, value| {
            members.insert(key.into_owned(), json::from_str::<Any>(value).unwrap());
        });
        match python {
            Some(python) if python[0] == "dict" => {
                walked.unwrap();
                assert!(same(&Any::Dict(members), python), "{text:?}");
            }
            _ => assert!(walked.is_err(), "{text:?}"),
        }
    }
}

#[test]
fn special_numbers_reach_typed_fields() {
    #[derive(Deserialize)]
    struct Numbers {
        nan: f64,
        high: f32,
        low: Option<f64>,
        huge: f64,
        zero: i32,
        id: u128,
        below: i128,
    }
    let text = r#"{"nan":NaN,"high":Infinity,"low":-Infinity,"huge":1e400,"zero":-0,
        "id":340282366920938463463374607431768211455,"below":-170141183460469231731687303715884105728}"#;
    let read: Numbers = json::from_str(text).unwrap();
    assert!(read.nan.is_nan());
    assert_eq!((read.high, read.low, read.huge), (f32::INFINITY, Some(f64::NEG_INFINITY), f64::INFINITY));
    assert_eq!((read.zero, read.id, read.below), (0, u128::MAX, i128::MIN));

    assert_eq!(
        json::from_str::<Value>("[NaN,1e400,\"\\ud800\"]").unwrap(),
        serde_json::json!([null, null, "\u{fffd}"])
    );
    assert_eq!(json::from_str::<Value>("123456789012345678901").unwrap(), serde_json::json!(123456789012345678901.0));
    for text in ["NaN", "1.0", "1e400", "18446744073709551616", "-1"] {
        assert!(json::from_str::<u64>(text).unwrap_err().is_data(), "{text}");
    }
}

#[test]
fn the_last_of_several_equal_keys_counts_for_structs_too() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        a: u8,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Outer {
        inner: Inner,
        list: Vec<Inner>,
        map: HashMap<String, Inner>,
    }
    let text =
        r#"{"inner":{"a":1,"\u0061":2},"list":[],"map":{"k":{"a":3},"k":{"a":4,"a":5}},"list":[{"a":6,"b":0,"a":7}]}"#;
    let expected = Outer {
        inner: Inner { a: 2 },
        list: vec![Inner { a: 7 }],
        map: HashMap::from([("k".to_owned(), Inner { a: 5 })]),
    };
    assert_eq!(json::from_str::<Outer>(text).unwrap(), expected);
}

#[test]
fn raw_members_are_slices_of_the_text() {
    let text = "  {\"a\" : [1, NaN ,{}] , \"\\u00e9\":\"x\\ud800\",\"a\": 2e400 ,\"o\":{ }\n}\t";
    let mut members = Vec::new();
    json::raw_members(text, Limits::default(), |key, value| members.push((key, value))).unwrap();
    let expected = [("a", "[1, NaN ,{}]"), ("é", "\"x\\ud800\""), ("a", "2e400"), ("o", "{ }")];
    assert!(members.iter().map(|(key, value)| (&**key, *value)).eq(expected), "{members:?}");
    assert!(matches!(members[0].0, Cow::Borrowed(_)));
    for (_, value) in members {
        assert!(text.as_bytes().as_ptr_range().contains(&value.as_ptr()));
    }
    for text in ["", "[]", "1", "{} {}", "{\"a\":1}x", "{\"a\":[}", "{\"a\" 1}", "{", "{\"a\":1,}"] {
        assert!(json::raw_members(text, Limits::default(), |_, _| {}).is_err(), "{text}");
    }
}

#[test]
fn raw_values_keep_what_python_wrote() {
    #[derive(Deserialize)]
    struct Kept {
        args: Box<RawValue>,
    }
    let kept: Kept = json::from_str(r#"{"args": {"x": [NaN, "\ud800"]}, "other": -Infinity}"#).unwrap();
    assert_eq!(kept.args.get(), r#"{"x": [NaN, "\ud800"]}"#);
}

#[test]
fn depth_is_limited_at_exactly_the_limit() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| {
            let inner = if open == "[" { "" } else { "1" };
            format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
        };
        for depth in [127, 128, 129] {
            let text = nested(depth);
            let taken = depth <= 128;
            assert_eq!(json::from_str::<Value>(&text).is_ok(), taken, "{depth}");
            assert_eq!(json::validate(&text, Limits::default()).is_ok(), taken, "{depth}");
        }
        let error = json::from_str::<Value>(&nested(129)).unwrap_err();
        assert_eq!(error.kind(), &JsonErrorKind::TooDeep { max_depth: 128 });
        assert_eq!(error.offset(), Some(open.len() * 128));

        for limit in [0, 1, 5, 126, 200, 512] {
            let limits = Limits::default().with_max_depth(limit);
            assert!(json::from_slice_with::<Value>(nested(limit + 1).as_bytes(), limits).is_err(), "{limit}");
            if limit > 0 {
                assert!(json::from_slice_with::<Value>(nested(limit).as_bytes(), limits).is_ok(), "{limit}");
            }
        }
        let beyond = Limits::default().with_max_depth(usize::MAX);
        assert!(json::from_slice_with::<Value>(nested(512).as_bytes(), beyond).is_ok());
        assert!(json::from_slice_with::<Value>(nested(513).as_bytes(), beyond).is_err());
    }
    let members = |depth: usize| {
        let text = format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        json::raw_members(&text, Limits::default(), |_, _| {}).is_ok()
    };
    assert!(members(127) && !members(128));
    assert!(json::raw_members("{}", Limits::default().with_max_depth(0), |_, _| {}).is_err());
}

#[test]
fn hostile_depth_is_refused_where_it_passes_the_limit() {
    for open in ["[", "{\"a\":"] {
        let text = open.repeat(16 * 1024 * 1024 / open.len());
        let refused = [
            json::from_str::<Value>(&text).unwrap_err(),
            json::validate(&text, Limits::default()).unwrap_err(),
            json::raw_members(&format!("{{\"a\":{}", &text[30..]), Limits::default(), |_, _| {}).unwrap_err(),
        ];
        for error in refused {
            assert_eq!(error.kind(), &JsonErrorKind::TooDeep { max_depth: 128 });
            // No byte beyond the limit was read.
            assert!(error.offset().unwrap() <= 128 * open.len() + 6, "{error}");
        }
    }
}

#[test]
fn length_is_limited_before_anything_is_read() {
    let limits = Limits::default().with_max_bytes(4);
    assert!(json::from_slice_with::<Value>(b"1234", limits).is_ok());
    let error = json::from_slice_with::<Value>(b"12345", limits).unwrap_err();
    assert_eq!(error.to_string(), "JSON is longer than 4 bytes");
    assert!(json::validate("12345", limits).is_err());
    assert!(json::raw_members("{\"\":1}", limits, |_, _| {}).is_err());
}

#[test]
fn errors_name_the_place_and_never_the_content() {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Login {
        user: String,
        age: u8,
        kind: Option<Kind>,
        #[serde(default, deserialize_with = "picky")]
        picky: (),
    }
    #[derive(Debug, Deserialize)]
    enum Kind {
        Admin,
        Guest,
    }
    fn picky<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
        let text = String::deserialize(deserializer)?;
        Err(de::Error::custom(format!("bad value {text}")))
    }
    let cases = [
        ("{\"user\": \"x\",\n \"age\": \"hunter2\"}", "at `age`: expected an integer from 0 to 255, got a string"),
        (
            "{\"user\": \"x\", \"age\": 777}",
            "at `age`: expected an integer from 0 to 255, got an integer outside that range",
        ),
        (
            "{\"user\": \"x\", \"age\": 1, \"hunter2\": 1}",
            "got an unknown field, expected one of: user, age, kind, picky",
        ),
        (
            "{\"user\": \"x\", \"age\": 1, \"kind\": \"hunter2\"}",
            "at `kind`: expected one of Admin, Guest, got an unknown name",
        ),
        ("{\"user\": \"x\", \"age\": 1, \"picky\": \"hunter2\"}", "at `picky`: the type refused the value"),
        ("{\"user\": \"hunter2\"}", "at `age`: the field is missing"),
        ("{\"user\": \"hunter2\", \"age\": 1", "unexpected end of JSON at line 1, column 29 (byte 28)"),
        ("{\"user\": hunter2}", "malformed: expected a value at line 1, column 10 (byte 9)"),
        ("\"hunter2\"", "JSON does not match the type: expected an object, got a string"),
        ("[\"hunter2\"]", "expected an object, got 1 element"),
    ];
    for (text, expected) in cases {
        let error = json::from_str::<Login>(text).unwrap_err();
        assert!(error.to_string().contains(expected), "{text}: {error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    let error = json::from_slice::<Value>(b"\"hunter2\xff\"").unwrap_err();
    assert_eq!(error.to_string(), "JSON is not UTF-8 at line 1, column 9 (byte 8)");
}

#[test]
fn errors_name_the_path_in_the_terms_of_json() {
    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Order {
        amount: u32,
        #[serde(default)]
        items: Vec<Item>,
        #[serde(default)]
        prices: HashMap<String, (i8, f64)>,
        #[serde(default)]
        by_id: HashMap<i16, bool>,
        #[serde(default)]
        shape: Option<Shape>,
        #[serde(default)]
        parts: Option<NonZeroU8>,
        #[serde(default)]
        unit: (),
    }
    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Item {
        size: Option<u64>,
        name: char,
    }
    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    enum Shape {
        Circle(f32),
        Line(i64, i64),
        Square { side: u16 },
    }
    let cases = [
        (r#""amount": "x""#, "amount", "expected an integer from 0 to 4294967295, got a string"),
        (r#""amount": 1.5"#, "amount", "expected an integer from 0 to 4294967295, got a floating-point number"),
        (r#""amount": NaN"#, "amount", "expected an integer from 0 to 4294967295, got a non-finite number"),
        (r#""amount": -1"#, "amount", "expected an integer from 0 to 4294967295, got an integer outside that range"),
        (r#""amount": true"#, "amount", "expected an integer from 0 to 4294967295, got a boolean"),
        (r#""amount": 1, "items": {}"#, "items", "expected an array, got an object"),
        (
            r#""amount": 1, "items": [{"name": "a"}, {"name": "b", "size": []}]"#,
            "items[1].size",
            "expected an integer from 0 to 18446744073709551615, got an array",
        ),
        (
            r#""amount": 1, "items": [{"name": "ab"}]"#,
            "items[0].name",
            "expected a string of one character, got a string with an invalid value",
        ),
        (r#""amount": 1, "items": [{}]"#, "items[0].name", "the field is missing"),
        (r#""amount": 1, "items": [null]"#, "items[0]", "expected an object, got null"),
        (r#""amount": 1, "prices": {"a b": [1, "x"]}"#, "prices[\"a b\"][1]", "expected a number, got a string"),
        (r#""amount": 1, "prices": {"p": [1]}"#, "prices.p", "expected an array of 2 elements, got 1 element"),
        (
            r#""amount": 1, "by_id": {"x": true}"#,
            "by_id",
            "a key of the object: expected an integer from -32768 to 32767, got a string",
        ),
        (r#""amount": 1, "by_id": {"7": 1}"#, "by_id.7", "expected a boolean, got an integer"),
        (r#""amount": 1, "shape": {"Circle": "x"}"#, "shape.Circle", "expected a number, got a string"),
        (
            r#""amount": 1, "shape": {"Line": [1, "x"]}"#,
            "shape.Line[1]",
            "expected an integer from -9223372036854775808 to 9223372036854775807, got a string",
        ),
        (
            r#""amount": 1, "shape": {"Square": {"side": -1}}"#,
            "shape.Square.side",
            "expected an integer from 0 to 65535, got an integer outside that range",
        ),
        (r#""amount": 1, "shape": "Round""#, "shape", "expected one of Circle, Line, Square, got an unknown name"),
        (r#""amount": 1, "shape": 7"#, "shape", "expected the name of a variant, got an integer"),
        (r#""amount": 1, "parts": 0"#, "parts", "expected an integer from 1 to 255, got an integer outside that range"),
        (r#""amount": 1, "unit": 1"#, "unit", "expected null, got an integer"),
        (r#""items": []"#, "amount", "the field is missing"),
    ];
    for (members, path, problem) in cases {
        let error = json::from_str::<Order>(&format!("{{{members}}}")).unwrap_err();
        assert_eq!((error.path().as_str(), error.kind().to_string().as_str()), (path, problem), "{members}");
        assert_eq!(error.to_string(), format!("JSON does not match the type at `{path}`: {problem}"));
    }
}

#[test]
fn escaping_is_what_python_writes() {
    let text = "a\"b\\c/\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}\u{80}é€😀\u{ffff}~ ";
    let mut out = b"{\"x\": ".to_vec();
    json::escape_into(&mut out, text);
    let python = r#"{"x": "a\"b\\c/\b\f\n\r\t\u0000\u001f\u007f\u0080\u00e9\u20ac\ud83d\ude00\uffff~ ""#;
    assert_eq!(String::from_utf8(out).unwrap(), python);
}

#[test]
fn ignoring_still_checks_the_grammar() {
    assert!(json::from_str::<IgnoredAny>("[NaN, {\"a\": 1e400}]").is_ok());
    assert!(json::from_str::<IgnoredAny>("[NaN, {\"a\": 1e400}").is_err());
}
