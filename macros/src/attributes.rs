//! Parses lists of `key` and `key = value`, and reports every error.

use syn::{
    Attribute, Expr, ExprLit, Ident, Lit, LitStr, Path, Token,
    ext::IdentExt,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
    spanned::Spanned,
};

use crate::{errors::Errors, version::Version};

/// One entry of an attribute.
pub(crate) struct Entry {
    pub(crate) key: Ident,
    value: Option<Expr>,
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let key = input.call(Ident::parse_any)?;
        let value = if input.parse::<Option<Token![=]>>()?.is_some() { Some(input.parse()?) } else { None };
        Ok(Self { key, value })
    }
}

/// The entries of `#[name(..)]`; a bare `#[name]` has none.
pub(crate) fn entries(attribute: &Attribute) -> syn::Result<Vec<Entry>> {
    match &attribute.meta {
        syn::Meta::Path(_) => Ok(Vec::new()),
        syn::Meta::List(list) => list_of(list.tokens.clone()),
        syn::Meta::NameValue(it) => {
            Err(syn::Error::new_spanned(it, "write a list in parentheses: #[rpc(key = \"..\")]"))
        }
    }
}

pub(crate) fn list_of(tokens: proc_macro2::TokenStream) -> syn::Result<Vec<Entry>> {
    syn::parse::Parser::parse2(Punctuated::<Entry, Token![,]>::parse_terminated, tokens)
        .map(|entries| entries.into_iter().collect())
}

impl Entry {
    /// A key without a value.
    pub(crate) fn flag(&self, errors: &mut Errors) -> bool {
        if let Some(value) = &self.value {
            errors.at(value, format!("`{}` takes no value", self.key));
        }
        true
    }

    pub(crate) fn text(&self, errors: &mut Errors) -> Option<LitStr> {
        match &self.value {
            Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => Some(text.clone()),
            Some(other) => {
                errors.at(other, format!("write `{} = \"..\"`, with quotes", self.key));
                None
            }
            None => {
                errors.at(&self.key, format!("write `{} = \"..\"`", self.key));
                None
            }
        }
    }

    /// A text that must not be empty.
    pub(crate) fn name(&self, errors: &mut Errors) -> Option<LitStr> {
        let text = self.text(errors)?;
        if text.value().is_empty() {
            errors.at(&text, format!("`{}` must not be empty", self.key));
        }
        Some(text)
    }

    pub(crate) fn version(&self, errors: &mut Errors) -> Option<Version> {
        let text = self.text(errors)?;
        errors.check(Version::read(&text))
    }

    pub(crate) fn path(&self, errors: &mut Errors) -> Option<Path> {
        match &self.value {
            Some(Expr::Path(path)) => Some(path.path.clone()),
            Some(other) => {
                errors.at(other, format!("write `{} = path`, without quotes", self.key));
                None
            }
            None => {
                errors.at(&self.key, format!("write `{} = path`", self.key));
                None
            }
        }
    }

    pub(crate) fn unknown(&self, errors: &mut Errors, known: &str) {
        errors.add(syn::Error::new(self.key.span(), format!("unknown key `{}`; known keys: {known}", self.key)));
    }
}

/// Removes and returns the attributes of this name.
pub(crate) fn take(attributes: &mut Vec<Attribute>, name: &str) -> Vec<Attribute> {
    let (taken, rest) = attributes.drain(..).partition(|attribute: &Attribute| attribute.path().is_ident(name));
    *attributes = rest;
    taken
}

/// Reports a key that is given twice on one item.
#[derive(Default)]
pub(crate) struct Once(Vec<String>);

impl Once {
    pub(crate) fn check(&mut self, entry: &Entry, errors: &mut Errors) {
        let key = entry.key.to_string();
        if self.0.contains(&key) {
            errors.add(syn::Error::new(entry.key.span(), format!("`{key}` is given twice")));
        }
        self.0.push(key);
    }
}

/// The keys of `#[contract(..)]` and `#[endpoint(..)]`.
pub(crate) struct Service {
    pub(crate) version: Option<Version>,
    pub(crate) namespace: Option<LitStr>,
    pub(crate) only_client: bool,
    pub(crate) only_server: bool,
    pub(crate) path: Option<Path>,
}

impl Service {
    pub(crate) fn read(
        attribute: proc_macro2::TokenStream,
        item: &impl Spanned,
        sides: bool,
        errors: &mut Errors,
    ) -> Self {
        let mut read = Self { version: None, namespace: None, only_client: false, only_server: false, path: None };
        let Some(entries) = errors.check(list_of(attribute)) else { return read };
        let (mut once, mut has_version) = (Once::default(), false);
        for entry in &entries {
            once.check(entry, errors);
            match entry.key.to_string().as_str() {
                "version" => {
                    has_version = true;
                    read.version = entry.version(errors);
                }
                "namespace" => read.namespace = entry.text(errors),
                "client" if sides => read.only_client = entry.flag(errors),
                "server" if sides => read.only_server = entry.flag(errors),
                "crate" => read.path = entry.path(errors),
                _ if sides => entry.unknown(errors, "version, namespace, client, server, crate"),
                _ => entry.unknown(errors, "version, namespace, crate"),
            }
        }
        if !has_version {
            let what = if sides { "contract" } else { "endpoint" };
            errors.add(syn::Error::new(item.span(), format!("the version is missing: #[{what}(version = \"1.0\")]")));
        }
        read
    }
}
