//! `#[serde(..)]` on an argument. serde's derive applies it to the generated structs; this module checks that both sides
//! encode the argument alike.

use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Token, meta::ParseNestedMeta, token::Paren};

use crate::errors::Errors;

const KNOWN: &str = "default, rename, alias, flatten, with, serialize_with, deserialize_with, skip_serializing_if";

/// The attributes, and the keys that the generated code depends on.
#[derive(Clone, Default)]
pub(crate) struct SerdeKeys {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) rename: Option<LitStr>,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) flatten: bool,
    pub(crate) default: bool,
    /// Whether a function deserialises the argument, so that its type need not be `Deserialize`.
    pub(crate) read_by_function: bool,
    /// Whether a function decides if the argument is serialised.
    pub(crate) skipped_by_function: bool,
}

impl SerdeKeys {
    pub(crate) fn read(attributes: Vec<Attribute>, errors: &mut Errors) -> Self {
        let mut read = Self::default();
        for attribute in &attributes {
            errors.check(attribute.parse_nested_meta(|meta| read.key(&meta)));
        }
        read.attributes = attributes;
        read
    }

    fn key(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        let Some(key) = meta.path.get_ident() else {
            return Err(meta.error(format!("unknown serde key; an argument supports: {KNOWN}")));
        };
        match key.to_string().as_str() {
            "rename" if meta.input.peek(Paren) => {
                return Err(meta.error(
                    "client and server must use the same name: #[serde(rename = \"..\")], and #[serde(alias = \"..\")] \
                     for other names that the server accepts",
                ));
            }
            "rename" => self.rename = Some(text(meta)?),
            "alias" => self.aliases.push(text(meta)?),
            "flatten" => self.flatten = true,
            "default" => {
                self.default = true;
                skip_value(meta)?;
            }
            "with" | "deserialize_with" => {
                self.read_by_function = true;
                skip_value(meta)?;
            }
            "serialize_with" => skip_value(meta)?,
            "skip_serializing_if" => {
                self.skipped_by_function = true;
                skip_value(meta)?;
            }
            "skip" | "skip_serializing" | "skip_deserializing" => {
                return Err(meta.error(
                    "an argument that is never sent is not an argument: remove it, or use `skip_serializing_if` with \
                     `default`; a value that the server reads from the request is marked #[extract]",
                ));
            }
            "borrow" => {
                return Err(meta.error("an argument cannot borrow from a request; `&str` and `&[T]` need no attribute"));
            }
            other => {
                return Err(meta.error(format!("`{other}` is not supported on an argument, which supports: {KNOWN}")));
            }
        }
        Ok(())
    }
}

fn text(meta: &ParseNestedMeta<'_>) -> syn::Result<LitStr> {
    meta.value()?.parse()
}

/// Skips a value that serde parses.
fn skip_value(meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
    if !meta.input.peek(Token![=]) {
        return Ok(());
    }
    match meta.value()?.parse()? {
        Expr::Lit(ExprLit { lit: Lit::Str(_), .. }) => Ok(()),
        other => Err(syn::Error::new_spanned(other, "serde expects a path in quotes")),
    }
}
