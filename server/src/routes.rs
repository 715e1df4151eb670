//! Which handler serves a request: a pure function of namespace, version and method.

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

/// The module in oslo of the failures that callers check for.
const MODULE: &str = "oslo_messaging.rpc.dispatcher";

/// The endpoints of a server, indexed by method.
pub(crate) struct RouteTable {
    endpoints: Vec<Scope>,
    /// For each method its routes, in the order of the endpoints.
    methods: HashMap<Arc<str>, Vec<Candidate>>,
    /// The number of routes.
    count: usize,
    /// Version and number of methods of each endpoint, for the log.
    offers: Vec<String>,
}

pub(crate) struct Scope {
    /// The endpoint's namespace and version, for error messages.
    shown: String,
    pub(crate) namespaces: Vec<Option<Arc<str>>>,
    version: Version,
    /// The built-in ping serves any version, because probers have targets of any version.
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
    /// Classes of failures that the method declares or expects.
    expected: Arc<[Arc<str>]>,
}

impl Route {
    pub(crate) fn expects(&self, class: &str) -> bool {
        self.expected.iter().any(|expected| &**expected == class)
    }
}

/// The label of dynamic methods, so that callers cannot create label values.
const DYNAMIC: &str = "(dynamic)";

/// Why no handler serves a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal<'a> {
    /// The request names no method.
    Unnamed,
    /// Endpoints offer namespace and version, but none of them has the method.
    NoSuchMethod { method: &'a str },
    /// No endpoint offers namespace and version.
    UnsupportedVersion { version: &'a str, method: &'a str },
}

impl RouteTable {
    pub(crate) fn new(endpoints: Vec<Endpoint>, ping: bool) -> Result<Self, BuildError> {
        let mut built = Self { endpoints: Vec::new(), methods: HashMap::new(), count: 0, offers: Vec::new() };
        for endpoint in endpoints {
            built.add(endpoint, false)?;
        }
        if ping && built.methods.contains_key(PING_METHOD) {
            tracing::warn!(method = PING_METHOD, "an endpoint defines this method, leaving out the built-in ping");
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
            let route = Route { id: self.count, name, handler, states: states.clone(), expected: expected.clone() };
            candidates.push(Candidate { endpoint: position, route });
            self.count += 1;
        }
        let dynamic = match endpoint.dynamic {
            Some((_, handler)) if handler.missing(&states).is_some() => {
                let state = handler.missing(&states).unwrap_or_default();
                return Err(BuildError::MissingState { endpoint: shown, method: DYNAMIC.into(), state });
            }
            Some((policy, handler)) => {
                let route = Route { id: self.count, name: DYNAMIC.into(), handler, states, expected };
                self.count += 1;
                Some((policy, route))
            }
            None => None,
        };
        self.endpoints.push(Scope { shown, namespaces: endpoint.namespaces, version, any_version, dynamic });
        Ok(())
    }

    /// The versions and numbers of methods, for the log: `1.3, 5 methods; math 1.0, 1 method`.
    pub(crate) fn offers(&self) -> String {
        self.offers.join("; ")
    }

    /// The endpoints that the user registered.
    pub(crate) fn own_scopes(&self) -> impl Iterator<Item = &Scope> {
        self.endpoints.iter().filter(|scope| !scope.any_version)
    }

    /// The endpoints that the user registered and that have the method by name.
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
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Route> {
        let dynamic = self.endpoints.iter().filter_map(|scope| scope.dynamic.as_ref().map(|(_, route)| route));
        self.methods.values().flatten().map(|candidate| &candidate.route).chain(dynamic)
    }

    /// [`iter`](Self::iter), with the namespace and version of each route's endpoint.
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
    /// The rule is that of `oslo_messaging.rpc.dispatcher.RPCDispatcher.dispatch`, except that a malformed version is
    /// unsupported, where Python leaks a `ValueError`.
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
        // An endpoint before the one that has the method by name may serve it dynamically.
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

impl fmt::Debug for RouteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteTable").field("methods", &self.methods.keys()).finish_non_exhaustive()
    }
}

/// An earlier endpoint that serves the method in every namespace and version of a later one, which would therefore never
/// be reached. An endpoint that serves the highest version serves all below it.
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
    /// Namespace and version, for error messages.
    pub(crate) fn shown(&self) -> String {
        self.shown.clone()
    }

    pub(crate) fn accepts(&self, namespace: Option<&str>) -> bool {
        self.namespaces.iter().any(|accepted| accepted.as_deref() == namespace)
    }
}

impl Refusal<'_> {
    /// The failure for the caller, with the class and the text that callers of Python servers check for.
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

/// The failure of a method that does not exist, with the text of oslo's dispatcher; for
/// [dynamic](crate::Endpoint::dynamic) endpoints.
#[must_use]
pub fn no_such_method(method: &str) -> Failure {
    Refusal::NoSuchMethod { method }.to_failure()
}

#[cfg(test)]
mod tests;
