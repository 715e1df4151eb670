//! oxlo's attributes. Programs take them from `oxlo`, or from `oxlo-client` or `oxlo-server` alone; each of those hands
//! on the variant whose code names that crate and no other.

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

/// Makes a typed client and a server's endpoint of a trait.
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
/// | generated | is |
/// |---|---|
/// | `Calculator` | the trait, its futures `Send`, itself `Send + Sync + 'static`; implement it with `async fn` |
/// | `CalculatorClient` | wraps an `RPCClient`; a method for each of the trait's, and `start_..` for each that is called |
/// | `CalculatorEndpoint` | `CalculatorEndpoint::new(implementation)` is an `Into<Endpoint>` |
///
/// A method is `async`, takes `&self`, then the context (`&Context`, or a reference to a type of yours that is
/// `Serialize` and `DeserializeOwned`), then its named arguments: any serde type, or a reference to one (`&str`,
/// `&[T]`). It returns nothing, a value, or `Result<T, E>` whose `E` is a `RemoteError`, a `Failure` or a
/// `HandlerError`; the client's method then fails with `MethodError<E>`, otherwise with `CallError`. With a
/// `HandlerError` a method can requeue or ignore its request; its caller gets every failure as
/// `HandlerError::Failure`.
///
/// Generated code takes none of your names for its own: arguments, fields and types can have any name, except that the
/// client's own methods (`new`, `over`, `prepare`, `rpc`, `into_rpc`, `start_..`) cannot be methods of the contract.
///
/// # On the trait
///
/// | key | meaning |
/// |---|---|
/// | `version = "1.2"` | what the endpoint implements: `major.minor[.revision]`; required |
/// | `namespace = "math"` | the namespace of both sides; absent is the null namespace |
/// | `client`, `server` | generate only this side |
/// | `crate = path` | where `oxlo` is, if it is not called that |
///
/// # On a method: `#[rpc(..)]`
///
/// | key | meaning |
/// |---|---|
/// | `since = "1.1"` | the version that introduced it, which its requests name; default: `major.0` of the contract |
/// | `name = "addUp"` | its name on the wire; default: the name of the method |
/// | `cast` | nobody waits for it; it returns nothing, or `Result<(), E>` |
/// | `fanout` | every server of the topic runs it; needs `cast` |
/// | `idempotent` | running it twice does no harm, so that retry layers may |
/// | `fallback = function` | what the client does where its version cap does not allow `since`: an async function of the client and the method's arguments |
///
/// # On an argument
///
/// | attribute | meaning |
/// |---|---|
/// | `#[serde(rename = "n")]`, `#[serde(alias = "n")]` | its name on the wire, on both sides; another that the server takes as well |
/// | `#[serde(default)]`, `#[serde(default = "..")]` | the server's value for requests without it; an `Option` is `None` without this |
/// | `#[serde(skip_serializing_if = "..")]` | the client leaves it out where the function says so; goes with `default` |
/// | `#[serde(with = "..")]`, `serialize_with`, `deserialize_with` | functions that write and read it |
/// | `#[serde(flatten)]` | its fields, or the entries of a map, are arguments of their own: Python's `**kwargs` |
/// | `#[rpc(name = "n")]` | its name on the wire |
/// | `#[rpc(since = "1.2")]` | it came later: the request names this version only if the value is `Some`; needs `Option` |
/// | `#[rpc(since = "1.2", droppable)]` | where the cap does not allow its version, it is left out instead of refused |
/// | `#[extract]` | no argument: something that the server reads from the request, any `FromCall`; the client's method is without it |
///
/// Other keys of serde are refused by the compiler, with what to use instead. Unknown arguments are refused as by
/// Python, with a `TypeError` that names them; a flattened map takes them all, as does a flattened type that a function
/// reads, or that itself flattens another.
///
/// # Other attributes
///
/// `#[cfg(..)]` can be on the trait, on methods and on arguments (at most four different conditions for the arguments of
/// one method); `#[cfg_attr(.., rpc(..))]` and the like on arguments. The generated code is under the same conditions.
/// The client's methods have the method's documentation, `#[deprecated]` and `#[must_use]`, and what the trait or the
/// method allows by `#[allow(..)]` is allowed in them.
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

/// Serves the marked methods of an impl block, without a contract.
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
///     /// Not marked, hence not reachable.
///     fn checked(&self, a: i64, b: i64) -> Result<i64, Failure> {
///         a.checked_add(b).ok_or_else(|| Failure::builtin("OverflowError", "the sum is too large"))
///     }
/// }
///
/// let endpoint: Endpoint = Calculator.into();
/// # drop(endpoint);
/// ```
///
/// The type then is an `Into<Endpoint>`: `.endpoint(Calculator)`. `Calculator::shared_endpoint(arc)` serves one that
/// the program keeps a hand on. Methods are written as those of a [`contract`](macro@contract); of the keys of
/// `#[rpc(..)]` there are `name` and `blocking`, which runs a method without `async` on tokio's blocking threads.
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
/// `.method("add", add)` takes any function that is a handler. Of one that is not, the compiler says only that it is not.
/// With this attribute each condition is checked by itself, and the message stands at the parameter, the type or the
/// line that it is about:
///
/// - a free `async fn`, or one that returns `impl Future`; no `self`, no type parameters
/// - at most six parameters, each an extractor: `Context`, `Ctxt<T>`, `Args<T>`, `State<S>`, ..
/// - `Result<T, E>` is returned, `T` is `Serialize`, `E` is a `Failure`, a `HandlerError`, or a type with
///   [`derive(RemoteError)`](macro@RemoteError)
/// - the future is `Send`: nothing like an `Rc` or a lock's guard is kept across an `.await`
///
/// The function itself stays as it is, and nothing is added to the program. An attribute cannot be put on a closure:
/// write a closure that is refused as a function.
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
/// | `blocking` | it is for `blocking_method`: a `fn` without `async` |
/// | `crate = path` | where `oxlo` is, if it is not called that |
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

/// Gives an error type classes and modules on the wire, both ways.
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
/// The text of the failure is the error's `Display`. Named fields travel as keyword arguments beside the text as the
/// one positional argument, unnamed fields as the positional arguments; that is how a Python class re-creates itself.
/// Fields are serde types. A failure whose arguments do not fit stays opaque; an `Option` may be absent.
///
/// | attribute | on | meaning |
/// |---|---|---|
/// | `#[remote(module = "..")]` | type, variant | module of the class; required on the type |
/// | `#[remote(class = "..")]` | struct, variant | name of the class; default: its own name |
/// | `#[remote(name = "..")]` | named field | its name on the wire |
/// | `#[remote(message)]` | field | the failure's text: read from it, and sent as the positional argument |
/// | `#[remote(skip)]` | field | it does not travel; read as its `Default` |
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

/// Says what is wrong where an attribute stands that only means something below another one.
fn refused(error: &syn::Error) -> proc_macro2::TokenStream {
    let errors = error.to_compile_error();
    quote!(#errors)
}
