use oxlo::Context;

#[derive(serde::Serialize)]
struct Sent;

#[derive(serde::Deserialize)]
struct Received;

#[oxlo::contract(version = "1.0", client)]
trait Good {
    async fn read(&self, ctxt: &Context, handle: Sent) -> Received;
}

#[oxlo::contract(version = "1.0", client)]
trait Bad {
    async fn read(&self, ctxt: &Context, handle: Received) -> Sent;
}

fn main() {}
