//! Compiler messages of common mistakes. `TRYBUILD=overwrite` regenerates them.
#![allow(missing_docs)]

#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
