use oxlo::Context;

#[oxlo::contract(version = "1.0", topic = "math")]
trait Unknown {}

#[oxlo::contract(version = "1.0")]
trait Calculator {
    #[rpc(timeout = 5, cast = true)]
    async fn unknown(&self, ctxt: &Context);
    #[rpc(fanout)]
    async fn fanout(&self, ctxt: &Context);
    #[rpc(cast)]
    async fn cast_with_result(&self, ctxt: &Context) -> i64;
    #[rpc(name = "a", name = "b")]
    async fn twice(&self, ctxt: &Context);
    #[rpc(name = "")]
    async fn empty(&self, ctxt: &Context);
    async fn unknown_of_argument(&self, ctxt: &Context, #[rpc(default)] a: i64);
    async fn extracted(&self, ctxt: &Context, #[extract] #[rpc(name = "b")] a: oxlo::server::Method);
    #[rpc(fallback = "older")]
    async fn fallback(&self, ctxt: &Context);
}

#[oxlo::contract(version = "1.0")]
struct NotATrait;

fn main() {}
