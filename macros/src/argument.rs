//! A parameter after the context: a named argument or an extractor.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{FnArg, GenericArgument, Ident, LitStr, Pat, PathArguments, Type, ext::IdentExt};

use crate::{
    attributes::{Once, entries, take},
    errors::Errors,
    names::{local, mixed},
    serde_keys::SerdeKeys,
    version::Version,
};

#[derive(Clone)]
pub(crate) enum Parameter {
    Argument(Box<Argument>),
    /// The name is generated, because the user may destructure the value in the signature.
    Extract {
        ident: Ident,
        ty: Box<Type>,
    },
}

#[derive(Clone)]
pub(crate) struct Argument {
    pub(crate) ident: Ident,
    /// As the user wrote it.
    pub(crate) ty: Type,
    wire: Option<LitStr>,
    pub(crate) since: Option<Version>,
    pub(crate) droppable: bool,
    pub(crate) serde: SerdeKeys,
    /// Whether it has a `#[cfg]`, so that another argument may replace it.
    pub(crate) conditional: bool,
}

impl Parameter {
    /// Reads a parameter.
    pub(crate) fn read(position: usize, input: &mut FnArg, errors: &mut Errors) -> Option<Self> {
        let FnArg::Typed(typed) = input else { return None };
        let rpc = take(&mut typed.attrs, "rpc");
        let serde = take(&mut typed.attrs, "serde");
        let extract = take(&mut typed.attrs, "extract");
        let ty = (*typed.ty).clone();
        if let Some(mark) = extract.first() {
            if let Some(other) = rpc.first().or(serde.first()) {
                errors.at(other, "an `#[extract]` parameter is not sent, so it has no name and no serde attributes");
            }
            if !matches!(mark.meta, syn::Meta::Path(_)) {
                errors.at(mark, "write #[extract]");
            }
            return Some(Self::Extract { ident: local(&format!("extracted_{position}")), ty: Box::new(ty) });
        }
        let Pat::Ident(pattern) = &*typed.pat else {
            errors.at(&typed.pat, "arguments are sent by name: write `name: Type` and destructure it in the body");
            return None;
        };
        let ident = pattern.ident.clone();
        if let Some(reason) = unsupported(&ty) {
            errors.at(&ty, reason);
        }
        let serde = SerdeKeys::read(serde, errors);
        let conditional = typed.attrs.iter().any(|it| it.path().is_ident("cfg"));
        let mut argument = Argument { ident, ty, wire: None, since: None, droppable: false, serde, conditional };
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
        Some(Self::Argument(Box::new(argument)))
    }
}

impl Argument {
    fn check(&self, errors: &mut Errors) {
        if self.droppable && self.since.is_none() {
            errors.at(&self.ident, "`droppable` needs `since`: #[rpc(since = \"1.2\", droppable)]");
        }
        if self.since.is_some() && !is_option(&self.ty) {
            errors.at(&self.ty, "an argument that was added later must be an `Option`, because older requests lack it");
        }
        if let (Some(rename), Some(_)) = (&self.serde.rename, &self.wire) {
            errors.at(rename, "the argument has two names: #[rpc(name = \"..\")] and #[serde(rename = \"..\")]");
        }
        let named = self.wire.as_ref().or(self.serde.rename.as_ref()).or(self.serde.aliases.first());
        if let (true, Some(named)) = (self.serde.flatten, named) {
            errors.at(named, "a flattened argument has no name of its own: its fields are the arguments");
        }
    }

    /// Its name on the wire.
    pub(crate) fn name(&self) -> String {
        let given = self.wire.as_ref().or(self.serde.rename.as_ref());
        given.map_or_else(|| self.ident.unraw().to_string(), LitStr::value)
    }

    /// All names that the server accepts for it; none if it is flattened.
    pub(crate) fn names(&self) -> Vec<String> {
        if self.serde.flatten {
            return Vec::new();
        }
        std::iter::once(self.name()).chain(self.serde.aliases.iter().map(LitStr::value)).collect()
    }

    /// The field of the struct that the client serialises. References are serialised as they are.
    pub(crate) fn sent_field(&self) -> TokenStream {
        let ident = &self.ident;
        let ty = match &self.ty {
            Type::Reference(reference) => {
                let inner = &reference.elem;
                mixed!(&'oxlo #inner)
            }
            other => quote!(#other),
        };
        let attributes = self.field_attributes();
        let skip = (self.since.is_some() && !self.serde.skipped_by_function)
            .then(|| mixed!(#[serde(skip_serializing_if = "::core::option::Option::is_none")]));
        mixed!(#(#attributes)* #skip #ident: #ty)
    }

    pub(crate) fn is_reference(&self) -> bool {
        matches!(self.ty, Type::Reference(_))
    }

    /// The field of the struct that the server deserialises. It owns what the method takes by reference.
    pub(crate) fn received_field(&self) -> TokenStream {
        let ident = &self.ident;
        let ty = match &self.ty {
            Type::Reference(reference) => {
                let inner = &reference.elem;
                mixed!(<#inner as ::std::borrow::ToOwned>::Owned)
            }
            other => quote!(#other),
        };
        let attributes = self.field_attributes();
        // serde takes a missing `Option` for `None` only where no function reads it.
        let default = (self.since.is_some() && self.serde.read_by_function && !self.serde.default)
            .then(|| mixed!(#[serde(default)]));
        mixed!(#(#attributes)* #default #ident: #ty)
    }

    /// The expression that passes the received value to the method.
    pub(crate) fn passed(&self) -> TokenStream {
        let ident = &self.ident;
        if self.is_reference() { mixed!(&oxlo_args.#ident) } else { mixed!(oxlo_args.#ident) }
    }

    fn field_attributes(&self) -> Vec<TokenStream> {
        let renamed = self.wire.as_ref().map(|wire| mixed!(#[serde(rename = #wire)]));
        renamed.into_iter().chain(self.serde.attributes.iter().map(|it| quote!(#it))).collect()
    }
}

fn is_option(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Option"))
}

/// A reference inside a type; for a reference type, inside its target.
pub(crate) fn reference_inside(ty: &Type) -> Option<&Type> {
    fn any(ty: &Type) -> Option<&Type> {
        if matches!(ty, Type::Reference(_)) { Some(ty) } else { reference_inside(ty) }
    }
    match ty {
        Type::Reference(reference) => any(&reference.elem),
        Type::Tuple(tuple) => tuple.elems.iter().find_map(any),
        Type::Array(array) => any(&array.elem),
        Type::Slice(slice) => any(&slice.elem),
        Type::Paren(inner) => any(&inner.elem),
        Type::Group(inner) => any(&inner.elem),
        Type::Path(path) => path.path.segments.iter().find_map(|segment| match &segment.arguments {
            PathArguments::AngleBracketed(arguments) => arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::Type(ty) => any(ty),
                _ => None,
            }),
            _ => None,
        }),
        _ => None,
    }
}

/// Why a type cannot be sent, as far as its syntax tells. The compiler checks the serde traits.
pub(crate) fn unsupported(ty: &Type) -> Option<&'static str> {
    match ty {
        Type::Reference(reference) if reference.mutability.is_some() => {
            Some("an argument is sent to the server by value; `&mut` has no effect there")
        }
        Type::Reference(reference) if reference.lifetime.as_ref().is_some_and(|it| it.ident != "_") => {
            Some("an argument is sent to the server by value; remove the lifetime")
        }
        Type::Reference(reference) => unsupported(&reference.elem),
        Type::ImplTrait(_) => Some("`impl Trait` cannot be read from JSON; name the type"),
        Type::TraitObject(_) => Some("`dyn Trait` cannot be read from JSON; name the type"),
        Type::BareFn(_) => Some("a function cannot be sent"),
        Type::Ptr(_) => Some("a pointer cannot be sent"),
        Type::Never(_) => Some("there is no value of this type to send"),
        Type::Infer(_) => Some("the type must be written out"),
        Type::Paren(inner) => unsupported(&inner.elem),
        Type::Group(inner) => unsupported(&inner.elem),
        _ => None,
    }
}
