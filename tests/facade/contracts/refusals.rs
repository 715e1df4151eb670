//! Bad input: requests that a contract's server refuses, and results that its client cannot decode.

use oxlo::{CallError, Context, Endpoint, Failure, RPCServer, Target};
use serde_json::{Value, json};

use super::calculator::{bus, pair};

/// The class and the text of the failure of a request with these arguments.
async fn refusal(name: &str, ctxt: &Context, method: &str, args: Value) -> (String, String) {
    let (_abacus, _server, client) = pair(name).await;
    let error = client.rpc().call::<Value>(ctxt, method, args).await.unwrap_err();
    let remote = error.remote_failure().expect("a failure of the method");
    (remote.class().to_owned(), remote.message().to_owned())
}

#[tokio::test]
async fn an_unknown_argument_names_itself() {
    let (class, text) = refusal("unknown", &Context::new(), "add", json!({"a": 1, "b": 2, "carry": 3})).await;
    assert_eq!(class, "TypeError");
    assert_eq!(text, "add() got an unexpected argument 'carry'; it takes a, b");
}

#[tokio::test]
async fn so_it_does_where_a_method_takes_none() {
    let (class, text) = refusal("none", &Context::new(), "nothing", json!({"x": 1})).await;
    assert_eq!(class, "TypeError");
    assert_eq!(text, "nothing() got an unexpected argument 'x'; it takes none");
}

#[tokio::test]
async fn a_missing_argument_is_named() {
    let (class, text) = refusal("missing", &Context::new(), "divide", json!({"dividend": 1})).await;
    assert_eq!(class, "TypeError");
    assert_eq!(text, "divide(): argument 'divisor' is missing");
}

#[tokio::test]
async fn an_argument_of_another_type_is_named_in_the_terms_of_json() {
    let whole = "expected an integer from -9223372036854775808 to 9223372036854775807";
    let cases = [
        ("add", json!({"a": 1, "b": "x"}), format!("add(): argument 'b': {whole}, got a string")),
        (
            "sum",
            json!({"terms": [1, 2.5]}),
            format!("sum(): argument 'terms[1]': {whole}, got a floating-point number"),
        ),
        ("reload", json!({"force": 1}), "reload(): argument 'force': expected a boolean, got an integer".to_owned()),
        (
            "divide",
            json!({"dividend": 1, "divisor": 2, "rounding": "sideways"}),
            "divide(): argument 'rounding': expected one of up, down, got an unknown name".to_owned(),
        ),
    ];
    for (at, (method, args, text)) in cases.into_iter().enumerate() {
        let (class, found) = refusal(&format!("types-{at}"), &Context::new(), method, args).await;
        assert_eq!((class.as_str(), found), ("TypeError", text));
    }
}

/// A refusal says that nothing ran, for any error type of the contract.
#[tokio::test]
async fn what_a_server_refuses_is_never_the_methods_own_failure() {
    #[oxlo::contract(version = "1.9", namespace = "math", client)]
    trait Later {
        #[rpc(since = "1.9")]
        async fn add(&self, ctxt: &Context, a: i64) -> Result<i64, Failure>;
    }
    #[oxlo::contract(version = "1.0", namespace = "math", client)]
    trait Other {
        async fn add(&self, ctxt: &Context, a: String, b: i64) -> Result<i64, Failure>;
        async fn ad(&self, ctxt: &Context) -> Result<i64, Failure>;
        async fn divide(&self, ctxt: &Context, dividend: i64, divisor: i64) -> Result<i64, Failure>;
    }
    #[oxlo::contract(version = "1.0", namespace = "maths", client)]
    trait Elsewhere {
        async fn add(&self, ctxt: &Context, a: i64) -> Result<i64, Failure>;
    }

    let (_abacus, _server, client) = pair("refused").await;
    let (rpc, ctxt) = (client.into_rpc(), Context::new());
    let (later, elsewhere) = (LaterClient::over(rpc.clone()), ElsewhereClient::over(rpc.clone()));
    let other = OtherClient::over(rpc);
    let refused = [
        (later.add(&ctxt, 1).await.unwrap_err(), "offered: endpoint math 1.3"),
        (other.add(&ctxt, "x".into(), 1).await.unwrap_err(), "add(): argument 'a': expected an integer from "),
        (other.ad(&ctxt).await.unwrap_err(), "Endpoint does not support RPC method ad; did you mean add?"),
        (
            elsewhere.add(&ctxt, 1).await.unwrap_err(),
            "no endpoint has the namespace maths, did you mean math?; offered: endpoint math 1.3",
        ),
    ];
    for (error, text) in refused {
        let call = error.call().unwrap_or_else(|| panic!("{error} is the method's failure"));
        assert!(call.is_refused_by_server() && !error.may_have_run(), "{error}");
        assert!(error.to_string().starts_with("call `ad") && error.to_string().contains(text), "{error}");
    }
    let own = other.divide(&ctxt, 1, 0).await.unwrap_err();
    assert_eq!(own.failed().map(|failure| failure.class.as_str()), Some("DivisionByZero"));
    assert!(own.may_have_run());
}

#[tokio::test]
async fn floats_that_are_not_finite_are_refused_by_name_both_ways() {
    #[derive(serde::Serialize)]
    struct Loaded {
        load: f64,
    }
    #[oxlo::contract(version = "1.0")]
    trait Meter {
        async fn record(&self, ctxt: &Context, values: Vec<f64>) -> f64;
    }
    #[oxlo::contract(version = "1.0", client)]
    trait Tagged {
        async fn record(&self, ctxt: &Loaded, values: Vec<f64>) -> f64;
    }
    struct Mean;
    impl Meter for Mean {
        async fn record(&self, _: &Context, values: Vec<f64>) -> f64 {
            values.iter().sum::<f64>() / f64::from(u32::try_from(values.len()).unwrap())
        }
    }

    let transport = bus("finite").await;
    let target = || Target::topic("meter");
    let server = RPCServer::builder(transport.clone(), target().server("a")).endpoint(MeterEndpoint::new(Mean));
    let _server = server.start().await.unwrap();
    let client = MeterClient::new(transport.clone(), target());
    assert!((client.record(&Context::new(), vec![1.0, 2.0]).await.unwrap() - 1.5).abs() < 1e-9);

    let error = client.record(&Context::new(), vec![1.0, f64::NAN]).await.unwrap_err();
    assert!(error.to_string().contains("`values[1]` is NaN, ") && !error.may_have_run(), "{error}");
    let error = client.record(&Context::new().with("load", f64::NAN), vec![1.0]).await.unwrap_err();
    assert!(error.to_string().contains("entry `load`: the value is NaN, ") && !error.may_have_run(), "{error}");
    let tagged = TaggedClient::new(transport, target());
    let error = tagged.record(&Loaded { load: f64::INFINITY }, vec![1.0]).await.unwrap_err();
    assert!(error.to_string().contains("`load` is Infinity, ") && !error.may_have_run(), "{error}");
    let error = client.record(&Context::new(), vec![]).await.unwrap_err();
    assert!(error.to_string().contains("the result of record() has no JSON form: the value is NaN, "), "{error}");
    assert!(error.may_have_run());
}

#[tokio::test]
async fn a_context_that_does_not_fit_is_a_type_error() {
    let (class, text) = refusal("ctxt", &Context::new(), "whoami", json!({})).await;
    assert_eq!(class, "TypeError");
    assert!(text.starts_with("whoami(): its context does not fit: ") && text.contains("`project_id`"), "{text}");
}

#[tokio::test]
async fn a_result_of_another_type_names_method_and_place() {
    #[oxlo::contract(version = "1.0", namespace = "math", client)]
    trait Wrong {
        #[rpc(name = "joinAll")]
        async fn join(&self, ctxt: &Context, words: Vec<String>) -> Vec<u8>;
    }

    let (_abacus, _server, client) = pair("decode").await;
    let wrong = WrongClient::over(client.into_rpc());
    let error = wrong.join(&Context::new(), vec!["a".into()]).await.unwrap_err();
    assert!(matches!(error, CallError::Decode { .. }), "{error}");
    assert!(error.to_string().starts_with("call `joinAll` on calculator"), "{error}");
}

#[tokio::test]
async fn the_place_is_a_path_through_the_json() {
    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code)]
    struct Disk {
        size: u64,
    }

    #[oxlo::contract(version = "1.0", client)]
    trait Disks {
        async fn list(&self, ctxt: &Context) -> Vec<Disk>;
    }

    let transport = bus("path").await;
    let endpoint =
        Endpoint::new("1.0").method("list", async || Ok::<_, Failure>(json!([{"size": 1}, {"size": "SECRET"}])));
    let _server =
        RPCServer::builder(transport.clone(), Target::topic("disks").server("a")).endpoint(endpoint).start().await;
    let error = DisksClient::new(transport, Target::topic("disks")).list(&Context::new()).await.unwrap_err();
    assert!(matches!(&error, CallError::Decode { path, .. } if &**path == "[1].size"), "{error:?}");
    let told = error.to_string();
    assert!(
        told.starts_with("call `list` on disks")
            && told.contains("` at `[1].size`: expected an integer from 0 to 18446744073709551615, got a string"),
        "{told}"
    );
    assert!(!told.contains("SECRET"), "{told}");
}
