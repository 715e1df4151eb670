use std::rc::Rc;

use oxlo::{Args, Context, Failure, debug_handler};

#[derive(serde::Deserialize)]
struct Add {
    a: i64,
}

struct Opaque;

// The first two are valid; the third returns a `Payload`, which is not `Serialize`.
#[debug_handler]
async fn right(_ctxt: Context, Args(it): Args<Add>) -> Result<i64, Failure> {
    Ok(it.a)
}

#[debug_handler(blocking)]
fn right_blocking(Args(it): Args<Add>) -> Result<i64, Failure> {
    Ok(it.a)
}

#[debug_handler]
fn right_future(_ctxt: Context) -> impl Future<Output = oxlo::HandlerResult> {
    async { Err(Failure::builtin("KeyError", "no").into()) }
}

#[debug_handler]
async fn not_an_extractor(a: i64, it: Add) -> Result<i64, Failure> {
    Ok(a + it.a)
}

#[debug_handler]
async fn not_serialize(_ctxt: Context) -> Result<Opaque, Failure> {
    Ok(Opaque)
}

#[debug_handler]
async fn not_an_error(_ctxt: Context) -> Result<i64, std::io::Error> {
    Ok(1)
}

#[debug_handler]
async fn not_an_error_by_alias(_ctxt: Context) -> std::io::Result<i64> {
    Ok(1)
}

#[debug_handler]
async fn no_result(_ctxt: Context) -> i64 {
    1
}

#[debug_handler]
async fn not_send(_ctxt: Context) -> Result<i64, Failure> {
    let kept = Rc::new(1);
    std::future::ready(()).await;
    Ok(*kept)
}

fn main() {
    let _ = (right, right_blocking, right_future, not_an_extractor, not_serialize, not_an_error);
    let _ = (not_an_error_by_alias, no_result, not_send);
}
