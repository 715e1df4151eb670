//! `#[endpoint]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{ImplItem, ItemImpl};

use crate::{
    attributes::{Service, take},
    check::Sides,
    errors::Errors,
    method::{Method, Place, check_names, lints, named},
    names::{Names, mixed},
    root::Root,
    serve,
};

pub(crate) fn expand(attribute: TokenStream, item: TokenStream, root: &Root) -> TokenStream {
    let names = Names::apart_from(&item);
    let mut block: ItemImpl = match syn::parse2(item) {
        Ok(block) => block,
        Err(error) => {
            let error = syn::Error::new(error.span(), format!("#[endpoint] goes on an impl block: {error}"));
            return crate::refused(&error);
        }
    };
    let mut errors = Errors::default();
    let service = Service::read(attribute, &block.self_ty, false, &mut errors);
    let root = service.path.as_ref().map_or_else(|| root.clone(), |path| root.at(path));
    if let Some((_, path, _)) = &block.trait_ {
        errors.at(path, "#[endpoint] goes on an impl block without a trait; for a trait there is #[contract]");
    }
    if !block.generics.params.is_empty() {
        errors.at(&block.generics, "an endpoint cannot be generic; write the impl block for one type");
    }
    let methods = methods(&mut block, &mut errors);
    if methods.is_empty() && errors.is_empty() {
        errors.at(&block.self_ty, "no method is marked; put #[rpc] on those that clients may call");
    }
    check_names(&methods, &mut errors);

    let error = errors.into_error().map(|error| error.to_compile_error());
    let (Some(version), None) = (&service.version, &error) else { return quote!(#block #error) };
    let (private, ty) = (root.private(), &block.self_ty);
    let sides = Sides { client: false, server: true };
    let path = quote!(<#ty>);
    let built = serve::endpoint(&root, &names, &version.literal, service.namespace.as_ref(), &methods, &path);
    let (conditions, lints) = (named(&block.attrs, &["cfg"]), lints(&block.attrs));
    let checks = methods.iter().map(|method| method.checks(&root, sides));
    mixed! {
        #block

        #(#conditions)*
        #(#lints)*
        #[allow(deprecated)]
        const _: () = {
            #[allow(dead_code)]
            impl #ty {
                /// Creates an endpoint of a value that the program shares.
                pub fn shared_endpoint(implementation: ::std::sync::Arc<Self>) -> #private::server::Endpoint {
                    #(#checks)*
                    let oxlo_this = implementation;
                    #built
                }
            }

            impl ::core::convert::From<#ty> for #private::server::Endpoint {
                fn from(oxlo_served: #ty) -> Self {
                    <#ty>::shared_endpoint(::std::sync::Arc::new(oxlo_served))
                }
            }
        };
    }
}

/// The methods with `#[rpc]`. Removes the macro's own attributes.
fn methods(block: &mut ItemImpl, errors: &mut Errors) -> Vec<Method> {
    let mut methods = Vec::new();
    for item in &mut block.items {
        let ImplItem::Fn(function) = item else { continue };
        let rpc = take(&mut function.attrs, "rpc");
        if function.sig.ident == "shared_endpoint" {
            errors.at(&function.sig.ident, "#[endpoint] generates a function `shared_endpoint`; rename this one");
        }
        if !rpc.is_empty() {
            methods.extend(Method::read(Place::Endpoint, &rpc, &function.attrs, &mut function.sig, errors));
        }
    }
    methods
}
