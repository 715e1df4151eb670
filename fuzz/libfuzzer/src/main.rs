//! One program for all targets; `OXLO_FUZZ_TARGET` selects the one to run. `fuzz/run` builds and starts it.
#![no_main]

use std::sync::OnceLock;

use oxlo_fuzz::{TARGETS, Target};

static TARGET: OnceLock<&Target> = OnceLock::new();

fn chosen() -> &'static Target {
    let name = std::env::var("OXLO_FUZZ_TARGET").unwrap_or_default();
    TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| {
        let known: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        panic!("OXLO_FUZZ_TARGET does not name a target; known are {}", known.join(", "))
    })
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| { (TARGET.get_or_init(chosen).body)(data) });
