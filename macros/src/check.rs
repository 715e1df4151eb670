//! One clear complaint for a type that cannot travel, at the type.
//!
//! The compiler reports a bound that does not hold wherever it is needed, and the generated code needs it in several
//! places. Hence each type has one check, placed where the user wrote it; the rest of the generated code asks for the
//! bounds by way of `able` in the client's and the server's crate, which never complains.

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{format_ident, quote};
use syn::{GenericArgument, PathArguments, Type, spanned::Spanned};

use crate::root::Root;

/// Which way a value goes, seen from the code that is written.
#[derive(Clone, Copy)]
enum Way {
    Both,
    Sent,
    Received,
}

/// The sides that are written.
#[derive(Clone, Copy)]
pub(crate) struct Sides {
    pub(crate) client: bool,
    pub(crate) server: bool,
}

impl Sides {
    /// An argument or a context.
    pub(crate) fn argument(self, root: &Root, ty: &Type) -> TokenStream {
        self.check(root, ty, if self.client { Way::Sent } else { Way::Received })
    }

    /// A result.
    pub(crate) fn result(self, root: &Root, ty: &Type) -> TokenStream {
        self.check(root, ty, if self.client { Way::Received } else { Way::Sent })
    }

    /// The error of a method. A server alone takes more than a client can tell apart.
    pub(crate) fn error(self, root: &Root, ty: &Type) -> TokenStream {
        if self.client { call(root, "remote", "fails", ty) } else { call(root, "served", "failure", ty) }
    }

    /// What a server reads from the request. A client is without it.
    pub(crate) fn extracted(self, root: &Root, ty: &Type) -> TokenStream {
        if self.server { call(root, "served", "extractor", ty) } else { TokenStream::new() }
    }

    /// A field of an error.
    pub(crate) fn field(root: &Root, ty: &Type) -> TokenStream {
        Self { client: true, server: true }.check(root, ty, Way::Both)
    }

    fn check(self, root: &Root, ty: &Type, way: Way) -> TokenStream {
        if let Some(parts) = parts(ty) {
            return parts.into_iter().map(|part| self.check(root, part, way)).collect();
        }
        let way = if self.client && self.server { Way::Both } else { way };
        let name = match way {
            Way::Both => "travels",
            Way::Sent => "leaves",
            Way::Received => "arrives",
        };
        call(root, "remote", name, ty)
    }
}

fn call(root: &Root, module: &str, name: &str, ty: &Type) -> TokenStream {
    let (private, module, name) = (root.private(), format_ident!("{module}"), format_ident!("{name}"));
    at(ty, &quote!(#private::#module::#name::<#ty>();))
}

/// The tokens as if they stood where the user wrote this. Names keep their meaning.
pub(crate) fn at(place: &impl Spanned, tokens: &TokenStream) -> TokenStream {
    located(tokens.clone(), place.span())
}

fn located(tokens: TokenStream, place: Span) -> TokenStream {
    tokens
        .into_iter()
        .map(|token| {
            let span = token.span().located_at(place);
            let mut token = match token {
                TokenTree::Group(group) => {
                    TokenTree::Group(Group::new(group.delimiter(), located(group.stream(), place)))
                }
                other => other,
            };
            token.set_span(span);
            token
        })
        .collect()
}

/// Whether a type is so common that there is nothing to check: serde has it.
pub(crate) fn is_known(ty: &Type) -> bool {
    parts(ty).is_some_and(|parts| parts.into_iter().all(is_known))
}

/// What a common type is made of, which is nothing for a number; `None` for a type that is not common.
fn parts(ty: &Type) -> Option<Vec<&Type>> {
    const PLAIN: [&str; 18] = [
        "bool", "char", "String", "Value", "Context", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32",
        "u64", "usize", "f32", "f64",
    ];
    const GENERIC: [&str; 6] = ["Vec", "Option", "BTreeMap", "BTreeSet", "HashMap", "HashSet"];
    match ty {
        Type::Tuple(tuple) => Some(tuple.elems.iter().collect()),
        Type::Path(path) if path.qself.is_none() => {
            let last = path.path.segments.last()?;
            let is_one_of = |names: &[&str]| names.iter().any(|name| last.ident == name);
            match &last.arguments {
                PathArguments::None if is_one_of(&PLAIN) => Some(Vec::new()),
                PathArguments::AngleBracketed(arguments) if is_one_of(&GENERIC) => arguments
                    .args
                    .iter()
                    .map(|argument| match argument {
                        GenericArgument::Type(ty) => Some(ty),
                        _ => None,
                    })
                    .collect(),
                _ => None,
            }
        }
        _ => None,
    }
}
