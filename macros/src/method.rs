//! Parses and checks a method of a contract or an endpoint.

use std::collections::HashMap;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{
    Attribute, FnArg, GenericArgument, Ident, LitStr, Pat, Path, PathArguments, ReturnType, Signature, Type,
    ext::IdentExt, spanned::Spanned,
};

use crate::{
    argument::{Argument, Parameter},
    attributes::{Once, entries},
    check::Sides,
    conditional::{Variant, clean, variants},
    errors::Errors,
    root::Root,
    version::Version,
};

/// Where a method is declared, which decides the keys of its `#[rpc(..)]`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Contract {
        /// Whether the server's side is generated.
        served: bool,
    },
    Endpoint,
}

#[derive(Clone)]
pub(crate) struct Method {
    pub(crate) ident: Ident,
    wire: Option<LitStr>,
    pub(crate) since: Option<Version>,
    pub(crate) cast: bool,
    pub(crate) fanout: bool,
    pub(crate) idempotent: bool,
    pub(crate) blocking: bool,
    pub(crate) fallback: Option<Path>,
    pub(crate) context: Type,
    /// The user's name of the context, as a local that cannot collide with the arguments.
    pub(crate) context_ident: Ident,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) output: Output,
    pub(crate) docs: Vec<Attribute>,
    pub(crate) deprecated: Vec<Attribute>,
    pub(crate) lints: Vec<Attribute>,
    pub(crate) conditions: Vec<Attribute>,
}

#[derive(Clone)]
pub(crate) enum Output {
    Nothing,
    Value(Box<Type>),
    Result(Box<Type>, Box<Type>),
}

impl Method {
    /// Parses a method whose `#[rpc(..)]` attributes were removed, and removes the macro's own attributes from `signature`.
    /// Returns several methods if parameters have conditions, and none if it cannot be parsed. Errors are collected in
    /// both cases.
    pub(crate) fn read(
        place: Place,
        rpc: &[Attribute],
        attributes: &[Attribute],
        signature: &mut Signature,
        errors: &mut Errors,
    ) -> Vec<Self> {
        let mut methods = Vec::new();
        for Variant { conditions, signature } in variants(signature, errors) {
            let mut mistakes = Errors::default();
            if let Some(mut method) = Self::read_one(place, rpc, attributes, signature, &mut mistakes) {
                method.conditions.extend(conditions);
                methods.push(method);
            }
            // The other variants have the same errors.
            if let Some(error) = mistakes.into_error() {
                errors.add(error);
                break;
            }
        }
        clean(signature);
        methods
    }

    fn read_one(
        place: Place,
        rpc: &[Attribute],
        attributes: &[Attribute],
        mut signature: Signature,
        errors: &mut Errors,
    ) -> Option<Self> {
        let mut method = Self {
            ident: signature.ident.clone(),
            wire: None,
            since: None,
            cast: false,
            fanout: false,
            idempotent: false,
            blocking: false,
            fallback: None,
            context: Type::Verbatim(proc_macro2::TokenStream::new()),
            context_ident: context_ident(&signature),
            parameters: Vec::new(),
            output: Output::read(&signature.output, errors),
            docs: named(attributes, &["doc", "must_use"]),
            deprecated: named(attributes, &["deprecated"]),
            lints: lints(attributes),
            conditions: named(attributes, &["cfg"]),
        };
        method.read_keys(place, rpc, errors);
        method.check_form(&signature, errors);
        let context = method.read_parameters(&mut signature, errors);
        if !matches!(place, Place::Contract { served: false }) {
            method.check_received(errors);
        }
        method.check_keys(errors);
        method.context = context?;
        Some(method)
    }

    /// Its name on the wire.
    pub(crate) fn name(&self) -> String {
        self.wire.as_ref().map_or_else(|| self.ident.unraw().to_string(), LitStr::value)
    }

    /// Checks of its types other than arguments, which serde's derive checks.
    pub(crate) fn checks(&self, root: &Root, sides: Sides) -> TokenStream {
        let context = sides.argument(root, &self.context);
        let output = match &self.output {
            Output::Nothing => TokenStream::new(),
            Output::Value(value) => sides.result(root, value),
            Output::Result(value, error) => {
                let (value, error) = (sides.result(root, value), sides.error(root, error));
                quote!(#value #error)
            }
        };
        let extracted = self.parameters.iter().filter_map(|parameter| match parameter {
            Parameter::Extract { ty, .. } => Some(sides.extracted(root, ty)),
            Parameter::Argument(_) => None,
        });
        let conditions = &self.conditions;
        quote!(#(#conditions)* { #context #(#extracted)* #output })
    }

    pub(crate) fn arguments(&self) -> impl Iterator<Item = &Argument> {
        self.parameters.iter().filter_map(|parameter| match parameter {
            Parameter::Argument(argument) => Some(&**argument),
            Parameter::Extract { .. } => None,
        })
    }

    fn read_keys(&mut self, place: Place, rpc: &[Attribute], errors: &mut Errors) {
        let contract = matches!(place, Place::Contract { .. });
        let mut once = Once::default();
        for attribute in rpc {
            for entry in errors.check(entries(attribute)).into_iter().flatten() {
                once.check(&entry, errors);
                match entry.key.to_string().as_str() {
                    "name" => self.wire = entry.name(errors),
                    "since" if contract => self.since = entry.version(errors),
                    "cast" if contract => self.cast = entry.flag(errors),
                    "fanout" if contract => self.fanout = entry.flag(errors),
                    "idempotent" if contract => self.idempotent = entry.flag(errors),
                    "fallback" if contract => self.fallback = entry.path(errors),
                    "blocking" if !contract => self.blocking = entry.flag(errors),
                    _ if contract => entry.unknown(errors, "name, since, cast, fanout, idempotent, fallback"),
                    _ => entry.unknown(errors, "name, blocking"),
                }
            }
        }
    }

    fn check_form(&self, signature: &Signature, errors: &mut Errors) {
        match (signature.asyncness, self.blocking) {
            (None, false) => errors.at(
                signature.fn_token,
                "write `async fn`; in an #[endpoint], `#[rpc(blocking)]` serves a method that is not async",
            ),
            (Some(keyword), true) => {
                errors.at(keyword, "a blocking method runs on a thread of its own and is written without `async`");
            }
            _ => {}
        }
        if !signature.generics.params.is_empty() {
            errors.at(
                &signature.generics,
                "a method cannot be generic: a request does not name type parameters; write one method for each \
                 type, or take an enum",
            );
        } else if let Some(clause) = &signature.generics.where_clause {
            errors.at(clause, "a method cannot be generic; remove the `where` clause");
        }
        if let Some(unsafety) = &signature.unsafety {
            errors.at(unsafety, "a remote method cannot be `unsafe`");
        }
        if let Some(variadic) = &signature.variadic {
            errors.at(variadic, "arguments are sent by name, so a method cannot be variadic");
        }
    }

    /// Parses the receiver, the context and the parameters. Returns the context's type.
    fn read_parameters(&mut self, signature: &mut Signature, errors: &mut Errors) -> Option<Type> {
        let ident = signature.ident.clone();
        let mut inputs = signature.inputs.iter_mut().peekable();
        match inputs.peek() {
            Some(FnArg::Receiver(receiver)) => {
                if receiver.reference.is_none() || receiver.mutability.is_some() || receiver.colon_token.is_some() {
                    errors.at(receiver, "requests run concurrently: take `&self`");
                }
                inputs.next();
            }
            _ => errors.at(&ident, format!("`{ident}` needs a receiver: take `&self` first, then the context")),
        }
        let context = match inputs.next() {
            None => {
                errors
                    .at(&ident, format!("`{ident}` needs the context: `async fn {ident}(&self, ctxt: &Context, ..)`"));
                None
            }
            Some(first) => {
                let context = context(first);
                if context.is_none() {
                    errors.at(
                        &*first,
                        "the context comes first: `ctxt: &Context`, or a reference to your own context type",
                    );
                    // Reports its other errors too.
                    self.parameters.extend(Parameter::read(0, first, errors));
                }
                context
            }
        };
        for (position, input) in inputs.enumerate() {
            self.parameters.extend(Parameter::read(position + 1, input, errors));
        }
        let mut names = HashMap::new();
        for argument in self.arguments() {
            for name in argument.names() {
                let other = names.insert(name.clone(), argument.conditional);
                // Conditions may exclude each other.
                if other.is_some_and(|conditional| !conditional || !argument.conditional) {
                    errors.at(&argument.ident, format!("two arguments are called `{name}` on the wire"));
                }
            }
        }
        context
    }

    fn check_received(&self, errors: &mut Errors) {
        for argument in self.arguments().filter(|argument| !argument.serde.read_by_function) {
            if let Some(reference) = crate::argument::reference_inside(&argument.ty) {
                errors.at(
                    reference,
                    "a server can borrow an argument as a whole, but nothing inside it: write the owned type, such as \
                     `Option<String>` instead of `Option<&str>`",
                );
            }
        }
    }

    fn check_keys(&self, errors: &mut Errors) {
        if self.fanout && !self.cast {
            errors.at(&self.ident, "a fanout has no single reply, so it is a cast: #[rpc(cast, fanout)]");
        }
        let returned = match &self.output {
            Output::Value(value) => Some(value),
            Output::Result(value, _) if !is_unit(value) => Some(value),
            _ => None,
        };
        if let (true, Some(returned)) = (self.cast, returned) {
            errors.at(returned, "a cast has no reply: return nothing, or `Result<(), E>` for the server's log");
        }
    }
}

impl Output {
    fn read(output: &ReturnType, errors: &mut Errors) -> Self {
        let ReturnType::Type(_, ty) = output else { return Self::Nothing };
        if is_unit(ty) {
            return Self::Nothing;
        }
        if let Type::Path(path) = &**ty
            && let Some(last) = path.path.segments.last().filter(|last| last.ident == "Result")
        {
            let types: Vec<&Type> = match &last.arguments {
                PathArguments::AngleBracketed(arguments) => arguments
                    .args
                    .iter()
                    .filter_map(|argument| match argument {
                        GenericArgument::Type(ty) => Some(ty),
                        _ => None,
                    })
                    .collect(),
                _ => Vec::new(),
            };
            return match types[..] {
                [value, error] => Self::Result(Box::new(value.clone()), Box::new(error.clone())),
                _ => {
                    errors.at(ty, "write both types, `Result<T, E>`: the client's method needs to name the error");
                    Self::Value(ty.clone())
                }
            };
        }
        if let Some(reason) = unsupported_result(ty) {
            errors.at(ty, reason);
        }
        Self::Value(ty.clone())
    }
}

fn unsupported_result(ty: &Type) -> Option<&'static str> {
    match ty {
        Type::ImplTrait(_) => Some("`impl Trait` cannot be read from JSON; name the type"),
        Type::Reference(_) => Some("a result is sent to the client; return an owned value"),
        _ => crate::argument::unsupported(ty),
    }
}

fn is_unit(ty: &Type) -> bool {
    matches!(ty, Type::Tuple(tuple) if tuple.elems.is_empty())
}

fn context_ident(signature: &Signature) -> Ident {
    let mut ident = match signature.inputs.iter().nth(1) {
        Some(FnArg::Typed(typed)) => match &*typed.pat {
            Pat::Ident(pattern) => pattern.ident.clone(),
            _ => Ident::new("ctxt", Span::mixed_site()),
        },
        _ => Ident::new("ctxt", Span::mixed_site()),
    };
    ident.set_span(Span::mixed_site());
    ident
}

/// The type behind `ctxt: &T`, if this can be a context.
fn context(input: &FnArg) -> Option<Type> {
    let FnArg::Typed(typed) = input else { return None };
    let (Pat::Ident(_) | Pat::Wild(_), Type::Reference(reference)) = (&*typed.pat, &*typed.ty) else { return None };
    if !typed.attrs.iter().all(|it| LINTS.iter().any(|level| it.path().is_ident(level))) {
        return None;
    }
    let named = match &*reference.elem {
        Type::Path(path) => !path.path.is_ident("str") && !path.path.is_ident("String"),
        _ => false,
    };
    (named && reference.mutability.is_none()).then(|| (*reference.elem).clone())
}

/// Attributes that set the level of a lint.
const LINTS: [&str; 5] = ["allow", "expect", "warn", "deny", "forbid"];

/// Lints that the user allows are allowed in the generated code. Those that the user expects may not occur there, so they
/// are allowed too.
pub(crate) fn lints(attributes: &[Attribute]) -> Vec<Attribute> {
    let allowed = attributes.iter().filter(|it| it.path().is_ident("allow") || it.path().is_ident("expect"));
    allowed
        .filter_map(|attribute| {
            let lints = &attribute.meta.require_list().ok()?.tokens;
            Some(syn::parse_quote!(#[allow(#lints)]))
        })
        .collect()
}

pub(crate) fn named(attributes: &[Attribute], names: &[&str]) -> Vec<Attribute> {
    attributes.iter().filter(|it| names.iter().any(|name| it.path().is_ident(name))).cloned().collect()
}

/// Reports methods with the same name on the wire, at both.
pub(crate) fn check_names(methods: &[Method], errors: &mut Errors) {
    let mut seen: HashMap<String, &Method> = HashMap::new();
    for method in methods {
        if let Some(first) =
            seen.get(&method.name()).filter(|first| first.conditions.is_empty() && method.conditions.is_empty())
        {
            let span = |it: &Method| it.wire.as_ref().map_or(it.ident.span(), Spanned::span);
            let name = method.name();
            errors.add(syn::Error::new(
                span(method),
                format!("two methods are called `{name}` on the wire; name one of them with #[rpc(name = \"..\")]"),
            ));
            errors.add(syn::Error::new(span(first), format!("first method named `{name}`")));
        }
        seen.entry(method.name()).or_insert(method);
    }
}
