//! The failure that a server answered with.

use std::{borrow::Cow, error::Error, fmt};

use oxlo_transport::{
    Failure, KnownError, REMOTE_SUFFIX, RemoteError, RemoteErrors,
    text::{folded, line},
};
use serde_json::{Map, Value};

/// Characters of a failure's message that `Display` shows.
const SHOWN: usize = 2000;

/// The failure that a server answered with, in [`CallError::Remote`](crate::CallError::Remote).
///
/// The module of its class decides how it is presented, as in oslo.messaging (`allowed_remote_exmods`). If the transport
/// [allows](Self::is_allowed) the module, errors show the class with oslo's suffix, such as `NotFound_Remote`; otherwise
/// they show oslo's `Remote error: NotFound`. `builtins` is always allowed.
///
/// If a Rust type is registered for the class (`TransportBuilder::remote_error`), the failure
/// [downcasts](Self::downcast_ref) to it. Nothing else is ever built from the names that a peer sent.
///
/// `Display` is the message on one line, without a traceback.
///
/// ```
/// use oxlo_client::{CallError, RPCClient};
/// use oxlo_transport::{Context, Target};
/// use oxlo_transport::{Failure, Registry, RemoteError};
/// # use oxlo_driver_memory::MemoryDriver;
/// # use oxlo_transport::Reply;
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("no instance {instance}")]
/// struct NotFound {
///     instance: i64,
/// }
///
/// impl RemoteError for NotFound {
///     const MODULE: &'static str = "nova.exception";
///     const CLASSES: &'static [&'static str] = &["NotFound"];
///
///     fn to_failure(&self) -> Failure {
///         Failure::new(Self::MODULE, "NotFound", self.to_string()).with_kwarg("instance", self.instance)
///     }
///
///     fn from_failure(failure: &Failure) -> Option<Self> {
///         Some(Self { instance: failure.kwargs.get("instance")?.as_i64()? })
///     }
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let drivers = Registry::new().with(MemoryDriver);
///
/// let transport = drivers.transport("memory://remote").remote_error::<NotFound>().connect().await?;
/// # let mut listener = transport.listen(&Target::topic("compute").server("node-7"), &Default::default()).await?;
/// # tokio::spawn(async move {
/// #     while let Ok(delivery) = listener.recv().await {
/// #         delivery.settle.ack();
/// #         let failure = Reply::Failure(Box::new(NotFound { instance: 7 }.to_failure()));
/// #         if let Some(replier) = delivery.replier { let _ = replier.reply(failure).await; }
/// #     }
/// # });
/// let client = RPCClient::new(transport, Target::topic("compute"));
/// let error = client.call::<()>(&Context::new(), "reboot", ()).await.unwrap_err();
/// assert_eq!(error.to_string(), "call `reboot` on compute: NotFound_Remote: no instance 7");
/// assert_eq!(error.downcast_ref::<NotFound>().map(|known| known.instance), Some(7));
/// # Ok(()) }
/// ```
pub struct RemoteFailure(Box<Inner>);

struct Inner {
    failure: Failure,
    allowed: bool,
    known: Option<Box<dyn KnownError>>,
}

impl RemoteFailure {
    pub(crate) fn new(mut failure: Failure, errors: &RemoteErrors) -> Self {
        let allowed = errors.allows(&failure.module);
        let known = if allowed { errors.rebuild(&failure) } else { None };
        // Python 2 calls the module of its built-in classes `exceptions`.
        if failure.module == "exceptions" {
            "builtins".clone_into(&mut failure.module);
        }
        Self(Box::new(Inner { failure, allowed, known }))
    }

    /// Name of the class that the server raised, such as `NotFound`.
    #[must_use]
    pub fn class(&self) -> &str {
        &self.0.failure.class
    }

    /// Module of the class, such as `nova.exception`. Python 2's `exceptions` is reported as `builtins`.
    #[must_use]
    pub fn module(&self) -> &str {
        &self.0.failure.module
    }

    /// The complete message. A Python server that passes on another server's failure appends a traceback, which
    /// `Display` leaves out.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.failure.message
    }

    /// Positional arguments of the exception.
    #[must_use]
    pub fn args(&self) -> &[Value] {
        &self.0.failure.args
    }

    /// Keyword arguments of the exception.
    #[must_use]
    pub fn kwargs(&self) -> &Map<String, Value> {
        &self.0.failure.kwargs
    }

    /// The server's traceback as it formatted it. Empty if it sent none.
    #[must_use]
    pub fn traceback(&self) -> &[String] {
        &self.0.failure.traceback
    }

    /// The failure as it was received.
    #[must_use]
    pub fn failure(&self) -> &Failure {
        &self.0.failure
    }

    /// The failure as it was received, by value.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        self.0.failure
    }

    /// Returns `true` if the module is on the transport's list of allowed modules.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.0.allowed
    }

    /// Returns `true` if the failure was rebuilt as the registered type `E`.
    #[must_use]
    pub fn is<E: RemoteError>(&self) -> bool {
        self.downcast_ref::<E>().is_some()
    }

    /// The failure as the type that is registered for its class. `None` if that is not `E`, if no type is registered, or
    /// if the arguments of the exception were not those that the type needs.
    #[must_use]
    pub fn downcast_ref<E: RemoteError>(&self) -> Option<&E> {
        (**self.0.known.as_ref()?).as_any().downcast_ref()
    }

    /// The failure as the type that is registered for its class, by value.
    ///
    /// # Errors
    ///
    /// Returns the failure unchanged if it is not an `E`.
    pub fn downcast<E: RemoteError>(mut self) -> Result<E, Self> {
        if !self.is::<E>() {
            return Err(self);
        }
        match self.0.known.take().map(|known| known.into_any().downcast::<E>()) {
            Some(Ok(known)) => Ok(*known),
            _ => Err(self),
        }
    }

    /// Class and message on one line, as oslo.messaging shows them.
    pub(crate) fn summary(&self) -> String {
        let (class, message) = (line(self.class()), self.headline());
        let (class, separator) = if self.0.allowed {
            (format!("{class}{REMOTE_SUFFIX}"), ": ")
        } else {
            (format!("Remote error: {class}"), " ")
        };
        // Many exceptions have no message.
        if message.is_empty() { class } else { format!("{class}{separator}{message}") }
    }

    /// The message up to the traceback that a Python server appends when it passes a failure on, on one line.
    fn headline(&self) -> Cow<'_, str> {
        let message = self.message();
        folded(message.split("\nTraceback (most recent call last):").next().unwrap_or(message), SHOWN)
    }
}

impl fmt::Display for RemoteFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())
    }
}

impl fmt::Debug for RemoteFailure {
    /// Leaves out the arguments, which may be confidential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteFailure")
            .field("class", &self.class())
            .field("module", &self.module())
            .field("message", &self.headline())
            .field("allowed", &self.0.allowed)
            .field("known", &self.0.known.is_some())
            .finish_non_exhaustive()
    }
}

impl Error for RemoteFailure {
    /// The source of the registered type, if it has one.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.known.as_ref()?.source()
    }
}
