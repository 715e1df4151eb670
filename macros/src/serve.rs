//! The server's side: builds an endpoint of the parsed methods.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{LitStr, Type};

use crate::{
    argument::{Argument, Parameter},
    check::at,
    method::{Method, Output},
    names::{Names, mixed},
    root::Root,
};

/// The expression of the `Endpoint`. `oxlo_this` must be an `Arc` of the implementation; the name of a method is appended
/// to `path`.
pub(crate) fn endpoint(
    root: &Root,
    names: &Names,
    version: &LitStr,
    namespace: Option<&LitStr>,
    methods: &[Method],
    path: &TokenStream,
) -> TokenStream {
    let private = root.private();
    let namespace =
        namespace.map(|it| mixed!(let oxlo_endpoint = #private::server::Endpoint::namespace(oxlo_endpoint, #it);));
    let methods = methods.iter().map(|method| {
        let (conditions, lints) = (&method.conditions, &method.lints);
        let handler = handler(root, names, method, path);
        mixed! {
            #(#conditions)*
            #(#lints)*
            let oxlo_endpoint = #handler;
        }
    });
    mixed! {{
        #[allow(unused_imports)]
        use #private::server::FailUndeclared as _;
        let oxlo_endpoint = #private::server::Endpoint::new(#version);
        #namespace
        #(#methods)*
        oxlo_endpoint
    }}
}

/// The struct of the arguments, as the body of a handler uses it.
struct Arguments<'a> {
    /// The struct, and the field for entries that no argument took.
    ident: syn::Ident,
    rest: syn::Ident,
    /// The arguments with `#[serde(flatten)]`.
    flattened: Vec<&'a Argument>,
}

fn handler(root: &Root, names: &Names, method: &Method, path: &TokenStream) -> TokenStream {
    let private = root.private();
    let (ident, name, context) = (&method.ident, method.name(), &method.context);
    let arguments = Arguments {
        ident: names.item("Args"),
        rest: names.item("Rest"),
        flattened: method.arguments().filter(|argument| argument.serde.flatten).collect(),
    };
    let missing = extracted(method).map(|(_, ty)| at(ty, &mixed!(#private::server::missing::<#ty>(oxlo_states))));
    let missing = missing.fold(
        mixed!(::core::option::Option::None),
        |first, next| mixed!(::core::option::Option::or_else(#first, || #next)),
    );
    let extracted = extracted(method).map(|(ident, ty)| {
        let extract = at(ty, &mixed!(#private::server::extract::<#ty>(&oxlo_call)));
        mixed!(let #ident: #ty = #extract?;)
    });
    let passed = method.parameters.iter().map(|parameter| match parameter {
        Parameter::Extract { ident, .. } => quote!(#ident),
        Parameter::Argument(argument) => argument.passed(),
    });
    let run = mixed!(#path::#ident(&oxlo_this, &oxlo_ctxt, #(#passed),*));
    let run = if method.blocking { run } else { mixed!(#run.await) };
    let answer = answer(root, &method.output, &run);
    let declared = declaration(root, method, &arguments);
    let (ident, unused) = (&arguments.ident, method.arguments().next().is_none());
    let unused = unused.then(|| mixed!(let #ident {} = oxlo_args;));
    let ctxt = at(context, &mixed!(#private::server::context::<#context>(&oxlo_call)));
    let rest = refuse_rest(root, method, &arguments);
    let body = mixed! {{
        let oxlo_args = #private::server::arguments::<#ident>(&oxlo_call)?;
        #unused
        #rest
        let oxlo_ctxt = #ctxt?;
        #(#extracted)*
        #answer
    }};
    let (kind, body) =
        if method.blocking { (mixed!(blocking_method), body) } else { (mixed!(method), mixed!(async move #body)) };
    mixed! {{
        #declared
        let oxlo_this = ::core::clone::Clone::clone(&oxlo_this);
        #private::server::#kind(
            oxlo_endpoint,
            #name,
            |oxlo_states| #missing,
            move |oxlo_call: #private::server::Call| {
                let oxlo_this = ::core::clone::Clone::clone(&oxlo_this);
                #body
            },
        )
    }}
}

fn extracted(method: &Method) -> impl Iterator<Item = (&syn::Ident, &Type)> {
    method.parameters.iter().filter_map(|parameter| match parameter {
        Parameter::Extract { ident, ty } => Some((ident, &**ty)),
        Parameter::Argument(_) => None,
    })
}

/// The expression that runs the method and serialises its result.
fn answer(root: &Root, output: &Output, run: &TokenStream) -> TokenStream {
    let private = root.private();
    match output {
        Output::Nothing => mixed!({ #run; #private::server::answer(&oxlo_call, &()) }),
        Output::Value(ty) => {
            let answer = at(ty, &mixed!(#private::server::answer::<#ty>(&oxlo_call, &oxlo_value)));
            mixed!({ let oxlo_value: #ty = #run; #answer })
        }
        Output::Result(value, error) => {
            let answer = at(value, &mixed!(#private::server::answer::<#value>(&oxlo_call, &oxlo_value)));
            let fail = at(error, &mixed!(#private::server::Fail::<#error>::new().fail(oxlo_error)));
            mixed! {
                match #run {
                    ::core::result::Result::Ok(oxlo_value) => #answer,
                    ::core::result::Result::Err(oxlo_error) => #fail,
                }
            }
        }
    }
}

/// The struct that the arguments are deserialised into.
fn declaration(root: &Root, method: &Method, arguments: &Arguments<'_>) -> TokenStream {
    let (private, serde) = (root.private(), root.serde());
    let fields = method.arguments().map(|argument| argument.received_field());
    let Arguments { ident, rest, flattened } = arguments;
    // serde does not support `flatten` together with `deny_unknown_fields`.
    let (strict, rest) = if flattened.is_empty() {
        (Some(mixed!(#[serde(deny_unknown_fields)])), None)
    } else {
        (None, Some(mixed!(#[serde(flatten)] #rest: #private::server::Rest,)))
    };
    mixed! {
        #[derive(#private::serde::Deserialize)]
        #[serde(crate = #serde)]
        #strict
        #[allow(non_camel_case_types, non_snake_case)]
        struct #ident { #(#fields,)* #rest }
    }
}

/// The check that replaces `deny_unknown_fields`.
fn refuse_rest(root: &Root, method: &Method, arguments: &Arguments<'_>) -> Option<TokenStream> {
    let (private, rest) = (root.private(), &arguments.rest);
    let flattened = arguments.flattened.iter().map(|argument| {
        let ty = &argument.ty;
        if argument.serde.read_by_function {
            mixed!(#private::server::any_fields)
        } else if let Type::Reference(reference) = ty {
            let inner = &reference.elem;
            mixed!(#private::server::fields::<<#inner as ::std::borrow::ToOwned>::Owned>)
        } else {
            mixed!(#private::server::fields::<#ty>)
        }
    });
    let known = method.arguments().filter(|argument| !argument.serde.flatten).map(Argument::name);
    (!arguments.flattened.is_empty()).then(|| {
        mixed! {
            #private::server::refuse_rest(&oxlo_call, &oxlo_args.#rest, &[#(#known),*], &[#(#flattened),*])?;
        }
    })
}
