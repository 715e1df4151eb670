//! Versions: oslo.messaging's compatibility rule, against a table that oslo.messaging wrote; text form and order.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashSet;

use oxlo_transport::Version;
use serde::Deserialize;

#[derive(Deserialize)]
struct Table {
    /// Implemented, requested, compatible.
    rows: Vec<(Version, Version, bool)>,
}

#[test]
fn agrees_with_the_table_that_oslo_wrote() {
    let table: Table = serde_json::from_str(include_str!("data/version_table.json")).unwrap();
    assert!(table.rows.len() > 400, "the table is cut: {} rows", table.rows.len());
    for (implemented, requested, compatible) in &table.rows {
        assert_eq!(
            requested.is_compatible_with(implemented),
            *compatible,
            "request for {requested} at an implementation of {implemented}"
        );
    }
    assert!(table.rows.iter().any(|(implemented, requested, compatible)| *compatible && implemented != requested));
}

#[test]
fn prints_what_was_given() {
    for text in ["1.2", "1.2.0", "0.0", "10.20.30", "18446744073709551615.1"] {
        let version: Version = text.parse().unwrap();
        assert_eq!(version.to_string(), text);
        let json = serde_json::to_string(&version).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<Version>(&json).unwrap().to_string(), text);
    }
    assert_eq!(Version::new(1, 2).with_revision(0).to_string(), "1.2.0");
    assert_eq!(format!("{:>6}|{:?}", Version::default(), Version::new(3, 4)), "   1.0|Version(3.4)");
}

#[test]
fn a_missing_revision_is_zero_for_order_and_equality() {
    let [short, long, above]: [Version; 3] = ["1.2", "1.2.0", "1.2.1"].map(|text| text.parse().unwrap());
    assert_eq!(short, long);
    assert!(short < above);
    assert_eq!(HashSet::from([short, long, above]).len(), 2);
    assert!(Version::new(1, 9) < Version::new(1, 10));
}

#[test]
fn refuses_other_forms_and_says_what_is_wanted() {
    let refused = [
        "",
        "1",
        "1.",
        ".1",
        "1.2.",
        "1.2.3.4",
        "1.x",
        "a.b",
        "-1.0",
        "+1.0",
        "1. 0",
        " 1.0",
        "1.0 ",
        "01.0",
        "1.00",
        "1.2-rc1",
        "1.2.3-rc1",
        "18446744073709551616.0",
        "١.٠",
    ];
    for text in refused {
        let error = text.parse::<Version>().expect_err(text);
        assert_eq!(error.text(), text);
        assert!(error.to_string().contains("major.minor"), "{error}");
    }
    assert!(serde_json::from_str::<Version>("1.2").is_err());
    assert!(serde_json::from_str::<Version>("null").is_err());
}

#[test]
fn a_long_refused_text_is_cut() {
    let error = "9".repeat(10_000).parse::<Version>().unwrap_err();
    assert!(error.to_string().len() < 200);
}
