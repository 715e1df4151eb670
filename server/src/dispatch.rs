//! Which handler serves a request: a pure decision, made of namespace, version and method.

use std::{fmt, sync::Arc};

use foldhash::{HashMap, HashMapExt};
use oxlo_transport::{Failure, Version};

use crate::{
    endpoint::Endpoint,
    error::BuildError,
    handler::ErasedHandler,
    ping::{self, PING_METHOD},
    policy::AccessPolicy,
    states::States,
};

/// oslo's module of the classes that callers look for.
const MODULE: &str = "oslo_messaging.rpc.dispatcher";

/// Endpoints, indexed by method.
pub(crate) struct Dispatcher {
    endpoints: Vec<Scope>,
    /// For each name who serves it, in the order of the endpoints.
    methods: HashMap<Arc<str>, Vec<Candidate>>,
    routes: usize,
    /// Version and number of methods of each endpoint, for the log.
    offers: Vec<String>,
}

pub(crate) struct Scope {
    /// The endpoint's namespace and version, as errors name it.
    shown: String,
    pub(crate) namespaces: Vec<Option<Arc<str>>>,
    version: Version,
    /// The built-in ping answers whatever version a prober's target has.
    any_version: bool,
    dynamic: Option<(AccessPolicy, Route)>,
}

struct Candidate {
    endpoint: usize,
    route: Route,
}

/// One method of one endpoint.
pub(crate) struct Route {
    pub(crate) id: usize,
    pub(crate) name: Arc<str>,
    pub(crate) handler: ErasedHandler,
    pub(crate) states: Arc<States>,
    /// Classes of failures that are part of what it may say.
    expected: Arc<[Arc<str>]>,
}

impl Route {
    pub(crate) fn expects(&self, class: &str) -> bool {
        self.expected.iter().any(|expected| &**expected == class)
    }
}

/// Stands for the name of a dynamic method in labels, so that strangers cannot invent label values.
const DYNAMIC: &str = "(dynamic)";

/// Why no handler serves a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal<'a> {
    /// The request names no method.
    Unnamed,
    /// An endpoint offers namespace and version, none of them the method.
    NoSuchMethod { method: &'a str },
    /// No endpoint offers namespace and version.
    UnsupportedVersion { version: &'a str, method: &'a str },
}

impl Dispatcher {
    pub(crate) fn new(endpoints: Vec<Endpoint>, ping: bool) -> Result<Self, BuildError> {
        let mut built = Self { endpoints: Vec::new(), methods: HashMap::new(), routes: 0, offers: Vec::new() };
        for endpoint in endpoints {
            built.add(endpoint, false)?;
        }
        if ping && built.methods.contains_key(PING_METHOD) {
            tracing::warn!(method = PING_METHOD, "an endpoint defines this method; the built-in ping is left out");
        } else if ping {
            built.add(ping::endpoint(), true)?;
        }
        if built.endpoints.is_empty() {
            return Err(BuildError::NoEndpoint);
        }
        Ok(built)
    }

    fn add(&mut self, endpoint: Endpoint, any_version: bool) -> Result<(), BuildError> {
        let shown = endpoint.to_string();
        let version =
            endpoint.version.parse().map_err(|error| BuildError::Version { endpoint: shown.clone(), error })?;
        self.offers.push(offer(&endpoint));
        let (states, expected): (_, Arc<[Arc<str>]>) = (Arc::new(endpoint.states), endpoint.expected.into());
        let position = self.endpoints.len();
        for (name, handler) in endpoint.methods {
            if name.is_empty() {
                return Err(BuildError::UnnamedMethod { endpoint: shown });
            }
            if let Some(state) = handler.missing(&states) {
                return Err(BuildError::MissingState { endpoint: shown, method: name, state });
            }
            let candidates = self.methods.entry(name.clone()).or_default();
            if candidates.last().is_some_and(|last| last.endpoint == position) {
                return Err(BuildError::DuplicateMethod { endpoint: shown, method: name });
            }
            if !any_version && let Some(by) = hides(&self.endpoints, candidates, &endpoint.namespaces, &version, &name)
            {
                return Err(BuildError::Hidden { endpoint: shown, method: name, by: by.shown.clone() });
            }
            let route = Route { id: self.routes, name, handler, states: states.clone(), expected: expected.clone() };
            candidates.push(Candidate { endpoint: position, route });
            self.routes += 1;
        }
        let dynamic = match endpoint.dynamic {
            Some((_, handler)) if handler.missing(&states).is_some() => {
                let state = handler.missing(&states).unwrap_or_default();
                return Err(BuildError::MissingState { endpoint: shown, method: DYNAMIC.into(), state });
            }
            Some((policy, handler)) => {
                let route = Route { id: self.routes, name: DYNAMIC.into(), handler, states, expected };
                self.routes += 1;
                Some((policy, route))
            }
            None => None,
        };
        self.endpoints.push(Scope { shown, namespaces: endpoint.namespaces, version, any_version, dynamic });
        Ok(())
    }

    /// What is served, for the log: `1.3, 5 methods; math 1.0, 1 method`.
    pub(crate) fn offers(&self) -> String {
        self.offers.join("; ")
    }

    /// The endpoints that the user registered.
    pub(crate) fn own_scopes(&self) -> impl Iterator<Item = &Scope> {
        self.endpoints.iter().filter(|scope| !scope.any_version)
    }

    /// The endpoints of the user's that have the method by name.
    pub(crate) fn named(&self, method: &str) -> impl Iterator<Item = &Scope> {
        let candidates = self.methods.get(method).into_iter().flatten();
        candidates.map(|candidate| &self.endpoints[candidate.endpoint]).filter(|scope| !scope.any_version)
    }

    /// Names of the methods that are offered in a namespace and version.
    pub(crate) fn names(&self, namespace: Option<&str>, version: Option<&str>) -> impl Iterator<Item = &str> {
        let requested = version.map_or_else(|| Some(Version::default()), |version| version.parse().ok());
        let offers = move |scope: &Scope| {
            !scope.any_version
                && scope.accepts(namespace)
                && requested.as_ref().is_some_and(|it| it.is_compatible_with(&scope.version))
        };
        self.methods
            .iter()
            .filter(move |(_, candidates)| candidates.iter().any(|it| offers(&self.endpoints[it.endpoint])))
            .map(|(name, _)| &**name)
    }

    /// Every method of every endpoint, in no order.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &Route> {
        let dynamic = self.endpoints.iter().filter_map(|scope| scope.dynamic.as_ref().map(|(_, route)| route));
        self.methods.values().flatten().map(|candidate| &candidate.route).chain(dynamic)
    }

    /// As [`routes`](Self::routes), each with its endpoint's namespace and version.
    #[cfg(feature = "oslo-metrics")]
    pub(crate) fn places(&self) -> impl Iterator<Item = (Option<&Arc<str>>, &Version, &Route)> {
        fn place<'a>(scope: &'a Scope, route: &'a Route) -> (Option<&'a Arc<str>>, &'a Version, &'a Route) {
            (scope.namespaces.first().and_then(Option::as_ref), &scope.version, route)
        }
        let dynamic = self.endpoints.iter().filter_map(|scope| scope.dynamic.as_ref().map(|(_, it)| place(scope, it)));
        let named = self.methods.values().flatten();
        named.map(|candidate| place(&self.endpoints[candidate.endpoint], &candidate.route)).chain(dynamic)
    }

    /// The first endpoint in order that offers namespace, version and method.
    ///
    /// The rule is that of `oslo_messaging.rpc.dispatcher.RPCDispatcher.dispatch`, except that a version that cannot be
    /// read is unsupported, where Python leaks a `ValueError`.
    pub(crate) fn find<'a>(
        &self,
        namespace: Option<&str>,
        version: Option<&'a str>,
        method: &'a str,
    ) -> Result<&Route, Refusal<'a>> {
        if method.is_empty() {
            return Err(Refusal::Unnamed);
        }
        let (text, requested) = match version {
            Some(text) => (text, text.parse().ok()),
            None => ("1.0", Some(Version::default())),
        };
        let offers = |scope: &Scope, any_version: bool| {
            scope.accepts(namespace)
                && (any_version || requested.as_ref().is_some_and(|it| it.is_compatible_with(&scope.version)))
        };
        let mut candidates = self.methods.get(method).into_iter().flatten();
        let served = candidates.find(|candidate| {
            let scope = &self.endpoints[candidate.endpoint];
            offers(scope, scope.any_version)
        });
        // An endpoint before the one that has it by name may serve it dynamically.
        let earlier = served.map_or(self.endpoints.len(), |candidate| candidate.endpoint);
        let dynamic = self.endpoints[..earlier].iter().find_map(|scope| {
            let (policy, route) = scope.dynamic.as_ref()?;
            (policy.allows(method) && offers(scope, scope.any_version)).then_some(route)
        });
        match served.map(|candidate| &candidate.route) {
            _ if dynamic.is_some() => dynamic.ok_or(Refusal::Unnamed),
            Some(route) => Ok(route),
            None if self.endpoints.iter().any(|scope| offers(scope, false)) => Err(Refusal::NoSuchMethod { method }),
            None => Err(Refusal::UnsupportedVersion { version: text, method }),
        }
    }
}

fn offer(endpoint: &Endpoint) -> String {
    let namespace =
        endpoint.namespaces.iter().flatten().next().map_or_else(String::new, |namespace| format!("{namespace} "));
    let methods = match endpoint.methods.len() {
        1 => "1 method".to_owned(),
        methods => format!("{methods} methods"),
    };
    let dynamic = if endpoint.dynamic.is_some() { " and others by name" } else { "" };
    format!("{namespace}{}, {methods}{dynamic}", endpoint.version)
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").field("methods", &self.methods.keys()).finish_non_exhaustive()
    }
}

/// The endpoint for which a later one would never be asked for this method, in no namespace and no version of its own.
/// As versions go, whoever serves the highest one serves all below.
fn hides<'a>(
    earlier: &'a [Scope],
    candidates: &[Candidate],
    namespaces: &[Option<Arc<str>>],
    version: &Version,
    method: &str,
) -> Option<&'a Scope> {
    let mut hiding = namespaces.iter().map(|namespace| {
        earlier.iter().enumerate().find(|(at, scope)| {
            scope.accepts(namespace.as_deref())
                && version.is_compatible_with(&scope.version)
                && (candidates.iter().any(|candidate| candidate.endpoint == *at)
                    || scope.dynamic.as_ref().is_some_and(|(policy, _)| policy.allows(method)))
        })
    });
    let (_, first) = hiding.next()??;
    hiding.all(|it| it.is_some()).then_some(first)
}

impl Scope {
    /// Namespace and version, as errors name them.
    pub(crate) fn shown(&self) -> String {
        self.shown.clone()
    }

    pub(crate) fn accepts(&self, namespace: Option<&str>) -> bool {
        self.namespaces.iter().any(|accepted| accepted.as_deref() == namespace)
    }
}

impl Refusal<'_> {
    /// What the caller gets, in the words that callers of Python servers look for.
    pub(crate) fn to_failure(self) -> Failure {
        match self {
            Self::Unnamed => Failure::builtin("TypeError", "the request names no method").with_refused(true),
            Self::NoSuchMethod { method } => {
                Failure::new(MODULE, "NoSuchMethod", format!("Endpoint does not support RPC method {method}"))
            }
            Self::UnsupportedVersion { version, method } => Failure::new(
                MODULE,
                "UnsupportedVersion",
                format!("Endpoint does not support RPC version {version}. Attempted method: {method}"),
            ),
        }
    }
}

/// The failure of a method that does not exist, in the words of oslo's dispatcher, for
/// [dynamic](crate::Endpoint::dynamic) endpoints.
#[must_use]
pub fn no_such_method(method: &str) -> Failure {
    Refusal::NoSuchMethod { method }.to_failure()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::extract::State;

    /// An endpoint whose methods lead back to `state`.
    fn endpoint(version: &str, state: &'static str, methods: &[&str]) -> Endpoint {
        methods.iter().fold(Endpoint::new(version).with_state(state), |endpoint, name| {
            endpoint.method(*name, async |State(it): State<&'static str>| Ok::<_, Failure>(it))
        })
    }

    fn found<'a>(
        dispatcher: &Dispatcher,
        namespace: Option<&str>,
        version: Option<&'a str>,
        method: &'a str,
    ) -> String {
        match dispatcher.find(namespace, version, method) {
            Ok(route) => {
                assert_eq!(&*route.name, method);
                route.states.get::<&'static str>().copied().unwrap_or("ping").to_owned()
            }
            Err(Refusal::Unnamed) => "Unnamed".into(),
            Err(Refusal::NoSuchMethod { .. }) => "NoSuchMethod".into(),
            Err(Refusal::UnsupportedVersion { .. }) => "UnsupportedVersion".into(),
        }
    }

    fn check(dispatcher: &Dispatcher, cases: &[(Option<&str>, Option<&str>, &str, &str)]) {
        for (namespace, version, method, expected) in cases {
            let got = found(dispatcher, *namespace, *version, method);
            assert_eq!(got, *expected, "namespace {namespace:?}, version {version:?}, method {method}");
        }
    }

    #[test]
    fn one_endpoint() {
        let dispatcher = Dispatcher::new(vec![endpoint("1.4", "a", &["echo"])], false).unwrap();
        check(
            &dispatcher,
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
        let dispatcher = Dispatcher::new(vec![endpoint("0.3.2", "a", &["echo"])], false).unwrap();
        check(
            &dispatcher,
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
        let dispatcher = Dispatcher::new(endpoints, false).unwrap();
        check(
            &dispatcher,
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
        let dispatcher = Dispatcher::new(endpoints, false).unwrap();
        let served = |version, method| {
            let route = dispatcher.find(None, Some(version), method);
            route
                .map(|route| *route.states.get::<&'static str>().unwrap())
                .map_err(|refusal| refusal.to_failure().class)
        };
        assert_eq!(served("1.0", "whatever").unwrap(), "public");
        assert_eq!(served("1.0", "late").unwrap(), "public", "it stands before");
        assert_eq!(served("1.1", "late").unwrap(), "late");
        assert_eq!(served("1.0", "_private").unwrap_err(), "NoSuchMethod");
        assert_eq!(served("2.0", "_private").unwrap(), "legacy");
        assert_eq!(served("3.0", "whatever").unwrap_err(), "UnsupportedVersion");
        assert_eq!(dispatcher.routes().filter(|route| &*route.name == DYNAMIC).count(), 2);
    }

    #[test]
    fn an_endpoint_without_methods_still_offers_its_version() {
        let dispatcher = Dispatcher::new(vec![Endpoint::new("1.0")], false).unwrap();
        check(&dispatcher, &[(None, None, "echo", "NoSuchMethod"), (None, Some("2.0"), "echo", "UnsupportedVersion")]);
    }

    #[test]
    fn the_ping_answers_any_version_in_the_null_namespace_only() {
        let dispatcher = Dispatcher::new(vec![endpoint("3.0", "a", &["echo"])], true).unwrap();
        check(
            &dispatcher,
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
        assert!(Dispatcher::new(Vec::new(), true).is_ok(), "a server may do nothing but answer pings");
        let without = Dispatcher::new(vec![endpoint("1.0", "a", &["echo"])], false).unwrap();
        check(&without, &[(None, None, PING_METHOD, "NoSuchMethod")]);
    }

    #[test]
    fn an_endpoint_that_defines_the_ping_keeps_it() {
        let own = Dispatcher::new(vec![endpoint("1.0", "own", &[PING_METHOD])], true).unwrap();
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
        let refused = |endpoints| Dispatcher::new(endpoints, false).unwrap_err();
        assert!(matches!(refused(Vec::new()), BuildError::NoEndpoint));

        let version = refused(vec![endpoint("1", "a", &["echo"]).namespace("math")]);
        assert!(version.to_string().starts_with("endpoint math 1: \"1\" is not a version"), "{version}");
        assert_eq!(format!("{version:?}"), version.to_string());

        let twice = refused(vec![endpoint("1.0", "a", &["echo", "other", "echo"])]);
        assert_eq!(twice.to_string(), "endpoint 1.0: method `echo` is registered twice");
        let hidden = refused(vec![endpoint("1.2", "a", &["echo"]), endpoint("1.0", "b", &["other", "echo"])]);
        assert_eq!(
            hidden.to_string(),
            "endpoint 1.0: method `echo` is never reached, endpoint 1.2 serves it; change their order, or leave one out"
        );

        assert!(matches!(refused(vec![endpoint("1.0", "a", &[""])]), BuildError::UnnamedMethod { .. }));

        let stateless = Endpoint::new("1.0").method("echo", async |State(it): State<u16>| Ok::<_, Failure>(it));
        let missing = refused(vec![stateless]);
        assert_eq!(
            missing.to_string(),
            "endpoint 1.0: method `echo` takes State<u16>; give the endpoint one by `.with_state(..)`"
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
            assert!(Dispatcher::new(endpoints, true).is_ok(), "{shown}");
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
            assert!(matches!(Dispatcher::new(endpoints, true), Err(BuildError::Hidden { .. })), "{shown}");
        }
    }
}
