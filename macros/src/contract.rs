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

    // A program that uses only one side never mentions the trait.
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

    // The trait is emitted even after errors, so that its users do not report it as missing.
    let error = errors.into_error().map(|error| error.to_compile_error());
    let (Some(version), None) = (&service.version, &error) else { return quote!(#contract #error) };
    let namespace = service.namespace.as_ref();
    let client =
        sides.client.then(|| client::generate(&root, &names, sides, &contract, &version.literal, namespace, &methods));
    let server = sides.server.then(|| server(&root, &names, sides, &contract, &service, version, &methods));
    mixed!(#contract #client #server)
}

fn check_trait(contract: &ItemTrait, errors: &mut Errors) {
    if !contract.generics.params.is_empty() {
        errors.at(&contract.generics, "a contract cannot be generic: a request does not name type parameters");
    }
    if let Some(keyword) = &contract.unsafety {
        errors.at(keyword, "a contract cannot be `unsafe`");
    }
    for item in &contract.items {
        match item {
            TraitItem::Fn(_) => {}
            other => errors.at(other, "a contract contains only methods"),
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

/// Checks that each method and argument was added in a version that the contract implements. The default is the first.
fn check_versions(method: &mut Method, contract: &Version, errors: &mut Errors) {
    if let Some(since) = &method.since {
        errors.check(since.check_within(contract));
    } else if method.fallback.is_some() {
        errors.at(&method.ident, "`fallback` is for servers older than the method: add `since = \"..\"`");
    }
    let since = method.since.get_or_insert_with(|| contract.first_of_major()).clone();
    for argument in method.arguments() {
        let Some(later) = &argument.since else { continue };
        if errors.check(later.check_within(contract)).is_some() && later.number <= since.number {
            let since = since.literal.value();
            errors.at(&later.literal, format!("the method was added in {since}, so this argument is not later"));
        }
    }
}

/// The generated client has methods of its own, and a `start_..` for each call.
fn check_client_names(methods: &[Method], errors: &mut Errors) {
    for method in methods {
        let name = method.ident.unraw().to_string();
        let started = name.strip_prefix("start_");
        if client::RESERVED.contains(&name.as_str()) {
            errors.at(
                &method.ident,
                format!(
                    "the generated client already has a method `{name}`; rename this one and keep its name on the \
                     wire: #[rpc(name = \"{name}\")]"
                ),
            );
        } else if let Some(other) =
            methods.iter().find(|other| !other.cast && started.is_some_and(|started| other.ident.unraw() == started))
        {
            errors.at(
                &method.ident,
                format!(
                    "the generated client already has a method `{name}` for `{}`; rename this one and keep its name \
                     on the wire: #[rpc(name = \"{name}\")]",
                    other.ident
                ),
            );
        }
    }
}

/// Rewrites `async fn` to return a `Send` future. Implementations may still be written as `async fn`.
fn desugar(function: &mut TraitItemFn) {
    if function.default.is_none() {
        // Reported already; a plain pattern avoids a second error of the compiler.
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
        // Unused parameters of a provided method are not a warning.
        *body = parse_quote!({ async move #body });
    }
}

fn server(
    root: &Root,
    names: &Names,
    sides: Sides,
    contract: &ItemTrait,
    service: &Service,
    version: &Version,
    methods: &[Method],
) -> TokenStream {
    let (private, visibility, ident) = (root.private(), &contract.vis, &contract.ident);
    let (endpoint, implementor) = (format_ident!("{ident}Endpoint"), names.item("Implementor"));
    let (carried, lints) = (named(&contract.attrs, &["cfg", "deprecated"]), lints(&contract.attrs));
    let conditions = named(&contract.attrs, &["cfg"]);
    let about = format!("The endpoint of [`{ident}`]: an `Into<Endpoint>` for `RPCServer::builder(..).endpoint(..)`.");
    let path = mixed!(<#implementor as #ident>);
    let checks = methods.iter().map(|method| method.checks(root, sides));
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
                /// Creates an endpoint that runs `implementation`.
                #[must_use]
                pub fn new(implementation: #implementor) -> Self {
                    Self(::std::sync::Arc::new(implementation))
                }

                /// Creates an endpoint that runs an implementation which the program shares.
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
                    #(#checks)*
                    let oxlo_this = oxlo_served.0;
                    #built
                }
            }
        };
    }
}
