use oxlo::{Context, Failure, debug_handler};

#[debug_handler]
fn not_async(_ctxt: Context) -> Result<(), Failure> {
    Ok(())
}

#[debug_handler(blocking)]
async fn not_blocking(_ctxt: Context) -> Result<(), Failure> {
    Ok(())
}

#[debug_handler]
async fn borrows(_ctxt: &Context, name: &str) -> Result<(), Failure> {
    Ok(())
}

#[debug_handler]
async fn generic<T: oxlo::server::FromCall>(it: T, other: impl oxlo::server::FromCall) -> Result<(), Failure> {
    Ok(())
}

#[debug_handler]
async fn too_many(a: Context, b: Context, c: Context, d: Context, e: Context, f: Context, g: Context) -> Result<(), Failure> {
    Ok(())
}

#[debug_handler]
async fn returns_nothing(_ctxt: Context) {}

struct Service;

impl Service {
    #[debug_handler]
    async fn method(&self, _ctxt: Context) -> Result<(), Failure> {
        Ok(())
    }
}

#[debug_handler(blockng)]
async fn misspelt(_ctxt: Context) -> Result<(), Failure> {
    Ok(())
}

#[debug_handler]
struct NoFunction;

fn main() {}
