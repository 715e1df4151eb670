//! Settings of a transport that do not depend on its driver.

use std::{any::Any, collections::HashMap, fmt, sync::Arc, time::Duration};

use crate::{
    failure::Failure,
    options::{DEFAULT_TIMEOUT, Retry},
};

/// Settings of a transport that do not depend on its driver.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Exchange of targets without one. Default `openstack`, oslo.messaging's `control_exchange`.
    pub control_exchange: Arc<str>,
    /// Timeout of calls without one. Default 60 s, oslo.messaging's `rpc_response_timeout`.
    pub response_timeout: Duration,
    /// The allowed modules and the registered types of remote failures.
    pub remote_errors: RemoteErrors,
    /// Largest message that is sent or accepted, in bytes of body. Default 16 MiB. A larger one is an error before it is
    /// sent, and is rejected when it is received.
    pub max_message_size: usize,
    /// Deepest nesting of JSON that is accepted. Default 128.
    pub max_depth: usize,
    /// Limit, for each listener, of the bytes of unpacked messages whose handlers have not ended. Default 64 MiB. Above it
    /// messages stay packed, as the broker delivered them, until others end; a message of any accepted size is taken when
    /// no other is held. The first wait is logged at WARN. A handler that calls its own server while it holds large
    /// arguments waits for memory as it waits for a permit. `memory://` unpacks nothing and does not count.
    ///
    /// # Memory of a listener
    ///
    /// Messages of peers use at most
    ///
    /// ```text
    /// prefetch × queues × size as sent + 2 × (max_in_flight_bytes + 3 × max_message_size) + concurrency × handler
    /// ```
    ///
    /// - **prefetch × queues × size as sent**: waiting messages, packed if they were sent packed. A server consumes from
    ///   three queues, and its `prefetch` is twice its `concurrency`, 128 by default. A peer has to send each of these bytes.
    /// - **max_in_flight_bytes**, 64 MiB, and **max_message_size**, 16 MiB, by which it may be exceeded. The message that is
    ///   being decoded has two more copies: its envelope, and its names and ids. The factor of two covers the overhead of
    ///   an allocator. With the defaults this is 224 MiB.
    /// - **handler**: what a handler decodes its arguments into. A `serde_json::Value` takes up to a hundred times its text.
    ///   A context takes at most 4 MiB more than its text.
    ///
    /// A client holds one reply for each pending call, each of at most `max_message_size`, and 40 MiB more for a failure.
    ///
    /// A packed message that unpacks to more than 1 MiB and to more than 200 times its size is rejected.
    pub max_in_flight_bytes: usize,
    /// How often the first connection is retried, all hosts each time. Default `Times(0)`: a broker that is down is an error
    /// at once. A permanent refusal (credentials, virtual host, TLS) is an error in any case. A limit that is reached, a
    /// virtual host that is down and a node that is draining are retried like a broker that is down.
    pub connect_retry: Retry,
    /// How floats that are not finite are encoded in arguments and results. Default [`NonFinite::Refuse`]. A context never
    /// contains them; a notifier has an option of its own.
    pub non_finite: NonFinite,
    /// Where calls, casts and served requests are reported in the format of oslo.metrics. Default: nowhere.
    #[cfg(feature = "oslo-metrics")]
    pub oslo_metrics: Option<crate::oslo_metrics::OsloMetrics>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            control_exchange: "openstack".into(),
            response_timeout: DEFAULT_TIMEOUT,
            remote_errors: RemoteErrors::default(),
            max_message_size: 16 * 1024 * 1024,
            max_depth: 128,
            max_in_flight_bytes: 64 * 1024 * 1024,
            connect_retry: Retry::Times(0),
            non_finite: NonFinite::Refuse,
            #[cfg(feature = "oslo-metrics")]
            oslo_metrics: None,
        }
    }
}

/// How a float that is not finite is encoded. JSON has no number for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NonFinite {
    /// It is an error, which names the path to the float, and nothing is sent.
    #[default]
    Refuse,
    /// It is written as Python writes it: `NaN`, `Infinity`, `-Infinity`. Python and oxlo accept it; a strict JSON parser
    /// rejects the whole message.
    AsPython,
}

/// A Rust error that has a class and a module on the wire. `#[derive(RemoteError)]` implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no class on the wire",
    note = "derive it: `#[derive(Debug, thiserror::Error, RemoteError)] #[remote(module = \"..\")]`"
)]
pub trait RemoteError: std::error::Error + Send + Sync + 'static {
    /// Module of the classes, for example `nova.exception`.
    const MODULE: &'static str;

    /// Names of the classes of [`MODULE`](Self::MODULE) that [`from_failure`](Self::from_failure) can read.
    const CLASSES: &'static [&'static str];

    /// Module and name of further classes that it can read, such as `("builtins", "ValueError")`. Default: none.
    const OTHER_CLASSES: &'static [(&'static str, &'static str)] = &[];

    /// Converts the error to the failure that is sent.
    fn to_failure(&self) -> Failure;

    /// Rebuilds the error from a failure. `None` if the failure is of another class, or if its arguments are not those
    /// that this type needs; the failure then stays data.
    fn from_failure(failure: &Failure) -> Option<Self>
    where
        Self: Sized;
}

/// An error that a contract's methods can declare. It need not be registered, because the contract declares it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a contract's method",
    label = "a client could not recognise it among other failures",
    note = "derive it: `#[derive(Debug, thiserror::Error, RemoteError)] #[remote(module = \"..\")]`; or return a `Failure`"
)]
pub trait FromFailure: Sized {
    /// Rebuilds the error if the failure is of one of its classes.
    fn recognise(failure: &Failure) -> Option<Self>;
}

impl<E: RemoteError> FromFailure for E {
    fn recognise(failure: &Failure) -> Option<Self> {
        let module = python3_module(&failure.module);
        let class = failure.class.as_str();
        let known = (module == E::MODULE && E::CLASSES.contains(&class)) || E::OTHER_CLASSES.contains(&(module, class));
        if known { E::from_failure(failure) } else { None }
    }
}

/// Recognises every failure.
impl FromFailure for Failure {
    fn recognise(failure: &Failure) -> Option<Self> {
        Some(failure.clone())
    }
}

impl<E: RemoteError> From<E> for Failure {
    /// Converts a typed error with `?`.
    fn from(error: E) -> Self {
        error.to_failure()
    }
}

type Rebuild = Arc<dyn Fn(&Failure) -> Option<Box<dyn KnownError>> + Send + Sync>;

/// An error that was rebuilt from a failure, to be downcast to its type.
pub trait KnownError: std::error::Error + Send + Sync + 'static {
    /// For downcasting.
    fn as_any(&self) -> &dyn Any;

    /// For downcasting by value.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl<E: RemoteError> KnownError for E {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// The allowed modules of remote failures (oslo.messaging's `allowed_remote_exmods`), and the registered Rust types.
///
/// `builtins` is always allowed; Python 2's `exceptions` is treated as `builtins`.
#[derive(Clone, Default)]
pub struct RemoteErrors {
    modules: Vec<Arc<str>>,
    types: HashMap<(Arc<str>, Arc<str>), Rebuild>,
}

impl RemoteErrors {
    /// Allows a module: clients show failures of its classes under their own names.
    pub fn allow_module(&mut self, module: impl Into<Arc<str>>) {
        let module = module.into();
        if !self.modules.contains(&module) {
            self.modules.push(module);
        }
    }

    /// Allows the modules of `E`, and rebuilds failures of its classes as `E`.
    pub fn register<E: RemoteError>(&mut self) {
        let rebuild: Rebuild =
            Arc::new(|failure| E::from_failure(failure).map(|error| Box::new(error) as Box<dyn KnownError>));
        let own = E::CLASSES.iter().map(|class| (E::MODULE, *class));
        for (module, class) in own.chain(E::OTHER_CLASSES.iter().copied()) {
            self.allow_module(module);
            self.types.insert((module.into(), class.into()), rebuild.clone());
        }
    }

    /// Returns `true` if `module` is allowed.
    #[must_use]
    pub fn allows(&self, module: &str) -> bool {
        let module = python3_module(module);
        module == "builtins" || self.modules.iter().any(|allowed| &**allowed == module)
    }

    /// Rebuilds a failure as the type that is registered for its class, if there is one and the arguments fit.
    #[must_use]
    pub fn rebuild(&self, failure: &Failure) -> Option<Box<dyn KnownError>> {
        let key = (Arc::from(python3_module(&failure.module)), Arc::from(failure.class.as_str()));
        self.types.get(&key).and_then(|rebuild| rebuild(failure))
    }
}

impl fmt::Debug for RemoteErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteErrors")
            .field("modules", &self.modules)
            .field("types", &self.types.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// Python 2 calls the module of its built-in classes `exceptions`.
pub(crate) fn python3_module(module: &str) -> &str {
    if module == "exceptions" { "builtins" } else { module }
}
