use oxlo::Context;

struct Tenant;

#[oxlo::contract(version = "1.0")]
trait Files {
    async fn close(&self, ctxt: &Tenant, name: String);
    async fn open(&self, ctxt: &Context, name: String) -> i64;
}

fn main() {}
