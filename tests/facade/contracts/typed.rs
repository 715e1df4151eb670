//! A contract's client and server, end to end.

use std::time::Duration;

use oxlo::{CallError, Context, MethodError, TransportError};
use serde_json::json;

use super::calculator::{Abacus, CalcError, CalculatorClient, Rounding, Tenant, bus, pair, serve, until};

#[tokio::test]
async fn values_and_errors_have_their_types() {
    let (_abacus, _server, client) = pair("typed").await;
    let ctxt = Context::new();
    assert_eq!(client.add(&ctxt, 1, 2).await.unwrap(), 3);
    // No module is allowed on the transport: the contract registers the error.
    let error = client.divide(&ctxt, 1, 0, None, None).await.unwrap_err();
    assert_eq!(error.failed(), Some(&CalcError::DivisionByZero));
    assert_eq!(error.to_string(), "division by zero");
    assert!(error.may_have_run() && !error.is_retryable());
    let error = client.add(&ctxt, 999, 2).await.unwrap_err();
    assert_eq!(error.failed(), Some(&CalcError::Overflow { value: 999, limit: 1000 }));
}

#[tokio::test]
async fn arguments_travel_by_the_names_of_the_contract() {
    let (_abacus, _server, client) = pair("names").await;
    let ctxt = Context::new();
    assert_eq!(client.divide(&ctxt, 7, 2, Some(Rounding::Up), None).await.unwrap(), 4);
    let words = ["a".to_owned(), "b".to_owned()];
    assert_eq!(client.join(&ctxt, &words, "-").await.unwrap(), "a-b");

    let rpc = client.rpc();
    let quotient: i64 = rpc.call(&ctxt, "divide", json!({"dividend": 9, "divisor": 3})).await.unwrap();
    assert_eq!(quotient, 3);
    let joined: String = rpc.call(&ctxt, "joinAll", json!({"words": ["a", "b"]})).await.unwrap();
    assert_eq!(joined, "a,b", "the default of `separator` is the contract's");
    let error = rpc.call::<String>(&ctxt, "join", json!({"words": []})).await.unwrap_err();
    assert!(error.is_no_such_method(), "{error}");
}

#[tokio::test]
async fn raw_identifiers_defaults_of_methods_and_contexts() {
    let (abacus, _server, client) = pair("raw").await;
    let ctxt = Context::new().with("user", "alice");
    assert_eq!(client.r#type(&ctxt, true).await.unwrap(), "1 true");
    let defaulted: String = client.rpc().call(&ctxt, "type", ()).await.unwrap();
    assert_eq!(defaulted, "1 false");
    client.nothing(&ctxt).await.unwrap();
    assert_eq!(abacus.said(), ["nothing for Some(\"alice\")"]);

    let tenant = Tenant { project_id: "p-1".into() };
    assert_eq!(client.whoami(&tenant).await.unwrap(), "p-1 by whoami again false");
}

#[tokio::test]
async fn casts_and_fanouts_come_back_at_once() {
    let transport = bus("casts").await;
    let (first, _one) = serve(&transport, "node-1").await;
    let (second, _two) = serve(&transport, "node-2").await;
    let client = CalculatorClient::new(transport, oxlo::Target::topic("calculator"));
    client.reload(&Context::new(), true).await.unwrap();
    until(|| first.said() == ["reload true"] && second.said() == ["reload true"]).await;
    // Its error goes to the server's log; a cast has no reply.
    client.prepare(|it| it.server("node-2")).note(&Context::new(), "hello").await.unwrap();
    until(|| second.said().len() == 2).await;
    assert_eq!(first.said(), ["reload true"]);
}

#[tokio::test]
async fn several_calls_can_be_under_way() {
    let (_abacus, _server, client) = pair("start").await;
    let ctxt = Context::new();
    let mut pending = Vec::new();
    for n in 0..10 {
        pending.push(client.start_divide(&ctxt, 10, n, None, None).await.unwrap());
    }
    assert_eq!(pending[0].message_id().len(), 32);
    let mut answers = Vec::new();
    for call in pending {
        answers.push(call.await);
    }
    assert!(matches!(answers[0], Err(MethodError::Failed(CalcError::DivisionByZero))));
    assert!(answers.iter().skip(1).zip(1..).all(|(answer, n)| matches!(answer, Ok(it) if *it == 10 / n)));
    client.start_nothing(&ctxt).await.unwrap().await.unwrap();
}

#[tokio::test]
async fn overrides_hold_for_the_prepared_client_alone() {
    let (_abacus, _server, client) = pair("prepare").await;
    let ctxt = Context::new();
    let nobody = client.prepare(|it| it.topic("nobody").timeout(Duration::from_secs(1)));
    let error = nobody.add(&ctxt, 1, 1).await.unwrap_err();
    assert!(
        matches!(error.call(), Some(CallError::Transport { error: TransportError::Undeliverable { .. }, .. })),
        "{error}"
    );
    assert!(!error.may_have_run() && error.is_retryable());
    assert_eq!(client.add(&ctxt, 1, 1).await.unwrap(), 2);
}

#[tokio::test]
async fn passing_an_error_on_keeps_its_class() {
    let failed: oxlo::Failure = MethodError::Failed(CalcError::Overflow { value: 2, limit: 1 }).into();
    assert_eq!((failed.module.as_str(), failed.class.as_str()), ("calculator.exceptions", "TooLarge"));
    let (_abacus, _server, client) = pair("passing").await;
    let nobody = client.prepare(|it| it.topic("nobody"));
    let failed: oxlo::Failure = nobody.add(&Context::new(), 1, 1).await.unwrap_err().into();
    assert_eq!(failed.class, "MessageUndeliverable");
}

#[test]
fn generated_futures_can_be_spawned() {
    fn sendable<T: Send>(_: &T) {}
    fn check(client: &CalculatorClient, ctxt: &Context) {
        sendable(&client.add(ctxt, 1, 2));
        sendable(&client.start_add(ctxt, 1, 2));
        sendable(&client.join(ctxt, &[], ""));
        sendable(&client.reload(ctxt, true));
        sendable(&client.sum(ctxt, vec![]));
    }
    let _ = check;
    let _ = Abacus::default();
}

#[tokio::test]
async fn a_call_can_be_made_from_a_task_of_its_own() {
    let (_abacus, _server, client) = pair("spawned").await;
    let calls = (1..=3i64).map(|n| {
        let client = client.clone();
        tokio::spawn(async move {
            let ctxt = Context::new();
            let rounded = client.divide(&ctxt, 7, 2, Some(Rounding::Up), None).await;
            let started = client.start_add(&ctxt, n, rounded.unwrap()).await.unwrap();
            started.await.unwrap()
        })
    });
    for (n, call) in (1..).zip(calls) {
        assert_eq!(call.await.unwrap(), n + 4);
    }
}
