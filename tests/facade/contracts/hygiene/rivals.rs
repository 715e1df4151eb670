//! Constants and methods in scope that generated code would pick up if it did not use full paths.

use oxlo::{Context, Failure, Target};

use crate::contracts::calculator::bus;

/// A pattern of one of these names matches the constant instead of binding a variable.
#[allow(dead_code, non_camel_case_types)]
mod constants {
    pub struct args;
    pub struct call;
    pub struct endpoint;
    pub struct error;
    pub struct failure;
    pub struct field_0;
    pub struct probe;
    pub struct states;
    pub struct text;
    pub struct this;
    pub struct value;
    pub struct version;
}

/// Methods that every value has, taken by value, so that they are found before those that borrow.
#[allow(dead_code, clippy::should_implement_trait)]
trait Methods: Sized {
    fn able(self) -> ! {
        panic!("called")
    }
    fn arguments(self) -> ! {
        panic!("called")
    }
    fn as_str(self) -> ! {
        panic!("called")
    }
    fn can_send_version(self) -> ! {
        panic!("called")
    }
    fn debug_struct(self) -> ! {
        panic!("called")
    }
    fn finish_non_exhaustive(self) -> ! {
        panic!("called")
    }
    fn prepare(self) -> ! {
        panic!("called")
    }
}

impl<T> Methods for T {}

#[allow(unused_imports)]
mod contract {
    use super::{constants::*, *};

    #[derive(Debug, PartialEq, thiserror::Error, oxlo::RemoteError)]
    #[remote(module = "rivals")]
    pub(super) enum RivalError {
        #[error("no {0}")]
        Unnamed(i64),
        #[error("no {it}")]
        Named { it: i64 },
    }

    #[oxlo::contract(version = "1.1", namespace = "rivals")]
    pub(super) trait Rivals {
        #[rpc(since = "1.1", fallback = older)]
        async fn find(&self, ctxt: &Context, it: i64, #[extract] name: oxlo::server::Method)
        -> Result<i64, RivalError>;

        async fn cast(&self, ctxt: &Context) -> i64;
    }

    async fn older(_: &RivalsClient, _: &Context, it: i64) -> Result<i64, oxlo::MethodError<RivalError>> {
        Ok(it)
    }

    pub(super) struct Found;

    impl Rivals for Found {
        async fn find(&self, _ctxt: &Context, it: i64, name: oxlo::server::Method) -> Result<i64, RivalError> {
            match it {
                0 => Err(RivalError::Unnamed(it)),
                1 => Err(RivalError::Named { it }),
                _ => Ok(it + name.0.len() as i64),
            }
        }

        async fn cast(&self, _ctxt: &Context) -> i64 {
            1
        }
    }

    pub(super) struct Plain;

    #[oxlo::endpoint(version = "1.0")]
    impl Plain {
        #[rpc]
        async fn double(&self, _ctxt: &Context, it: i64) -> Result<i64, Failure> {
            Ok(2 * it)
        }
    }
}

#[tokio::test]
async fn constants_and_methods_in_scope_change_nothing() {
    let transport = bus("hygiene-rivals").await;
    let endpoint = contract::RivalsEndpoint::new(contract::Found);
    assert!(format!("{endpoint:?}").starts_with("RivalsEndpoint"));
    let _server = oxlo::RPCServer::builder(transport.clone(), Target::topic("hygiene").server("one"))
        .endpoint(endpoint)
        .endpoint(contract::Plain)
        .start()
        .await
        .unwrap();
    let client = contract::RivalsClient::new(transport.clone(), Target::topic("hygiene"));
    let ctxt = Context::new();
    assert_eq!(client.find(&ctxt, 2).await.unwrap(), 6);
    for (it, error) in [(0, contract::RivalError::Unnamed(0)), (1, contract::RivalError::Named { it: 1 })] {
        assert_eq!(client.find(&ctxt, it).await.unwrap_err().failed(), Some(&error));
    }
    let older = contract::RivalsClient::over(oxlo::RPCClient::prepare(client.rpc()).version_cap("1.0"));
    assert_eq!(older.find(&ctxt, 0).await.unwrap(), 0);
    let plain = oxlo::RPCClient::new(transport, Target::topic("hygiene"));
    assert_eq!(plain.call::<i64>(&ctxt, "double", serde_json::json!({"it": 4})).await.unwrap(), 8);
}
