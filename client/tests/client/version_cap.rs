//! The versions that each cap allows.

use oxlo_client::CallError;
use serde::Deserialize;
use serde_json::Value;

use crate::fake::{Fake, calculator, ctxt};

/// Cases of Python's `version_is_compatible`: the cap, the version, and whether it may be sent.
fn python() -> Vec<(String, String, bool)> {
    #[derive(Deserialize)]
    struct Table {
        rows: Vec<(String, String, bool)>,
    }
    let table = include_str!("../../../transport/tests/data/version_table.json");
    serde_json::from_str::<Table>(table).expect("the table that Python made").rows
}

#[test]
fn can_send_version_agrees_with_python() {
    let rows = python();
    assert!(rows.len() > 100, "{}", rows.len());
    let client = calculator(&Fake::new());
    for (cap, version, compatible) in rows {
        let can = client.prepare().version_cap(cap.as_str()).can_send_version(Some(&version));
        assert_eq!(can, compatible, "{version} under cap {cap}");
    }
}

#[tokio::test]
async fn a_request_is_sent_if_its_version_can_be_sent() {
    let fake = Fake::new();
    for (cap, version, compatible) in python() {
        let client = calculator(&fake).version(version.as_str()).version_cap(cap.as_str());
        let cast = client.cast(&ctxt(), "add", ()).await;
        assert_eq!(cast.is_ok(), compatible, "{version} under cap {cap}");
        assert_eq!(fake.handed().len(), usize::from(compatible));
        if let Err(error) = cast {
            assert!(matches!(error, CallError::VersionCap { .. }), "{error:?}");
        }
    }
}

#[tokio::test]
async fn with_and_without_version_and_cap() {
    // As in oslo.messaging's tests: without a cap any version may be sent, a cap needs a version.
    for (version, cap, passes) in [
        (None, None, true),
        (Some("1.1"), None, true),
        (None, Some("1.1"), false),
        (Some("1.1"), Some("1.1"), true),
        (Some("1.0"), Some("1.1"), true),
        (Some("1.2"), Some("1.1"), false),
        (Some("2.0"), Some("1.1"), false),
        (Some("1.0"), Some("2.0"), false),
        (Some("0.9"), Some("1.0"), false),
        (Some("1.1.1"), Some("1.1"), false),
        (Some("1.1"), Some("1.1.1"), true),
        (Some("1.0.9"), Some("1.1"), true),
    ] {
        let fake = Fake::new();
        let mut client = calculator(&fake);
        if let Some(version) = version {
            client = client.version(version);
        }
        if let Some(cap) = cap {
            client = client.version_cap(cap);
        }
        let case = format!("version {version:?} under cap {cap:?}");
        assert_eq!(client.can_send_version(version), passes, "{case}");
        assert_eq!(client.call::<Value>(&ctxt(), "add", ()).await.is_ok(), passes, "{case}");
        assert_eq!(client.start::<Value>(&ctxt(), "add", ()).await.is_ok(), passes, "{case}");
        assert_eq!(client.cast(&ctxt(), "add", ()).await.is_ok(), passes, "{case}");
        assert_eq!(fake.handed().len(), if passes { 3 } else { 0 }, "{case}");
    }
}

#[test]
fn an_unparsable_version_fits_no_cap() {
    let client = calculator(&Fake::new());
    assert!(client.can_send_version(None));
    assert!(client.can_send_version(Some("1")), "without a cap nobody asks");
    let capped = client.version_cap("1.4");
    assert_eq!(capped.capped_at(), Some("1.4"));
    for version in [None, Some("1"), Some(""), Some("x.y")] {
        assert!(!capped.can_send_version(version), "{version:?}");
    }
    assert!(!capped.prepare().version_cap("1").can_send_version(Some("1.0")));
}

#[tokio::test]
async fn the_refusal_names_version_and_cap() {
    let fake = Fake::new();
    let client = calculator(&fake).version_cap("1.4");
    let above = client.prepare().version("1.5").call::<Value>(&ctxt(), "add", ()).await.unwrap_err();
    assert_eq!(
        above.to_string(),
        "call `add` on calculator: version 1.5 does not fit the version cap 1.4 (same major number, and not above it)"
    );
    assert!(
        matches!(&above, CallError::VersionCap { version: Some(version), cap, .. } if &**version == "1.5" && &**cap == "1.4")
    );
    let missing = client.cast(&ctxt(), "add", ()).await.unwrap_err();
    assert_eq!(
        missing.to_string(),
        "cast `add` on calculator: the version cap 1.4 needs a version; \
         set one on the target or with prepare().version(..)"
    );
    assert!(fake.handed().is_empty());
}
