//! Checks `tests/every_name/names.rs`, a program in which every identifier of generated code is also one of the user's: an
//! argument, a field, a variant, a method and a type. `OXLO_WRITE_NAMES=1` regenerates it.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;

use crate::{client::RESERVED, contract, debug_handler, endpoint, remote_error, root::Root};

/// Words that cannot be identifiers, or only as `r#`.
const KEYWORDS: [&str; 40] = [
    "Self", "_", "as", "async", "await", "break", "const", "continue", "crate", "dyn", "else", "enum", "extern",
    "false", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "type", "unsafe", "use", "where", "while",
];

/// The expansions of one of each form that the macros accept. All names begin with `sample`.
fn expansions() -> TokenStream {
    let root = Root::facade();
    let contract = contract::expand(
        quote!(version = "1.4", namespace = "sample"),
        quote! {
            trait Sample {
                async fn sample_value(&self, sample: &SampleContext, sample_a: SampleA, sample_b: &str) -> SampleB;
                #[rpc(idempotent)]
                async fn sample_result(&self, _: &SampleContext, #[serde(flatten)] sample_a: SampleA)
                    -> Result<SampleB, SampleError>;
                #[rpc(cast, fanout)]
                async fn sample_cast(&self, sample: &SampleContext, #[extract] sample_a: SampleA);
                #[rpc(since = "1.1", fallback = sample)]
                async fn sample_later(
                    &self,
                    sample: &SampleContext,
                    #[rpc(since = "1.2")] sample_a: Option<SampleA>,
                    #[rpc(since = "1.3", droppable)] #[serde(with = "sample")] sample_b: Option<SampleA>,
                    #[serde(flatten, with = "sample")] sample_c: SampleA,
                    #[serde(flatten)] sample_d: &SampleA,
                );
            }
        },
        &root,
    );
    let endpoint = endpoint::expand(
        quote!(version = "1.0"),
        quote! {
            impl Sample {
                #[rpc(blocking)]
                fn sample_blocking(&self, sample: &SampleContext, #[rpc(name = "sample")] sample_a: SampleA) {}
            }
        },
        &root,
    );
    let error = remote_error::expand(
        quote! {
            #[remote(module = "sample")]
            enum SampleError {
                SampleUnit,
                SampleNamed { sample_a: SampleA, #[remote(message)] sample_b: String, #[remote(skip)] sample_c: u8 },
                #[remote(module = "sample_other")]
                SampleUnnamed(SampleA, #[remote(message)] String, #[remote(skip)] u8),
            }
        },
        &root,
    );
    let handler = |keys: TokenStream, function: TokenStream| debug_handler::expand(keys, &function, &root);
    let handlers = [
        handler(
            quote!(),
            quote!(
                async fn sample(sample_a: SampleA) -> Result<SampleB, SampleError> {}
            ),
        ),
        handler(
            quote!(),
            quote!(
                fn sample() -> impl SampleFuture {}
            ),
        ),
        handler(
            quote!(blocking),
            quote!(
                fn sample() -> SampleOutcome {}
            ),
        ),
    ];
    let all = quote!(#contract #endpoint #error #(#handlers)*);
    assert!(!all.to_string().contains("compile_error"), "{all}");
    all
}

fn identifiers(tokens: TokenStream, names: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => identifiers(group.stream(), names),
            TokenTree::Ident(ident) => {
                names.insert(ident.to_string());
            }
            _ => {}
        }
    }
}

fn names() -> Vec<String> {
    let mut names = BTreeSet::new();
    identifiers(expansions(), &mut names);
    // Names that were once unprotected stay on the list.
    names.extend(["args", "call", "ctxt", "text", "this", "version", "C", "OxloTypeA"].map(str::to_owned));
    let is_free = |name: &String| !KEYWORDS.contains(&name.as_str()) && !name.to_lowercase().contains("sample");
    names.into_iter().filter(is_free).collect()
}

fn program(names: &[String]) -> String {
    let mut text = String::from("// Written by the unit test `every_name`; see src/every_name.rs.\n");
    let each = |form: &dyn Fn(&String) -> String| names.iter().map(form).collect::<String>();
    text.push_str(&arguments(names));

    let group = |form: &dyn Fn(usize, &[String]) -> String| {
        names.chunks(12).enumerate().map(|(number, group)| form(number, group)).collect::<String>()
    };
    let fields = group(&|number, group| {
        let fields: String = group.iter().map(|name| format!("{name}: i64, ")).collect();
        format!("    Part{number} {{ {fields}}},\n")
    });
    let set = group(&|number, group| {
        let set: String = group.iter().map(|name| format!("{name}: crate::sent::<i64>({name:?}), ")).collect();
        format!("        Fields::Part{number} {{ {set}}},\n")
    });
    let variants = each(&|name| format!("    {name},\n"));
    let all = each(&|name| format!("        Variants::{name},\n"));
    let derive = "#[derive(Debug, PartialEq, ::oxlo::RemoteError)]\n#[remote(module = \"every.name\")]";
    writeln!(
        text,
        "{derive}\npub enum Fields {{\n{fields}}}\n\npub fn fields() -> ::std::vec::Vec<Fields> {{\n    \
         ::std::vec![\n{set}    ]\n}}\n\n{derive}\npub enum Variants {{\n{variants}}}\n\npub fn variants() -> \
         ::std::vec::Vec<Variants> {{\n    ::std::vec![\n{all}    ]\n}}\n"
    )
    .unwrap();

    // A cast has no `start_..` beside it.
    text.push_str(&group(&|number, group| {
        let methods: String = group
            .iter()
            .filter(|name| !RESERVED.contains(&name.as_str()))
            .map(|name| format!("    #[rpc(cast)]\n    async fn {name}(&self, _: &::oxlo::Context);\n"))
            .collect();
        format!("#[::oxlo::contract(version = \"1.0\")]\npub trait Methods{number} {{\n{methods}}}\n\n")
    }));

    text.push_str(&types(names));
    text
}

/// A contract whose methods take arguments of all the names: common types, references and types of the user's.
fn arguments(names: &[String]) -> String {
    // Variants of the prelude; no variable can be called so.
    let variables: Vec<&String> =
        names.iter().filter(|name| !["None", "Some", "Ok", "Err"].contains(&name.as_str())).collect();
    let mut text =
        format!("pub const NAMES: &[&str] = &{names:?};\n\npub const VARIABLES: &[&str] = &{variables:?};\n\n");
    let (mut declared, mut implemented, mut called) = (String::new(), String::new(), String::new());
    for (number, group) in variables.chunks(9).enumerate() {
        let types = ["i64", "&str", "crate::Item"].into_iter().cycle();
        let list: String = group.iter().zip(types.clone()).map(|(name, ty)| format!(", {name}: {ty}")).collect();
        let values: String = group.iter().map(|name| format!("crate::Value::from({name}), ")).collect();
        let sent: String =
            group.iter().zip(types).map(|(name, ty)| format!(", crate::sent::<{ty}>({name:?})")).collect();
        let head = format!("    async fn m{number}(&self, _: &::oxlo::Context{list}) -> ::std::vec::Vec<crate::Value>");
        writeln!(declared, "{head};").unwrap();
        writeln!(implemented, "{head} {{\n        ::std::vec![{values}]\n    }}").unwrap();
        writeln!(called, "    all.extend(client.m{number}(context{sent}).await?);").unwrap();
    }
    writeln!(
        text,
        "#[::oxlo::contract(version = \"1.0\")]\npub trait Arguments {{\n{declared}}}\n\nimpl Arguments for crate::Served \
         {{\n{implemented}}}\n\npub async fn call(\n    client: &ArgumentsClient,\n    context: &::oxlo::Context,\n) -> \
         ::std::result::Result<::std::vec::Vec<crate::Value>, ::oxlo::CallError> {{\n    let mut all = \
         ::std::vec::Vec::new();\n{called}    ::std::result::Result::Ok(all)\n}}\n"
    )
    .unwrap();
    text
}

/// A module in which types have all the names, so that nothing but an absolute path leads to others.
fn types(names: &[String]) -> String {
    let mut text = String::from("pub mod types {\n");
    // serde's own derive, which every type needs, does not bear types that are called as the primitive ones.
    let names: Vec<String> = names.iter().filter(|name| !["str", "u8"].contains(&name.as_str())).cloned().collect();
    for name in &names {
        writeln!(
            text,
            "    #[derive(\n        ::std::fmt::Debug, ::std::cmp::PartialEq, ::serde::Serialize, \
             ::serde::Deserialize,\n    )]\n    pub struct {name} {{}}\n    crate::error_of! {{ {name} }}\n"
        )
        .unwrap();
    }
    let methods = |kind: &str| {
        let groups = names.chunks(8).enumerate().map(|(number, group)| {
            let list: String = group.iter().zip('a'..).map(|(name, letter)| format!(", {letter}: {name}")).collect();
            let (value, error) = (&group[0], group.last().unwrap());
            format!(
                "        async fn m{number}(&self, _: &::oxlo::Context{list})\n        -> \
                 ::std::result::Result<{value}, {error}>;\n"
            )
        });
        format!(
            "    #[::oxlo::contract(version = \"1.0\")]\n    pub trait {kind} {{\n{}    }}\n",
            groups.collect::<String>()
        )
    };
    text.push_str(&methods("TypesOfArguments"));
    text.push_str("}\n");
    text
}

#[test]
fn every_name() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/every_name/names.rs");
    let program = program(&names());
    if std::env::var_os("OXLO_WRITE_NAMES").is_some() {
        fs::write(&path, &program).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == program, "{} is out of date: run this test with OXLO_WRITE_NAMES=1", path.display());
}
