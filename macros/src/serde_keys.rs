//! What `#[serde(..)]` on an argument says. serde itself acts on it, on the structs that stand for the arguments; here
//! it is checked that both sides mean the same.

use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Token, meta::ParseNestedMeta, token::Paren};

use crate::errors::Errors;

const KNOWN: &str = "default, rename, alias, flatten, with, serialize_with, deserialize_with, skip_serializing_if";

/// The attributes, and what of them the generated code has to know.
#[derive(Clone, Default)]
pub(crate) struct SerdeKeys {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) rename: Option<LitStr>,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) flatten: bool,
    pub(crate) default: bool,
    /// A function reads the argument, so that its type need not be `Deserialize`.
    pub(crate) read_by_function: bool,
    /// A function decides whether the argument is written.
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
            return Err(meta.error(format!("unknown key for serde; on an argument there are: {KNOWN}")));
        };
        match key.to_string().as_str() {
            "rename" if meta.input.peek(Paren) => {
                return Err(meta.error(
                    "client and server must write the same name: #[serde(rename = \"..\")], with #[serde(alias = \
                     \"..\")] for others that the server takes as well",
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
                    "an argument that does not travel is none: leave it out, or use `skip_serializing_if` with \
                     `default`; what the server reads from the request is marked #[extract]",
                ));
            }
            "borrow" => {
                return Err(meta.error("nothing can be borrowed from a request; `&str` and `&[T]` need no attribute"));
            }
            other => {
                return Err(
                    meta.error(format!("`{other}` means nothing on an argument; of serde's keys there are: {KNOWN}"))
                );
            }
        }
        Ok(())
    }
}

fn text(meta: &ParseNestedMeta<'_>) -> syn::Result<LitStr> {
    meta.value()?.parse()
}

/// serde reads the value.
fn skip_value(meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
    if !meta.input.peek(Token![=]) {
        return Ok(());
    }
    match meta.value()?.parse()? {
        Expr::Lit(ExprLit { lit: Lit::Str(_), .. }) => Ok(()),
        other => Err(syn::Error::new_spanned(other, "serde wants a path in quotes")),
    }
}
