#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::extract::State;

/// An endpoint whose methods lead back to `state`.
fn endpoint(version: &str, state: &'static str, methods: &[&str]) -> Endpoint {
    methods.iter().fold(Endpoint::new(version).with_state(state), |endpoint, name| {
        endpoint.method(*name, async |State(it): State<&'static str>| Ok::<_, Failure>(it))
    })
}

fn found<'a>(routes: &RouteTable, namespace: Option<&str>, version: Option<&'a str>, method: &'a str) -> String {
    match routes.find(namespace, version, method) {
        Ok(route) => {
            assert_eq!(&*route.name, method);
            route.states.get::<&'static str>().copied().unwrap_or("ping").to_owned()
        }
        Err(Refusal::Unnamed) => "Unnamed".into(),
        Err(Refusal::NoSuchMethod { .. }) => "NoSuchMethod".into(),
        Err(Refusal::UnsupportedVersion { .. }) => "UnsupportedVersion".into(),
    }
}

fn check(routes: &RouteTable, cases: &[(Option<&str>, Option<&str>, &str, &str)]) {
    for (namespace, version, method, expected) in cases {
        let got = found(routes, *namespace, *version, method);
        assert_eq!(got, *expected, "namespace {namespace:?}, version {version:?}, method {method}");
    }
}

#[test]
fn one_endpoint() {
    let routes = RouteTable::new(vec![endpoint("1.4", "a", &["echo"])], false).unwrap();
    check(
        &routes,
        &[
            (None, None, "echo", "a"),
            (None, Some("1.0"), "echo", "a"),
            (None, Some("1.4"), "echo", "a"),
            (None, Some("1.4.0"), "echo", "a"),
            (None, Some("1.4.1"), "echo", "UnsupportedVersion"),
            (None, Some("1.3.9"), "echo", "a"),
            (None, Some("1.5"), "echo", "UnsupportedVersion"),
            (None, Some("2.0"), "echo", "UnsupportedVersion"),
            (None, Some("0.4"), "echo", "UnsupportedVersion"),
            (None, Some("1"), "echo", "UnsupportedVersion"),
            (None, Some("None"), "echo", "UnsupportedVersion"),
            (None, Some(""), "echo", "UnsupportedVersion"),
            (None, Some("1.0.0.0"), "echo", "UnsupportedVersion"),
            (None, None, "nosuch", "NoSuchMethod"),
            (None, None, "_private", "NoSuchMethod"),
            (None, None, "", "Unnamed"),
            (None, Some("2.0"), "nosuch", "UnsupportedVersion"),
            (Some(""), None, "echo", "UnsupportedVersion"),
            (Some("ns"), None, "echo", "UnsupportedVersion"),
        ],
    );
}

#[test]
fn versions_of_major_zero_and_revisions() {
    let routes = RouteTable::new(vec![endpoint("0.3.2", "a", &["echo"])], false).unwrap();
    check(
        &routes,
        &[
            (None, Some("0.1"), "echo", "a"),
            (None, Some("0.1.9"), "echo", "a"),
            (None, Some("0.3"), "echo", "a"),
            (None, Some("0.3.2"), "echo", "a"),
            (None, Some("0.3.3"), "echo", "UnsupportedVersion"),
            (None, Some("0.4"), "echo", "UnsupportedVersion"),
            (None, None, "echo", "UnsupportedVersion"),
        ],
    );
}

#[test]
fn many_endpoints_are_asked_in_order() {
    let endpoints = vec![
        endpoint("1.1", "first", &["both", "one"]),
        endpoint("1.6", "second", &["both", "two"]),
        endpoint("2.0", "third", &["both"]),
        endpoint("1.0", "spaced", &["both"]).namespace("math").accept_namespace("old"),
        endpoint("1.0", "nullish", &["three"]).namespace("x").accept_null_namespace(),
    ];
    let routes = RouteTable::new(endpoints, false).unwrap();
    check(
        &routes,
        &[
            (None, None, "both", "first"),
            (None, Some("1.1"), "both", "first"),
            (None, Some("1.2"), "both", "second"),
            (None, Some("2.0"), "both", "third"),
            (None, Some("3.0"), "both", "UnsupportedVersion"),
            (None, None, "two", "second"),
            (None, Some("1.6"), "one", "NoSuchMethod"),
            (None, Some("2.0"), "one", "NoSuchMethod"),
            (None, Some("2.1"), "one", "UnsupportedVersion"),
            (Some("math"), None, "both", "spaced"),
            (Some("old"), None, "both", "spaced"),
            (Some("old"), None, "one", "NoSuchMethod"),
            (Some("new"), None, "both", "UnsupportedVersion"),
            (Some("x"), None, "three", "nullish"),
            (None, None, "three", "nullish"),
        ],
    );
}

#[test]
fn a_dynamic_endpoint_serves_what_its_policy_allows_in_its_turn() {
    let dynamic = |version: &str, state: &'static str, policy| {
        endpoint(version, state, &["named"])
            .dynamic(policy, async |State(it): State<&'static str>| Ok::<_, Failure>(it))
    };
    let endpoints = vec![
        dynamic("1.0", "public", AccessPolicy::Public),
        endpoint("1.1", "late", &["late"]),
        dynamic("2.0", "legacy", AccessPolicy::Legacy),
    ];
    let routes = RouteTable::new(endpoints, false).unwrap();
    let served = |version, method| {
        let route = routes.find(None, Some(version), method);
        route.map(|route| *route.states.get::<&'static str>().unwrap()).map_err(|refusal| refusal.to_failure().class)
    };
    assert_eq!(served("1.0", "whatever").unwrap(), "public");
    assert_eq!(served("1.0", "late").unwrap(), "public", "it stands before");
    assert_eq!(served("1.1", "late").unwrap(), "late");
    assert_eq!(served("1.0", "_private").unwrap_err(), "NoSuchMethod");
    assert_eq!(served("2.0", "_private").unwrap(), "legacy");
    assert_eq!(served("3.0", "whatever").unwrap_err(), "UnsupportedVersion");
    assert_eq!(routes.iter().filter(|route| &*route.name == DYNAMIC).count(), 2);
}

#[test]
fn an_endpoint_without_methods_still_offers_its_version() {
    let routes = RouteTable::new(vec![Endpoint::new("1.0")], false).unwrap();
    check(&routes, &[(None, None, "echo", "NoSuchMethod"), (None, Some("2.0"), "echo", "UnsupportedVersion")]);
}

#[test]
fn the_ping_answers_any_version_in_the_null_namespace_only() {
    let routes = RouteTable::new(vec![endpoint("3.0", "a", &["echo"])], true).unwrap();
    check(
        &routes,
        &[
            (None, None, PING_METHOD, "ping"),
            (None, Some("3.0"), PING_METHOD, "ping"),
            (None, Some("7.1"), PING_METHOD, "ping"),
            (Some("ns"), None, PING_METHOD, "UnsupportedVersion"),
            (None, Some("7.1"), "echo", "UnsupportedVersion"),
            // Its own version counts as offered, as in oslo.
            (None, None, "echo", "NoSuchMethod"),
        ],
    );
    assert!(RouteTable::new(Vec::new(), true).is_ok(), "a server may do nothing but answer pings");
    let without = RouteTable::new(vec![endpoint("1.0", "a", &["echo"])], false).unwrap();
    check(&without, &[(None, None, PING_METHOD, "NoSuchMethod")]);
}

#[test]
fn an_endpoint_that_defines_the_ping_keeps_it() {
    let own = RouteTable::new(vec![endpoint("1.0", "own", &[PING_METHOD])], true).unwrap();
    check(&own, &[(None, None, PING_METHOD, "own"), (None, Some("2.0"), PING_METHOD, "UnsupportedVersion")]);
}

#[test]
fn refusals_are_worded_as_python_words_them() {
    let no_such = Refusal::NoSuchMethod { method: "nosuch" }.to_failure();
    let text = "Endpoint does not support RPC method nosuch";
    assert_eq!(no_such, Failure::new("oslo_messaging.rpc.dispatcher", "NoSuchMethod", text));
    assert_eq!(no_such.args, [text]);
    let unsupported = Refusal::UnsupportedVersion { version: "2.0", method: "echo" }.to_failure();
    let text = "Endpoint does not support RPC version 2.0. Attempted method: echo";
    assert_eq!(unsupported, Failure::new("oslo_messaging.rpc.dispatcher", "UnsupportedVersion", text));
    let unnamed = Refusal::Unnamed.to_failure();
    assert_eq!((unnamed.module.as_str(), unnamed.class.as_str()), ("builtins", "TypeError"));
}

#[test]
fn what_cannot_be_built_says_what_is_wrong() {
    let refused = |endpoints| RouteTable::new(endpoints, false).unwrap_err();
    assert!(matches!(refused(Vec::new()), BuildError::NoEndpoint));

    let version = refused(vec![endpoint("1", "a", &["echo"]).namespace("math")]);
    assert!(version.to_string().starts_with("endpoint math 1: \"1\" is not a version"), "{version}");
    assert_eq!(format!("{version:?}"), version.to_string());

    let twice = refused(vec![endpoint("1.0", "a", &["echo", "other", "echo"])]);
    assert_eq!(twice.to_string(), "endpoint 1.0: method `echo` is registered twice");
    let hidden = refused(vec![endpoint("1.2", "a", &["echo"]), endpoint("1.0", "b", &["other", "echo"])]);
    assert_eq!(
        hidden.to_string(),
        "endpoint 1.0: method `echo` is never reached, endpoint 1.2 serves it; reorder the endpoints, or remove one"
    );

    assert!(matches!(refused(vec![endpoint("1.0", "a", &[""])]), BuildError::UnnamedMethod { .. }));

    let stateless = Endpoint::new("1.0").method("echo", async |State(it): State<u16>| Ok::<_, Failure>(it));
    let missing = refused(vec![stateless]);
    assert_eq!(
        missing.to_string(),
        "endpoint 1.0: method `echo` takes State<u16>; add it to the endpoint with `.with_state(..)`"
    );
}

#[test]
fn what_can_be_reached_in_some_way_is_served() {
    let plain = |version, methods: &[&str]| endpoint(version, "it", methods);
    let dynamic = || plain("1.0", &[]).dynamic(AccessPolicy::Public, async || Ok::<_, Failure>(()));
    let reached = [
        vec![plain("1.0", &["echo"]), plain("1.1", &["echo"])],
        vec![plain("1.0", &["echo"]), plain("2.0", &["echo"])],
        vec![plain("1.0", &["echo"]), plain("1.0", &["other"])],
        vec![plain("1.0", &["echo"]), plain("1.0", &["echo"]).namespace("math")],
        vec![plain("1.0", &["echo"]), plain("1.0", &["echo"]).namespace("math").accept_null_namespace()],
        vec![dynamic(), plain("1.0", &["_private"])],
        vec![plain("1.0", &["echo"]), dynamic()],
    ];
    for endpoints in reached {
        let shown = format!("{endpoints:?}");
        assert!(RouteTable::new(endpoints, true).is_ok(), "{shown}");
    }
    let hidden = [
        vec![plain("1.0", &["echo"]), plain("1.0", &["echo"])],
        vec![plain("1.0.1", &["echo"]), plain("1.0", &["echo"])],
        vec![dynamic(), plain("1.0", &["echo"])],
        vec![
            plain("1.0", &["echo"]),
            plain("1.3", &["echo"]).namespace("math"),
            plain("1.0", &["echo"]).namespace("math").accept_null_namespace(),
        ],
    ];
    for endpoints in hidden {
        let shown = format!("{endpoints:?}");
        assert!(matches!(RouteTable::new(endpoints, true), Err(BuildError::Hidden { .. })), "{shown}");
    }
}
