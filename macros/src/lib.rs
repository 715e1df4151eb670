//! The macros of oxlo. Programs use them through `oxlo`, `oxlo-client` or `oxlo-server`; each re-exports the variant whose
//! generated code depends on that crate only.

use proc_macro::TokenStream;
use quote::quote;

use crate::root::Root;

mod argument;
mod attributes;
mod check;
mod client;
mod conditional;
mod contract;
mod debug_handler;
mod endpoint;
mod errors;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod every_name;
mod method;
mod names;
mod remote_error;
mod root;
mod serde_keys;
mod serve;
mod version;

/// Generates a typed client and an endpoint from a trait.
///
/// ```
/// use oxlo::{Context, RPCServer, RemoteError, Target};
///
/// #[derive(Debug, thiserror::Error, RemoteError)]
/// #[remote(module = "calculator.exceptions")]
/// pub enum CalcError {
///     #[error("too large")]
///     TooLarge,
/// }
///
/// #[oxlo::contract(version = "1.2", namespace = "math")]
/// pub trait Calculator {
///     /// The sum.
///     async fn add(&self, ctxt: &Context, a: i64, b: i64) -> Result<i64, CalcError>;
///
///     #[rpc(since = "1.1", cast, fanout)]
///     async fn reload(&self, ctxt: &Context, force: bool);
/// }
///
/// struct Abacus;
///
/// impl Calculator for Abacus {
///     async fn add(&self, _ctxt: &Context, a: i64, b: i64) -> Result<i64, CalcError> {
///         a.checked_add(b).ok_or(CalcError::TooLarge)
///     }
///
///     async fn reload(&self, _ctxt: &Context, _force: bool) {}
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transport = oxlo::connect("memory://macros-contract").await?;
/// let server = RPCServer::builder(transport.clone(), Target::topic("calculator").server("node-7"))
///     .endpoint(CalculatorEndpoint::new(Abacus))
///     .start()
///     .await?;
/// let calculator = CalculatorClient::new(transport, Target::topic("calculator"));
/// assert_eq!(calculator.add(&Context::new(), 1, 2).await?, 3);
/// calculator.prepare(|it| it.version_cap("1.1")).reload(&Context::new(), true).await?;
/// # server.stop();
/// # server.wait().await?;
/// # Ok(()) }
/// ```
///
/// | generated | description |
/// |---|---|
/// | `Calculator` | the trait, which is `Send + Sync + 'static` and whose futures are `Send`; implement it with `async fn` |
/// | `CalculatorClient` | an `RPCClient` with a method for each of the trait's, and a `start_..` for each that is not a cast |
/// | `CalculatorEndpoint` | `CalculatorEndpoint::new(implementation)` is an `Into<Endpoint>` |
///
/// A method is `async` and takes `&self`, the context (`&Context`, or a reference to your own type that is `Serialize` and
/// `DeserializeOwned`), and its named arguments: any serde type, or a reference to one (`&str`,
/// `&[T]`). It returns nothing, a value, or `Result<T, E>` whose `E` is a `RemoteError`, a `Failure` or a
/// `HandlerError`; the error of the client's method is then `MethodError<E>`, otherwise `CallError`. With a
/// `HandlerError` a method can requeue or ignore its request; its client receives every failure as
/// `HandlerError::Failure`.
///
/// Generated names never collide with yours: arguments, fields and types can have any name. Only the client's own methods
/// (`new`, `over`, `prepare`, `rpc`, `into_rpc`, `start_..`) cannot be methods of the contract.
///
/// # On the trait
///
/// | key | meaning |
/// |---|---|
/// | `version = "1.2"` | the version that the endpoint implements: `major.minor[.revision]`; required |
/// | `namespace = "math"` | the namespace of both sides; absent: the null namespace |
/// | `client`, `server` | generate only this side |
/// | `crate = path` | the path of `oxlo`, if it has another name |
///
/// # On a method: `#[rpc(..)]`
///
/// | key | meaning |
/// |---|---|
/// | `since = "1.1"` | the version in which it was added, which its requests name; default: `major.0` of the contract |
/// | `name = "addUp"` | its name on the wire; default: the name of the method |
/// | `cast` | it has no reply; it returns nothing, or `Result<(), E>` |
/// | `fanout` | every server of the topic runs it; needs `cast` |
/// | `idempotent` | running it twice does no harm, so that retry layers may repeat it |
/// | `fallback = function` | an async function that the client calls if its version cap is below `since`; its parameters are the client and the method's |
///
/// # On an argument
///
/// | attribute | meaning |
/// |---|---|
/// | `#[serde(rename = "n")]`, `#[serde(alias = "n")]` | its name on the wire, on both sides; another name that the server accepts |
/// | `#[serde(default)]`, `#[serde(default = "..")]` | the server's value for requests without it; an `Option` is `None` without this |
/// | `#[serde(skip_serializing_if = "..")]` | the client omits it if the function returns `true`; needs `default` |
/// | `#[serde(with = "..")]`, `serialize_with`, `deserialize_with` | functions that serialise and deserialise it |
/// | `#[serde(flatten)]` | its fields, or the entries of a map, are separate arguments: Python's `**kwargs` |
/// | `#[rpc(name = "n")]` | its name on the wire |
/// | `#[rpc(since = "1.2")]` | the version in which it was added: the request names it only if the value is `Some`; needs `Option` |
/// | `#[rpc(since = "1.2", droppable)]` | if the cap is below its version, it is omitted instead of refused |
/// | `#[extract]` | not an argument: a value that the server reads from the request, any `FromCall`; the client's method does not have it |
///
/// Other serde keys are compile errors, which name the alternative. Unknown arguments are refused as in Python, with a
/// `TypeError` that names them. A flattened map accepts any argument, and so does a flattened type that a function
/// deserialises or that flattens another type.
///
/// # Other attributes
///
/// `#[cfg(..)]` is supported on the trait, on methods and on arguments (at most four different conditions for the arguments
/// of one method), and `#[cfg_attr(.., rpc(..))]` and the like on arguments. The generated code has the same conditions.
/// The client's methods have the method's documentation, `#[deprecated]` and `#[must_use]`. `#[allow(..)]` on the trait or
/// on a method applies to the generated code too.
#[proc_macro_attribute]
pub fn contract(attribute: TokenStream, item: TokenStream) -> TokenStream {
    contract::expand(attribute.into(), item.into(), &Root::facade()).into()
}

/// `#[contract]` of `oxlo-client`: the client's side.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn contract_of_client(attribute: TokenStream, item: TokenStream) -> TokenStream {
    contract::expand(attribute.into(), item.into(), &Root::client()).into()
}

/// `#[contract]` of `oxlo-server`: the server's side.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn contract_of_server(attribute: TokenStream, item: TokenStream) -> TokenStream {
    contract::expand(attribute.into(), item.into(), &Root::server()).into()
}

/// Serves the methods of an impl block that are marked with `#[rpc]`, without a contract.
///
/// ```
/// use oxlo::{Context, Endpoint, Failure};
///
/// struct Calculator;
///
/// #[oxlo::endpoint(version = "1.1")]
/// impl Calculator {
///     #[rpc]
///     async fn add(&self, _ctxt: &Context, a: i64, b: i64) -> Result<i64, Failure> {
///         self.checked(a, b)
///     }
///
///     #[rpc(blocking)]
///     fn primes_below(&self, _ctxt: &Context, limit: u64) -> Vec<u64> {
///         (2..limit).filter(|n| (2..*n).all(|d| n % d != 0)).collect()
///     }
///
///     /// Without `#[rpc]`, so clients cannot call it.
///     fn checked(&self, a: i64, b: i64) -> Result<i64, Failure> {
///         a.checked_add(b).ok_or_else(|| Failure::builtin("OverflowError", "the sum is too large"))
///     }
/// }
///
/// let endpoint: Endpoint = Calculator.into();
/// # drop(endpoint);
/// ```
///
/// The type is then an `Into<Endpoint>`: `.endpoint(Calculator)`. `Calculator::shared_endpoint(arc)` serves a value that the
/// program shares. Methods have the form of those of a [`contract`](macro@contract). The keys of `#[rpc(..)]` are `name` and
/// `blocking`, which runs a method without `async` on tokio's blocking threads.
#[proc_macro_attribute]
pub fn endpoint(attribute: TokenStream, item: TokenStream) -> TokenStream {
    endpoint::expand(attribute.into(), item.into(), &Root::facade()).into()
}

/// `#[endpoint]` of `oxlo-server`.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn endpoint_of_server(attribute: TokenStream, item: TokenStream) -> TokenStream {
    endpoint::expand(attribute.into(), item.into(), &Root::server()).into()
}

/// Reports which condition keeps a function from being a handler.
///
/// `.method("add", add)` takes any function that is a handler. For one that is not, the compiler reports only that. With this
/// attribute each condition is checked separately, and the error points at the parameter, the type or the line that it
/// concerns:
///
/// - an `async fn`, or a `fn` that returns `impl Future`, without `self` and type parameters
/// - at most six parameters, each an extractor: `Context`, `Ctxt<T>`, `Args<T>`, `State<S>`, ..
/// - it returns `Result<T, E>`, `T` is `Serialize`, `E` is a `Failure`, a `HandlerError`, or a type with
///   [`derive(RemoteError)`](macro@RemoteError)
/// - the future is `Send`: no `Rc` or lock guard is held across an `.await`
///
/// The function is unchanged, and no code is added to the program. Attributes cannot be applied to closures: to check a
/// closure, write it as a function.
///
/// ```
/// use oxlo::{Args, Endpoint, Failure};
///
/// #[derive(serde::Deserialize)]
/// struct Add {
///     a: i64,
///     b: i64,
/// }
///
/// #[oxlo::debug_handler]
/// async fn add(Args(it): Args<Add>) -> Result<i64, Failure> {
///     Ok(it.a + it.b)
/// }
///
/// let endpoint = Endpoint::new("1.0").method("add", add);
/// # drop(endpoint);
/// ```
///
/// | key | meaning |
/// |---|---|
/// | `blocking` | checks a `fn` for `blocking_method` |
/// | `crate = path` | the path of `oxlo`, if it has another name |
#[proc_macro_attribute]
pub fn debug_handler(attribute: TokenStream, item: TokenStream) -> TokenStream {
    debug_handler::expand(attribute.into(), &item.into(), &Root::facade()).into()
}

/// `#[debug_handler]` of `oxlo-server`.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn debug_handler_of_server(attribute: TokenStream, item: TokenStream) -> TokenStream {
    debug_handler::expand(attribute.into(), &item.into(), &Root::server()).into()
}

/// Implements `RemoteError`: converts an error to and from classes and modules on the wire.
///
/// ```
/// use oxlo::RemoteError;
///
/// #[derive(Debug, PartialEq, thiserror::Error, RemoteError)]
/// #[remote(module = "calculator.exceptions")]
/// pub enum CalcError {
///     #[error("division by zero")]
///     DivisionByZero,
///     #[error("{value} is above {limit}")]
///     #[remote(class = "TooLarge")]
///     Overflow { value: i64, limit: i64 },
///     #[error("{0}")]
///     #[remote(module = "builtins", class = "ValueError")]
///     Invalid(String),
/// }
///
/// let failure = CalcError::Overflow { value: 7, limit: 5 }.to_failure();
/// assert_eq!((failure.module.as_str(), failure.class.as_str()), ("calculator.exceptions", "TooLarge"));
/// assert_eq!((failure.message.as_str(), failure.kwargs["limit"].as_i64()), ("7 is above 5", Some(5)));
/// assert_eq!(CalcError::from_failure(&failure), Some(CalcError::Overflow { value: 7, limit: 5 }));
/// ```
///
/// The message of the failure is the error's `Display`. Named fields are sent as keyword arguments, with the message as the
/// only positional argument; unnamed fields are sent as positional arguments. This is how a Python class is re-created.
/// Fields are serde types. A failure whose arguments do not fit is not rebuilt; an `Option` may be absent.
///
/// | attribute | on | meaning |
/// |---|---|---|
/// | `#[remote(module = "..")]` | type, variant | module of the class; required on the type |
/// | `#[remote(class = "..")]` | struct, variant | name of the class; default: the name of the type or variant |
/// | `#[remote(name = "..")]` | named field | its name on the wire |
/// | `#[remote(message)]` | field | the failure's message: read from it, and sent as the positional argument |
/// | `#[remote(skip)]` | field | not sent; its `Default` when received |
#[proc_macro_derive(RemoteError, attributes(remote))]
pub fn remote_error(item: TokenStream) -> TokenStream {
    remote_error::expand(item.into(), &Root::facade()).into()
}

/// `derive(RemoteError)` of `oxlo-client`.
#[doc(hidden)]
#[proc_macro_derive(RemoteErrorOfClient, attributes(remote))]
pub fn remote_error_of_client(item: TokenStream) -> TokenStream {
    remote_error::expand(item.into(), &Root::client()).into()
}

/// `derive(RemoteError)` of `oxlo-server`.
#[doc(hidden)]
#[proc_macro_derive(RemoteErrorOfServer, attributes(remote))]
pub fn remote_error_of_server(item: TokenStream) -> TokenStream {
    remote_error::expand(item.into(), &Root::server()).into()
}

/// The errors of an item that cannot be parsed, in place of the item.
fn refused(error: &syn::Error) -> proc_macro2::TokenStream {
    let errors = error.to_compile_error();
    quote!(#errors)
}
