//! A contract with one of everything, an implementation, and a server of it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use oxlo::{Context, RPCServer, RemoteError, RunningServer, Target, Transport};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, thiserror::Error, RemoteError)]
#[remote(module = "calculator.exceptions")]
pub enum CalcError {
    #[error("division by zero")]
    DivisionByZero,
    #[error("{value} is above {limit}")]
    #[remote(class = "TooLarge")]
    Overflow { value: i64, limit: i64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rounding {
    Up,
    Down,
}

/// Arithmetic over the bus.
#[oxlo::contract(version = "1.3", namespace = "math")]
pub trait Calculator {
    /// The sum.
    #[rpc(idempotent)]
    async fn add(&self, ctxt: &Context, a: i64, b: i64) -> Result<i64, CalcError>;

    async fn divide(
        &self,
        ctxt: &Context,
        #[rpc(name = "dividend")] a: i64,
        #[rpc(name = "divisor")] b: i64,
        #[rpc(since = "1.2")] rounding: Option<Rounding>,
        #[rpc(since = "1.3", droppable)] note: Option<String>,
    ) -> Result<i64, CalcError>;

    #[rpc(name = "joinAll")]
    async fn join(&self, ctxt: &Context, words: &[String], #[serde(default = "comma")] separator: &str) -> String;

    async fn r#type(&self, ctxt: &Context, #[serde(default)] r#in: bool) -> String {
        format!("{} {}", ctxt.len(), r#in)
    }

    async fn nothing(&self, ctxt: &Context);

    #[rpc(since = "1.1", cast, fanout)]
    async fn reload(&self, ctxt: &Context, force: bool);

    #[rpc(since = "1.1", cast)]
    async fn note(&self, ctxt: &Context, text: &str) -> Result<(), CalcError>;

    #[rpc(since = "1.3", fallback = sum_by_adding)]
    async fn sum(&self, ctxt: &Context, terms: Vec<i64>) -> Result<i64, CalcError>;

    async fn whoami(
        &self,
        ctxt: &Tenant,
        #[extract] method: oxlo::server::Method,
        #[extract] again: oxlo::server::Redelivered,
    ) -> String;
}

fn comma() -> String {
    ",".into()
}

/// What servers before 1.3 need.
async fn sum_by_adding(
    client: &CalculatorClient,
    ctxt: &Context,
    terms: Vec<i64>,
) -> Result<i64, oxlo::MethodError<CalcError>> {
    let mut sum = 0;
    for term in terms {
        sum = client.add(ctxt, sum, term).await?;
    }
    Ok(sum)
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tenant {
    pub project_id: String,
}

#[derive(Debug, Default)]
pub struct Abacus {
    pub additions: AtomicU64,
    pub said: Mutex<Vec<String>>,
}

impl Abacus {
    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    fn say(&self, text: String) {
        self.said.lock().unwrap().push(text);
    }
}

impl Calculator for Abacus {
    async fn add(&self, _ctxt: &Context, a: i64, b: i64) -> Result<i64, CalcError> {
        self.additions.fetch_add(1, Ordering::Relaxed);
        a.checked_add(b).filter(|sum| *sum <= 1000).ok_or(CalcError::Overflow { value: a, limit: 1000 })
    }

    async fn divide(
        &self,
        _ctxt: &Context,
        a: i64,
        b: i64,
        rounding: Option<Rounding>,
        note: Option<String>,
    ) -> Result<i64, CalcError> {
        self.say(format!("{rounding:?} {note:?}"));
        let down = a.checked_div(b).ok_or(CalcError::DivisionByZero)?;
        Ok(if rounding == Some(Rounding::Up) && a % b != 0 { down + 1 } else { down })
    }

    async fn join(&self, _ctxt: &Context, words: &[String], separator: &str) -> String {
        words.join(separator)
    }

    async fn nothing(&self, ctxt: &Context) {
        self.say(format!("nothing for {:?}", ctxt.get_str("user")));
    }

    async fn reload(&self, _ctxt: &Context, force: bool) {
        self.say(format!("reload {force}"));
    }

    async fn note(&self, _ctxt: &Context, text: &str) -> Result<(), CalcError> {
        self.say(text.to_owned());
        Err(CalcError::DivisionByZero)
    }

    async fn sum(&self, _ctxt: &Context, terms: Vec<i64>) -> Result<i64, CalcError> {
        Ok(terms.iter().sum())
    }

    async fn whoami(&self, ctxt: &Tenant, method: oxlo::server::Method, again: oxlo::server::Redelivered) -> String {
        format!("{} by {} again {}", ctxt.project_id, method.0, again.0)
    }
}

/// A bus of its own for each test.
pub async fn bus(name: &str) -> Arc<dyn Transport> {
    oxlo::connect(format!("memory://contracts-{name}")).await.unwrap()
}

pub async fn serve(transport: &Arc<dyn Transport>, server: &str) -> (Arc<Abacus>, RunningServer) {
    let abacus = Arc::new(Abacus::default());
    let running = RPCServer::builder(transport.clone(), Target::topic("calculator").server(server))
        .endpoint(CalculatorEndpoint::shared(abacus.clone()))
        .start()
        .await
        .unwrap();
    (abacus, running)
}

/// A server and a client of it.
pub async fn pair(name: &str) -> (Arc<Abacus>, RunningServer, CalculatorClient) {
    let transport = bus(name).await;
    let (abacus, running) = serve(&transport, "node-1").await;
    (abacus, running, CalculatorClient::new(transport, Target::topic("calculator")))
}

/// Waits until `done` holds.
pub async fn until(done: impl Fn() -> bool) {
    let waiting = async {
        while !done() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), waiting).await.expect("it did not happen in 10 s");
}
