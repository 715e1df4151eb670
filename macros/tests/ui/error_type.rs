use oxlo::Context;

#[oxlo::contract(version = "1.0")]
trait Files {
    async fn open(&self, ctxt: &Context) -> Result<i64, std::io::Error>;
}

fn main() {}
