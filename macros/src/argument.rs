//! One parameter behind the context: a named argument, or what the server reads from the request.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{FnArg, GenericArgument, Ident, LitStr, Pat, PathArguments, Type, ext::IdentExt};

use crate::{
    attributes::{Once, entries, take},
    check::is_known,
    errors::Errors,
    names::{Names, local, mixed},
    serde_keys::SerdeKeys,
    version::Version,
};

#[derive(Clone)]
pub(crate) enum Parameter {
    Argument(Box<Argument>),
    /// The name is made up, so that the user may take the value apart in the signature.
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
    position: usize,
    wire: Option<LitStr>,
    pub(crate) since: Option<Version>,
    pub(crate) droppable: bool,
    pub(crate) serde: SerdeKeys,
    /// Whether `#[cfg]` stands at it, so that another argument may take its place.
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
                errors.at(other, "`#[extract]` is no argument, so there is nothing to name or to serialise");
            }
            if !matches!(mark.meta, syn::Meta::Path(_)) {
                errors.at(mark, "write #[extract]");
            }
            return Some(Self::Extract { ident: local(&format!("extracted_{position}")), ty: Box::new(ty) });
        }
        let Pat::Ident(pattern) = &*typed.pat else {
            errors.at(&typed.pat, "arguments travel by name: write `name: Type` and take it apart in the body");
            return None;
        };
        let ident = pattern.ident.clone();
        if let Some(reason) = unsupported(&ty) {
            errors.at(&ty, reason);
        }
        let serde = SerdeKeys::read(serde, errors);
        let conditional = typed.attrs.iter().any(|it| it.path().is_ident("cfg"));
        let mut argument =
            Argument { ident, ty, position, wire: None, since: None, droppable: false, serde, conditional };
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
            errors.at(&self.ident, "`droppable` goes with `since`: #[rpc(since = \"1.2\", droppable)]");
        }
        if self.since.is_some() && !is_option(&self.ty) {
            errors.at(
                &self.ty,
                "an argument that came later must be an `Option`, so that older requests can be without it",
            );
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

    /// All names that the server takes for it; none if its fields are the arguments.
    pub(crate) fn names(&self) -> Vec<String> {
        if self.serde.flatten {
            return Vec::new();
        }
        std::iter::once(self.name()).chain(self.serde.aliases.iter().map(LitStr::value)).collect()
    }

    /// The type that stands as a parameter of the structs, so that serde's code for them asks nothing of it, and what is
    /// asked of it can be asked where the user wrote it. `None` for what is common, and for what the user's own
    /// attributes for serde may be about.
    pub(crate) fn parameter(&self, names: &Names) -> Option<(Ident, &Type)> {
        let ty = match self.since {
            Some(_) => inside_option(&self.ty)?,
            None => &self.ty,
        };
        let free = self.serde.attributes.is_empty() && !self.is_reference() && !is_known(ty);
        free.then(|| (names.item(&format!("T{}", self.position)), ty))
    }

    /// The type of the struct's field, if it has a parameter.
    fn parametric(&self, names: &Names) -> Option<TokenStream> {
        let (parameter, _) = self.parameter(names)?;
        Some(if self.since.is_some() { mixed!(::core::option::Option<#parameter>) } else { mixed!(#parameter) })
    }

    /// The field of the struct that is sent. References are sent as they are.
    pub(crate) fn sent_field(&self, names: &Names) -> TokenStream {
        let ident = &self.ident;
        let ty = self.parametric(names).unwrap_or_else(|| match &self.ty {
            Type::Reference(reference) => {
                let inner = &reference.elem;
                mixed!(&'oxlo #inner)
            }
            other => quote!(#other),
        });
        let attributes = self.field_attributes();
        let skip = (self.since.is_some() && !self.serde.skipped_by_function)
            .then(|| mixed!(#[serde(skip_serializing_if = "::core::option::Option::is_none")]));
        mixed!(#(#attributes)* #skip #ident: #ty)
    }

    pub(crate) fn is_reference(&self) -> bool {
        matches!(self.ty, Type::Reference(_))
    }

    /// The field of the struct that is received. What is taken by reference is owned there.
    pub(crate) fn received_field(&self, names: &Names) -> TokenStream {
        let ident = &self.ident;
        let ty = self.parametric(names).unwrap_or_else(|| match &self.ty {
            Type::Reference(reference) => {
                let inner = &reference.elem;
                mixed!(<#inner as ::std::borrow::ToOwned>::Owned)
            }
            other => quote!(#other),
        });
        let attributes = self.field_attributes();
        // serde takes a missing `Option` for `None` only where no function reads it.
        let default = (self.since.is_some() && self.serde.read_by_function && !self.serde.default)
            .then(|| mixed!(#[serde(default)]));
        mixed!(#(#attributes)* #default #ident: #ty)
    }

    /// How the received value is handed to the method.
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

fn inside_option(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let PathArguments::AngleBracketed(arguments) = &path.path.segments.last()?.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// A reference in a type that is none itself, or below the one that it is.
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
