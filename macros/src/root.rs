//! The crate that the generated code uses.

use proc_macro2::TokenStream;
use quote::quote;

/// The crate that exports the attribute, and the sides that it has.
#[derive(Clone)]
pub(crate) struct Root {
    path: TokenStream,
    pub(crate) client: bool,
    pub(crate) server: bool,
}

impl Root {
    pub(crate) fn facade() -> Self {
        Self { path: quote!(::oxlo), client: true, server: true }
    }

    pub(crate) fn client() -> Self {
        Self { path: quote!(::oxlo_client), client: true, server: false }
    }

    pub(crate) fn server() -> Self {
        Self { path: quote!(::oxlo_server), client: false, server: true }
    }

    /// The same crate under another path.
    pub(crate) fn at(&self, path: &syn::Path) -> Self {
        Self { path: quote!(#path), ..self.clone() }
    }

    /// The module of functions for generated code.
    pub(crate) fn private(&self) -> TokenStream {
        let path = &self.path;
        quote!(#path::__private)
    }

    /// The path for serde's attribute `crate`.
    pub(crate) fn serde(&self) -> String {
        let path = self.private();
        format!("{path}::serde").replace(' ', "")
    }
}
