//! The client's side: a struct around `RPCClient` with one method for each of the contract's.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Ident, LitStr, Visibility, ext::IdentExt};

use crate::{
    method::{Method, Output},
    root::Root,
};

/// Names that the generated client has beside the contract's.
pub(crate) const RESERVED: [&str; 5] = ["new", "over", "rpc", "prepare", "into_rpc"];

pub(crate) fn generate(
    root: &Root,
    visibility: &Visibility,
    contract: &Ident,
    version: &LitStr,
    namespace: Option<&LitStr>,
    methods: &[Method],
) -> TokenStream {
    let private = root.private();
    let client = format_ident!("{contract}Client");
    let about = format!(
        "Asks servers of [`{contract}`]: an `RPCClient` with a method for each of the contract's, which sends the version \
         that introduced it and honours the version cap."
    );
    let namespaced = namespace.map_or_else(|| quote!(rpc), |it| quote!(rpc.namespace(#it)));
    let structs = methods.iter().map(|method| arguments(root, method));
    let calls = methods.iter().map(|method| call(root, method));
    let starts = methods.iter().filter(|method| !method.cast).map(|method| start(root, method));
    quote! {
        #[doc = #about]
        // What a program does not call is no dead code of its own.
        #[allow(dead_code)]
        #[derive(Clone, Debug)]
        #visibility struct #client {
            rpc: #private::client::RPCClient,
        }

        const _: () = {
            #(#structs)*

            #[allow(dead_code, clippy::too_many_arguments)]
            impl #client {
                /// The version of the contract.
                pub const VERSION: &'static str = #version;

                /// A client for the service that `target` names by its topic. Namespace and version are the contract's.
                #[must_use]
                pub fn new(
                    transport: ::std::sync::Arc<dyn #private::client::Transport>,
                    target: #private::client::Target,
                ) -> Self {
                    Self::over(#private::client::RPCClient::new(transport, target))
                }

                /// A client around one that was prepared: its exchange, server, timeout, version cap and layers hold.
                #[must_use]
                pub fn over(rpc: #private::client::RPCClient) -> Self {
                    Self { rpc: #namespaced }
                }

                /// What it wraps.
                #[must_use]
                pub fn rpc(&self) -> &#private::client::RPCClient {
                    &self.rpc
                }

                /// What it wraps.
                #[must_use]
                pub fn into_rpc(self) -> #private::client::RPCClient {
                    self.rpc
                }

                /// A client with overrides, such as `.prepare(|it| it.server("node-7").timeout(limit))`, leaving this
                /// one as it is.
                #[must_use]
                pub fn prepare(
                    &self,
                    overrides: impl FnOnce(#private::client::RPCClient) -> #private::client::RPCClient,
                ) -> Self {
                    Self { rpc: overrides(self.rpc.prepare()) }
                }

                #(#calls)*
                #(#starts)*
            }
        };
    }
}

fn arguments_ident(method: &Method) -> Ident {
    format_ident!("OxloArgs_{}", method.ident.unraw())
}

/// The struct that a method's arguments are sent as.
fn arguments(root: &Root, method: &Method) -> TokenStream {
    let (private, serde) = (root.private(), root.serde());
    let (ident, conditions) = (arguments_ident(method), &method.conditions);
    let fields = method.arguments().map(|argument| argument.sent_field());
    let lifetime = has_references(method).then(|| quote!('oxlo,));
    let (parameters, _) = method.generics();
    quote! {
        #(#conditions)*
        #[allow(non_camel_case_types)]
        #[derive(#private::serde::Serialize)]
        #[serde(crate = #serde)]
        struct #ident <#lifetime #(#parameters),*> { #(#fields,)* }
    }
}

fn has_references(method: &Method) -> bool {
    method.arguments().any(|argument| argument.is_reference())
}

/// What every method of the client begins with: the version to be sent, and the arguments.
fn prelude(root: &Root, method: &Method) -> TokenStream {
    let (private, arguments) = (root.private(), arguments_ident(method));
    let names = method.arguments().map(|argument| &argument.ident);
    let since = method.since.as_ref().map(|it| &it.literal);
    let mut later: Vec<_> = method.arguments().filter_map(|it| it.since.as_ref().map(|since| (since, it))).collect();
    later.sort_by_key(|(since, _)| since.number);
    let later = later.iter().map(|(since, argument)| {
        let (ident, droppable, since) = (&argument.ident, argument.droppable, &since.literal);
        quote!(let (version, #ident) = #private::client::later(&self.rpc, version, #since, #ident, #droppable);)
    });
    quote! {
        let version: &'static str = #since;
        #(#later)*
        let args = #arguments { #(#names),* };
    }
}

fn signature(method: &Method) -> (TokenStream, Vec<&Ident>) {
    let context = &method.context;
    let names: Vec<&Ident> = method.arguments().map(|argument| &argument.ident).collect();
    let types = method.arguments().map(|argument| &argument.ty);
    (quote!(&self, ctxt: &#context #(, #names: #types)*), names)
}

/// A description of the request: name, version, and whether running it twice does harm.
fn spec(root: &Root, method: &Method) -> TokenStream {
    let (private, name, idempotent, fanout) = (root.private(), method.name(), method.idempotent, method.fanout);
    quote!(#private::client::Spec { method: #name, version, idempotent: #idempotent, fanout: #fanout })
}

fn about(method: &Method) -> Vec<TokenStream> {
    let (docs, conditions) = (&method.docs, &method.conditions);
    docs.iter().map(|it| quote!(#it)).chain(conditions.iter().map(|it| quote!(#it))).collect()
}

/// The call of a function of ours, by way of what knows whether it can be called at all.
fn send(root: &Root, method: &Method, function: &TokenStream, types: &TokenStream) -> TokenStream {
    let (private, spec, context) = (root.private(), spec(root, method), &method.context);
    let (value, error) = match &method.output {
        _ if method.cast => (quote!(()), quote!(#private::remote::Failure)),
        Output::Nothing => (quote!(()), quote!(#private::remote::Failure)),
        Output::Value(value) => (quote!(#value), quote!(#private::remote::Failure)),
        Output::Result(value, error) => (quote!(#value), quote!(#error)),
    };
    quote! {{
        use #private::able::{IsAble as _, IsUnable as _};
        let probe = #private::able::Probe::<#value, #error, #context, _>::of(&args);
        (&probe).able().#function::<#types #context>(&self.rpc, ctxt, #spec, args).await
    }}
}

fn call(root: &Root, method: &Method) -> TokenStream {
    let (private, ident, about) = (root.private(), &method.ident, about(method));
    let (inputs, names) = signature(method);
    let prelude = prelude(root, method);
    let (result, function, types) = match &method.output {
        _ if method.cast => (quote!((), #private::client::CallError), quote!(cast), quote!()),
        Output::Nothing => (quote!((), #private::client::CallError), quote!(call), quote!((),)),
        Output::Value(value) => (quote!(#value, #private::client::CallError), quote!(call), quote!(#value,)),
        Output::Result(value, error) => {
            (quote!(#value, #private::client::MethodError<#error>), quote!(call_method), quote!(#value, #error,))
        }
    };
    let send = send(root, method, &function, &types);
    let fallback = method.fallback.as_ref().map(|function| {
        let since = method.since.as_ref().map(|it| &it.literal);
        quote! {
            if !self.rpc.can_send_version(::core::option::Option::Some(#since)) {
                return #function(self, ctxt, #(#names),*).await;
            }
        }
    });
    quote! {
        #(#about)*
        pub async fn #ident(#inputs) -> ::core::result::Result<#result> {
            #fallback
            #prelude
            #send
        }
    }
}

fn start(root: &Root, method: &Method) -> TokenStream {
    let (private, ident) = (root.private(), &method.ident);
    let start = format_ident!("start_{}", ident.unraw());
    let about = format!(
        "Sends [`{0}`](Self::{0}) and returns when the broker has it, with a future for its result.",
        ident.unraw()
    );
    let conditions = &method.conditions;
    let (inputs, _) = signature(method);
    let prelude = prelude(root, method);
    let (pending, function, types) = match &method.output {
        Output::Nothing => (quote!(#private::client::PendingCall<()>), quote!(start), quote!((),)),
        Output::Value(value) => (quote!(#private::client::PendingCall<#value>), quote!(start), quote!(#value,)),
        Output::Result(value, error) => {
            (quote!(#private::client::PendingMethod<#value, #error>), quote!(start_method), quote!(#value, #error,))
        }
    };
    let send = send(root, method, &function, &types);
    quote! {
        #[doc = #about]
        #(#conditions)*
        pub async fn #start(#inputs) -> ::core::result::Result<#pending, #private::client::CallError> {
            #prelude
            #send
        }
    }
}
