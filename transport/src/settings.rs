//! What a whole transport is told once, whatever its driver.

use std::{any::Any, collections::HashMap, fmt, sync::Arc, time::Duration};

use crate::{
    failure::Failure,
    options::{DEFAULT_TIMEOUT, Retry},
};

/// What a transport is told once, whatever its driver.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Exchange of targets that name none. Default `openstack`, oslo's `control_exchange`.
    pub control_exchange: Arc<str>,
    /// Timeout of calls that name none. Default 60 s, oslo's `rpc_response_timeout`.
    pub response_timeout: Duration,
    /// Which remote failures become known errors.
    pub remote_errors: RemoteErrors,
    /// Largest message that is sent or accepted, in bytes of body. Default 16 MiB. A larger one is refused before it
    /// is sent, and rejected when it arrives.
    pub max_message_size: usize,
    /// Deepest nesting of JSON that is accepted. Default 128.
    pub max_depth: usize,
    /// How many bytes of messages each listener may hold that are unpacked and whose handlers have not ended. Default
    /// 64 MiB. Beyond it messages wait as they came from the broker until others are done; a message of any accepted size is
    /// taken when nothing else is held. It is logged once, at WARN, when a message has to wait for this. A handler that
    /// calls its own server while it holds large arguments waits for memory as it waits for a place. `memory://` unpacks
    /// nothing and does not count.
    ///
    /// # Memory of a listener
    ///
    /// What peers send takes at most
    ///
    /// ```text
    /// prefetch × queues × size as sent + 2 × (max_in_flight_bytes + 3 × max_message_size) + concurrency × handler
    /// ```
    ///
    /// - **prefetch × queues × size as sent**: messages that wait, packed if they were sent packed. A server takes from
    ///   three queues, and its `prefetch` is twice its `concurrency`, 128 by default. A peer has to send each of these bytes.
    /// - **max_in_flight_bytes**, 64 MiB, and **max_message_size**, 16 MiB, by which it may be exceeded. Of the message that
    ///   is being read there are two more copies: its envelope, and its names and ids. The factor of two is for what an
    ///   allocator keeps beside what is asked of it. With the defaults that is 224 MiB.
    /// - **handler**: what a handler makes of its arguments. A `serde_json::Value` takes up to a hundred times its text. A
    ///   context takes 4 MiB beside its text at most, however it is read.
    ///
    /// A client holds as many replies as calls wait, each of `max_message_size` at most, and 40 MiB more for a failure.
    ///
    /// A packed message that unpacks to more than 1 MiB and to more than 200 times its size is rejected.
    pub max_in_flight_bytes: usize,
    /// How often the first connection is tried again, all hosts each time. Default `Times(0)`: a broker that is down is
    /// an error at once. What would fail again (credentials, virtual host, TLS) is an error in any case; a limit that is
    /// reached, a virtual host that is down and a node that is drained are tried again like a broker that is down.
    pub connect_retry: Retry,
    /// What becomes of floats that are not finite, in arguments and results. Default [`NonFinite::Refuse`]. In a context
    /// they are refused always; a notifier has an option of its own.
    pub non_finite: NonFinite,
    /// Is told of every call, cast and served request, in the form of oslo.metrics. Default: nobody is.
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

/// What becomes of a float that is not finite: JSON has no number for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NonFinite {
    /// Nothing is sent: the error names the argument, or the path to the float within the result.
    #[default]
    Refuse,
    /// It is written as Python writes it: `NaN`, `Infinity`, `-Infinity`. Python and oxlo read that; a strict reader of
    /// JSON refuses the whole message.
    AsPython,
}

/// A Rust error that has a class and a module on the wire. `#[derive(RemoteError)]` writes it.
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

    /// This error as it travels.
    fn to_failure(&self) -> Failure;

    /// Reads a failure of one of its classes; `None` if it is another, or if its arguments are not what this type
    /// needs, and it then stays opaque.
    fn from_failure(failure: &Failure) -> Option<Self>
    where
        Self: Sized;
}

/// An error that a contract's methods can declare: it is recognised among failures without being registered, because
/// the contract names it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a contract's method",
    label = "a caller could not tell it from other failures",
    note = "derive it: `#[derive(Debug, thiserror::Error, RemoteError)] #[remote(module = \"..\")]`; or return a `Failure`"
)]
pub trait FromFailure: Sized {
    /// The error, if this failure is one.
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

/// Every failure is one.
impl FromFailure for Failure {
    fn recognise(failure: &Failure) -> Option<Self> {
        Some(failure.clone())
    }
}

impl<E: RemoteError> From<E> for Failure {
    /// Lets `?` turn a typed error into what travels.
    fn from(error: E) -> Self {
        error.to_failure()
    }
}

type Rebuild = Arc<dyn Fn(&Failure) -> Option<Box<dyn KnownError>> + Send + Sync>;

/// An error re-created from a failure; [`as_any`](Self::as_any) leads back to its type.
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

/// The allow-list of remote error modules (oslo's `allowed_remote_exmods`), and the Rust types that stand for them.
///
/// `builtins` is always allowed, and Python 2's `exceptions` counts as `builtins`.
#[derive(Clone, Default)]
pub struct RemoteErrors {
    modules: Vec<Arc<str>>,
    types: HashMap<(Arc<str>, Arc<str>), Rebuild>,
}

impl RemoteErrors {
    /// Allows every class of a module: its failures arrive as known errors, by name.
    pub fn allow_module(&mut self, module: impl Into<Arc<str>>) {
        let module = module.into();
        if !self.modules.contains(&module) {
            self.modules.push(module);
        }
    }

    /// Allows the modules of `E` and re-creates its classes as `E`.
    pub fn register<E: RemoteError>(&mut self) {
        let rebuild: Rebuild =
            Arc::new(|failure| E::from_failure(failure).map(|error| Box::new(error) as Box<dyn KnownError>));
        let own = E::CLASSES.iter().map(|class| (E::MODULE, *class));
        for (module, class) in own.chain(E::OTHER_CLASSES.iter().copied()) {
            self.allow_module(module);
            self.types.insert((module.into(), class.into()), rebuild.clone());
        }
    }

    /// Whether failures of `module` become known errors.
    #[must_use]
    pub fn allows(&self, module: &str) -> bool {
        let module = python3_module(module);
        module == "builtins" || self.modules.iter().any(|allowed| &**allowed == module)
    }

    /// The registered Rust error for a failure, if its module is allowed, its type registered and its arguments right.
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

/// What Python 2 calls `exceptions` is `builtins` to everyone else.
pub(crate) fn python3_module(module: &str) -> &str {
    if module == "exceptions" { "builtins" } else { module }
}
