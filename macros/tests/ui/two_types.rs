use oxlo::Context;

struct Handle;
struct Mode;

#[oxlo::contract(version = "1.0")]
trait Files {
    async fn read(&self, ctxt: &Context, handle: Handle, mode: Mode) -> i64;
    async fn copy(&self, ctxt: &Context, from: Option<Handle>) -> Vec<Handle>;
}

fn main() {}
