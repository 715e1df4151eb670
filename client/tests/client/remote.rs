//! Failures of servers: allowed and registered, allowed and unregistered, not allowed, and `builtins`.

use std::{error::Error, fmt};

use oxlo_client::CallError;
use oxlo_transport::{Failure, RemoteError, Settings};
use serde_json::{Value, json};

use crate::fake::{Fake, calculator, ctxt};

#[derive(Debug, PartialEq)]
pub(crate) struct NotFound {
    instance: i64,
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no instance {}", self.instance)
    }
}

impl Error for NotFound {}

impl RemoteError for NotFound {
    const MODULE: &'static str = "nova.exception";
    const CLASSES: &'static [&'static str] = &["NotFound", "InstanceNotFound"];

    fn to_failure(&self) -> Failure {
        Failure::new(Self::MODULE, "NotFound", self.to_string()).with_kwarg("instance", self.instance)
    }

    fn from_failure(failure: &Failure) -> Option<Self> {
        Some(Self { instance: failure.kwargs.get("instance")?.as_i64()? })
    }
}

#[derive(Debug)]
struct Unrelated;

impl fmt::Display for Unrelated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unrelated")
    }
}

impl Error for Unrelated {}

impl RemoteError for Unrelated {
    const MODULE: &'static str = "unrelated";
    const CLASSES: &'static [&'static str] = &["Unrelated"];

    fn to_failure(&self) -> Failure {
        Failure::new(Self::MODULE, "Unrelated", "unrelated")
    }

    fn from_failure(_: &Failure) -> Option<Self> {
        Some(Self)
    }
}

pub(crate) fn traceback() -> Vec<String> {
    vec!["Traceback (most recent call last):\n".into(), "  File \"server.py\", line 17, in add\n".into()]
}

async fn error(settings: Settings, failure: Failure) -> CallError {
    let fake = Fake::with(settings);
    fake.fails(failure);
    calculator(&fake).call::<Value>(&ctxt(), "add", ()).await.unwrap_err()
}

pub(crate) fn knows_not_found() -> Settings {
    let mut settings = Settings::default();
    settings.remote_errors.register::<NotFound>();
    settings.remote_errors.register::<Unrelated>();
    settings
}

#[tokio::test]
async fn an_allowed_and_registered_failure_is_the_rust_type() {
    for class in NotFound::CLASSES {
        let failure = Failure::new("nova.exception", *class, "no instance 7")
            .with_kwarg("instance", 7)
            .with_traceback(traceback());
        let error = error(knows_not_found(), failure.clone()).await;
        let CallError::Remote { failure: remote, .. } = &error else { panic!("{error:?}") };

        assert!(remote.is_allowed());
        let (module, python) = error.oslo_exception();
        assert_eq!((&*module, &*python), ("nova.exception_Remote", &*format!("{class}_Remote")));
        assert_eq!((remote.class(), remote.module()), (*class, "nova.exception"));
        assert_eq!(remote.message(), "no instance 7");
        assert_eq!(remote.kwargs().get("instance"), Some(&json!(7)));
        assert_eq!(remote.args(), [json!("no instance 7")]);
        assert_eq!(remote.traceback(), traceback());
        assert_eq!(remote.failure(), &failure);

        assert!(remote.is::<NotFound>() && !remote.is::<Unrelated>());
        assert_eq!(error.downcast_ref::<NotFound>(), Some(&NotFound { instance: 7 }));
        assert!(error.downcast_ref::<Unrelated>().is_none());
        assert!(error.may_have_run() && !error.is_retryable());

        let error = error.downcast::<Unrelated>().unwrap_err();
        assert_eq!(error.downcast::<NotFound>().unwrap(), NotFound { instance: 7 });
    }
}

#[tokio::test]
async fn an_allowed_and_unregistered_failure_keeps_its_name() {
    let mut settings = Settings::default();
    settings.remote_errors.allow_module("nova.exception");
    let error = error(settings, Failure::new("nova.exception", "NotFound", "no instance 7")).await;
    let CallError::Remote { failure: remote, .. } = &error else { panic!("{error:?}") };
    assert_eq!((remote.class(), remote.module()), ("NotFound", "nova.exception"));
    assert!(error.downcast_ref::<NotFound>().is_none());
    assert_eq!(error.to_string(), "call `add` on calculator: NotFound_Remote: no instance 7");
}

#[tokio::test]
async fn a_registered_failure_with_other_arguments_keeps_its_name() {
    let error = error(knows_not_found(), Failure::new("nova.exception", "NotFound", "no instance")).await;
    let CallError::Remote { failure: remote, .. } = &error else { panic!("{error:?}") };
    assert_eq!(remote.class(), "NotFound");
    assert!(!remote.is::<NotFound>(), "there is no `instance`");
}

#[tokio::test]
async fn a_failure_that_is_not_allowed_is_a_remote_error() {
    for module in ["nova.exception", "nova.exception.sub", "nova", "builtins_Remote", "", "Builtins"] {
        let mut settings = Settings::default();
        settings.remote_errors.allow_module("cinder.exception");
        let error =
            error(settings, Failure::new(module, "NotFound", "no instance 7").with_traceback(traceback())).await;
        let CallError::Remote { failure, .. } = &error else { panic!("{error:?}") };
        assert_eq!((failure.class(), failure.module(), failure.message()), ("NotFound", module, "no instance 7"));
        assert_eq!(failure.traceback(), traceback());
        assert!(error.downcast_ref::<NotFound>().is_none() && !failure.is_allowed());
        assert_eq!(error.oslo_exception(), ("oslo_messaging.rpc.client".into(), "RemoteError".into()));
        assert!(error.may_have_run() && !error.is_retryable());
        assert_eq!(error.to_string(), "call `add` on calculator: Remote error: NotFound no instance 7");
    }
}

#[tokio::test]
async fn builtins_are_always_allowed() {
    // Python 2 sends `exceptions`.
    for module in ["builtins", "exceptions"] {
        let failure =
            Failure::new(module, "ValueError", "('bad value', 42)").with_args([json!("bad value"), json!(42)]);
        let error = error(Settings::default(), failure).await;
        let CallError::Remote { failure: remote, .. } = &error else { panic!("{error:?}") };
        assert_eq!((remote.class(), remote.module()), ("ValueError", "builtins"));
        assert_eq!(error.oslo_exception(), ("builtins".into(), "ValueError".into()), "Python cannot rename its own");
        assert_eq!(remote.args(), [json!("bad value"), json!(42)]);
        assert_eq!(remote.to_string(), "('bad value', 42)");
    }
}

#[tokio::test]
async fn a_traceback_in_the_message_is_not_printed() {
    let message = "bad\nmultiline\nTraceback (most recent call last):\n\n  File \"a.py\", line 1\n";
    let known = error(Settings::default(), Failure::builtin("ValueError", message)).await;
    assert_eq!(known.to_string(), "call `add` on calculator: ValueError_Remote: bad multiline");
    assert_eq!(known.remote_failure().unwrap().message(), message, "the message is complete");

    let opaque = error(Settings::default(), Failure::new("m", "Boom", message)).await;
    assert_eq!(opaque.to_string(), "call `add` on calculator: Remote error: Boom bad multiline");
}

#[tokio::test]
async fn a_failure_without_text_is_its_class() {
    let known = error(Settings::default(), Failure::builtin("KeyError", "")).await;
    assert_eq!(known.to_string(), "call `add` on calculator: KeyError_Remote");
    let opaque = error(Settings::default(), Failure::new("m", "Boom", "")).await;
    assert_eq!(opaque.to_string(), "call `add` on calculator: Remote error: Boom");
}

#[tokio::test]
async fn a_server_that_has_no_such_method_ran_nothing() {
    let dispatcher = "oslo_messaging.rpc.dispatcher";
    for (class, no_method, no_version) in
        [("NoSuchMethod", true, false), ("UnsupportedVersion", false, true), ("ExpectedException", false, false)]
    {
        let failure = Failure::new(dispatcher, class, "Endpoint does not support RPC method nosuch");
        let mut allows_it = Settings::default();
        allows_it.remote_errors.allow_module(dispatcher);
        for settings in [Settings::default(), allows_it] {
            let error = error(settings, failure.clone()).await;
            assert_eq!(error.is_no_such_method(), no_method, "{error:?}");
            assert_eq!(error.is_unsupported_version(), no_version, "{error:?}");
            assert_eq!(error.may_have_run(), !no_method && !no_version, "{error:?}");
        }
    }
    let lookalike = error(Settings::default(), Failure::new("my.module", "NoSuchMethod", "")).await;
    assert!(!lookalike.is_no_such_method() && lookalike.may_have_run());
}

#[tokio::test]
async fn arguments_of_failures_are_not_in_debug() {
    let failure = Failure::builtin("ValueError", "bad").with_args([json!("hunter2")]).with_kwarg("password", "hunter2");
    let error = error(Settings::default(), failure).await;
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    assert!(format!("{error:?}").contains("ValueError_Remote"), "{error:?}");
}
