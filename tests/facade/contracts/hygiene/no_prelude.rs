//! A module without the standard library's prelude, in which generated code must name everything by its path.
#![no_implicit_prelude]

use ::oxlo::Context;

#[::oxlo::contract(version = "1.3", namespace = "bare")]
pub trait Calculator {
    async fn add(&self, ctxt: &Context, a: i64, by: ::std::option::Option<i64>) -> i64;

    #[rpc(since = "1.2", fallback = one)]
    async fn join(
        &self,
        ctxt: &Context,
        words: &[::std::string::String],
        #[rpc(since = "1.3")] last: ::std::option::Option<Word>,
        #[extract] method: ::oxlo::server::Method,
    ) -> ::std::result::Result<::std::string::String, BareError>;
}

async fn one(
    _: &CalculatorClient,
    _: &Context,
    _: &[::std::string::String],
    _: ::std::option::Option<Word>,
) -> ::std::result::Result<::std::string::String, ::oxlo::MethodError<BareError>> {
    ::std::result::Result::Err(::oxlo::MethodError::Failed(BareError::Bare { text: 1 }))
}

#[::std::prelude::v1::derive(::std::fmt::Debug, ::serde::Serialize, ::serde::Deserialize)]
pub struct Word {
    #[serde(default)]
    pub text: ::std::string::String,
}

#[::std::prelude::v1::derive(::std::fmt::Debug, ::std::cmp::PartialEq, ::oxlo::RemoteError)]
#[remote(module = "bare")]
pub enum BareError {
    Bare { text: i64 },
    Unnamed(#[remote(message)] ::std::string::String, i64, #[remote(skip)] i64),
}

impl ::std::fmt::Display for BareError {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        f.write_str("bare")
    }
}

impl ::std::error::Error for BareError {}

#[::std::prelude::v1::derive(::std::fmt::Debug)]
pub struct Bare;

#[::oxlo::endpoint(version = "1.0")]
impl Bare {
    #[rpc(blocking)]
    fn double(
        &self,
        _ctxt: &Context,
        #[serde(flatten)] rest: ::std::collections::HashMap<::std::string::String, i64>,
    ) -> i64 {
        let mut sum = 0;
        for value in ::std::collections::HashMap::values(&rest) {
            sum += 2 * value;
        }
        sum
    }
}

#[::oxlo::debug_handler]
pub async fn handler(
    ::oxlo::server::Method(name): ::oxlo::server::Method,
) -> ::std::result::Result<::std::sync::Arc<str>, ::oxlo::Failure> {
    ::std::result::Result::Ok(name)
}
