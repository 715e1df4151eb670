use oxlo::Context;

#[oxlo::contract(version = "1.0")]
trait Store {
    async fn skipped(&self, ctxt: &Context, #[serde(skip)] a: i64);
    async fn two_ways(&self, ctxt: &Context, #[serde(rename(serialize = "x", deserialize = "y"))] a: i64);
    async fn two_names(&self, ctxt: &Context, #[rpc(name = "x")] #[serde(rename = "y")] a: i64);
    async fn borrowed(&self, ctxt: &Context, #[serde(borrow)] a: &str);
    async fn misspelt(&self, ctxt: &Context, #[serde(flaten)] a: i64);
    async fn container(&self, ctxt: &Context, #[serde(deny_unknown_fields)] a: i64);
    async fn no_text(&self, ctxt: &Context, #[serde(rename = 7)] a: i64, #[serde(default = zero)] b: i64);
    async fn flat_name(&self, ctxt: &Context, #[serde(flatten, rename = "x")] a: std::collections::HashMap<String, i64>);
    async fn same(&self, ctxt: &Context, #[serde(rename = "b")] a: i64, b: i64);
    async fn same_alias(&self, ctxt: &Context, #[serde(alias = "b")] a: i64, b: i64);
    async fn inside(&self, ctxt: &Context, a: Option<&str>, b: Vec<(i64, &str)>);
    async fn nested(&self, ctxt: &Context, #[cfg_attr(all(), cfg(any()))] a: i64);
}

fn main() {}
