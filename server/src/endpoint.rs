//! Endpoints: methods under one namespace and version.

use std::{fmt, sync::Arc};

use oxlo_transport::Target;

use crate::{
    handler::{BlockingHandler, ErasedHandler, Handler},
    policy::AccessPolicy,
    states::States,
};

/// Methods under one namespace and version. A server has one or more endpoints; only registered methods can be called.
///
/// Mistakes (a malformed version, two methods of one name, a missing state) are reported when the server is built.
///
/// ```
/// use oxlo_server::{Args, Endpoint, Failure, HandlerError};
///
/// #[derive(serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Add {
///     a: i64,
///     b: i64,
/// }
///
/// let math = Endpoint::new("1.2")
///     .namespace("math")
///     .method("add", async |Args(it): Args<Add>| Ok::<_, Failure>(it.a + it.b))
///     .blocking_method("primes_below", |Args(_): Args<serde_json::Value>| Ok::<_, HandlerError>([2, 3, 5]));
/// ```
#[derive(Clone)]
#[must_use = "an endpoint does nothing until it is given to a server"]
pub struct Endpoint {
    pub(crate) namespaces: Vec<Option<Arc<str>>>,
    pub(crate) version: Arc<str>,
    pub(crate) methods: Vec<(Arc<str>, ErasedHandler)>,
    pub(crate) dynamic: Option<(AccessPolicy, ErasedHandler)>,
    pub(crate) expected: Vec<Arc<str>>,
    pub(crate) states: States,
}

impl Endpoint {
    /// An endpoint in the null namespace that implements `version`, `major.minor[.revision]`.
    pub fn new(version: impl Into<Arc<str>>) -> Self {
        Self {
            namespaces: vec![None],
            version: version.into(),
            methods: Vec::new(),
            dynamic: None,
            expected: Vec::new(),
            states: States::new(),
        }
    }

    /// An endpoint with the namespace, the accepted namespaces and the version (`1.0` if absent) of a target. The other
    /// fields of a target belong to the server, as in oslo.
    pub fn for_target(target: &Target) -> Self {
        let mut endpoint = Self::new(target.version.clone().unwrap_or_else(|| "1.0".into()));
        endpoint.namespaces = std::iter::once(target.namespace.clone())
            .chain(target.accepted_namespaces.iter().cloned().map(Some))
            .collect();
        endpoint
    }

    /// Sets the namespace. Default: the null namespace, which is not the same as `""`.
    pub fn namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
        self.namespaces[0] = Some(namespace.into());
        self
    }

    /// Serves `namespace` as well (oslo's `legacy_namespaces`).
    pub fn accept_namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
        self.namespaces.push(Some(namespace.into()));
        self
    }

    /// Serves the null namespace as well: requests without a namespace.
    pub fn accept_null_namespace(mut self) -> Self {
        self.namespaces.push(None);
        self
    }

    /// Serves `name` with an async function or closure; see [`Handler`].
    pub fn method<A>(mut self, name: impl Into<Arc<str>>, handler: impl Handler<A>) -> Self {
        self.methods.push((name.into(), ErasedHandler::new(handler)));
        self
    }

    /// Serves `name` with a function or closure that may block, on tokio's blocking threads; see [`BlockingHandler`].
    pub fn blocking_method<A>(mut self, name: impl Into<Arc<str>>, handler: impl BlockingHandler<A>) -> Self {
        self.methods.push((name.into(), ErasedHandler::blocking(handler)));
        self
    }

    /// Serves every method that is not registered by name and that `policy` allows, for methods that are known only at run
    /// time. The handler takes the name as [`Method`](crate::Method), and returns
    /// [`no_such_method`](crate::no_such_method) if the method does not exist.
    ///
    /// ```
    /// use oxlo_server::{AccessPolicy, Endpoint, Method, no_such_method};
    ///
    /// let fields = Endpoint::new("1.0").dynamic(AccessPolicy::Public, async |Method(name): Method| {
    ///     name.strip_prefix("get_").map(str::to_owned).ok_or_else(|| no_such_method(&name))
    /// });
    /// ```
    pub fn dynamic<A>(mut self, policy: AccessPolicy, handler: impl Handler<A>) -> Self {
        self.dynamic = Some((policy, ErasedHandler::new(handler)));
        self
    }

    /// Declares failures of this class as expected: the caller receives them like any other, they are logged at debug level,
    /// and the metric counts them as `expected_failure`. oslo's `expected_exceptions`.
    pub fn expects(mut self, class: impl Into<Arc<str>>) -> Self {
        self.expected.push(class.into());
        self
    }

    /// Adds a value that handlers take a clone of as [`State<S>`](crate::State). There is one value of each type: a second one
    /// replaces the first.
    pub fn with_state<S: Send + Sync + 'static>(mut self, state: S) -> Self {
        self.states.insert(state);
        self
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("namespaces", &self.namespaces)
            .field("version", &self.version)
            .field("methods", &self.methods.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("states", &self.states)
            .finish()
    }
}

impl fmt::Display for Endpoint {
    /// Namespace and version, for errors.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespaces.first() {
            Some(Some(namespace)) => write!(f, "endpoint {namespace} {}", self.version),
            _ => write!(f, "endpoint {}", self.version),
        }
    }
}
