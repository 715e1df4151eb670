//! The failure that a server's client receives when a handler returns the error of a call.

use std::time::Duration;

use oxlo_client::{CallError, RPCClient};
use oxlo_transport::{Failure, Reply, Target, TransportError};
use serde_json::{Value, json};

use crate::{
    fake::{Fake, Step, calculator, ctxt},
    remote::{knows_not_found, traceback},
};

async fn after(step: Step, change: impl Fn(RPCClient) -> RPCClient) -> CallError {
    let fake = Fake::with(knows_not_found());
    fake.then(step);
    change(calculator(&fake)).call::<i64>(&ctxt(), "add", ()).await.unwrap_err()
}

#[tokio::test]
async fn an_allowed_failure_is_passed_on_unchanged() {
    for failure in [
        Failure::new("nova.exception", "NotFound", "no instance 7").with_kwarg("instance", 7),
        Failure::builtin("ValueError", "bad").with_args([json!("bad"), json!(42)]).with_traceback(traceback()),
    ] {
        let error = after(Step::Reply(Reply::Failure(Box::new(failure.clone()))), |c| c).await;
        assert!(error.to_string().contains("_Remote: "), "{error}");
        assert_eq!(error.to_failure(), failure, "without the suffix");
        assert_eq!(Failure::from(error), failure);
    }
}

#[tokio::test]
async fn python_2_builtins_go_on_as_builtins() {
    let step = Step::Reply(Reply::Failure(Box::new(Failure::new("exceptions", "ValueError", "bad"))));
    assert_eq!(Failure::from(after(step, |c| c).await), Failure::builtin("ValueError", "bad"));
}

/// The `NoSuchMethod` of another server must not look like one of this server.
#[tokio::test]
async fn any_other_failure_is_passed_on_as_remote_error() {
    let inner =
        Failure::new("oslo_messaging.rpc.dispatcher", "NoSuchMethod", "no method x").with_traceback(traceback());
    let error = after(Step::Reply(Reply::Failure(Box::new(inner))), |c| c).await;
    let failure = Failure::from(error);
    assert_eq!((&*failure.module, &*failure.class), ("oslo_messaging.rpc.client", "RemoteError"));
    assert_eq!(failure.message, "call `add` on calculator: Remote error: NoSuchMethod no method x");
    assert_eq!(failure.args, [json!("NoSuchMethod"), json!("no method x"), json!(traceback())]);
    assert_eq!(failure.traceback, traceback());

    let outer = after(Step::Reply(Reply::Failure(Box::new(failure))), |c| c).await;
    assert!(!outer.is_no_such_method());
}

#[tokio::test]
async fn local_errors_are_passed_on_under_their_python_names() {
    const EXCEPTIONS: &str = "oslo_messaging.exceptions";
    const CLIENT: &str = "oslo_messaging.rpc.client";
    let second = Duration::from_secs(1);
    let refuse = |error| Step::Refuse(error);
    let lose = |error| Step::Lose(error);
    type Change = fn(RPCClient) -> RPCClient;
    let same: Change = |client| client;
    let cases: Vec<(Step, Change, &str, &str)> = vec![
        (lose(TransportError::TimedOut { waited: second }), same, EXCEPTIONS, "MessagingTimeout"),
        (lose(TransportError::ServerSilent { silence: second }), same, EXCEPTIONS, "MessagingTimeout"),
        (lose(TransportError::ReplyLost { queue: "q".into() }), same, EXCEPTIONS, "MessagingTimeout"),
        (refuse(TransportError::ConnectionLost { source: None }), same, EXCEPTIONS, "MessageDeliveryFailure"),
        (refuse(TransportError::Closed), same, EXCEPTIONS, "MessageDeliveryFailure"),
        (
            refuse(TransportError::Unreachable { broker: "h".into(), waited: second, source: None }),
            same,
            EXCEPTIONS,
            "MessageDeliveryFailure",
        ),
        (
            refuse(TransportError::Undeliverable { exchange: "x".into(), routing_key: "k".into() }),
            same,
            EXCEPTIONS,
            "MessageUndeliverable",
        ),
        (Step::Silence, |client| client.fanout(true), EXCEPTIONS, "InvalidTarget"),
        (Step::Silence, |client| client.timeout(Duration::ZERO), EXCEPTIONS, "ConfigurationError"),
        (Step::Silence, |client| client.version("2.0").version_cap("1.0"), CLIENT, "RPCVersionCapError"),
        (Step::Reply(Reply::Result(oxlo_transport::Payload::empty_object())), same, "builtins", "ValueError"),
    ];
    for (step, change, module, class) in cases {
        let error = after(step, change).await;
        let text = error.to_string();
        let failure = Failure::from(error);
        assert_eq!((&*failure.module, &*failure.class, failure.message), (module, class, text));
    }
}

#[tokio::test]
async fn arguments_re_create_the_python_exception() {
    let cap = after(Step::Silence, |client| client.version("2.0").version_cap("1.0")).await;
    assert_eq!(cap.to_failure().args, [json!("2.0"), json!("1.0")]);
    let target = after(Step::Silence, |client| client.fanout(true)).await.to_failure();
    assert_eq!(target.args.len(), 2);
    assert_eq!(target.args[1], json!("calculator (fanout)"));
    let nobody = TransportError::Undeliverable { exchange: "x".into(), routing_key: "k".into() };
    let nobody = after(Step::Refuse(nobody), |client| client).await.to_failure();
    assert_eq!(nobody.args, [Value::Null, json!("x"), json!("k"), Value::Null]);
}

#[tokio::test]
async fn a_handler_passes_errors_on_with_a_question_mark() {
    async fn handler(client: &RPCClient) -> Result<i64, Failure> {
        Ok(client.call(&ctxt(), "add", json!({"a": 1})).await?)
    }
    let fake = Fake::new();
    fake.fails(Failure::builtin("ZeroDivisionError", "division by zero"));
    let client = RPCClient::new(fake, Target::topic("calculator"));
    assert_eq!(handler(&client).await.unwrap_err(), Failure::builtin("ZeroDivisionError", "division by zero"));
}
