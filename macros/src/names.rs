//! Names that the generated code declares, distinct from all names of the user.
//!
//! Local variables have `Span::mixed_site`, which keeps them apart from the user's. Items, type parameters and lifetimes
//! have no such hygiene; their names are chosen so that the user's tokens do not contain them.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};

/// `quote!` with local variables that only generated code can name.
macro_rules! mixed {
    ($($tokens:tt)*) => { ::quote::quote_spanned!(::proc_macro2::Span::mixed_site()=> $($tokens)*) };
}
pub(crate) use mixed;

const PREFIX: &str = "Oxlo";

/// Chooses the names of items and type parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// Underscores after the prefix, more than follow it anywhere in the user's tokens.
    gap: String,
}

impl Names {
    /// Names that do not occur in these tokens.
    pub(crate) fn apart_from(tokens: &TokenStream) -> Self {
        Self { gap: "_".repeat(needed_gap(tokens.clone())) }
    }

    /// The name of an item or a type parameter.
    pub(crate) fn item(&self, name: &str) -> Ident {
        Ident::new(&format!("{PREFIX}{}{name}", self.gap), Span::mixed_site())
    }
}

fn needed_gap(tokens: TokenStream) -> usize {
    let gap = |token| match token {
        TokenTree::Group(group) => needed_gap(group.stream()),
        TokenTree::Ident(ident) => ident
            .to_string()
            .strip_prefix(PREFIX)
            .map_or(0, |rest| 1 + rest.chars().take_while(|letter| *letter == '_').count()),
        _ => 0,
    };
    tokens.into_iter().map(gap).max().unwrap_or(0)
}

/// A local variable that only generated code can name.
///
/// The prefix keeps it distinct from constants, statics and unit structs, which a pattern of the same name would match.
pub(crate) fn local(name: &str) -> Ident {
    Ident::new(&format!("oxlo_{name}"), Span::mixed_site())
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::Names;

    #[test]
    fn items_are_named_apart_from_the_tokens() {
        for (tokens, expected) in [
            (
                quote!(
                    trait Oxl {
                        fn oxlo(args: Args);
                    }
                ),
                "OxloArgs",
            ),
            (
                quote!(
                    trait T {
                        fn f(args: OxloArgs);
                    }
                ),
                "Oxlo_Args",
            ),
            (
                quote!(
                    trait T {
                        fn f(args: Oxlo_Args, other: [Oxlo; 2]);
                    }
                ),
                "Oxlo__Args",
            ),
        ] {
            assert_eq!(Names::apart_from(&tokens).item("Args"), expected, "{tokens}");
        }
    }
}
