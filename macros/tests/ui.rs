//! What the compiler says to the mistakes that people make. `TRYBUILD=overwrite` writes the texts anew.
#![allow(missing_docs)]

#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
