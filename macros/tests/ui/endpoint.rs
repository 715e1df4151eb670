use oxlo::Context;

struct Calculator;

#[oxlo::endpoint(version = "1.0")]
impl Calculator {
    async fn add(&self, _ctxt: &Context, a: i64, b: i64) -> i64 {
        a + b
    }
}

struct Other;

#[oxlo::endpoint(version = "1.x")]
impl Other {
    #[rpc(blocking)]
    async fn both(&self, _ctxt: &Context) {}
    #[rpc]
    fn neither(&self, _ctxt: &Context) {}
    #[rpc(since = "1.1")]
    async fn of_contracts(&self, _ctxt: &Context) {}
    #[rpc]
    async fn without_context(&self) {}
}

struct Third;

#[oxlo::endpoint(version = "1.0")]
impl Clone for Third {
    fn clone(&self) -> Self {
        Third
    }
}

fn main() {}
