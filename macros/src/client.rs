//! The client's side: a struct around `RPCClient` with a method for each of the contract's.

use proc_macro2::TokenStream;
use quote::format_ident;
use syn::{Ident, ItemTrait, LitStr, ext::IdentExt};

use crate::{
    check::{Sides, at},
    method::{Method, Output, lints, named},
    names::{Names, local, mixed},
    root::Root,
};

/// Methods that the generated client has in addition to the contract's.
pub(crate) const RESERVED: [&str; 6] = ["new", "over", "rpc", "prepare", "into_rpc", "VERSION"];

/// Inputs of all parts of the client's code.
struct Code<'a> {
    root: &'a Root,
    names: &'a Names,
    sides: Sides,
    client: Ident,
}

pub(crate) fn generate(
    root: &Root,
    names: &Names,
    sides: Sides,
    contract: &ItemTrait,
    version: &LitStr,
    namespace: Option<&LitStr>,
    methods: &[Method],
) -> TokenStream {
    let (private, visibility, ident) = (root.private(), &contract.vis, &contract.ident);
    let (carried, lints) = (named(&contract.attrs, &["cfg", "deprecated"]), lints(&contract.attrs));
    let conditions = named(&contract.attrs, &["cfg"]);
    let code = Code { root, names, sides, client: format_ident!("{ident}Client") };
    let client = &code.client;
    let about = format!(
        "The client of [`{ident}`]: an `RPCClient` with a method for each of the contract's, which sends the version in \
         which the method was added and respects the version cap."
    );
    let namespaced =
        namespace.map_or_else(|| mixed!(rpc), |it| mixed!(#private::client::RPCClient::namespace(rpc, #it)));
    let structs = methods.iter().map(|method| code.arguments(method));
    let fallbacks = methods.iter().map(|method| code.fallback_function(method));
    let calls = methods.iter().map(|method| code.call(method));
    let starts = methods.iter().filter(|method| !method.cast).map(|method| code.start(method));
    mixed! {
        #[doc = #about]
        #(#carried)*
        #(#lints)*
        // A method that a program does not call is not its dead code.
        #[allow(dead_code, deprecated)]
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        #visibility struct #client {
            rpc: #private::client::RPCClient,
        }

        #(#conditions)*
        #(#lints)*
        #[allow(deprecated)]
        const _: () = {
            #(#structs)*
            #(#fallbacks)*

            #[allow(dead_code, clippy::too_many_arguments)]
            impl #client {
                /// The version of the contract.
                pub const VERSION: &'static ::core::primitive::str = #version;

                /// Creates a client of the service that `target` names by its topic. Namespace and version are the contract's.
                #[must_use]
                pub fn new(
                    transport: ::std::sync::Arc<dyn #private::client::Transport>,
                    target: #private::client::Target,
                ) -> Self {
                    Self::over(#private::client::RPCClient::new(transport, target))
                }

                /// Creates a client around a prepared one, with its exchange, server, timeout, version cap and layers.
                #[must_use]
                pub fn over(rpc: #private::client::RPCClient) -> Self {
                    Self { rpc: #namespaced }
                }

                /// The wrapped client.
                #[must_use]
                pub fn rpc(&self) -> &#private::client::RPCClient {
                    &self.rpc
                }

                /// The wrapped client, by value.
                #[must_use]
                pub fn into_rpc(self) -> #private::client::RPCClient {
                    self.rpc
                }

                /// Returns a client with overrides, such as `.prepare(|it| it.server("node-7").timeout(limit))`. This one
                /// is unchanged.
                #[must_use]
                pub fn prepare(
                    &self,
                    overrides: impl ::core::ops::FnOnce(#private::client::RPCClient) -> #private::client::RPCClient,
                ) -> Self {
                    Self { rpc: overrides(#private::client::RPCClient::prepare(&self.rpc)) }
                }

                #(#calls)*
                #(#starts)*
            }
        };
    }
}

impl Code<'_> {
    /// The struct that serialises the arguments of a method.
    fn arguments(&self, method: &Method) -> TokenStream {
        let (private, serde) = (self.root.private(), self.root.serde());
        let (ident, conditions, lints) = (self.arguments_ident(method), &method.conditions, &method.lints);
        let fields = method.arguments().map(|argument| argument.sent_field());
        let lifetime = has_references(method).then(|| mixed!('oxlo,));
        mixed! {
            #(#conditions)*
            #(#lints)*
            #[allow(non_camel_case_types, non_snake_case)]
            #[derive(#private::serde::Serialize)]
            #[serde(crate = #serde)]
            struct #ident <#lifetime> { #(#fields,)* }
        }
    }

    fn arguments_ident(&self, method: &Method) -> Ident {
        self.names.item(&format!("Args_{}", method.ident.unraw()))
    }

    /// The first statements of a method: the version to send, and the arguments.
    fn prelude(&self, method: &Method) -> TokenStream {
        let (private, arguments) = (self.root.private(), self.arguments_ident(method));
        let names = method.arguments().map(|argument| &argument.ident);
        let since = method.since.as_ref().map(|it| &it.literal);
        let mut later: Vec<_> =
            method.arguments().filter_map(|it| it.since.as_ref().map(|since| (since, it))).collect();
        later.sort_by_key(|(since, _)| since.number);
        let later = later.iter().map(|(since, argument)| {
            let (ident, droppable, since) = (&argument.ident, argument.droppable, &since.literal);
            mixed! {
                let (oxlo_version, #ident) =
                    #private::client::later(&self.rpc, oxlo_version, #since, #ident, #droppable);
            }
        });
        mixed! {
            let oxlo_version: &'static ::core::primitive::str = #since;
            #(#later)*
            let oxlo_args = #arguments { #(#names),* };
        }
    }

    /// The description of the request: name, version, whether it is idempotent, whether it is a fanout.
    fn spec(&self, method: &Method) -> TokenStream {
        let (private, name) = (self.root.private(), method.name());
        let (idempotent, fanout) = (method.idempotent, method.fanout);
        mixed! {
            #private::client::Spec {
                method: #name,
                version: oxlo_version,
                idempotent: #idempotent,
                fanout: #fanout,
            }
        }
    }

    /// The call of the library's function. The compiler shows the method's name for what it finds wrong with it.
    fn send(&self, method: &Method, function: &TokenStream, types: &TokenStream) -> TokenStream {
        let (private, spec, context) = (self.root.private(), self.spec(method), &method.context);
        let (ctxt, checks) = (&method.context_ident, method.checks(self.root, self.sides));
        let function = at(&method.ident, &mixed!(#private::client::#function));
        let arguments = at(&method.ident, &mixed!((&self.rpc, #ctxt, #spec, oxlo_args).await));
        mixed! {
            #checks
            #function::<#types #context>#arguments
        }
    }

    fn call(&self, method: &Method) -> TokenStream {
        let ident = &method.ident;
        let Method { docs, deprecated, conditions, lints, .. } = method;
        let inputs = inputs(method);
        let prelude = self.prelude(method);
        let (function, types) = match &method.output {
            _ if method.cast => (mixed!(cast), mixed!()),
            Output::Nothing => (mixed!(call), mixed!((),)),
            Output::Value(value) => (mixed!(call), mixed!(#value,)),
            Output::Result(value, error) => (mixed!(call_method), mixed!(#value, #error,)),
        };
        let result = self.result(if method.cast { &Output::Nothing } else { &method.output });
        let send = self.send(method, &function, &types);
        let fallback = method.fallback.as_ref().map(|_| self.fallback(method));
        mixed! {
            #(#docs)*
            #(#deprecated)*
            #(#conditions)*
            #(#lints)*
            pub async fn #ident(#inputs) -> ::core::result::Result<#result> {
                #fallback
                #prelude
                #send
            }
        }
    }

    /// Calls the user's function if the version cap is below the method.
    fn fallback(&self, method: &Method) -> TokenStream {
        let (private, fallback, ctxt) = (self.root.private(), self.fallback_ident(method), &method.context_ident);
        let since = method.since.as_ref().map(|it| &it.literal);
        let names = method.arguments().map(|argument| &argument.ident);
        mixed! {
            if !#private::client::RPCClient::can_send_version(&self.rpc, ::core::option::Option::Some(#since)) {
                return #fallback(self, #ctxt, #(#names),*).await;
            }
        }
    }

    fn fallback_ident(&self, method: &Method) -> Ident {
        self.names.item(&format!("Fallback_{}", method.ident.unraw()))
    }

    /// A wrapper of the user's function, outside the method, where an argument could shadow its name.
    fn fallback_function(&self, method: &Method) -> Option<TokenStream> {
        let function = method.fallback.as_ref()?;
        let (client, context, fallback) = (&self.client, &method.context, self.fallback_ident(method));
        let Method { conditions, lints, .. } = method;
        let result = self.result(if method.cast { &Output::Nothing } else { &method.output });
        let types = method.arguments().map(|argument| &argument.ty);
        let locals: Vec<Ident> =
            (0..method.arguments().count()).map(|position| local(&format!("argument_{position}"))).collect();
        Some(mixed! {
            #(#conditions)*
            #(#lints)*
            #[allow(dead_code, non_snake_case, clippy::too_many_arguments)]
            async fn #fallback(
                oxlo_client: &#client, oxlo_ctxt: &#context, #(#locals: #types),*
            ) -> ::core::result::Result<#result> {
                #function(oxlo_client, oxlo_ctxt, #(#locals),*).await
            }
        })
    }

    /// Both types of the `Result` that a method of the client returns.
    fn result(&self, output: &Output) -> TokenStream {
        let private = self.root.private();
        match output {
            Output::Nothing => mixed!((), #private::client::CallError),
            Output::Value(value) => mixed!(#value, #private::client::CallError),
            Output::Result(value, error) => mixed!(#value, #private::client::MethodError<#error>),
        }
    }

    fn start(&self, method: &Method) -> TokenStream {
        let (private, ident) = (self.root.private(), &method.ident);
        let start = format_ident!("start_{}", ident.unraw());
        let about = format!(
            "Starts [`{0}`](Self::{0}): returns when the broker has confirmed the request, with a future of the result.",
            ident.unraw()
        );
        let Method { deprecated, conditions, lints, .. } = method;
        let inputs = inputs(method);
        let prelude = self.prelude(method);
        let (pending, function, types) = match &method.output {
            Output::Nothing => (mixed!(#private::client::PendingCall<()>), mixed!(start), mixed!((),)),
            Output::Value(value) => (mixed!(#private::client::PendingCall<#value>), mixed!(start), mixed!(#value,)),
            Output::Result(value, error) => {
                (mixed!(#private::client::PendingMethod<#value, #error>), mixed!(start_method), mixed!(#value, #error,))
            }
        };
        let send = self.send(method, &function, &types);
        mixed! {
            #[doc = #about]
            #(#deprecated)*
            #(#conditions)*
            #(#lints)*
            pub async fn #start(#inputs) -> ::core::result::Result<#pending, #private::client::CallError> {
                #prelude
                #send
            }
        }
    }
}

fn has_references(method: &Method) -> bool {
    method.arguments().any(|argument| argument.is_reference())
}

fn inputs(method: &Method) -> TokenStream {
    let (ctxt, context) = (&method.context_ident, &method.context);
    let names = method.arguments().map(|argument| &argument.ident);
    let types = method.arguments().map(|argument| &argument.ty);
    mixed!(&self, #ctxt: &#context #(, #names: #types)*)
}
