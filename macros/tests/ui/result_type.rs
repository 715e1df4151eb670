use oxlo::Context;

struct Handle;

#[oxlo::contract(version = "1.0")]
trait Files {
    async fn open(&self, ctxt: &Context) -> Handle;
}

fn main() {}
