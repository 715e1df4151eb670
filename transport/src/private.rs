//! What the code that `#[contract]`, `#[endpoint]` and `#[derive(RemoteError)]` write calls. No part of the API.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

pub use tracing;

pub use crate::{failure::Failure, settings::RemoteError};

/// The module of a failure, as Python 3 calls it.
#[must_use]
pub fn module_of(failure: &Failure) -> &str {
    crate::settings::python3_module(&failure.module)
}

/// The class of a failure.
#[must_use]
pub fn class_of(failure: &Failure) -> &str {
    &failure.class
}

/// The text of an error.
pub fn text<E: RemoteError>(error: &E) -> String {
    error.to_string()
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

/// What goes both ways: sent by one side that the macro writes, read by the other.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel",
    label = "is not both `serde::Serialize` and `serde::Deserialize`",
    note = "derive them: `#[derive(serde::Serialize, serde::Deserialize)]`",
    note = "a type of another crate may have them behind a cargo feature, or be read and written by `#[serde(with = \"..\")]`"
)]
pub trait Travels: Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Travels for T {}

/// What is only sent by the side that the macro writes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent",
    label = "is not `serde::Serialize`",
    note = "derive it: `#[derive(serde::Serialize)]`",
    note = "a type of another crate may have it behind a cargo feature, or be written by `#[serde(with = \"..\")]`"
)]
pub trait Leaves: Serialize {}

#[diagnostic::do_not_recommend]
impl<T: Serialize> Leaves for T {}

/// What is only read by the side that the macro writes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from a message",
    label = "is not `serde::Deserialize`",
    note = "derive it: `#[derive(serde::Deserialize)]`; nothing can be borrowed from a message",
    note = "a type of another crate may have it behind a cargo feature, or be read by `#[serde(with = \"..\")]`"
)]
pub trait Arrives: DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> Arrives for T {}

/// Written at a user's type, so that the compiler says there, and once, that it cannot travel.
pub const fn travels<T: Travels>() {}

/// As [`travels`], where only the sender is written.
pub const fn leaves<T: Leaves>() {}

/// As [`travels`], where only the receiver is written.
pub const fn arrives<T: Arrives>() {}

/// As [`travels`], for the error of a method.
pub const fn fails<E: crate::settings::FromFailure>() {}

/// Fields of errors: `(&probe).oxlo_able()` gives what writes and reads a field if its type [`Travels`]; else what compiles
/// and never runs, since [`travels`] at the field's type has failed. With it that is the only complaint.
pub mod field {
    use std::marker::PhantomData;

    use serde_json::Value;

    use super::Travels;
    use crate::failure::Failure;

    /// The type of a field.
    #[derive(Debug)]
    pub struct Probe<T>(PhantomData<fn() -> T>);

    impl<T> Probe<T> {
        /// A probe of it.
        #[allow(clippy::new_without_default)]
        #[must_use]
        pub const fn new() -> Self {
            Self(PhantomData)
        }
    }

    /// For types that travel.
    pub trait IsAble {
        /// Found first.
        fn oxlo_able(&self) -> Able {
            Able
        }
    }

    impl<T: Travels> IsAble for Probe<T> {}

    /// For types that do not.
    pub trait IsUnable {
        /// Found if there is no other.
        fn oxlo_able(&self) -> Unable {
            Unable
        }
    }

    impl<T> IsUnable for &Probe<T> {}

    /// Writes and reads.
    #[derive(Clone, Copy, Debug)]
    pub struct Able;

    impl Able {
        /// As [`to_value`](super::to_value).
        pub fn to_value<T: Travels>(self, field: &T) -> Value {
            super::to_value(field)
        }

        /// As [`keyword`](super::keyword).
        #[must_use]
        pub fn keyword<T: Travels>(self, failure: &Failure, name: &str) -> Option<T> {
            super::keyword(failure, name)
        }

        /// As [`positional`](super::positional).
        #[must_use]
        pub fn positional<T: Travels>(self, failure: &Failure, position: usize) -> Option<T> {
            super::positional(failure, position)
        }
    }

    /// Says that it could.
    #[derive(Clone, Copy, Debug)]
    pub struct Unable;

    impl Unable {
        /// Instead of [`to_value`](super::to_value).
        #[must_use]
        pub fn to_value<T>(self, _: &T) -> Value {
            Value::Null
        }

        /// Instead of [`keyword`](super::keyword).
        #[must_use]
        pub fn keyword<T>(self, _: &Failure, _: &str) -> Option<T> {
            None
        }

        /// Instead of [`positional`](super::positional).
        #[must_use]
        pub fn positional<T>(self, _: &Failure, _: usize) -> Option<T> {
            None
        }
    }
}
