//! One parameter behind the context: a named argument, or what the server reads from the request.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Attribute, FnArg, GenericArgument, Ident, LitStr, Pat, PathArguments, Type, ext::IdentExt};

use crate::{
    attributes::{Once, entries, take},
    check::is_known,
    errors::Errors,
    version::Version,
};

pub(crate) enum Parameter {
    Argument(Argument),
    /// The name is made up, so that the user may take the value apart in the signature.
    Extract {
        ident: Ident,
        ty: Type,
    },
}

pub(crate) struct Argument {
    pub(crate) ident: Ident,
    /// As the user wrote it.
    pub(crate) ty: Type,
    wire: Option<LitStr>,
    pub(crate) since: Option<Version>,
    pub(crate) droppable: bool,
    serde: Vec<Attribute>,
}

impl Parameter {
    /// Reads a parameter, and leaves in `input` what the compiler shall see.
    pub(crate) fn read(position: usize, input: &mut FnArg, errors: &mut Errors) -> Option<Self> {
        let FnArg::Typed(typed) = input else { return None };
        let rpc = take(&mut typed.attrs, "rpc");
        let serde = take(&mut typed.attrs, "serde");
        let extract = take(&mut typed.attrs, "extract");
        let ty = (*typed.ty).clone();
        if let Some(mark) = extract.first() {
            if let Some(other) = rpc.first().or(serde.first()) {
                errors.at(other, "`#[extract]` is no argument, so there is nothing to name or to serialise");
            }
            if !matches!(mark.meta, syn::Meta::Path(_)) {
                errors.at(mark, "write #[extract]");
            }
            return Some(Self::Extract { ident: format_ident!("extracted_{position}"), ty });
        }
        let Pat::Ident(pattern) = &*typed.pat else {
            errors.at(&typed.pat, "arguments travel by name: write `name: Type` and take it apart in the body");
            return None;
        };
        let ident = pattern.ident.clone();
        if let Some(reason) = unsupported(&ty) {
            errors.at(&ty, reason);
        }
        let mut argument = Argument { ident, ty, wire: None, since: None, droppable: false, serde };
        let mut once = Once::default();
        for attribute in &rpc {
            for entry in errors.check(entries(attribute)).into_iter().flatten() {
                once.check(&entry, errors);
                match entry.key.to_string().as_str() {
                    "name" => argument.wire = entry.name(errors),
                    "since" => argument.since = entry.version(errors),
                    "droppable" => argument.droppable = entry.flag(errors),
                    _ => entry.unknown(errors, "name, since, droppable"),
                }
            }
        }
        argument.check(errors);
        Some(Self::Argument(argument))
    }
}

impl Argument {
    fn check(&self, errors: &mut Errors) {
        if self.droppable && self.since.is_none() {
            errors.at(&self.ident, "`droppable` goes with `since`: #[rpc(since = \"1.2\", droppable)]");
        }
        if self.since.is_some() && !is_option(&self.ty) {
            errors.at(
                &self.ty,
                "an argument that came later must be an `Option`, so that older requests can be without it",
            );
        }
    }

    /// Its name on the wire.
    pub(crate) fn name(&self) -> String {
        self.wire.as_ref().map_or_else(|| self.ident.unraw().to_string(), LitStr::value)
    }

    /// The type that stands as a parameter of the structs, so that serde's code for them asks nothing of it, and what is
    /// asked of it can be asked where the user wrote it. `None` for what is common, and for what the user's own
    /// attributes for serde may be about.
    pub(crate) fn parameter(&self) -> Option<(Ident, &Type)> {
        let ty = match self.since {
            Some(_) => inside_option(&self.ty)?,
            None => &self.ty,
        };
        let free = self.serde.is_empty() && !self.is_reference() && !is_known(ty);
        free.then(|| (format_ident!("OxloType{}", camel_case(&self.ident)), ty))
    }

    /// The type of the struct's field, if it has a parameter.
    fn parametric(&self) -> Option<TokenStream> {
        let (parameter, _) = self.parameter()?;
        Some(if self.since.is_some() { quote!(::core::option::Option<#parameter>) } else { quote!(#parameter) })
    }

    /// The field of the struct that is sent. References are sent as they are.
    pub(crate) fn sent_field(&self) -> TokenStream {
        let ident = &self.ident;
        let ty = self.parametric().unwrap_or_else(|| match &self.ty {
            Type::Reference(reference) => {
                let inner = &reference.elem;
                quote!(&'oxlo #inner)
            }
            other => quote!(#other),
        });
        let attributes = self.field_attributes();
        let skip =
            self.since.as_ref().map(|_| quote!(#[serde(skip_serializing_if = "::core::option::Option::is_none")]));
        quote!(#(#attributes)* #skip #ident: #ty)
    }

    pub(crate) fn is_reference(&self) -> bool {
        matches!(self.ty, Type::Reference(_))
    }

    /// The field of the struct that is received. What is taken by reference is owned there.
    pub(crate) fn received_field(&self) -> TokenStream {
        let ident = &self.ident;
        let ty = self.parametric().unwrap_or_else(|| match &self.ty {
            Type::Reference(reference) => {
                let inner = &reference.elem;
                quote!(<#inner as ::std::borrow::ToOwned>::Owned)
            }
            other => quote!(#other),
        });
        let attributes = self.field_attributes();
        quote!(#(#attributes)* #ident: #ty)
    }

    /// How the received value is handed to the method.
    pub(crate) fn passed(&self) -> TokenStream {
        let ident = &self.ident;
        if self.is_reference() { quote!(&args.#ident) } else { quote!(args.#ident) }
    }

    fn field_attributes(&self) -> Vec<TokenStream> {
        let renamed = self.wire.as_ref().map(|wire| quote!(#[serde(rename = #wire)]));
        renamed.into_iter().chain(self.serde.iter().map(|it| quote!(#it))).collect()
    }
}

fn is_option(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Option"))
}

/// As type parameters are written: `retry_after` is `RetryAfter`.
fn camel_case(ident: &Ident) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    };
    ident.unraw().to_string().split('_').map(word).collect()
}

fn inside_option(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let PathArguments::AngleBracketed(arguments) = &path.path.segments.last()?.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// Why a type cannot travel, as far as its form tells; whether it is a serde type the compiler finds out.
pub(crate) fn unsupported(ty: &Type) -> Option<&'static str> {
    match ty {
        Type::Reference(reference) if reference.mutability.is_some() => {
            Some("an argument is copied to the server; `&mut` has nothing to change there")
        }
        Type::Reference(reference) if reference.lifetime.as_ref().is_some_and(|it| it.ident != "_") => {
            Some("an argument is copied to the server; leave the lifetime out")
        }
        Type::Reference(reference) => unsupported(&reference.elem),
        Type::ImplTrait(_) => Some("`impl Trait` cannot be read from JSON; name the type"),
        Type::TraitObject(_) => Some("`dyn Trait` cannot be read from JSON; name the type"),
        Type::BareFn(_) => Some("a function cannot travel"),
        Type::Ptr(_) => Some("a pointer cannot travel"),
        Type::Never(_) => Some("there is no value of this type to send"),
        Type::Infer(_) => Some("the type must be written out"),
        Type::Paren(inner) => unsupported(&inner.elem),
        Type::Group(inner) => unsupported(&inner.elem),
        _ => None,
    }
}
