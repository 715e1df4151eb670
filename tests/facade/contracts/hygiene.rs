//! User names and attributes that generated code must neither confuse with its own nor drop.

use std::collections::HashMap;

use oxlo::{Context, Endpoint, Failure, RPCServer, RemoteError, RunningServer, Target, Transport};
use serde::{Deserialize, Serialize};

use super::calculator::bus;

mod lints;
mod no_prelude;
mod rivals;

pub(crate) async fn started(transport: &std::sync::Arc<dyn Transport>, endpoint: impl Into<Endpoint>) -> RunningServer {
    RPCServer::builder(transport.clone(), Target::topic("hygiene").server("one"))
        .endpoint(endpoint)
        .start()
        .await
        .unwrap()
}

/// Types with the names that generated code uses itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Args {
    pub a: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OxloArgs(i64);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OxloT0(i64);

#[derive(Debug, PartialEq, thiserror::Error, RemoteError)]
#[remote(module = "hygiene")]
#[error("no")]
pub struct C;

#[derive(Debug, PartialEq, thiserror::Error, RemoteError)]
#[remote(module = "hygiene")]
#[error("neither")]
pub struct OxloImplementor;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disk(i64);

#[oxlo::contract(version = "1.4", namespace = "hygiene")]
pub trait Names {
    async fn disks(&self, ctxt: &Context, disk_1: Disk, disk1: Disk, x: OxloT0) -> i64;

    async fn types(&self, ctxt: &Context, it: Args, other: OxloArgs) -> Result<Args, C>;

    async fn fails(&self, _c: &Context, first: bool) -> Result<(), OxloImplementor>;

    async fn wildcard(&self, _: &Context, r#type: String) -> String;

    #[rpc(since = "1.3", fallback = list)]
    async fn listed(&self, ctxt: &Context, list: Vec<i64>, oxlo_client: i64) -> i64;

    async fn clone(&self, ctxt: &Context, fmt: i64) -> i64;
    async fn from(&self, ctxt: &Context, into: i64) -> i64;
}

async fn list(client: &NamesClient, ctxt: &Context, list: Vec<i64>, oxlo_client: i64) -> Result<i64, oxlo::CallError> {
    client.from(ctxt, list.len() as i64 + oxlo_client).await
}

struct Named;

impl Names for Named {
    async fn disks(&self, _ctxt: &Context, disk_1: Disk, disk1: Disk, x: OxloT0) -> i64 {
        disk_1.0 * 100 + disk1.0 * 10 + x.0
    }

    async fn types(&self, _ctxt: &Context, it: Args, other: OxloArgs) -> Result<Args, C> {
        if other.0 == 0 { Err(C) } else { Ok(Args { a: it.a + other.0 }) }
    }

    async fn fails(&self, _c: &Context, _first: bool) -> Result<(), OxloImplementor> {
        Err(OxloImplementor)
    }

    async fn wildcard(&self, _: &Context, r#type: String) -> String {
        r#type
    }

    async fn listed(&self, _ctxt: &Context, list: Vec<i64>, oxlo_client: i64) -> i64 {
        list.len() as i64 * 1000 + oxlo_client
    }

    async fn clone(&self, _ctxt: &Context, fmt: i64) -> i64 {
        fmt + 1
    }

    async fn from(&self, _ctxt: &Context, into: i64) -> i64 {
        into + 2
    }
}

#[tokio::test]
async fn types_of_any_name_are_the_users() {
    let transport = bus("hygiene-types").await;
    let _server = started(&transport, NamesEndpoint::new(Named)).await;
    let client = NamesClient::new(transport, Target::topic("hygiene"));
    let ctxt = Context::new();
    assert_eq!(client.disks(&ctxt, Disk(1), Disk(2), OxloT0(3)).await.unwrap(), 123);
    assert_eq!(client.types(&ctxt, Args { a: 1 }, OxloArgs(2)).await.unwrap(), Args { a: 3 });
    let failed = client.types(&ctxt, Args { a: 1 }, OxloArgs(0)).await.unwrap_err();
    assert_eq!(failed.failed(), Some(&C));
    assert_eq!(client.fails(&ctxt, true).await.unwrap_err().failed(), Some(&OxloImplementor));
    assert_eq!(client.wildcard(&ctxt, "t".into()).await.unwrap(), "t");
    assert_eq!(client.clone(&ctxt, 1).await.unwrap(), 2);
    assert_eq!(client.listed(&ctxt, vec![1, 2], 5).await.unwrap(), 2005);
    // `list` is the function, although an argument of the method has the same name.
    let older = client.prepare(|it| it.version_cap("1.2"));
    assert_eq!(older.listed(&ctxt, vec![1, 2], 5).await.unwrap(), 9);
}

mod argument_names {
    use super::*;

    /// Arguments with the names of local variables in generated code.
    #[oxlo::contract(version = "1.0")]
    pub trait Images {
        async fn tag(&self, ctxt: &Context, image: String, version: &str) -> String;

        #[allow(clippy::too_many_arguments)]
        async fn all(
            &self,
            _c: &Context,
            args: String,
            call: String,
            ctxt: String,
            endpoint: String,
            error: String,
            probe: String,
            rpc: String,
            states: String,
            this: String,
            value: String,
            oxlo_args: String,
            oxlo_this: &str,
            #[extract] method: oxlo::server::Method,
        ) -> Vec<String>;
    }

    pub(super) struct Shelf;

    impl Images for Shelf {
        async fn tag(&self, _ctxt: &Context, image: String, version: &str) -> String {
            format!("{image}:{version}")
        }

        async fn all(
            &self,
            _c: &Context,
            a: String,
            b: String,
            c: String,
            d: String,
            e: String,
            f: String,
            g: String,
            h: String,
            i: String,
            j: String,
            k: String,
            l: &str,
            method: oxlo::server::Method,
        ) -> Vec<String> {
            vec![a, b, c, d, e, f, g, h, i, j, k, l.to_owned(), method.0.to_string()]
        }
    }
}

#[tokio::test]
async fn an_argument_of_any_name_arrives_as_it_was_sent() {
    let transport = bus("hygiene-arguments").await;
    let _server = started(&transport, argument_names::ImagesEndpoint::new(argument_names::Shelf)).await;
    let client = argument_names::ImagesClient::new(transport, Target::topic("hygiene"));
    let ctxt = Context::new();
    assert_eq!(client.tag(&ctxt, "cirros".into(), "0.6.2").await.unwrap(), "cirros:0.6.2");
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "all"].map(str::to_owned);
    let [a, b, c, d, e, f, g, h, i, j, k, l, _] = names.clone();
    let got = client.all(&ctxt, a, b, c, d, e, f, g, h, i, j, k, &l).await.unwrap();
    assert_eq!(got, names);
}

mod field_names {
    #[derive(Debug, PartialEq, thiserror::Error, oxlo::RemoteError)]
    #[remote(module = "shop.exceptions")]
    pub(super) enum ParseError {
        #[error("bad text {text:?} at line {line}")]
        Text { text: String, line: u32 },
        #[error("bad {failure} for {this:?}")]
        Failure { failure: String, this: Option<i64>, field_0: bool, oxlo_text: u8 },
        #[error("at {text}")]
        Number { text: u32 },
        #[error("{0} {1}")]
        Unnamed(#[remote(message)] String, u32),
    }
}

#[test]
fn fields_of_any_name_travel() {
    use field_names::ParseError;
    for error in [
        ParseError::Text { text: "abc".into(), line: 3 },
        ParseError::Failure { failure: "abc".into(), this: Some(1), field_0: true, oxlo_text: 7 },
        ParseError::Number { text: 1 },
    ] {
        let failure = error.to_failure();
        assert_eq!(failure.message, error.to_string());
        assert_eq!(ParseError::from_failure(&failure), Some(error));
    }
    assert_eq!(ParseError::Text { text: "abc".into(), line: 3 }.to_failure().kwargs["text"], "abc");
    assert_eq!(ParseError::Unnamed("a".into(), 2).to_failure().args.len(), 2);
}

mod conditions {
    use super::*;

    #[oxlo::contract(version = "1.1")]
    pub trait Calculator {
        async fn add(
            &self,
            ctxt: &Context,
            a: i64,
            #[cfg(all())] b: i64,
            #[cfg(any())] c: NoSuchType,
            #[cfg(not(any()))]
            #[rpc(since = "1.1")]
            d: Option<i64>,
            #[cfg_attr(all(), serde(default = "nine"), rpc(name = "nine"))] e: i64,
            #[cfg_attr(any(), serde(rename = "gone"))] f: i64,
        ) -> i64;

        /// One of both conditions holds.
        async fn either(&self, ctxt: &Context, #[cfg(all())] it: i64, #[cfg(any())] it: String) -> i64;

        #[cfg(any())]
        async fn gone(&self, ctxt: &Context, a: NoSuchType) -> NoSuchType;
    }

    fn nine() -> i64 {
        9
    }

    pub(super) struct Adder;

    impl Calculator for Adder {
        async fn add(&self, _ctxt: &Context, a: i64, b: i64, d: Option<i64>, e: i64, f: i64) -> i64 {
            a + 10 * b + 100 * d.unwrap_or_default() + 1000 * e + 10000 * f
        }

        async fn either(&self, _ctxt: &Context, it: i64) -> i64 {
            it
        }
    }

    #[oxlo::contract(version = "1.0")]
    #[cfg(any())]
    pub trait Absent {
        async fn gone(&self, ctxt: &Context, a: NoSuchType) -> NoSuchType;
    }
}

#[tokio::test]
async fn conditions_at_arguments_hold_on_both_sides() {
    let transport = bus("hygiene-conditions").await;
    let _server = started(&transport, conditions::CalculatorEndpoint::new(conditions::Adder)).await;
    let client = conditions::CalculatorClient::new(transport, Target::topic("hygiene"));
    let ctxt = Context::new();
    assert_eq!(client.add(&ctxt, 1, 2, Some(3), 4, 5).await.unwrap(), 54321);
    assert_eq!(client.either(&ctxt, 7).await.unwrap(), 7);
    let by_name = HashMap::from([("a", 1), ("b", 2), ("f", 5)]);
    assert_eq!(client.rpc().call::<i64>(&ctxt, "add", by_name).await.unwrap(), 59021);
    let renamed = HashMap::from([("a", 1), ("b", 2), ("f", 5), ("nine", 1)]);
    assert_eq!(client.rpc().call::<i64>(&ctxt, "add", renamed).await.unwrap(), 51021);
}

mod endpoints {
    use super::*;

    pub(super) struct Served;

    #[oxlo::endpoint(version = "1.0")]
    impl Served {
        #[rpc]
        async fn join(
            &self,
            _: &Context,
            this: String,
            call: Args,
            #[cfg(any())] gone: Gone,
        ) -> Result<String, Failure> {
            Ok(format!("{this} {}", call.a))
        }

        #[rpc(blocking)]
        #[deprecated]
        fn args(&self, _ctxt: &Context, args: OxloArgs, states: i64) -> i64 {
            args.0 + states
        }
    }
}

#[tokio::test]
async fn methods_of_an_endpoint_can_use_any_name() {
    let transport = bus("hygiene-endpoint").await;
    let _server = started(&transport, endpoints::Served).await;
    let client = oxlo::RPCClient::new(transport, Target::topic("hygiene"));
    let ctxt = Context::new();
    let joined: String = client.call(&ctxt, "join", serde_json::json!({"this": "t", "call": {"a": 1}})).await.unwrap();
    assert_eq!(joined, "t 1");
    let sum: i64 = client.call(&ctxt, "args", serde_json::json!({"args": 1, "states": 2})).await.unwrap();
    assert_eq!(sum, 3);
}

#[tokio::test]
async fn generated_code_needs_no_prelude() {
    let transport = bus("hygiene-no-prelude").await;
    let endpoint = Endpoint::from(no_prelude::Bare).method("named", no_prelude::handler);
    let _server = started(&transport, endpoint).await;
    let client = oxlo::RPCClient::new(transport, Target::topic("hygiene"));
    let doubled: i64 = client.call(&Context::new(), "double", serde_json::json!({"a": 1, "b": 2})).await.unwrap();
    assert_eq!(doubled, 6);
    assert_eq!(client.call::<String>(&Context::new(), "named", ()).await.unwrap(), "named");
}
