//! Contents of calls and replies.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use oxlo_transport::{Context, Failure, NonFinite, Payload, Reply, Request, Target};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{
    Harness,
    fixture::{Server, call_options, connect, listen, number_of, payload, request, result, take, topic, value_of},
};

fn server(on: &Target) -> Target {
    on.clone().server("server")
}

/// A call returns what the method returned.
pub async fn the_result_reaches_the_caller(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let _server = Server::echo(&*transport, &server(&to)).await;
    let got: Value = value_of(transport.call(&to, request(7), &call_options()).await);
    assert_eq!(got, json!({"number": 7}));
}

/// Results that are false in Python are results like any other.
pub async fn falsy_results_arrive_as_themselves(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let falsy = [json!(0), json!(""), json!([]), json!({}), json!(false), json!(null)];
    let answers = falsy.clone();
    let answer = move |request: &Request| result(&answers[number_of(request)]);
    let _server = Server::start(&*transport, &server(&to), answer).await;
    for (number, wanted) in falsy.iter().enumerate() {
        let got: Value = value_of(transport.call(&to, request(number), &call_options()).await);
        assert_eq!(&got, wanted);
    }
}

/// Class, module, message, arguments, keyword arguments and traceback arrive; empty ones stay empty.
pub async fn a_failure_travels_with_all_its_fields(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let full = Failure::new("shop.errors", "OutOfStock", "no more ‘left’ \u{1F9E6}")
        .with_args([json!("socks"), json!(3), json!(null), json!({"nested": [1.5]})])
        .with_kwarg("warehouse", "Köln")
        .with_kwarg("tried", json!([1, 2]))
        .with_traceback(["Traceback:\n".to_owned(), "  line 1\n".to_owned()]);
    let bare = Failure::builtin("KeyError", "").with_args([]);
    let failures = [full, bare];
    let answers = failures.clone();
    let answer = move |request: &Request| Reply::Failure(Box::new(answers[number_of(request)].clone()));
    let _server = Server::start(&*transport, &server(&to), answer).await;
    for (number, wanted) in failures.into_iter().enumerate() {
        let got = transport.call(&to, request(number), &call_options()).await.unwrap();
        assert_eq!(got, Reply::Failure(Box::new(wanted)));
    }
}

/// Arguments arrive unchanged, whatever JSON they contain; so does the name of the method.
pub async fn arguments_arrive_unchanged(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let args = json!({
        "text": "quote \" backslash \\ slash / newline \n tab \t nul \u{0} é 漢 \u{1F980}",
        "numbers": [0, -1, 9_007_199_254_740_993_i64, u64::MAX, i64::MIN, 0.1, -2.5e-8],
        "flags": [true, false, null],
        "nested": {"": {"list": [[], {}, [[1]]]}},
        "ключ": "значение",
        "_msg_id": "an argument may be called anything",
    });
    let mut listener = listen(&server(&to), &*transport).await;
    let sent = Request::new("do.it_Ü", payload(&args));
    transport.cast(&to, sent, &Default::default()).await.unwrap();
    let got = take(&mut listener).await;
    got.settle.ack();
    assert_eq!(&*got.message.method, "do.it_Ü");
    assert_eq!(got.message.args.decode::<Value>().unwrap(), args);
}

/// A server's refusal to run a method can be distinguished from a failure of the method with the same class.
pub async fn a_refusal_arrives_as_one(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let failure = |number: usize| Failure::builtin("TypeError", "no").with_refused(number == 1);
    let answer = move |request: &Request| Reply::Failure(Box::new(failure(number_of(request))));
    let _server = Server::start(&*transport, &server(&to), answer).await;
    for (number, refused) in [(0, false), (1, true)] {
        match transport.call(&to, request(number), &call_options()).await.unwrap() {
            Reply::Failure(failure) => assert_eq!(failure.is_refusal(), refused),
            Reply::Result(_) => panic!("expected a failure"),
        }
    }
}

/// With [`NonFinite::AsPython`], non-finite floats arrive unchanged, as arguments and as results.
pub async fn numbers_that_are_not_finite_travel_as_python_writes_them(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let as_python = |numbers: &[f64]| Payload::encode_with(&json_of(numbers), NonFinite::AsPython).unwrap();
    let answer = |request: &Request| Reply::Result(request.args.clone());
    let _server = Server::start(&*transport, &server(&to), answer).await;
    let sent = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.5];
    let got = transport.call(&to, Request::new("echo", as_python(&sent)), &call_options()).await.unwrap();
    let Reply::Result(got) = got else { panic!("the server answers every call") };
    let got: BTreeMap<String, Vec<f64>> = got.decode().unwrap();
    assert!(got["numbers"][0].is_nan());
    assert_eq!(got["numbers"][1..], sent[1..]);
}

fn json_of(numbers: &[f64]) -> BTreeMap<&'static str, &[f64]> {
    BTreeMap::from([("numbers", numbers)])
}

/// Every entry of the context arrives, in order and with its value.
pub async fn the_context_arrives_in_order_and_unchanged(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let context = Context::new()
        .with("zulu", "last letter first")
        .with("alpha", json!(null))
        .with("user", json!({"name": "Zoë \u{1F600}", "roles": ["admin", ""]}))
        .with("größe", json!([1, 2.5, false]))
        .with("", "no name")
        .with("_context_prefixed", json!(u64::MAX));
    let mut listener = listen(&server(&to), &*transport).await;
    let mut sent = request(1);
    sent.context = context.clone();
    transport.cast(&to, sent, &Default::default()).await.unwrap();
    transport.cast(&to, request(2), &Default::default()).await.unwrap();
    let got = take(&mut listener).await;
    got.settle.ack();
    assert_eq!(got.message.context.iter().collect::<Vec<_>>(), context.iter().collect::<Vec<_>>());
    let got = take(&mut listener).await;
    got.settle.ack();
    assert!(got.message.context.is_empty(), "an empty context stays empty");
}

/// Namespace and version arrive unchanged; an absent one stays absent, and the empty namespace differs from the absent one.
pub async fn namespace_and_version_travel(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut listener = listen(&server(&to), &*transport).await;
    let cases = [(None, None), (Some("math"), Some("1.2")), (Some(""), Some("3.0.1")), (None, Some("1.0"))];
    for (namespace, version) in cases {
        let mut sent = request(0);
        (sent.namespace, sent.version) = (namespace.map(Into::into), version.map(Into::into));
        transport.cast(&to, sent, &Default::default()).await.unwrap();
        let got = take(&mut listener).await;
        got.settle.ack();
        assert_eq!((got.message.namespace.as_deref(), got.message.version.as_deref()), (namespace, version));
    }
}

/// Each caller gets the reply to its own call, in whatever order the replies are sent.
pub async fn replies_out_of_order_reach_their_callers(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut listener = listen(&server(&to), &*transport).await;
    let mut calls = Vec::new();
    for number in 0..5 {
        calls.push(transport.start(&to, request(number), &call_options()).await.unwrap());
    }
    let mut taken = Vec::new();
    for _ in 0..5 {
        taken.push(take(&mut listener).await);
    }
    for delivery in taken.into_iter().rev() {
        delivery.settle.ack();
        let reply = result(&number_of(&delivery.message));
        delivery.replier.expect("a call has a replier").reply(reply).await.unwrap();
    }
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(value_of::<usize>(call.await), number);
    }
}

/// Replies go to the calling transport, even if others call the same server at the same time.
pub async fn two_transports_get_their_own_replies(harness: &dyn Harness) {
    let (one, two, to) = (connect(harness).await, connect(harness).await, topic());
    let _server = Server::echo(&*one, &server(&to)).await;
    let options = call_options();
    for number in 0..10 {
        let (first, second) =
            tokio::join!(one.call(&to, request(number), &options), two.call(&to, request(number + 100), &options));
        assert_eq!(value_of::<Value>(first), json!({"number": number}));
        assert_eq!(value_of::<Value>(second), json!({"number": number + 100}));
    }
}

/// Many calls can be in flight on one transport.
pub async fn two_hundred_calls_at_once(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let _server = Server::echo(&*transport, &server(&to)).await;
    let mut calls = JoinSet::new();
    for number in 0..200 {
        let (transport, to) = (transport.clone(), to.clone());
        calls.spawn(async move { (number, transport.call(&to, request(number), &call_options()).await) });
    }
    while let Some(ended) = calls.join_next().await {
        let (number, outcome) = ended.unwrap();
        assert_eq!(value_of::<Value>(outcome), json!({"number": number}));
    }
}

/// A mebibyte of arguments arrives, and a mebibyte of result.
pub async fn one_mebibyte_travels_both_ways(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let _server = Server::echo(&*transport, &server(&to)).await;
    let args = json!({"text": "0123456789abcdé".repeat(1024 * 1024 / 16)});
    let sent = Request::new("method", payload(&args));
    let got: Value = value_of(transport.call(&to, sent, &call_options()).await);
    assert!(got == args, "the result differs from the arguments");
}

/// `start` returns when the broker has confirmed the request; replies can be awaited later and in any order.
pub async fn start_returns_before_the_reply(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut listener = listen(&server(&to), &*transport).await;
    let begun = Instant::now();
    let first = transport.start(&to, request(1), &call_options()).await.unwrap();
    let second = transport.start(&to, request(2), &call_options()).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "start must not wait for the reply");
    for _ in 0..2 {
        let delivery = take(&mut listener).await;
        delivery.settle.ack();
        let reply = result(&number_of(&delivery.message));
        delivery.replier.expect("a call has a replier").reply(reply).await.unwrap();
    }
    assert_eq!(value_of::<usize>(second.await), 2);
    assert_eq!(value_of::<usize>(first.await), 1);
}

/// A caller may drop its call; the reply is then discarded, and the next call is not affected.
pub async fn a_dropped_call_harms_nobody(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut listener = listen(&server(&to), &*transport).await;
    drop(transport.start(&to, request(1), &call_options()).await.unwrap());
    let orphan = take(&mut listener).await;
    orphan.settle.ack();
    let call = transport.start(&to, request(2), &call_options()).await.unwrap();
    let delivery = take(&mut listener).await;
    delivery.settle.ack();
    orphan.replier.expect("a call has a replier").reply(result(&1)).await.unwrap();
    delivery.replier.expect("a call has a replier").reply(result(&2)).await.unwrap();
    assert_eq!(value_of::<usize>(call.await), 2);
}
