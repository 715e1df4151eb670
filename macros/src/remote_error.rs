//! `#[derive(RemoteError)]`.

use std::collections::HashMap;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Data, DeriveInput, Fields, Ident, LitStr, Type, ext::IdentExt};

use crate::{
    attributes::{Once, entries},
    check::{Sides, at},
    errors::Errors,
    names::{local, mixed},
    root::Root,
};

/// A class on the wire: a variant, or the struct.
struct Class {
    /// The path that constructs and matches it.
    path: TokenStream,
    module: Option<LitStr>,
    name: LitStr,
    fields: Vec<Field>,
    shape: Shape,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Unit,
    Named,
    Unnamed,
}

struct Field {
    /// Its name, if it is named.
    ident: Option<Ident>,
    /// The local variable that binds it.
    local: Ident,
    wire: String,
    ty: Type,
    role: Role,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Argument,
    Message,
    Skipped,
}

pub(crate) fn expand(item: TokenStream, root: &Root) -> TokenStream {
    let input: DeriveInput = match syn::parse2(item) {
        Ok(input) => input,
        Err(error) => return crate::refused(&error),
    };
    let mut errors = Errors::default();
    let (module, root) = read_type(&input, root, &mut errors);
    let classes = read_classes(&input, &mut errors);
    if let Some(module) = &module {
        check_classes(&classes, module, &mut errors);
    }
    let error = errors.into_error().map(|error| error.to_compile_error());
    let (Some(module), None) = (module, &error) else { return quote!(#error) };
    generate(&input.ident, &module, &classes, &root)
}

fn read_type(input: &DeriveInput, root: &Root, errors: &mut Errors) -> (Option<LitStr>, Root) {
    let is_enum = matches!(input.data, Data::Enum(_));
    let (mut module, mut root, mut given) = (None, root.clone(), false);
    let mut once = Once::default();
    for entry in remote(&input.attrs, errors) {
        once.check(&entry, errors);
        match entry.key.to_string().as_str() {
            "module" => {
                given = true;
                module = entry.name(errors);
            }
            "class" if !is_enum => {}
            "crate" => {
                if let Some(path) = entry.path(errors) {
                    root = root.at(&path);
                }
            }
            _ if is_enum => entry.unknown(errors, "module, crate"),
            _ => entry.unknown(errors, "module, class, crate"),
        }
    }
    if !given {
        errors.at(
            &input.ident,
            "the module is missing: #[remote(module = \"calculator.exceptions\")], from which Python imports the class",
        );
    }
    if !input.generics.params.is_empty() {
        errors.at(&input.generics, "a generic error has no single class on the wire");
    }
    (module, root)
}

fn read_classes(input: &DeriveInput, errors: &mut Errors) -> Vec<Class> {
    match &input.data {
        Data::Struct(data) => {
            let (_, name) = class_keys(&input.attrs, &input.ident, errors);
            let (fields, shape) = read_fields(&data.fields, errors);
            vec![Class { path: quote!(Self), module: None, name, fields, shape }]
        }
        Data::Enum(data) => {
            if data.variants.is_empty() {
                errors.at(&input.ident, "an enum without variants has no class");
            }
            data.variants
                .iter()
                .map(|variant| {
                    let mut once = Once::default();
                    for entry in remote(&variant.attrs, errors) {
                        once.check(&entry, errors);
                        if entry.key != "module" && entry.key != "class" {
                            entry.unknown(errors, "module, class");
                        }
                    }
                    let (module, name) = class_keys(&variant.attrs, &variant.ident, errors);
                    let (fields, shape) = read_fields(&variant.fields, errors);
                    let ident = &variant.ident;
                    Class { path: quote!(Self::#ident), module, name, fields, shape }
                })
                .collect()
        }
        Data::Union(data) => {
            errors.at(data.union_token, "a union cannot be an error");
            Vec::new()
        }
    }
}

fn remote(attributes: &[Attribute], errors: &mut Errors) -> Vec<crate::attributes::Entry> {
    let of_ours = attributes.iter().filter(|it| it.path().is_ident("remote"));
    of_ours.filter_map(|attribute| errors.check(entries(attribute))).flatten().collect()
}

/// The module, if given, and the class, by default the name of the type or variant.
fn class_keys(attributes: &[Attribute], ident: &Ident, errors: &mut Errors) -> (Option<LitStr>, LitStr) {
    let (mut module, mut name) = (None, None);
    let mut ignored = Errors::default();
    for entry in remote(attributes, &mut ignored) {
        match entry.key.to_string().as_str() {
            "module" => module = entry.name(errors),
            "class" => name = entry.name(errors),
            _ => {}
        }
    }
    (module, name.unwrap_or_else(|| LitStr::new(&ident.unraw().to_string(), ident.span())))
}

fn read_fields(fields: &Fields, errors: &mut Errors) -> (Vec<Field>, Shape) {
    let shape = match fields {
        Fields::Unit => Shape::Unit,
        Fields::Named(_) => Shape::Named,
        Fields::Unnamed(_) => Shape::Unnamed,
    };
    let mut read = Vec::new();
    for (position, field) in fields.iter().enumerate() {
        let ident = field.ident.clone();
        let name = ident.as_ref().map_or_else(String::new, |ident| ident.unraw().to_string());
        let (mut wire, mut role, mut once) = (name, Role::Argument, Once::default());
        for entry in remote(&field.attrs, errors) {
            once.check(&entry, errors);
            match entry.key.to_string().as_str() {
                "name" if shape == Shape::Named => {
                    wire = entry.name(errors).map_or(wire, |name| name.value());
                }
                "message" if entry.flag(errors) => role = Role::Message,
                "skip" if entry.flag(errors) => role = Role::Skipped,
                _ if shape == Shape::Named => entry.unknown(errors, "name, message, skip"),
                _ => entry.unknown(errors, "message, skip"),
            }
        }
        let local = local(&format!("field_{position}"));
        read.push(Field { ident, local, wire, ty: field.ty.clone(), role });
    }
    (read, shape)
}

fn check_classes(classes: &[Class], module: &LitStr, errors: &mut Errors) {
    let mut seen = HashMap::new();
    for class in classes {
        let key = (class.module.as_ref().unwrap_or(module).value(), class.name.value());
        if seen.contains_key(&key) {
            let text = format!("the class {}.{} is already used by another variant", key.0, key.1);
            errors.at(&class.name, text);
        }
        seen.insert(key, ());
    }
}

fn generate(ident: &Ident, module: &LitStr, classes: &[Class], root: &Root) -> TokenStream {
    let private = root.private();
    let own = classes.iter().filter(|class| class.module.is_none()).map(|class| &class.name);
    let other = classes.iter().filter_map(|class| {
        let (module, name) = (class.module.as_ref()?, &class.name);
        Some(quote!((#module, #name)))
    });
    let fields = classes.iter().flat_map(|class| &class.fields).filter(|field| field.role == Role::Argument);
    let checks: Vec<_> = fields.map(|field| Sides::field(root, &field.ty)).collect();
    let sent = classes.iter().map(|class| to_failure(class, module, &private));
    let read = classes.iter().map(|class| from_failure(class, module, &private));
    mixed! {
        const _: () = {
            #[automatically_derived]
            #[allow(deprecated)]
            impl #private::remote::RemoteError for #ident {
                const MODULE: &'static ::core::primitive::str = #module;
                const CLASSES: &'static [&'static ::core::primitive::str] = &[#(#own),*];
                const OTHER_CLASSES: &'static [(&'static ::core::primitive::str, &'static ::core::primitive::str)] =
                    &[#(#other),*];

                fn to_failure(&self) -> #private::remote::Failure {
                    #(#checks)*
                    let oxlo_text = #private::remote::text(self);
                    match self { #(#sent)* }
                }

                fn from_failure(oxlo_failure: &#private::remote::Failure) -> ::core::option::Option<Self> {
                    #(#checks)*
                    match (#private::remote::module_of(oxlo_failure), #private::remote::class_of(oxlo_failure)) {
                        #(#read)*
                        _ => ::core::option::Option::None,
                    }
                }
            }
        };
    }
}

fn to_failure(class: &Class, module: &LitStr, private: &TokenStream) -> TokenStream {
    let (path, name) = (&class.path, &class.name);
    let module = class.module.as_ref().unwrap_or(module);
    let used = || class.fields.iter().filter(|field| field.role != Role::Skipped);
    let pattern = match class.shape {
        Shape::Unit => quote!(#path),
        Shape::Named => {
            let fields = used().map(|Field { ident, local, .. }| quote!(#ident: #local));
            quote!(#path { #(#fields,)* .. })
        }
        Shape::Unnamed => {
            let names = class.fields.iter().map(
                |Field { local, role, .. }| {
                    if *role == Role::Skipped { quote!(_) } else { quote!(#local) }
                },
            );
            quote!(#path(#(#names),*))
        }
    };
    let value = |Field { local, ty, role, .. }: &Field| {
        if *role == Role::Message {
            return at(ty, &mixed!(#private::remote::to_value(#local)));
        }
        at(ty, &mixed!(#private::remote::to_value::<#ty>(#local)))
    };
    let start = mixed!(#private::remote::Failure::new(#module, #name, oxlo_text));
    let built = match class.shape {
        // Also `VARIANT()`: a class without arguments is re-created from its message.
        _ if used().next().is_none() => start,
        Shape::Unnamed => {
            let args = used().map(value);
            mixed!(#private::remote::Failure::with_args(#start, [#(#args),*]))
        }
        _ => {
            let message = used().filter(|field| field.role == Role::Message).map(|field| {
                let value = value(field);
                mixed!(let oxlo_failure = #private::remote::Failure::with_args(oxlo_failure, [#value]);)
            });
            let kwargs = used().filter(|field| field.role == Role::Argument).map(|field| {
                let (wire, value) = (&field.wire, value(field));
                mixed!(let oxlo_failure = #private::remote::Failure::with_kwarg(oxlo_failure, #wire, #value);)
            });
            mixed!({ let oxlo_failure = #start; #(#message)* #(#kwargs)* oxlo_failure })
        }
    };
    mixed!(#pattern => #built,)
}

fn from_failure(class: &Class, module: &LitStr, private: &TokenStream) -> TokenStream {
    let (path, name) = (&class.path, &class.name);
    let module = class.module.as_ref().unwrap_or(module);
    let mut position = 0usize;
    let values: Vec<TokenStream> = class
        .fields
        .iter()
        .map(|field| {
            let (wire, ty) = (&field.wire, &field.ty);
            match field.role {
                Role::Skipped => at(ty, &mixed!(<#ty as ::core::default::Default>::default())),
                Role::Message => {
                    position += 1;
                    at(ty, &mixed!(#private::remote::message(oxlo_failure)))
                }
                Role::Argument if class.shape == Shape::Named => {
                    let read = at(ty, &mixed!(#private::remote::keyword::<#ty>(oxlo_failure, #wire)));
                    mixed!(#read?)
                }
                Role::Argument => {
                    position += 1;
                    let position = position - 1;
                    let read = at(ty, &mixed!(#private::remote::positional::<#ty>(oxlo_failure, #position)));
                    mixed!(#read?)
                }
            }
        })
        .collect();
    let built = match class.shape {
        Shape::Unit => quote!(#path),
        Shape::Named => {
            let names = class.fields.iter().map(|field| &field.ident);
            quote!(#path { #(#names: #values),* })
        }
        Shape::Unnamed => quote!(#path(#(#values),*)),
    };
    mixed!((#module, #name) => ::core::option::Option::Some(#built),)
}
