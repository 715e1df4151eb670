//! `docs/telemetry.md` lists exactly the metrics in the source.

use std::{collections::BTreeSet, fs, path::Path};

/// The words of a text between two of these marks that could be names of metrics.
fn names(text: &str, mark: char) -> BTreeSet<String> {
    let name = |word: &&str| {
        word.starts_with("oxlo_")
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit())
    };
    text.split(mark).filter(name).map(str::to_owned).collect()
}

fn read(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(names(&fs::read_to_string(&path).unwrap(), '"'));
        }
    }
}

#[test]
fn every_metric_is_listed_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = BTreeSet::new();
    for folder in [
        "client",
        "server",
        "notify",
        "serving",
        "transport",
        "drivers/kit",
        "config",
        "drivers/memory",
        "drivers/rabbit",
        "drivers/amqp1",
    ] {
        read(&root.join(folder).join("src"), &mut found);
    }
    let listed = names(&fs::read_to_string(root.join("docs/telemetry.md")).unwrap(), '`');
    assert_eq!(listed, found);
}
