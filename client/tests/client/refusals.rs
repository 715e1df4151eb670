//! Requests that are refused before they reach the transport, and requests that reach it.

use std::{collections::BTreeMap, time::Duration};

use oxlo_client::{CallError, RPCClient};
use oxlo_transport::{Settings, Target, TransportError};
use serde::Serialize;
use serde_json::{Value, json};

use crate::fake::{Fake, Options, calculator, ctxt};

/// The refusal of call, start and cast. Asserts that it is the same and that nothing was sent.
async fn refused(change: impl Fn(RPCClient) -> RPCClient, args: impl Serialize, wanted: &str) {
    let fake = Fake::new();
    let client = change(calculator(&fake));
    let errors = [
        client.call::<Value>(&ctxt(), "add", &args).await.unwrap_err(),
        client.start::<Value>(&ctxt(), "add", &args).await.unwrap_err(),
        client.cast(&ctxt(), "add", &args).await.unwrap_err(),
    ];
    for (error, kind) in errors.iter().zip(["call", "call", "cast"]) {
        assert_eq!(error.to_string(), format!("{kind} `add` on {wanted}"));
        assert!(!error.may_have_run() && !error.is_retryable(), "{error}");
        assert_eq!(error.method(), "add");
    }
    assert!(fake.handed().is_empty());
    assert!(fake.pending.is_empty());
}

#[tokio::test]
async fn no_topic() {
    let wanted = "(no topic): the target cannot be used: it has no topic; \
                  create it with Target::topic(\"name-of-the-service\")";
    for target in [Target::new(), Target::topic(""), Target::new().server("node-7")] {
        let fake = Fake::new();
        let client = RPCClient::new(fake.clone(), target);
        let error = client.call::<Value>(&ctxt(), "add", ()).await.unwrap_err();
        assert!(matches!(error, CallError::Transport { error: TransportError::InvalidTarget { .. }, .. }), "{error:?}");
        assert!(error.to_string().contains("it has no topic"), "{error}");
        assert!(client.cast(&ctxt(), "add", ()).await.is_err());
        assert!(fake.handed().is_empty());
    }
    refused(
        |client| {
            let mut target = client.target().clone();
            target.topic = None;
            RPCClient::new(Fake::new(), target)
        },
        (),
        wanted,
    )
    .await;
}

#[tokio::test]
async fn a_call_with_fanout_is_refused() {
    let fake = Fake::new();
    let client = calculator(&fake).fanout(true);
    let wanted = "call `add` on calculator (fanout): the target cannot be used: \
                  a fanout has no single reply; cast it, or prepare().fanout(false)";
    let call = client.call::<Value>(&ctxt(), "add", ()).await.unwrap_err();
    let start = client.start::<Value>(&ctxt(), "add", ()).await.unwrap_err();
    assert!(matches!(call, CallError::Transport { error: TransportError::InvalidTarget { .. }, .. }), "{call:?}");
    assert_eq!((call.to_string(), start.to_string()), (wanted.into(), wanted.into()));
    assert!(fake.handed().is_empty());

    client.cast(&ctxt(), "add", ()).await.unwrap();
    assert!(fake.only().to.fanout);
}

#[tokio::test]
async fn versions_that_cannot_be_parsed_are_refused() {
    for bad in ["1", "", "1.", "a.b", "1.2.3.4", "-1.0", "1.2 "] {
        let reason = format!(
            "{bad:?} is not a version: write major.minor or major.minor.revision, such as \"1.2\" or \"1.2.3\""
        );
        refused(|client| client.version(bad), (), &format!("calculator: the target cannot be used: {reason}")).await;
        let capped = |client: RPCClient| client.version("1.0").version_cap(bad);
        refused(capped, (), &format!("calculator version 1.0: option `version_cap`: {reason}")).await;
    }
}

#[tokio::test]
async fn arguments_that_are_not_an_object_are_refused() {
    for (args, what) in [
        (json!([1, 2]), "an array"),
        (json!("a"), "a string"),
        (json!(1), "a number"),
        (json!(-1.5), "a number"),
        (json!(true), "a boolean"),
        (json!(false), "a boolean"),
    ] {
        let wanted = format!("calculator: the arguments must be a JSON object of names and values, not {what}");
        refused(|client| client, &args, &wanted).await;
    }
}

#[tokio::test]
async fn arguments_without_a_json_form_are_refused() {
    let keyed_by_list: BTreeMap<Vec<u8>, u8> = [(vec![1], 1)].into();
    refused(|client| client, &keyed_by_list, "calculator: the arguments have no JSON form: key must be a string").await;
    let fake = Fake::new();
    let error = calculator(&fake).call::<Value>(&ctxt(), "add", &keyed_by_list).await.unwrap_err();
    assert!(matches!(error, CallError::Encode { .. }), "{error:?}");
}

#[tokio::test]
async fn monitor_timeouts_that_servers_cannot_keep_are_refused() {
    for (silence, text) in [(0, "0ns"), (1000, "1s"), (1999, "1.999s"), (2500, "2.5s")] {
        let fake = Fake::new();
        let client = calculator(&fake).call_monitor_timeout(Duration::from_millis(silence));
        let wanted = format!(
            "call `add` on calculator: option `call_monitor_timeout`: {text} is not whole seconds, at least 2; \
             servers send heartbeats every half of it"
        );
        let call = client.call::<Value>(&ctxt(), "add", ()).await.unwrap_err();
        assert!(matches!(call, CallError::Transport { error: TransportError::Config { .. }, .. }), "{call:?}");
        assert_eq!(call.to_string(), wanted);
        assert_eq!(client.start::<Value>(&ctxt(), "add", ()).await.unwrap_err().to_string(), wanted);
        assert!(fake.handed().is_empty());

        client.cast(&ctxt(), "add", ()).await.expect("a cast is not monitored");
    }
}

#[tokio::test]
async fn a_timeout_of_zero_is_refused() {
    let wanted = "calculator: option `timeout`: it is zero, so there is no time left to send anything";
    refused(|client| client.timeout(Duration::ZERO), (), wanted).await;

    let mut settings = Settings::default();
    settings.response_timeout = Duration::ZERO;
    let fake = Fake::with(settings);
    assert!(calculator(&fake).call::<Value>(&ctxt(), "add", ()).await.is_err());
    assert!(fake.handed().is_empty());
    calculator(&fake).timeout(Duration::from_secs(1)).call::<Value>(&ctxt(), "add", ()).await.unwrap();
}

#[tokio::test]
async fn nothing_is_sent_before_the_future_is_polled() {
    let fake = Fake::new();
    let client = calculator(&fake);
    drop(client.call::<Value>(&ctxt(), "add", ()));
    drop(client.start::<Value>(&ctxt(), "add", ()));
    drop(client.cast(&ctxt(), "add", ()));
    assert!(fake.handed().is_empty());
}

#[tokio::test]
async fn no_arguments_are_an_empty_object() {
    #[derive(Serialize)]
    struct Nothing;
    let fake = Fake::new();
    let client = calculator(&fake);
    client.cast(&ctxt(), "reload", ()).await.unwrap();
    client.cast(&ctxt(), "reload", None::<u8>).await.unwrap();
    client.cast(&ctxt(), "reload", Nothing).await.unwrap();
    client.cast(&ctxt(), "reload", json!({})).await.unwrap();
    client.cast(&ctxt(), "reload", BTreeMap::<String, u8>::new()).await.unwrap();
    for handed in fake.handed() {
        assert_eq!(handed.args(), "{}");
    }
}

#[tokio::test]
async fn a_request_is_sent_unchanged() {
    #[derive(Serialize)]
    struct Add {
        a: i64,
        b: Option<&'static str>,
    }
    let fake = Fake::new();
    let client = RPCClient::new(
        fake.clone(),
        Target::topic("calculator").exchange("ex").namespace("math").version("1.2").server("node-7"),
    );
    client.call::<()>(&ctxt(), "add", Add { a: 1, b: Some("é") }).await.unwrap();
    let handed = fake.only();
    assert_eq!(&handed.to, client.target());
    assert_eq!(&*handed.request.method, "add");
    assert_eq!(handed.args(), r#"{"a":1,"b":"é"}"#);
    assert_eq!(handed.request.namespace.as_deref(), Some("math"));
    assert_eq!(handed.request.version.as_deref(), Some("1.2"));
    assert_eq!(handed.request.context, ctxt());
    let Options::Call(options) = &handed.options else { panic!("{handed:?}") };
    assert_eq!(options.timeout, Duration::from_secs(60));
    assert_eq!(options.monitor_timeout, None);
    assert!(options.mandatory, "somebody waits");

    calculator(&fake).cast(&ctxt(), "add", ()).await.unwrap();
    let handed = fake.only();
    assert_eq!((handed.request.namespace.as_deref(), handed.request.version.as_deref()), (None, None));
    let Options::Cast(options) = &handed.options else { panic!("{handed:?}") };
    assert!(!options.mandatory, "as in oslo");
}
