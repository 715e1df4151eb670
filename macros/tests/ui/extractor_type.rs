use oxlo::{Context, Endpoint, Failure};

#[oxlo::contract(version = "1.0", server)]
trait Files {
    async fn open(&self, ctxt: &Context, #[extract] path: String) -> i64;
}

fn main() {
    let _ = Endpoint::new("1.0").method("open", async |_ctxt: Context, _path: String| Ok::<_, Failure>(1));
}
