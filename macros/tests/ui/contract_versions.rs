use oxlo::Context;

#[oxlo::contract(version = "1.2")]
trait Calculator {
    #[rpc(since = "1.3")]
    async fn above(&self, ctxt: &Context);
    #[rpc(since = "2.0")]
    async fn other_major(&self, ctxt: &Context);
    #[rpc(since = "1.02")]
    async fn malformed(&self, ctxt: &Context);
    #[rpc(since = "1.1")]
    async fn older(&self, ctxt: &Context, #[rpc(since = "1.1")] a: Option<i64>);
    async fn required(&self, ctxt: &Context, #[rpc(since = "1.1")] a: i64);
    async fn fallback(&self, ctxt: &Context, #[rpc(droppable)] a: Option<i64>);
}

#[oxlo::contract(version = "1")]
trait Malformed {}

#[oxlo::contract(version = 1.0)]
trait Number {}

#[oxlo::contract(namespace = "math")]
trait Missing {}

fn main() {}
