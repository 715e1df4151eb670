//! The server's side: an endpoint built of methods that were read.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{LitStr, spanned::Spanned};

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
        let endpoint = #private::server::Endpoint::new(#version)#namespace;
        #(#methods)*
        endpoint
    }}
}

fn handler(root: &Root, method: &Method, path: &TokenStream) -> TokenStream {
    let (private, serde) = (root.private(), root.serde());
    let (ident, name, context) = (&method.ident, method.name(), &method.context);
    let fields = method.arguments().map(|argument| argument.received_field());
    let extractors = method.parameters.iter().filter_map(|parameter| match parameter {
        Parameter::Extract { ty, .. } => Some(ty),
        Parameter::Argument(_) => None,
    });
    let extracted = method.parameters.iter().filter_map(|parameter| match parameter {
        Parameter::Extract { ident, ty } => Some(quote_spanned! {ty.span()=>
            let #ident: #ty = #private::server::extract(&call)?;
        }),
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
            quote_spanned!(ty.span()=> { let value: #ty = #run; #private::server::answer(&call, &value) })
        }
        Output::Result(value, error) => {
            let result = quote_spanned!(value.span()=> #private::server::answer::<#value>(&call, &value));
            let failure = quote_spanned!(error.span()=> #private::server::fail::<#error>(error));
            quote! {
                match #run {
                    ::core::result::Result::Ok(value) => #result,
                    ::core::result::Result::Err(error) => #failure,
                }
            }
        }
    };
    let unused = (method.arguments().count() == 0).then(|| quote!(let Args {} = args;));
    let body = quote! {{
        let args: Args = #private::server::arguments(&call)?;
        #unused
        let ctxt: #context = #private::server::context(&call)?;
        #(#extracted)*
        #answer
    }};
    let (kind, body) =
        if method.blocking { (quote!(blocking_method), body) } else { (quote!(method), quote!(async move #body)) };
    quote! {{
        #[derive(#private::serde::Deserialize)]
        #[serde(crate = #serde, deny_unknown_fields)]
        struct Args { #(#fields,)* }
        let this = ::std::sync::Arc::clone(&this);
        #private::server::#kind(
            endpoint,
            #name,
            |states| {
                ::core::option::Option::None #(.or_else(|| #private::server::missing::<#extractors>(states)))*
            },
            move |call: #private::server::Call| {
                let this = ::std::sync::Arc::clone(&this);
                #body
            },
        )
    }}
}
