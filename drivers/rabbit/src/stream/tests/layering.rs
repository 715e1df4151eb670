//! The stream is the lowest layer of the driver, see [`stream`](crate::stream).

use std::{fs, path::Path};

/// The modules of the crate that the stream may use.
const ALLOWED: [&str; 3] = ["lapin_internals", "sabotage", "stream"];

#[test]
fn the_stream_names_no_higher_module_and_no_type_of_lapin() {
    check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/stream"));
}

fn check(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("tests") {
            check(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).unwrap();
            assert!(!text.contains("use lapin::") && !text.contains(" lapin::"), "{} names lapin", path.display());
            for module in used_modules(&text) {
                assert!(ALLOWED.contains(&module), "{} uses crate::{module}", path.display());
            }
        }
    }
}

/// The first segment of each path below `crate::`, also in a list of `use`.
fn used_modules(text: &str) -> impl Iterator<Item = &str> {
    text.split("crate::")
        .skip(1)
        .flat_map(|rest| {
            let list = rest.strip_prefix('{').map_or(rest, |list| list.split("\n};").next().unwrap_or(list));
            let is_list = rest.starts_with('{');
            // In a list, rustfmt indents the entries of the top level by four spaces.
            let entries =
                list.lines().filter(move |line| is_list && line.starts_with("    ") && !line.starts_with("     "));
            let single = (!is_list).then_some(rest);
            entries.chain(single).map(|entry| {
                let entry = entry.trim_start();
                &entry[..entry.find(|letter: char| !(letter.is_alphanumeric() || letter == '_')).unwrap_or(entry.len())]
            })
        })
        .filter(|module| !module.is_empty())
}
