//! What the code that `#[derive(RemoteError)]` writes calls. No part of the API.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

pub use crate::{failure::Failure, settings::RemoteError};

/// The module of a failure, as Python 3 calls it.
#[must_use]
pub fn module_of(failure: &Failure) -> &str {
    crate::settings::python3_module(&failure.module)
}

/// A field as it travels. What has no JSON form travels as `null`, so that the error itself is not lost.
pub fn to_value<T: Serialize + ?Sized>(field: &T) -> Value {
    serde_json::to_value(field).unwrap_or(Value::Null)
}

/// A keyword argument; an absent one is `null`, which an `Option` takes.
#[must_use]
pub fn keyword<T: DeserializeOwned>(failure: &Failure, name: &str) -> Option<T> {
    read(failure.kwargs.get(name))
}

/// A positional argument; an absent one is `null`, which an `Option` takes.
#[must_use]
pub fn positional<T: DeserializeOwned>(failure: &Failure, position: usize) -> Option<T> {
    read(failure.args.get(position))
}

/// The failure's text as a field of a type of its own, such as `String` or `Box<str>`.
#[must_use]
pub fn message<T: From<String>>(failure: &Failure) -> T {
    failure.message.clone().into()
}

fn read<T: DeserializeOwned>(value: Option<&Value>) -> Option<T> {
    T::deserialize(value.unwrap_or(&Value::Null)).ok()
}
