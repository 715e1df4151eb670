//! Which crate the generated code names.

use proc_macro2::TokenStream;
use quote::quote;

/// The crate that a program took the attribute from, and the sides that it has.
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

    /// The same sides of a crate that has another name.
    pub(crate) fn at(&self, path: &syn::Path) -> Self {
        Self { path: quote!(#path), ..self.clone() }
    }

    /// What generated code calls.
    pub(crate) fn private(&self) -> TokenStream {
        let path = &self.path;
        quote!(#path::__private)
    }

    /// The path as serde's attribute `crate` wants it.
    pub(crate) fn serde(&self) -> String {
        let path = self.private();
        format!("{path}::serde").replace(' ', "")
    }
}
