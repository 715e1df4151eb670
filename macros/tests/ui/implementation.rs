use oxlo::Context;

#[oxlo::contract(version = "1.0")]
trait Calculator {
    async fn add(&self, ctxt: &Context, a: i64, b: i64) -> i64;
    async fn negate(&self, ctxt: &Context, a: i64) -> i64;
}

struct Abacus;

impl Calculator for Abacus {
    async fn add(&self, _ctxt: &Context, a: i64, b: i64) -> i64 {
        let kept = std::rc::Rc::new(a);
        std::future::ready(()).await;
        *kept + b
    }
}

fn main() {}
