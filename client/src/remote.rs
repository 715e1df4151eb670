//! A remote failure that the transport allows: oslo's `_Remote` exceptions.

use std::{error::Error, fmt};

use oxlo_transport::{
    Failure,
    failure::REMOTE_SUFFIX,
    settings::{KnownError, RemoteError},
    text::line,
};
use serde_json::{Map, Value};

use crate::{
    error::{headline, prefixed},
    site::CallSite,
};

/// A method's failure whose module is on the transport's allow-list.
///
/// Its class and module carry the suffix `_Remote`, so that it is never mistaken for a failure of this process; the
/// [original](Self::original_class) names are there too. Passing it on takes the suffix off again.
///
/// If a Rust type is registered for the class (`TransportBuilder::remote_error`), it
/// [downcasts](Self::downcast_ref) to it. `Display` is the failure's text on one line, without the traceback.
///
/// ```
/// use oxlo_client::{CallError, Context, RPCClient, Target};
/// use oxlo_transport::{Failure, Registry, settings::RemoteError};
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
pub struct Remote(Box<Inner>);

struct Inner {
    site: CallSite,
    class: String,
    module: String,
    failure: Failure,
    known: Option<Box<dyn KnownError>>,
}

impl Remote {
    pub(crate) fn new(site: CallSite, mut failure: Failure, known: Option<Box<dyn KnownError>>) -> Self {
        // What Python 2 calls `exceptions` is `builtins` to everyone else.
        if failure.module == "exceptions" {
            "builtins".clone_into(&mut failure.module);
        }
        let class = format!("{}{REMOTE_SUFFIX}", failure.class);
        let module = format!("{}{REMOTE_SUFFIX}", failure.module);
        Self(Box::new(Inner { site, class, module, failure, known }))
    }

    /// Class and message in one line.
    pub(crate) fn summary(&self) -> String {
        format!("{}{}", line(self.class()), prefixed(": ", &headline(self.message())))
    }

    /// What was asked of whom.
    #[must_use]
    pub fn site(&self) -> &CallSite {
        &self.0.site
    }

    /// Name of the class here: the original with `_Remote`, such as `NotFound_Remote`.
    #[must_use]
    pub fn class(&self) -> &str {
        &self.0.class
    }

    /// Name of the module here: the original with `_Remote`, such as `nova.exception_Remote`.
    #[must_use]
    pub fn module(&self) -> &str {
        &self.0.module
    }

    /// Name of the class where it was raised.
    #[must_use]
    pub fn original_class(&self) -> &str {
        &self.0.failure.class
    }

    /// Module of the class where it was raised. Python 2's `exceptions` is `builtins`.
    #[must_use]
    pub fn original_module(&self) -> &str {
        &self.0.failure.module
    }

    /// The failure's text, whole: a Python server that passes on somebody else's failure appends a traceback to it,
    /// which `Display` leaves out.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.failure.message
    }

    /// Positional arguments of the error.
    #[must_use]
    pub fn args(&self) -> &[Value] {
        &self.0.failure.args
    }

    /// Keyword arguments of the error.
    #[must_use]
    pub fn kwargs(&self) -> &Map<String, Value> {
        &self.0.failure.kwargs
    }

    /// The server's traceback, as it formatted it; empty if it has none to tell.
    #[must_use]
    pub fn traceback(&self) -> &[String] {
        &self.0.failure.traceback
    }

    /// The failure as it travelled, with the original names.
    #[must_use]
    pub fn failure(&self) -> &Failure {
        &self.0.failure
    }

    /// The failure as it travelled, with the original names.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        self.0.failure
    }

    /// Whether it is the Rust type `E`.
    #[must_use]
    pub fn is<E: RemoteError>(&self) -> bool {
        self.downcast_ref::<E>().is_some()
    }

    /// The Rust type that was registered for the class; `None` if it is another type, none is registered, or the
    /// failure's arguments were not what the type needs.
    #[must_use]
    pub fn downcast_ref<E: RemoteError>(&self) -> Option<&E> {
        (**self.0.known.as_ref()?).as_any().downcast_ref()
    }

    /// The Rust type that was registered for the class, by value.
    ///
    /// # Errors
    ///
    /// The failure itself, unchanged, if it is not an `E`.
    pub fn downcast<E: RemoteError>(mut self) -> Result<E, Self> {
        if !self.is::<E>() {
            return Err(self);
        }
        match self.0.known.take().map(|known| known.into_any().downcast::<E>()) {
            Some(Ok(known)) => Ok(*known),
            _ => Err(self),
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&headline(self.message()))
    }
}

impl fmt::Debug for Remote {
    /// Without the arguments, which may hold what is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("site", &self.0.site)
            .field("class", &self.0.class)
            .field("module", &self.0.module)
            .field("message", &headline(self.message()))
            .field("known", &self.0.known.is_some())
            .finish_non_exhaustive()
    }
}

impl Error for Remote {
    /// The cause that the registered Rust type names, if there is one.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.known.as_ref()?.source()
    }
}
