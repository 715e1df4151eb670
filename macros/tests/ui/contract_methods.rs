use oxlo::Context;

#[oxlo::contract(version = "1.2")]
trait Calculator {
    async fn without_context(&self, a: i64, b: i64) -> i64;
    async fn without_anything(&self);
    async fn without_receiver(ctxt: &Context, a: i64) -> i64;
    async fn exclusive(&mut self, ctxt: &Context);
    async fn context_by_value(&self, ctxt: Context);
    async fn generic<T>(&self, ctxt: &Context, value: T) -> i64;
    fn not_async(&self, ctxt: &Context) -> i64;
    async fn taken_apart(&self, ctxt: &Context, (a, b): (i64, i64)) -> i64;
    const LIMIT: i64;
}

fn main() {}
