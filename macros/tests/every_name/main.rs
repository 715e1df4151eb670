//! Every identifier of generated code as the name of an argument, a field, a variant, a method and a type.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::fmt;

use oxlo::{Context, RPCServer, RemoteError, Target};
use serde::{Deserialize, Serialize};

#[rustfmt::skip]
#[allow(non_camel_case_types, non_snake_case, missing_debug_implementations, dead_code, unused)]
#[allow(clippy::all, clippy::pedantic)]
mod names;

pub use serde_json::Value;

#[derive(Debug, Serialize, Deserialize)]
pub struct Item(i64);

impl From<Item> for Value {
    fn from(item: Item) -> Self {
        item.0.into()
    }
}

#[derive(Debug)]
pub struct Served;

/// The value that is sent for a name.
pub trait Sent {
    fn of(name: &'static str) -> Self;
}

impl Sent for i64 {
    fn of(name: &'static str) -> Self {
        name.bytes().fold(7, |hash, byte| (hash * 31 + i64::from(byte)) % 1_000_000_007)
    }
}

impl Sent for Item {
    fn of(name: &'static str) -> Self {
        Self(i64::of(name))
    }
}

impl Sent for &str {
    fn of(name: &'static str) -> Self {
        name
    }
}

#[must_use]
pub fn sent<T: Sent>(name: &'static str) -> T {
    T::of(name)
}

/// Implements `Error` by hand, because the test is not about `thiserror`.
#[macro_export]
macro_rules! error_of {
    ($name:ident) => {
        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str("no")
            }
        }
        impl ::std::error::Error for $name {}
        impl ::oxlo::RemoteError for $name {
            const MODULE: &'static ::std::primitive::str = "every.name";
            const CLASSES: &'static [&'static ::std::primitive::str] = &[::std::stringify!($name)];
            fn to_failure(&self) -> ::oxlo::Failure {
                ::oxlo::Failure::new("every.name", ::std::stringify!($name), "no")
            }
            fn from_failure(_: &::oxlo::Failure) -> ::std::option::Option<Self> {
                ::std::option::Option::Some(Self {})
            }
        }
    };
}

impl fmt::Display for names::Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fields")
    }
}

impl std::error::Error for names::Fields {}

impl fmt::Display for names::Variants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for names::Variants {}

#[tokio::test]
async fn arguments_of_every_name_arrive() {
    let transport = oxlo::connect("memory://every-name").await.unwrap();
    let _server = RPCServer::builder(transport.clone(), Target::topic("names").server("one"))
        .endpoint(names::ArgumentsEndpoint::new(Served))
        .start()
        .await
        .unwrap();
    let client = names::ArgumentsClient::new(transport, Target::topic("names"));
    let arrived = names::call(&client, &Context::new()).await.unwrap();
    assert_eq!(arrived.len(), names::VARIABLES.len());
    for (name, value) in names::VARIABLES.iter().zip(arrived) {
        let expected = if value.is_string() { Value::from(*name) } else { sent::<i64>(name).into() };
        assert_eq!(value, expected, "{name}");
    }
}

#[test]
fn fields_and_variants_of_every_name_travel() {
    let mut count = 0;
    for fields in names::fields() {
        let failure = fields.to_failure();
        count += failure.kwargs.len();
        assert_eq!(names::Fields::from_failure(&failure), Some(fields));
    }
    assert_eq!(count, names::NAMES.len());
    for (variant, name) in names::variants().into_iter().zip(names::NAMES) {
        let failure = RemoteError::to_failure(&variant);
        assert_eq!(failure.class, *name);
        assert_eq!(<names::Variants as RemoteError>::from_failure(&failure), Some(variant));
    }
}
