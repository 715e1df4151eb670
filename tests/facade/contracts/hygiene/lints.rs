//! User attributes: `deprecated` and `allow` keep their effect, and generated code causes no warning.
#![deny(warnings)]

use oxlo::{Context, Target};

use crate::contracts::calculator::bus;

#[oxlo::contract(version = "1.2")]
pub trait Old {
    #[deprecated(note = "use add2")]
    async fn add(&self, ctxt: &Context, a: i64) -> i64;
    #[must_use]
    async fn kept(&self, #[allow(unused_variables)] ctxt: &Context, a: i64) -> i64;
    async fn r#move(&self, ctxt: &Context, r#in: Option<String>, r#match: i64) -> i64;
    #[allow(non_snake_case)]
    async fn Shouted(&self, ctxt: &Context, A: Option<i64>, B: Vec<String>);
    #[expect(unused_variables)]
    async fn provided(&self, ctxt: &Context, a: i64, b: i64) -> i64 {
        a + 1
    }
    #[rpc(cast)]
    #[must_use]
    async fn told(&self, ctxt: &Context);
}

#[deprecated]
#[oxlo::contract(version = "1.0")]
pub trait Older {
    async fn add(&self, ctxt: &Context, a: i64) -> i64;
}

#[derive(Debug, thiserror::Error, oxlo::RemoteError)]
#[remote(module = "old")]
pub enum OldError {
    #[deprecated]
    #[error("{it}")]
    Was {
        #[deprecated]
        it: i64,
    },
}

#[tokio::test]
#[expect(deprecated, reason = "the client's method is as deprecated as the contract's")]
async fn a_deprecated_method_is_deprecated_for_clients() {
    let client = OldClient::new(bus("hygiene-lints").await, Target::topic("nobody"));
    let ctxt = Context::new();
    let _unsent = client.add(&ctxt, 1);
}

#[tokio::test]
#[expect(deprecated, reason = "the client's method is as deprecated as the contract's")]
async fn so_is_the_one_that_starts_it() {
    let client = OldClient::new(bus("hygiene-lints").await, Target::topic("nobody"));
    let ctxt = Context::new();
    let _unsent = client.start_add(&ctxt, 1);
}

#[test]
#[expect(deprecated, reason = "the client is as deprecated as the contract")]
fn the_client_of_a_deprecated_contract_is_deprecated() {
    let _unused: Option<OlderClient> = None;
}

#[test]
#[expect(deprecated, reason = "the variant is")]
fn a_deprecated_variant_travels() {
    let failure = oxlo::RemoteError::to_failure(&OldError::Was { it: 1 });
    assert!(<OldError as oxlo::RemoteError>::from_failure(&failure).is_some());
}
