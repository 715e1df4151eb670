//! What keeps the compiler's words about a contract short; see the file of the same name in `oxlo-client`.
//!
//! Each module has a probe for one type: `(&probe).oxlo_able()` gives what does the work if the type can what it must, else
//! what asks for nothing, compiles, and never runs, since the check at the user's type has failed.

use std::{any::Any, marker::PhantomData};

use oxlo_transport::settings::RemoteError;
use serde::{Serialize, de::DeserializeOwned};

pub use crate::debug_handler::{extractor, failure, future, future_of_outcome, outcome, value};
use crate::{
    call::Call,
    contract,
    extract::FromCall,
    result::{HandlerError, HandlerResult},
    states::States,
};

/// What comes in a request.
pub trait Read: DeserializeOwned + Any {}

impl<T: DeserializeOwned + Any> Read for T {}

macro_rules! probes {
    ($($module:ident<T: $bound:path> {
        $(fn $name:ident($($arg:ident: $ty:ty),*) -> $output:ty, else $instead:expr;)*
    })*) => {$(
        #[doc = concat!("Of types that are `", stringify!($bound), "`.")]
        pub mod $module {
            use super::*;

            /// A type of a method.
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

            /// For types that are.
            pub trait IsAble {
                /// Found first.
                fn oxlo_able(&self) -> Able {
                    Able
                }
            }

            impl<T: $bound> IsAble for Probe<T> {}

            /// For types that are not.
            pub trait IsUnable {
                /// Found if there is no other.
                fn oxlo_able(&self) -> Unable {
                    Unable
                }
            }

            impl<T> IsUnable for &Probe<T> {}

            /// Does the work.
            #[derive(Clone, Copy, Debug)]
            pub struct Able;

            /// Says that it could.
            #[derive(Clone, Copy, Debug)]
            pub struct Unable;

            #[allow(clippy::missing_errors_doc, clippy::must_use_candidate, clippy::unused_self)]
            impl Able {$(
                #[doc = concat!("[`", stringify!($name), "`](contract::", stringify!($name), ").")]
                pub fn $name<T: $bound>(self, $($arg: $ty),*) -> $output {
                    contract::$name::<T>($($arg),*)
                }
            )*}

            #[allow(
                clippy::missing_errors_doc,
                clippy::must_use_candidate,
                clippy::needless_pass_by_value,
                clippy::unused_self,
                unused_variables
            )]
            impl Unable {$(
                #[doc = concat!("Instead of [`", stringify!($name), "`](contract::", stringify!($name), ").")]
                pub fn $name<T>(self, $($arg: $ty),*) -> $output {
                    $instead
                }
            )*}
        }
    )*};
}

probes! {
    reads<T: Read> {
        fn context(call: &Call) -> Result<T, HandlerError>, else Err(HandlerError::Ignore);
        fn arguments(call: &Call) -> Result<T, HandlerError>, else Err(HandlerError::Ignore);
    }
    writes<T: Serialize> {
        fn answer(call: &Call, value: &T) -> HandlerResult, else Err(HandlerError::Ignore);
    }
    fails<T: Into<HandlerError>> {
        fn fail(error: T) -> HandlerResult, else Err(HandlerError::Ignore);
    }
    extracts<T: FromCall> {
        fn extract(call: &Call) -> Result<T, HandlerError>, else Err(HandlerError::Ignore);
        fn missing(states: &States) -> Option<&'static str>, else None;
    }
}

/// An inherent method, which is found before those of the traits: errors that are declared by their type.
impl<T: RemoteError> fails::Probe<T> {
    /// Found first.
    #[must_use]
    pub const fn oxlo_able(&self) -> Declared {
        Declared
    }
}

/// Does the work for declared errors.
#[derive(Clone, Copy, Debug)]
pub struct Declared;

impl Declared {
    /// The answer of a method that failed as its contract says it may.
    #[allow(clippy::missing_errors_doc, clippy::unused_self)]
    pub fn fail<T: RemoteError>(self, error: T) -> HandlerResult {
        Err(HandlerError::expected(error))
    }
}
