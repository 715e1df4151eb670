//! What keeps the compiler's words about a contract short.
//!
//! A type of the user's that cannot travel would be reported wherever the generated code needs it. Instead the code asks
//! by [`Probe::oxlo_able`] whether all types of a method can what they must: if so it gets [`Able`], whose functions are those
//! of [`private`](crate::contract::private), else [`Unable`], whose functions ask for nothing. The one complaint is then
//! that of the check at the user's type, and with it the code never runs.
//!
//! Which of both `oxlo_able` is meant is decided by the receiver: `(&probe).oxlo_able()` finds the method of `Probe` first, and
//! that of `&Probe` if the bounds of the former do not hold.

use std::{any::Any, future::pending, marker::PhantomData};

use oxlo_transport::settings::FromFailure;
use serde::{Serialize, de::DeserializeOwned};

use crate::contract::private::{self, CallError, MethodError, PendingCall, PendingMethod, RPCClient, Spec};

/// The types of a method: result, error, context, arguments.
#[derive(Debug)]
#[allow(clippy::type_complexity)]
pub struct Probe<R, E, C, A>(PhantomData<fn() -> (R, E, C, A)>);

impl<R, E, C, A> Probe<R, E, C, A> {
    /// Of these arguments.
    #[must_use]
    pub const fn of(_: &A) -> Self {
        Self(PhantomData)
    }
}

/// For types that can what they must.
pub trait IsAble {
    /// Found first.
    fn oxlo_able(&self) -> Able {
        Able
    }
}

impl<R: DeserializeOwned, E: FromFailure, C: Serialize + Any, A: Serialize> IsAble for Probe<R, E, C, A> {}

/// For all others.
pub trait IsUnable {
    /// Found if there is no other.
    fn oxlo_able(&self) -> Unable {
        Unable
    }
}

impl<R, E, C, A> IsUnable for &Probe<R, E, C, A> {}

/// Does what a method asks for.
#[derive(Clone, Copy, Debug)]
pub struct Able;

/// Says that it could, so that nothing else is complained about.
#[derive(Clone, Copy, Debug)]
pub struct Unable;

/// The functions of both: those of [`private`], and some that never end.
macro_rules! functions {
    ($($name:ident<$($param:ident: [$($bound:tt)*]),*> -> $output:ty;)*) => {
        #[allow(clippy::missing_errors_doc)]
        impl Able {$(
            #[doc = concat!("[`", stringify!($name), "`](private::", stringify!($name), ").")]
            pub async fn $name<$($param: $($bound)*,)* C: Serialize + Any>(
                self, rpc: &RPCClient, ctxt: &C, spec: Spec, args: impl Serialize,
            ) -> $output {
                private::$name::<$($param,)* C>(rpc, ctxt, spec, args).await
            }
        )*}

        #[allow(clippy::missing_errors_doc, clippy::unused_async)]
        impl Unable {$(
            #[doc = concat!("Instead of [`", stringify!($name), "`](private::", stringify!($name), ").")]
            pub async fn $name<$($param,)* C>(self, _: &RPCClient, _: &C, _: Spec, _: impl Sized) -> $output {
                pending().await
            }
        )*}
    };
}

functions! {
    call<R: [DeserializeOwned]> -> Result<R, CallError>;
    start<R: [DeserializeOwned]> -> Result<PendingCall<R>, CallError>;
    call_method<R: [DeserializeOwned], E: [FromFailure]> -> Result<R, MethodError<E>>;
    start_method<R: [DeserializeOwned], E: [FromFailure]> -> Result<PendingMethod<R, E>, CallError>;
    cast<> -> Result<(), CallError>;
}
