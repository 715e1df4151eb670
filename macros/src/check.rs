//! Checks of the user's types, with a message at the type that says what to derive.
//!
//! The compiler reports one error for each span and trait bound. A check therefore stands in the same function as the
//! code that needs the bound, and both are located at the type: the error of the check is then the one that is shown.

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{format_ident, quote};
use syn::{GenericArgument, PathArguments, Type, spanned::Spanned};

use crate::root::Root;

/// The direction of a value, seen from the generated code.
#[derive(Clone, Copy)]
enum Way {
    Both,
    Sent,
    Received,
}

/// The sides that are generated.
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

    /// The error of a method. A server without a client also accepts errors that a client could not recognise.
    pub(crate) fn error(self, root: &Root, ty: &Type) -> TokenStream {
        if self.client { call(root, "remote", "check_error", ty) } else { call(root, "served", "failure", ty) }
    }

    /// An extractor. Only the server has it.
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
            Way::Both => "check_sent_and_received",
            Way::Sent => "check_sent",
            Way::Received => "check_received",
        };
        call(root, "remote", name, ty)
    }
}

fn call(root: &Root, module: &str, name: &str, ty: &Type) -> TokenStream {
    let (private, module, name) = (root.private(), format_ident!("{module}"), format_ident!("{name}"));
    // The type keeps its own tokens, which the compiler shows.
    let (function, end) = (at(ty, &quote!(#private::#module::#name::<)), at(ty, &quote!(>();)));
    quote!(#function #ty #end)
}

/// The tokens, located at the user's tokens `place`. The hygiene of names is unchanged.
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

/// The type arguments of a common type, of which only those need a check. `None` for any other type.
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
