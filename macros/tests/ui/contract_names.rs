use oxlo::Context;

#[oxlo::contract(version = "1.0")]
trait Calculator {
    async fn add(&self, ctxt: &Context, a: i64, b: i64) -> i64;
    #[rpc(name = "add")]
    async fn plus(&self, ctxt: &Context, a: i64, b: i64) -> i64;
    async fn twice(&self, ctxt: &Context, a: i64, #[rpc(name = "a")] b: i64) -> i64;
    async fn prepare(&self, ctxt: &Context);
    async fn start_add(&self, ctxt: &Context);
}

fn main() {}
