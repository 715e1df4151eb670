//! The server's side: an endpoint built of methods that were read.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{LitStr, Type};

use crate::{
    argument::{Argument, Parameter},
    method::{Method, Output},
    names::{Names, mixed},
    root::Root,
};

/// An expression that is the `Endpoint`. `oxlo_this` has to be an `Arc` of the implementation; `path` is what a method's
/// name is appended to.
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
        use #private::served::{
            extracts::{IsAble as _, IsUnable as _}, fails::{IsAble as _, IsUnable as _},
            reads::{IsAble as _, IsUnable as _}, writes::{IsAble as _, IsUnable as _},
        };
        let oxlo_endpoint = #private::server::Endpoint::new(#version);
        #namespace
        #(#methods)*
        oxlo_endpoint
    }}
}

/// The names that the body of a handler uses for the struct of its arguments.
struct Arguments<'a> {
    /// The struct, and the field for what no argument took.
    ident: syn::Ident,
    rest: syn::Ident,
    /// The arguments whose fields are arguments.
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
    let missing = extracted(method).map(|(_, ty)| {
        let able = able(root, "extracts", &quote!(#ty));
        mixed!(#able.missing::<#ty>(oxlo_states))
    });
    let missing = missing.fold(
        mixed!(::core::option::Option::None),
        |first, next| mixed!(::core::option::Option::or_else(#first, || #next)),
    );
    let extracted = extracted(method).map(|(ident, ty)| {
        let able = able(root, "extracts", &quote!(#ty));
        mixed!(let #ident: #ty = #able.extract::<#ty>(&oxlo_call)?;)
    });
    let passed = method.parameters.iter().map(|parameter| match parameter {
        Parameter::Extract { ident, .. } => quote!(#ident),
        Parameter::Argument(argument) => argument.passed(),
    });
    let run = mixed!(#path::#ident(&oxlo_this, &oxlo_ctxt, #(#passed),*));
    let run = if method.blocking { run } else { mixed!(#run.await) };
    let answer = answer(root, &method.output, &run);
    let declared = declaration(root, names, method, &arguments);
    let (ident, unused) = (&arguments.ident, method.arguments().next().is_none());
    let unused = unused.then(|| mixed!(let #ident {} = oxlo_args;));
    let types = method.generics(names).1;
    let args = mixed!(#ident<#(#types),*>);
    let (reads_args, reads_context) = (able(root, "reads", &args), able(root, "reads", &quote!(#context)));
    let rest = refuse_rest(root, method, &arguments);
    let body = mixed! {{
        let oxlo_args = #reads_args.arguments::<#args>(&oxlo_call)?;
        #unused
        #rest
        let oxlo_ctxt = #reads_context.context::<#context>(&oxlo_call)?;
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

/// What can do this for a type, or what stands for it where the type cannot.
fn able(root: &Root, what: &str, ty: &TokenStream) -> TokenStream {
    let (private, what) = (root.private(), format_ident!("{what}"));
    mixed!((&#private::served::#what::Probe::<#ty>::new()).oxlo_able())
}

/// The expression that runs the method and serialises what it gives.
fn answer(root: &Root, output: &Output, run: &TokenStream) -> TokenStream {
    let private = root.private();
    match output {
        Output::Nothing => mixed!({ #run; #private::server::answer(&oxlo_call, &()) }),
        Output::Value(ty) => {
            let able = able(root, "writes", &quote!(#ty));
            mixed!({ let oxlo_value: #ty = #run; #able.answer::<#ty>(&oxlo_call, &oxlo_value) })
        }
        Output::Result(value, error) => {
            let (writes, fails) = (able(root, "writes", &quote!(#value)), able(root, "fails", &quote!(#error)));
            mixed! {
                match #run {
                    ::core::result::Result::Ok(oxlo_value) => #writes.answer::<#value>(&oxlo_call, &oxlo_value),
                    ::core::result::Result::Err(oxlo_error) => #fails.fail::<#error>(oxlo_error),
                }
            }
        }
    }
}

/// The struct that the arguments are read as.
fn declaration(root: &Root, names: &Names, method: &Method, arguments: &Arguments<'_>) -> TokenStream {
    let (private, serde) = (root.private(), root.serde());
    let fields = method.arguments().map(|argument| argument.received_field(names));
    let (parameters, _) = method.generics(names);
    let Arguments { ident, rest, flattened } = arguments;
    // A map takes all names, which serde refuses together with `deny_unknown_fields`.
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
        struct #ident<#(#parameters),*> { #(#fields,)* #rest }
    }
}

/// The check that takes the place of `deny_unknown_fields`.
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
