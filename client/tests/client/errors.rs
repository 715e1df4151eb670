//! Texts and answers of errors.

use std::{error::Error, sync::Arc, time::Duration};

use oxlo_client::{CallError, RPCClient};
use oxlo_transport::{Failure, Payload, Refusal, Reply, Target, TransportError};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fake::{Fake, Step, calculator, ctxt};

const MINUTE: Duration = Duration::from_secs(60);

/// Errors before the request is confirmed: text, whether the method may have run, whether a retry is sensible.
fn errors_before_confirmation() -> Vec<(TransportError, &'static str, bool, bool)> {
    let cause = || Some(Arc::new(std::io::Error::other("connection refused by h1:5672")) as _);
    vec![
        (
            TransportError::InvalidTarget { reason: "no broker can do that".into() },
            "the target cannot be used: no broker can do that",
            false,
            false,
        ),
        (
            TransportError::Config { option: "ssl".into(), reason: "it contradicts login_method".into() },
            "option `ssl`: it contradicts login_method",
            false,
            false,
        ),
        (
            TransportError::Refused {
                refusal: Refusal::Credentials,
                broker: "h1:5672".into(),
                reason: "wrong password for `u`".into(),
            },
            "h1:5672 refused the connection: wrong password for `u`",
            false,
            false,
        ),
        (
            TransportError::Unreachable { broker: "h1:5672".into(), waited: MINUTE, source: cause() },
            "no connection to h1:5672 within 60s",
            false,
            true,
        ),
        (
            TransportError::Blocked { reason: "low on memory".into(), waited: MINUTE },
            "the broker accepted no messages for 60s: low on memory",
            false,
            true,
        ),
        (
            TransportError::TooLarge { size: 17, limit: 16 },
            "the message has 17 bytes, the limit is 16 (setting max_message_size)",
            false,
            false,
        ),
        (TransportError::Closed, "the transport is closed", false, false),
        (
            TransportError::Undeliverable { exchange: "openstack".into(), routing_key: "calculator".into() },
            "nobody listens on calculator (exchange `openstack`)",
            false,
            true,
        ),
        (
            TransportError::Rejected { routing_key: "calculator".into(), reason: "the queue is full".into() },
            "the broker did not accept the message for calculator: the queue is full",
            true,
            true,
        ),
        (
            TransportError::MessageRefused {
                exchange: "neutron".into(),
                routing_key: "calculator".into(),
                code: "403".into(),
                reason: "ACCESS_REFUSED".into(),
                may_pass: false,
            },
            "the broker refused the message for calculator (exchange `neutron`): ACCESS_REFUSED",
            false,
            false,
        ),
        (
            TransportError::Topology { object: "queue reply_x".into(), reason: "it is durable".into() },
            "queue reply_x: it is durable",
            false,
            false,
        ),
        (
            TransportError::ConnectionLost { source: cause() },
            "the connection was lost before the broker confirmed the message",
            true,
            true,
        ),
        (
            TransportError::UnknownScheme { scheme: "x".into(), hint: "none".into() },
            "no driver for scheme `x`: none",
            false,
            false,
        ),
    ]
}

/// Errors after the request is confirmed.
fn errors_after_confirmation() -> Vec<(TransportError, &'static str, bool, bool)> {
    vec![
        (TransportError::TimedOut { waited: MINUTE }, "no reply within 60s", true, true),
        (
            TransportError::Unconfirmed { waited: MINUTE },
            "the broker did not confirm the message within 60s",
            true,
            true,
        ),
        (
            TransportError::ServerSilent { silence: Duration::from_secs(4) },
            "the server sent no heartbeat for 4s",
            true,
            true,
        ),
        (
            TransportError::ReplyLost { queue: "reply_x".into() },
            "the reply queue reply_x is gone, and with it the reply",
            true,
            true,
        ),
        (
            TransportError::MalformedReply { reason: "`failure` is an object".into() },
            "the reply cannot be read: `failure` is an object",
            true,
            false,
        ),
        (TransportError::ClosedWaiting, "the transport was closed before the reply came", true, false),
    ]
}

/// The texts of the error and its causes. Asserts that none repeats another.
fn chain(error: &CallError) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        texts.push(cause.to_string());
        next = cause.source();
    }
    for (at, text) in texts.iter().enumerate() {
        assert!(texts[at + 1..].iter().all(|later| !text.contains(later.as_str())), "{texts:?}");
    }
    texts
}

#[tokio::test]
async fn errors_of_sending() {
    let fake = Fake::new();
    let client = RPCClient::new(fake.clone(), Target::topic("calculator").server("node-7"));
    for (error, text, may_have_run, retryable) in errors_before_confirmation() {
        fake.then(Step::Refuse(error.clone()));
        let call = client.call::<Value>(&ctxt(), "add", ()).await.unwrap_err();
        fake.then(Step::Refuse(error.clone()));
        let start = client.start::<Value>(&ctxt(), "add", ()).await.unwrap_err();
        fake.then(Step::Refuse(error.clone()));
        let cast = client.cast(&ctxt(), "add", ()).await.unwrap_err();
        for (got, kind) in [(call, "call"), (start, "call"), (cast, "cast")] {
            assert_eq!(got.to_string(), format!("{kind} `add` on calculator.node-7: {text}"));
            assert_eq!((got.may_have_run(), got.is_retryable()), (may_have_run, retryable), "{got}");
            assert_eq!((got.method(), got.target()), ("add", client.target()));
            assert_eq!(got.source().is_some(), error.source().is_some(), "{got:?}");
            assert_eq!(format!("{got:?}"), chain(&got).join(": "));
            chain(&got);
        }
    }
    assert!(fake.pending.is_empty());
}

#[tokio::test]
async fn errors_of_waiting() {
    let fake = Fake::new();
    let client = calculator(&fake);
    for (error, text, may_have_run, retryable) in errors_after_confirmation() {
        fake.then(Step::Lose(error.clone()));
        let call = client.call::<Value>(&ctxt(), "add", ()).await.unwrap_err();
        fake.then(Step::Lose(error));
        let start = client.start::<Value>(&ctxt(), "add", ()).await.unwrap().await.unwrap_err();
        for got in [call, start] {
            assert_eq!(got.to_string(), format!("call `add` on calculator: {text}"));
            assert_eq!((got.may_have_run(), got.is_retryable()), (may_have_run, retryable), "{got}");
            assert_eq!(chain(&got).len(), 1);
        }
    }
    assert!(fake.pending.is_empty());
}

#[tokio::test]
async fn a_cause_is_in_the_source() {
    let fake = Fake::new();
    let source = Some(Arc::new(std::io::Error::other("h1:5672: connection refused")) as _);
    fake.then(Step::Refuse(TransportError::Unreachable { broker: "h1:5672".into(), waited: MINUTE, source }));
    let error = calculator(&fake).cast(&ctxt(), "reload", ()).await.unwrap_err();
    assert_eq!(
        chain(&error),
        ["cast `reload` on calculator: no connection to h1:5672 within 60s", "h1:5672: connection refused"]
    );
}

#[tokio::test]
async fn the_text_names_namespace_version_and_exchange() {
    let fake = Fake::new();
    fake.then(Step::Lose(TransportError::TimedOut { waited: Duration::from_millis(1500) }));
    let target = Target::topic("calculator").exchange("ex").server("node-7").namespace("math").version("1.2");
    let error = RPCClient::new(fake, target).call::<Value>(&ctxt(), "add", ()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "call `add` on ex/calculator.node-7 namespace math version 1.2: no reply within 1.5s"
    );
    assert!(
        matches!(error, CallError::Transport { error: TransportError::TimedOut { waited, .. }, .. } if waited == Duration::from_millis(1500))
    );
}

#[derive(Debug, Deserialize)]
#[allow(dead_code)]
struct Host {
    disks: Vec<Disk>,
}

#[derive(Debug, Deserialize)]
#[allow(dead_code)]
struct Disk {
    size: u64,
}

async fn decoded<R: serde::de::DeserializeOwned + std::fmt::Debug>(text: &'static str) -> CallError {
    let fake = Fake::new();
    fake.then(Step::Reply(Reply::Result(Payload::from_raw(text.into()))));
    let error = calculator(&fake).call::<R>(&ctxt(), "host", ()).await.unwrap_err();
    assert!(error.may_have_run() && !error.is_retryable());
    assert!(matches!(error, CallError::Decode { .. }), "{error:?}");
    error
}

#[tokio::test]
async fn a_result_of_another_type_is_named_with_its_path() {
    let error = decoded::<i64>(r#""hunter2""#).await;
    let expected = "expected an integer from -9223372036854775808 to 9223372036854775807, got a string";
    assert_eq!(error.to_string(), format!("call `host` on calculator: cannot decode the result as `i64`: {expected}"));
    assert_eq!(chain(&error).len(), 1);

    let error = decoded::<Host>(r#"{"disks": [{"size": 1}, {"size": "hunter2"}]}"#).await;
    let texts = chain(&error);
    assert!(texts[0].starts_with("call `host` on calculator: cannot decode the result as `"), "{texts:?}");
    let place = "Host` at `disks[1].size`: expected an integer from 0 to 18446744073709551615, got a string";
    assert!(texts[0].ends_with(place), "{texts:?}");
    assert!(!format!("{error:?} {texts:?}").contains("hunter2"));

    let missing = decoded::<Host>(r#"{"disks": [{}]}"#).await;
    assert!(missing.to_string().ends_with(" at `disks[0].size`: the field is missing"), "{missing}");
}

#[tokio::test]
async fn falsy_results_are_unchanged() {
    let fake = Fake::new();
    let client = calculator(&fake);
    for result in [json!(0), json!(""), json!([]), json!({}), json!(false), json!(null)] {
        fake.answers(&result);
        assert_eq!(client.call::<Value>(&ctxt(), "echo", ()).await.unwrap(), result);
    }
    fake.answers(&json!(null));
    client.call::<()>(&ctxt(), "echo", ()).await.unwrap();
    fake.answers(&json!(null));
    assert_eq!(client.call::<Option<i64>>(&ctxt(), "echo", ()).await.unwrap(), None);
}

#[test]
fn errors_are_small_and_send() {
    fn assert_send_sync<T: Send + Sync + 'static>() {}
    assert_send_sync::<CallError>();
    assert_send_sync::<RPCClient>();
    assert_send_sync::<oxlo_client::PendingCall<std::rc::Rc<u8>>>();
    assert!(size_of::<CallError>() <= 80, "{}", size_of::<CallError>());
}

/// `Debug` is what a `main` that returns the error prints: one line, whatever the peer sent.
#[tokio::test]
async fn debug_is_the_chain_on_one_line() {
    let fake = Fake::new();
    fake.fails(Failure::builtin("ValueError", "two\nlines\nTraceback (most recent call last):\n  File"));
    let error = calculator(&fake).call::<()>(&ctxt(), "add", ()).await.unwrap_err();
    assert_eq!(format!("{error:?}"), "call `add` on calculator: ValueError_Remote: two lines");
    assert_eq!(error.remote_failure().unwrap().message().lines().count(), 4, "the message is complete");
    let error = oxlo_client::MethodError::<CallError>::Call(error);
    assert_eq!(format!("{error:?}"), error.to_string());
}

#[tokio::test]
async fn floats_that_are_not_finite_are_refused_by_name() {
    #[derive(serde::Serialize)]
    struct Report {
        loads: Vec<f64>,
    }
    let fake = Fake::new();
    let client = calculator(&fake);
    let report = || Report { loads: vec![0.5, f64::NAN] };
    for error in [
        client.call::<()>(&ctxt(), "report", report()).await.unwrap_err(),
        client.start::<()>(&ctxt(), "report", report()).await.unwrap_err(),
        client.cast(&ctxt(), "report", report()).await.unwrap_err(),
    ] {
        assert!(matches!(error, CallError::Encode { .. }) && !error.may_have_run(), "{error}");
        let text = error.to_string();
        assert!(text.contains(" on calculator: the arguments have no JSON form: `loads[1]` is NaN, "), "{text}");
    }
    let loaded = ctxt().with("load", f64::INFINITY);
    let error = client.cast(&loaded, "report", ()).await.unwrap_err();
    assert!(error.to_string().contains("option `ctxt`: entry `load`: the value is Infinity, "), "{error}");
    assert!(fake.pending.is_empty());
}

#[tokio::test]
async fn a_failure_is_not_a_result() {
    let fake = Fake::new();
    fake.fails(Failure::builtin("ValueError", "bad"));
    let error = calculator(&fake).call::<()>(&ctxt(), "add", ()).await.unwrap_err();
    assert_eq!(chain(&error), ["call `add` on calculator: ValueError_Remote: bad"]);
}
