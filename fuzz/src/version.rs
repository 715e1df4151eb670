//! Versions of interfaces, and targets.

use std::{cmp::Ordering, hash::BuildHasher};

use oxlo_transport::{Target, Version};

use crate::pieces::Pieces;

pub(crate) fn check(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    let texts = [pieces.text(), pieces.text(), pieces.text()];
    for text in &texts {
        let parsed = text.parse::<Version>();
        assert_eq!(parsed.as_ref().ok().map(numbers), reference(text), "{text:?}");
        match parsed {
            Ok(version) => written(&version, text),
            Err(error) => {
                assert!(text.starts_with(error.text()) && error.text().chars().count() <= 40, "{error}");
                assert!(error.to_string().len() < 600);
            }
        }
    }
    let versions: Vec<Version> = texts.iter().filter_map(|text| text.parse().ok()).collect();
    for one in &versions {
        for other in &versions {
            compared(one, other);
        }
    }
    targets(&texts, &mut pieces);
}

type Numbers = (u64, u64, u64);

fn numbers(version: &Version) -> Numbers {
    (version.major(), version.minor(), version.revision())
}

/// A parser by the grammar alone: two or three plain decimal numbers below 2^64, separated by points.
fn reference(text: &str) -> Option<Numbers> {
    let part = |digits: &str| {
        let mut number = 0_u64;
        for digit in digits.chars() {
            number = number.checked_mul(10)?.checked_add("0123456789".find(digit)? as u64)?;
        }
        (number.to_string() == digits).then_some(number)
    };
    let parts: Option<Vec<u64>> = text.split('.').map(part).collect();
    match parts?[..] {
        [major, minor] => Some((major, minor, 0)),
        [major, minor, revision] => Some((major, minor, revision)),
        _ => None,
    }
}

fn written(version: &Version, text: &str) {
    assert_eq!(version.to_string(), text);
    let json = serde_json::to_string(version).unwrap();
    assert_eq!(json, format!("\"{text}\""));
    let again: Version = serde_json::from_str(&json).unwrap();
    assert_eq!((&again, again.to_string()), (version, version.to_string()));
}

fn compared(one: &Version, other: &Version) {
    let (a, b) = (numbers(one), numbers(other));
    assert_eq!(one.cmp(other), a.cmp(&b));
    assert_eq!(one == other, a == b);
    let keys = std::hash::RandomState::new();
    assert!(one != other || keys.hash_one(one) == keys.hash_one(other));
    // Compatible: the same major, and not greater.
    assert_eq!(one.is_compatible_with(other), a.0 == b.0 && a.cmp(&b) != Ordering::Greater, "{one} with {other}");
}

fn targets(texts: &[String; 3], pieces: &mut Pieces<'_>) {
    let [topic, server, version] = texts;
    let namespace = pieces.optional();
    let mut target = Target::topic(&**topic).server(&**server).version(&**version).fanout(texts[0].len() % 2 == 1);
    if let Some(namespace) = &namespace {
        target = target.namespace(&**namespace);
    }
    assert_eq!(target.require_topic().is_ok(), !topic.is_empty());
    assert_eq!(target.require_topic_and_server().is_ok(), !topic.is_empty() && !server.is_empty());
    let place = if target.fanout { " (fanout)".to_owned() } else { format!(".{server}") };
    let within = namespace.map(|namespace| format!(" namespace {namespace}")).unwrap_or_default();
    assert_eq!(target.to_string(), format!("{topic}{place}{within} version {version}"));
}
