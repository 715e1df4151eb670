//! One trait for both sides: a typed client, a server, and typed errors.
//!
//! ```text
//! cargo run --example typed_client_and_server
//! cargo run --example typed_client_and_server -- rabbit://guest:guest@localhost:5672/
//! ```

use std::{error::Error, time::Duration};

use oxlo::{Context, MethodError, RPCServer, RemoteError, Target};

/// A Python caller that allows `calculator.exceptions` gets the class `TooLarge` with `limit` as keyword argument.
#[derive(Debug, thiserror::Error, RemoteError)]
#[remote(module = "calculator.exceptions")]
pub enum CalcError {
    /// Division by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// The result exceeds the limit of the service.
    #[error("the sum exceeds {limit}")]
    #[remote(class = "TooLarge")]
    Overflow {
        /// The largest result of the service.
        limit: i64,
    },
}

/// The contract of the service. It usually lives in a crate of its own, which both programs depend on.
#[oxlo::contract(version = "1.2", namespace = "math")]
pub trait Calculator {
    /// Adds two numbers.
    #[rpc(idempotent)]
    async fn add(&self, ctxt: &Context, a: i64, b: i64) -> Result<i64, CalcError>;

    /// Divides two numbers; `round_up` was added in version 1.2 and is only sent if set.
    async fn divide(
        &self,
        ctxt: &Context,
        a: i64,
        b: i64,
        #[rpc(since = "1.2")] round_up: Option<bool>,
    ) -> Result<i64, CalcError>;

    /// Tells every server to reload its settings.
    #[rpc(since = "1.1", cast, fanout)]
    async fn reload(&self, ctxt: &Context, force: bool);
}

struct Abacus {
    limit: i64,
}

impl Calculator for Abacus {
    async fn add(&self, _ctxt: &Context, a: i64, b: i64) -> Result<i64, CalcError> {
        a.checked_add(b).filter(|sum| *sum <= self.limit).ok_or(CalcError::Overflow { limit: self.limit })
    }

    async fn divide(&self, _ctxt: &Context, a: i64, b: i64, round_up: Option<bool>) -> Result<i64, CalcError> {
        let down = a.checked_div_euclid(b).ok_or(CalcError::DivisionByZero)?;
        Ok(if round_up == Some(true) && a % b != 0 { down + 1 } else { down })
    }

    async fn reload(&self, ctxt: &Context, force: bool) {
        println!("   reload, force {force}, by {}", ctxt.get_str("user").unwrap_or("nobody"));
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory://typed".to_owned());
    let transport = oxlo::connect(url).await?;
    let server = RPCServer::builder(transport.clone(), Target::topic("calculator").server("node-7"))
        .endpoint(CalculatorEndpoint::new(Abacus { limit: 1000 }))
        .start()
        .await?;

    let calculator = CalculatorClient::new(transport.clone(), Target::topic("calculator"));
    let ctxt = Context::new().with("user", "alice");
    println!("1. 1 + 2 = {}", calculator.add(&ctxt, 1, 2).await?);
    println!("2. 7 / 2 = {}, rounded up {}", calculator.divide(&ctxt, 7, 2, None).await?, {
        calculator.divide(&ctxt, 7, 2, Some(true)).await?
    });
    calculator.reload(&ctxt, true).await?;

    println!("3. The declared error arrives as a Rust value:");
    match calculator.add(&ctxt, 999, 2).await {
        Err(MethodError::Failed(CalcError::Overflow { limit })) => println!("   above {limit}"),
        other => println!("   unexpected: {other:?}"),
    }

    println!("4. Concurrent calls to one server, within five seconds:");
    let patient = calculator.prepare(|it| it.server("node-7").timeout(Duration::from_secs(5)));
    let mut pending = Vec::new();
    for n in 1..=3 {
        pending.push(patient.start_add(&ctxt, n, n).await?);
    }
    for call in pending {
        println!("   {}", call.await?);
    }

    println!("5. While servers of 1.1 exist, a cap refuses calls that they do not implement:");
    let capped = calculator.prepare(|it| it.version_cap("1.1"));
    if let Err(error) = capped.divide(&ctxt, 7, 2, Some(true)).await {
        println!("   {error} (may have run: {})", error.may_have_run());
    }

    server.stop();
    println!("handled {} requests", server.wait().await?.handled);
    transport.close().await;
    Ok(())
}
