use oxlo::Context;

#[oxlo::contract(version = "1.0")]
trait Calculator {
    async fn opaque(&self, ctxt: &Context, a: impl Into<i64>);
    async fn exclusive(&self, ctxt: &Context, a: &mut i64);
    async fn function(&self, ctxt: &Context, a: fn(i64) -> i64);
    async fn object(&self, ctxt: &Context, a: &dyn std::fmt::Debug);
    async fn pointer(&self, ctxt: &Context, a: *const u8);
    async fn one_type(&self, ctxt: &Context) -> std::io::Result<i64>;
    async fn borrowed(&self, ctxt: &Context) -> &str;
}

fn main() {}
