use oxlo::Context;

struct Handle;

#[oxlo::contract(version = "1.0")]
trait Files {
    async fn read(&self, ctxt: &Context, handle: Handle) -> i64;
}

fn main() {}
