//! `#[contract]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{FnArg, ItemTrait, Pat, TraitItem, TraitItemFn, ext::IdentExt, parse_quote};

use crate::{
    attributes::{Service, take},
    check::Sides,
    client,
    errors::Errors,
    method::{Method, Place, check_names, lints, named},
    names::{Names, mixed},
    root::Root,
    serve,
    version::Version,
};

pub(crate) fn expand(attribute: TokenStream, item: TokenStream, root: &Root) -> TokenStream {
    let names = Names::apart_from(&item);
    let mut contract: ItemTrait = match syn::parse2(item) {
        Ok(contract) => contract,
        Err(error) => {
            let error = syn::Error::new(error.span(), format!("#[contract] goes on a trait: {error}"));
            return crate::refused(&error);
        }
    };
    let mut errors = Errors::default();
    let service = Service::read(attribute, &contract.ident, true, &mut errors);
    let root = service.path.as_ref().map_or_else(|| root.clone(), |path| root.at(path));
    check_trait(&contract, &mut errors);
    let both = service.only_client == service.only_server;
    let sides = Sides {
        client: root.client && (both || service.only_client),
        server: root.server && (both || service.only_server),
    };
    let place = Place::Contract { served: sides.server };
    let methods = methods(&mut contract, place, service.version.as_ref(), &mut errors);
    check_names(&methods, &mut errors);
    check_client_names(&methods, &mut errors);

    // Who takes one side only never mentions the trait.
    contract.attrs.push(parse_quote!(#[allow(dead_code)]));
    contract.supertraits.push(parse_quote!(::core::marker::Send));
    contract.supertraits.push(parse_quote!(::core::marker::Sync));
    contract.supertraits.push(parse_quote!('static));
    contract.colon_token.get_or_insert_default();
    for item in &mut contract.items {
        if let TraitItem::Fn(function) = item {
            desugar(function);
        }
    }

    // The trait goes out in any case, so that its users are not told that it is missing.
    let error = errors.into_error().map(|error| error.to_compile_error());
    let (Some(version), None) = (&service.version, &error) else { return quote!(#contract #error) };
    let namespace = service.namespace.as_ref();
    let client =
        sides.client.then(|| client::generate(&root, &names, &contract, &version.literal, namespace, &methods));
    let checks = methods.iter().map(|method| method.checks(&root, sides));
    let server = sides.server.then(|| server(&root, &names, &contract, &service, version, &methods));
    let conditions = named(&contract.attrs, &["cfg"]);
    mixed!(#contract #(#conditions)* #[allow(deprecated)] const _: () = { #(#checks)* }; #client #server)
}

fn check_trait(contract: &ItemTrait, errors: &mut Errors) {
    if !contract.generics.params.is_empty() {
        errors.at(&contract.generics, "a contract cannot be generic: nothing on the wire says which types are meant");
    }
    if let Some(keyword) = &contract.unsafety {
        errors.at(keyword, "a contract cannot be `unsafe`");
    }
    for item in &contract.items {
        match item {
            TraitItem::Fn(_) => {}
            other => errors.at(other, "a contract holds methods only"),
        }
    }
}

fn methods(contract: &mut ItemTrait, place: Place, version: Option<&Version>, errors: &mut Errors) -> Vec<Method> {
    let mut methods = Vec::new();
    for item in &mut contract.items {
        let TraitItem::Fn(function) = item else { continue };
        let rpc = take(&mut function.attrs, "rpc");
        for mut method in Method::read(place, &rpc, &function.attrs, &mut function.sig, errors) {
            if let Some(version) = version {
                check_versions(&mut method, version, errors);
            }
            methods.push(method);
        }
    }
    methods
}

/// Every method and argument came with a version that the contract implements; what names none came with the first.
fn check_versions(method: &mut Method, contract: &Version, errors: &mut Errors) {
    if let Some(since) = &method.since {
        errors.check(since.check_within(contract));
    } else if method.fallback.is_some() {
        errors.at(&method.ident, "a `fallback` is for servers older than the method: say `since = \"..\"` as well");
    }
    let since = method.since.get_or_insert_with(|| contract.first_of_major()).clone();
    for argument in method.arguments() {
        let Some(later) = &argument.since else { continue };
        if errors.check(later.check_within(contract)).is_some() && later.number <= since.number {
            let since = since.literal.value();
            errors.at(&later.literal, format!("the method itself came with {since}, and this argument with it"));
        }
    }
}

/// The client has methods of its own, and a `start_..` for each that is called.
fn check_client_names(methods: &[Method], errors: &mut Errors) {
    for method in methods {
        let name = method.ident.unraw().to_string();
        let started = name.strip_prefix("start_");
        if client::RESERVED.contains(&name.as_str()) {
            errors.at(
                &method.ident,
                format!(
                    "the generated client has a method `{name}` of its own; call this one differently and give it its \
                     name on the wire: #[rpc(name = \"{name}\")]"
                ),
            );
        } else if let Some(other) =
            methods.iter().find(|other| !other.cast && started.is_some_and(|started| other.ident.unraw() == started))
        {
            errors.at(
                &method.ident,
                format!(
                    "the generated client has a method `{name}` for `{}`; call this one differently and give it its \
                     name on the wire: #[rpc(name = \"{name}\")]",
                    other.ident
                ),
            );
        }
    }
}

/// `async fn` with a future that servers can send between threads; implementations may be written as `async fn`.
fn desugar(function: &mut TraitItemFn) {
    if function.default.is_none() {
        // Refused already; the compiler need not say it again.
        for input in &mut function.sig.inputs {
            if let FnArg::Typed(typed) = input
                && !matches!(*typed.pat, Pat::Ident(_) | Pat::Wild(_))
            {
                typed.pat = parse_quote!(_);
            }
        }
    }
    if function.sig.asyncness.take().is_none() {
        return;
    }
    let output = match &function.sig.output {
        syn::ReturnType::Default => quote!(()),
        syn::ReturnType::Type(_, ty) => quote!(#ty),
    };
    function.sig.output = parse_quote!(-> impl ::core::future::Future<Output = #output> + ::core::marker::Send);
    if let Some(body) = &mut function.default {
        // What the default does not use is no mistake, as in any trait's provided method.
        *body = parse_quote!({ async move #body });
    }
}

fn server(
    root: &Root,
    names: &Names,
    contract: &ItemTrait,
    service: &Service,
    version: &Version,
    methods: &[Method],
) -> TokenStream {
    let (private, visibility, ident) = (root.private(), &contract.vis, &contract.ident);
    let (endpoint, implementor) = (format_ident!("{ident}Endpoint"), names.item("Implementor"));
    let (carried, lints) = (named(&contract.attrs, &["cfg", "deprecated"]), lints(&contract.attrs));
    let conditions = named(&contract.attrs, &["cfg"]);
    let about = format!("Serves [`{ident}`]: an `Into<Endpoint>` for `RPCServer::builder(..).endpoint(..)`.");
    let path = mixed!(<#implementor as #ident>);
    let built = serve::endpoint(root, names, &version.literal, service.namespace.as_ref(), methods, &path);
    mixed! {
        #[doc = #about]
        #(#carried)*
        #[allow(dead_code, deprecated)]
        #visibility struct #endpoint<#implementor>(::std::sync::Arc<#implementor>);

        #(#conditions)*
        #(#lints)*
        #[allow(deprecated)]
        const _: () = {
            #[allow(dead_code)]
            impl<#implementor: #ident> #endpoint<#implementor> {
                /// An endpoint that asks `implementation`.
                #[must_use]
                pub fn new(implementation: #implementor) -> Self {
                    Self(::std::sync::Arc::new(implementation))
                }

                /// An endpoint that asks an implementation which the program keeps a hand on.
                #[must_use]
                pub fn shared(implementation: ::std::sync::Arc<#implementor>) -> Self {
                    Self(implementation)
                }
            }

            impl<#implementor> ::core::clone::Clone for #endpoint<#implementor> {
                fn clone(&self) -> Self {
                    Self(::core::clone::Clone::clone(&self.0))
                }
            }

            impl<#implementor> ::core::fmt::Debug for #endpoint<#implementor> {
                fn fmt(&self, oxlo_formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    ::core::fmt::DebugStruct::finish_non_exhaustive(&mut ::core::fmt::Formatter::debug_struct(
                        oxlo_formatter,
                        ::core::stringify!(#endpoint),
                    ))
                }
            }

            impl<#implementor: #ident> ::core::convert::From<#endpoint<#implementor>> for #private::server::Endpoint {
                fn from(oxlo_served: #endpoint<#implementor>) -> Self {
                    let oxlo_this = oxlo_served.0;
                    #built
                }
            }
        };
    }
}
