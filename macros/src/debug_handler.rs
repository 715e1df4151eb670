//! `#[debug_handler]`: checks each condition of a handler separately, at the token that it concerns.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{FnArg, GenericArgument, ItemFn, PathArguments, ReturnType, Type};

use crate::{
    attributes::{Once, list_of},
    check::at,
    errors::Errors,
    method::named,
    names::mixed,
    root::Root,
};

/// `Handler` is implemented for so many.
const MAX_PARAMETERS: usize = 6;

pub(crate) fn expand(attribute: TokenStream, item: &TokenStream, root: &Root) -> TokenStream {
    let function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let error = syn::Error::new(error.span(), format!("#[debug_handler] is for functions: {error}"));
            let error = crate::refused(&error);
            return quote!(#item #error);
        }
    };
    let mut errors = Errors::default();
    let (blocking, root) = read_keys(attribute, root, &mut errors);
    check_form(&function, blocking, &mut errors);
    let error = errors.into_error().map(|error| error.to_compile_error());
    if error.is_some() {
        return quote!(#function #error);
    }
    let conditions = named(&function.attrs, &["cfg"]);
    let parameters = types(&function).map(|ty| call(&root, &quote!(extractor), ty));
    let result = result(&root, &function.sig.output);
    let future = (!blocking).then(|| future(&root, &function));
    mixed! {
        #function

        #(#conditions)*
        #[allow(deprecated, unreachable_code, clippy::diverging_sub_expression)]
        const _: () = {
            #(#parameters)*
            #result
            #future
        };
    }
}

fn read_keys(attribute: TokenStream, root: &Root, errors: &mut Errors) -> (bool, Root) {
    let (mut blocking, mut root, mut once) = (false, root.clone(), Once::default());
    for entry in errors.check(list_of(attribute)).into_iter().flatten() {
        once.check(&entry, errors);
        match entry.key.to_string().as_str() {
            "blocking" => blocking = entry.flag(errors),
            "crate" => {
                if let Some(path) = entry.path(errors) {
                    root = root.at(&path);
                }
            }
            _ => entry.unknown(errors, "blocking, crate"),
        }
    }
    (blocking, root)
}

/// Checks the syntax.
fn check_form(function: &ItemFn, blocking: bool, errors: &mut Errors) {
    let signature = &function.sig;
    match (signature.asyncness, blocking) {
        (None, false) if !matches!(output(&signature.output), Some(Type::ImplTrait(_))) => errors.at(
            signature.fn_token,
            "a handler is an `async fn`; for a blocking function use `blocking_method` and \
             #[debug_handler(blocking)]",
        ),
        (Some(keyword), true) => {
            errors.at(keyword, "a blocking handler is not `async`; for an `async fn` use `method`");
        }
        _ => {}
    }
    if !signature.generics.params.is_empty() {
        errors.at(&signature.generics, "a handler cannot be generic; write one function for each type");
    }
    if let Some(unsafety) = &signature.unsafety {
        errors.at(unsafety, "a handler cannot be `unsafe`");
    }
    for (position, input) in signature.inputs.iter().enumerate() {
        if position == MAX_PARAMETERS {
            errors.at(
                input,
                format!(
                    "a handler takes at most {MAX_PARAMETERS} parameters; two extractors can be one parameter: \
                     `(one, two): (A, B)`"
                ),
            );
        }
        match input {
            FnArg::Receiver(receiver) => errors.at(
                receiver,
                "a handler has no `self`: take shared state as `State<S>`, or serve the methods of the type with \
                 #[endpoint]",
            ),
            FnArg::Typed(typed) => check_parameter(&typed.ty, errors),
        }
    }
    if let ReturnType::Default = signature.output {
        errors.at(
            &signature.ident,
            "a handler returns a `Result`: write `-> Result<(), Failure>` and end it with `Ok(())`",
        );
    }
}

fn check_parameter(ty: &Type, errors: &mut Errors) {
    match ty {
        Type::Reference(reference) => {
            let elem = &reference.elem;
            let owned = match &**elem {
                Type::Path(_) => format!("write `{}`", quote!(#elem).to_string().replace(' ', "")),
                _ => "take an owned value".to_owned(),
            };
            errors.at(ty, format!("a handler owns its parameters: {owned}"));
        }
        Type::ImplTrait(_) => errors.at(ty, "a handler's parameter needs a type: `impl Trait` is generic"),
        _ => {}
    }
}

fn types(function: &ItemFn) -> impl Iterator<Item = &Type> {
    function.sig.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(typed) => Some(&*typed.ty),
        FnArg::Receiver(_) => None,
    })
}

fn output(output: &ReturnType) -> Option<&Type> {
    match output {
        ReturnType::Type(_, ty) => Some(ty),
        ReturnType::Default => None,
    }
}

fn call(root: &Root, check: &TokenStream, ty: &Type) -> TokenStream {
    let private = root.private();
    at(ty, &mixed!(#private::served::#check::<#ty>();))
}

/// Checks the return type. Both types of a `Result` that is written out are checked separately.
fn result(root: &Root, output: &ReturnType) -> TokenStream {
    let ReturnType::Type(_, ty) = output else { return TokenStream::new() };
    let ty = match &**ty {
        Type::ImplTrait(_) => return TokenStream::new(),
        ty => ty,
    };
    match parts(ty) {
        Some((value, error)) => {
            let (value, error) = (call(root, &quote!(value), value), call(root, &quote!(failure), error));
            quote!(#value #error)
        }
        None => call(root, &quote!(outcome), ty),
    }
}

fn parts(ty: &Type) -> Option<(&Type, &Type)> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Result")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.iter().collect::<Vec<_>>()[..] {
        [GenericArgument::Type(value), GenericArgument::Type(error)] => Some((value, error)),
        _ => None,
    }
}

/// Checks that the future is `Send`. Never run.
fn future(root: &Root, function: &ItemFn) -> TokenStream {
    let (private, ident) = (root.private(), &function.sig.ident);
    // Located at the name, which the compiler shows.
    let place = Span::mixed_site().located_at(ident.span());
    let values = types(function).map(|_| quote_spanned!(place=> loop {}));
    let check = match output(&function.sig.output) {
        Some(Type::ImplTrait(_)) => quote!(future_of_outcome),
        _ => quote!(future),
    };
    quote_spanned!(place=> let _ = || #private::served::#check(#ident(#(#values),*));)
}
