//! The server's side: an endpoint built of methods that were read.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::LitStr;

use crate::{
    argument::Parameter,
    method::{Method, Output},
    root::Root,
};

/// An expression that is the `Endpoint`. `this` names an `Arc` of the implementation; `path` is what a method's name is
/// appended to.
pub(crate) fn endpoint(
    root: &Root,
    version: &LitStr,
    namespace: Option<&LitStr>,
    methods: &[Method],
    path: &TokenStream,
) -> TokenStream {
    let private = root.private();
    let namespace = namespace.map(|it| quote!(.namespace(#it)));
    let methods = methods.iter().map(|method| {
        let conditions = &method.conditions;
        let handler = handler(root, method, path);
        quote! {
            #(#conditions)*
            let endpoint = #handler;
        }
    });
    quote! {{
        #[allow(unused_imports)]
        use #private::served::{
            extracts::{IsAble as _, IsUnable as _}, fails::{IsAble as _, IsUnable as _},
            reads::{IsAble as _, IsUnable as _}, writes::{IsAble as _, IsUnable as _},
        };
        let endpoint = #private::server::Endpoint::new(#version)#namespace;
        #(#methods)*
        endpoint
    }}
}

fn handler(root: &Root, method: &Method, path: &TokenStream) -> TokenStream {
    let (private, serde) = (root.private(), root.serde());
    let (ident, name, context) = (&method.ident, method.name(), &method.context);
    let fields = method.arguments().map(|argument| argument.received_field());
    let extractors: Vec<&syn::Type> = method
        .parameters
        .iter()
        .filter_map(|parameter| match parameter {
            Parameter::Extract { ty, .. } => Some(ty),
            Parameter::Argument(_) => None,
        })
        .collect();
    // What can do this for a type, or what stands for it where the type cannot.
    let able = |what: &str, ty: &TokenStream| {
        let what = format_ident!("{what}");
        quote!((&#private::served::#what::Probe::<#ty>::new()).able())
    };
    let missing = extractors.iter().map(|ty| {
        let able = able("extracts", &quote!(#ty));
        quote!(#able.missing::<#ty>(states))
    });
    let extracted = method.parameters.iter().filter_map(|parameter| match parameter {
        Parameter::Extract { ident, ty } => {
            let able = able("extracts", &quote!(#ty));
            Some(quote!(let #ident: #ty = #able.extract::<#ty>(&call)?;))
        }
        Parameter::Argument(_) => None,
    });
    let passed = method.parameters.iter().map(|parameter| match parameter {
        Parameter::Extract { ident, .. } => quote!(#ident),
        Parameter::Argument(argument) => argument.passed(),
    });
    let run = quote!(#path::#ident(&this, &ctxt, #(#passed),*));
    let run = if method.blocking { run } else { quote!(#run.await) };
    let answer = match &method.output {
        Output::Nothing => quote!({ #run; #private::server::answer(&call, &()) }),
        Output::Value(ty) => {
            let able = able("writes", &quote!(#ty));
            quote!({ let value: #ty = #run; #able.answer::<#ty>(&call, &value) })
        }
        Output::Result(value, error) => {
            let (writes, fails) = (able("writes", &quote!(#value)), able("fails", &quote!(#error)));
            quote! {
                match #run {
                    ::core::result::Result::Ok(value) => #writes.answer::<#value>(&call, &value),
                    ::core::result::Result::Err(error) => #fails.fail::<#error>(error),
                }
            }
        }
    };
    let unused = (method.arguments().count() == 0).then(|| quote!(let Args {} = args;));
    let (parameters, types) = method.generics();
    let args = quote!(Args<#(#types),*>);
    let (reads_args, reads_context) = (able("reads", &args), able("reads", &quote!(#context)));
    let body = quote! {{
        let args = #reads_args.arguments::<#args>(&call)?;
        #unused
        let ctxt = #reads_context.context::<#context>(&call)?;
        #(#extracted)*
        #answer
    }};
    let (kind, body) =
        if method.blocking { (quote!(blocking_method), body) } else { (quote!(method), quote!(async move #body)) };
    quote! {{
        #[derive(#private::serde::Deserialize)]
        #[serde(crate = #serde, deny_unknown_fields)]
        #[allow(non_camel_case_types)]
        struct Args<#(#parameters),*> { #(#fields,)* }
        let this = ::std::sync::Arc::clone(&this);
        #private::server::#kind(
            endpoint,
            #name,
            |states| {
                ::core::option::Option::None #(.or_else(|| #missing))*
            },
            move |call: #private::server::Call| {
                let this = ::std::sync::Arc::clone(&this);
                #body
            },
        )
    }}
}
