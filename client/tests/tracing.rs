//! What the client tells `tracing`. A program of its own with one test: which spans are enabled is decided for the
//! whole process, so tests beside it would decide with it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "client/fake.rs"]
#[allow(dead_code)]
mod fake;

use std::{
    io,
    sync::{Arc, Mutex},
};

use fake::{Fake, calculator, ctxt};
use serde_json::{Value, json};
use tracing::Level;
use tracing_subscriber::fmt::{MakeWriter, format::FmtSpan};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

async fn logged(level: Level) -> String {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let fake = Fake::new();
    let client = calculator(&fake);
    fake.answers(&json!("hunter2"));
    client.call::<Value>(&ctxt().with("token", "hunter2"), "login", json!({"password": "hunter2"})).await.unwrap();
    fake.answers(&json!("hunter2"));
    client.call::<i64>(&ctxt(), "number", ()).await.unwrap_err();
    fake.answers(&json!("hunter2"));
    client.start::<i64>(&ctxt(), "later", ()).await.unwrap().await.unwrap_err();
    client.prepare().version("1").cast(&ctxt(), "reload", ()).await.unwrap_err();
    drop(guard);
    log.text()
}

#[tokio::test]
async fn spans_name_the_method_and_how_it_ended_and_nothing_is_said_at_info() {
    let text = logged(Level::TRACE).await;
    let line = |method: &str| {
        let needle = format!("rpc.method=\"{method}\"");
        text.lines().find(|line| line.contains(&needle)).unwrap_or_else(|| panic!("{method}: {text}"))
    };
    assert!(line("login").contains("DEBUG") && line("login").contains("rpc.service=\"calculator\""), "{text}");
    assert!(line("login").contains("oxlo.kind=\"call\"") && !line("login").contains("error.type"), "{text}");
    assert!(line("number").contains("error.type=\"decode\""), "{text}");
    assert!(line("later").contains("error.type=\"decode\""), "{text}");
    assert!(line("reload").contains("oxlo.kind=\"cast\"") && line("reload").contains("invalid_target"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");

    assert_eq!(logged(Level::INFO).await, "");
}
