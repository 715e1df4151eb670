//! Runs the fuzz targets over the committed corpus and over mutations of it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{fs, path::PathBuf};

use oxlo_fuzz::TARGETS;
use proptest::{
    collection::vec,
    prelude::*,
    sample::Index,
    test_runner::{Config, TestRunner},
};

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The committed inputs of a target, by name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder("corpus").join(target)).expect("the target has a corpus");
    let mut inputs: Vec<_> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())
        })
        .collect();
    inputs.sort();
    assert!(inputs.len() > 4, "the corpus of {target} has only {} inputs", inputs.len());
    inputs
}

/// The words of a libFuzzer dictionary: one per line, quoted, with `\xNN` escapes.
fn dictionary(target: &str) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(folder("dictionaries").join(format!("{target}.dict"))).expect("a dictionary");
    text.lines()
        .map(|line| {
            let mut rest = line.strip_prefix('"').and_then(|line| line.strip_suffix('"')).expect("a quoted word");
            let mut word = Vec::new();
            while let Some(next) = rest.chars().next() {
                match rest.strip_prefix("\\x") {
                    Some(hex) => {
                        word.push(u8::from_str_radix(&hex[..2], 16).unwrap());
                        rest = &hex[2..];
                    }
                    None => {
                        word.extend_from_slice(next.to_string().as_bytes());
                        rest = &rest[next.len_utf8()..];
                    }
                }
            }
            word
        })
        .collect()
}

/// A mutation of an input; positions are fractions of its length.
#[derive(Clone, Debug)]
enum Edit {
    Octet(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, u8),
    Repeat(Index, u8, u8),
}

fn edit(words: Vec<Vec<u8>>) -> impl Strategy<Value = Edit> {
    let place = any::<Index>;
    prop_oneof![
        2 => (place(), any::<u8>()).prop_map(|(at, octet)| Edit::Octet(at, octet)),
        3 => (place(), prop::sample::select(words)).prop_map(|(at, word)| Edit::Insert(at, word)),
        1 => (place(), vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        1 => (place(), any::<u8>()).prop_map(|(at, bytes)| Edit::Remove(at, bytes)),
        1 => (place(), 1_u8..20, any::<u8>()).prop_map(|(at, bytes, times)| Edit::Repeat(at, bytes, times)),
    ]
}

fn edited(mut input: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits {
        match edit {
            Edit::Octet(at, octet) if !input.is_empty() => {
                let at = at.index(input.len());
                input[at] = *octet;
            }
            Edit::Insert(at, bytes) => {
                let at = at.index(input.len() + 1);
                input.splice(at..at, bytes.iter().copied());
            }
            Edit::Remove(at, bytes) if !input.is_empty() => {
                let at = at.index(input.len());
                let end = input.len().min(at + usize::from(*bytes));
                input.drain(at..end);
            }
            Edit::Repeat(at, bytes, times) if !input.is_empty() => {
                let at = at.index(input.len());
                let end = input.len().min(at + usize::from(*bytes));
                let piece = input[at..end].repeat(usize::from(*times));
                input.splice(at..at, piece);
            }
            Edit::Octet(..) | Edit::Remove(..) | Edit::Repeat(..) => {}
        }
    }
    input
}

#[test]
fn the_corpus_holds_for_every_target() {
    for target in TARGETS {
        for (name, input) in corpus(target.name) {
            println!("{}/{name}", target.name);
            (target.body)(&input);
        }
    }
}

#[test]
fn the_corpus_stays_small() {
    let bytes = |target: &oxlo_fuzz::Target| corpus(target.name).iter().map(|(_, input)| input.len()).sum::<usize>();
    let total: usize = TARGETS.iter().map(bytes).sum();
    assert!(total < 300_000, "{total} bytes; reduce the corpus with fuzz/run minimise");
}

#[test]
fn a_corpus_belongs_to_a_target() {
    for entry in fs::read_dir(folder("corpus")).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(TARGETS.iter().any(|target| name == target.name), "{name:?} does not belong to a target");
    }
}

/// Inputs of the corpus, mutated and joined, and random bytes. Add a reported counterexample to the corpus.
fn holds(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let inputs: Vec<Vec<u8>> =
        corpus(name).into_iter().map(|(_, input)| input).filter(|input| input.len() < 4_000).collect();
    let seed = prop::sample::select(inputs);
    let one = (seed.clone(), vec(edit(dictionary(name)), 0..5)).prop_map(|(seed, edits)| edited(seed, &edits)).boxed();
    let joined = (one.clone(), seed, any::<Index>()).prop_map(|(mut input, other, at)| {
        input.truncate(at.index(input.len() + 1));
        input.extend_from_slice(&other);
        input
    });
    let input = prop_oneof![6 => one, 2 => joined, 1 => vec(any::<u8>(), 0..200)];
    let mut runner = TestRunner::new(Config { cases: 500, failure_persistence: None, ..Config::default() });
    runner
        .run(&input, |input| {
            (target.body)(&input);
            Ok(())
        })
        .unwrap();
}

macro_rules! holds {
    ($($name:ident)*) => {
        $(#[test] fn $name() { holds(stringify!($name)) })*

        #[test]
        fn every_target_has_its_property_test() {
            assert!(TARGETS.iter().map(|target| target.name).eq([$(stringify!($name)),*]));
        }
    };
}

holds! {
    request reply failure notification url version
    header_table header_mapping amqp091_stream amqp1_value amqp1_message amqp1_stream
}
