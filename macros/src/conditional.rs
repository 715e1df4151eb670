//! Parameters with `#[cfg(..)]`.
//!
//! An argument of a call expression cannot have the attribute, so the code of a method is generated once for each
//! combination of the conditions.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{Attribute, FnArg, Meta, Signature, Token, parse_quote, punctuated::Punctuated};

use crate::{attributes::take, errors::Errors};

/// The macro's own attributes of a parameter.
const OWN: [&str; 3] = ["rpc", "serde", "extract"];

const MAX_CONDITIONS: usize = 4;

/// A signature under conditions.
pub(crate) struct Variant {
    pub(crate) conditions: Vec<Attribute>,
    pub(crate) signature: Signature,
}

/// All combinations; the first is the one in which all conditions hold.
pub(crate) fn variants(signature: &Signature, errors: &mut Errors) -> Vec<Variant> {
    let mut predicates: Vec<String> = Vec::new();
    let mut tokens: Vec<TokenStream> = Vec::new();
    for attribute in signature.inputs.iter().flat_map(attributes) {
        if let Some(predicate) = errors.check(predicate(attribute)).flatten() {
            let text = predicate.to_string();
            if !predicates.contains(&text) {
                predicates.push(text);
                tokens.push(predicate);
            }
        }
    }
    if predicates.len() > MAX_CONDITIONS {
        errors.at(
            &signature.inputs,
            format!("the parameters of a method can have at most {MAX_CONDITIONS} different conditions"),
        );
        predicates.truncate(MAX_CONDITIONS);
    }
    let combinations = 1usize << predicates.len();
    (0..combinations)
        .map(|off| {
            let holds = |position: usize| off & (1 << position) == 0;
            let conditions = tokens.iter().take(predicates.len()).enumerate().map(|(position, predicate)| {
                if holds(position) { parse_quote!(#[cfg(#predicate)]) } else { parse_quote!(#[cfg(not(#predicate))]) }
            });
            let holds_for = |predicate: &TokenStream| {
                let text = predicate.to_string();
                predicates.iter().position(|it| *it == text).is_none_or(holds)
            };
            Variant { conditions: conditions.collect(), signature: under(signature, &holds_for) }
        })
        .collect()
}

/// Removes the macro's own attributes.
pub(crate) fn clean(signature: &mut Signature) {
    for input in &mut signature.inputs {
        let FnArg::Typed(typed) = input else { continue };
        for name in OWN {
            take(&mut typed.attrs, name);
        }
        typed.attrs.retain(|attribute| {
            !attribute.path().is_ident("cfg_attr") || !matches!(predicate(attribute), Ok(Some(_)) | Err(_))
        });
    }
}

fn attributes(input: &FnArg) -> &[Attribute] {
    match input {
        FnArg::Typed(typed) => &typed.attrs,
        FnArg::Receiver(receiver) => &receiver.attrs,
    }
}

fn under(signature: &Signature, holds: &impl Fn(&TokenStream) -> bool) -> Signature {
    let mut signature = signature.clone();
    signature.inputs = signature
        .inputs
        .into_iter()
        .filter(|input| {
            let mut conditions = attributes(input).iter().filter(|it| it.path().is_ident("cfg"));
            conditions.all(|it| predicate(it).ok().flatten().is_none_or(|it| holds(&it)))
        })
        .map(|mut input| {
            if let FnArg::Typed(typed) = &mut input {
                typed.attrs = typed.attrs.drain(..).flat_map(|attribute| resolved(attribute, holds)).collect();
            }
            input
        })
        .collect();
    signature
}

/// The attributes that `#[cfg_attr(..)]` expands to.
fn resolved(attribute: Attribute, holds: &impl Fn(&TokenStream) -> bool) -> Vec<Attribute> {
    if !attribute.path().is_ident("cfg_attr") {
        return vec![attribute];
    }
    match conditional(&attribute) {
        Ok((predicate, attributes)) if attributes.iter().any(is_own) => {
            if holds(&predicate) {
                attributes.into_iter().map(|meta| parse_quote!(#[#meta])).collect()
            } else {
                vec![]
            }
        }
        _ => vec![attribute],
    }
}

/// The condition of a parameter, or of the macro's own attributes on it.
fn predicate(attribute: &Attribute) -> syn::Result<Option<TokenStream>> {
    if attribute.path().is_ident("cfg") {
        return attribute.meta.require_list().map(|list| Some(list.tokens.clone()));
    }
    if !attribute.path().is_ident("cfg_attr") {
        return Ok(None);
    }
    let (predicate, attributes) = conditional(attribute)?;
    if let Some(nested) = attributes.iter().find(|it| it.path().is_ident("cfg") || it.path().is_ident("cfg_attr")) {
        return Err(syn::Error::new_spanned(nested, "write one `#[cfg(all(..))]`; a nested `cfg` is not supported"));
    }
    Ok(attributes.iter().any(is_own).then_some(predicate))
}

fn is_own(meta: &Meta) -> bool {
    OWN.iter().any(|name| meta.path().is_ident(name))
}

fn conditional(attribute: &Attribute) -> syn::Result<(TokenStream, Punctuated<Meta, Token![,]>)> {
    attribute.parse_args_with(|input: syn::parse::ParseStream<'_>| {
        let mut predicate = TokenStream::new();
        while !input.is_empty() && !input.peek(Token![,]) {
            input.parse::<TokenTree>()?.to_tokens(&mut predicate);
        }
        input.parse::<Token![,]>()?;
        Ok((quote!(#predicate), Punctuated::parse_terminated(input)?))
    })
}
