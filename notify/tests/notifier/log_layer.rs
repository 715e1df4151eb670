//! Log records as notifications.

use oxlo_notify::{LogLayer, Notifier, Recorder};
use oxlo_transport::Priority;
use serde_json::{Value, json};
use tracing_subscriber::prelude::*;

#[tokio::test]
async fn a_record_has_the_twelve_fields_that_python_sends() {
    let recorder = Recorder::new();
    let notifier = Notifier::builder("node-1").driver(recorder.clone()).in_flight(1).build().unwrap();
    let subscriber = tracing_subscriber::registry().with(LogLayer::new(notifier.clone()));
    tracing::subscriber::with_default(subscriber, || {
        tracing::warn!(target: "billing::invoice", invoice = 7, late = true, "an invoice of {} is late", "May");
        tracing::error!("broken");
        tracing::trace!("not sent");
        tracing::error!(target: "oxlo_driver_rabbit::connection", "not sent, as it would cause the next");
        tracing::error!(target: "lapin::channel", "not sent either");
    });
    notifier.close().await.unwrap();
    let records = recorder.notifications();
    assert_eq!(records.iter().map(|it| it.priority).collect::<Vec<_>>(), [Priority::Warn, Priority::Error]);
    assert!(records.iter().all(|it| &*it.event_type == "logrecord" && &*it.publisher_id == "node-1"));
    let record: Value = records[0].payload.decode().unwrap();
    let keys: Vec<_> = record.as_object().unwrap().keys().cloned().collect();
    let mut wanted = vec![
        "name",
        "levelno",
        "levelname",
        "exc_info",
        "pathname",
        "lineno",
        "msg",
        "funcName",
        "thread",
        "processName",
        "process",
        "extra",
    ];
    wanted.sort_unstable();
    assert_eq!(keys, wanted);
    assert_eq!(
        (&record["name"], &record["levelno"], &record["levelname"]),
        (&json!("billing::invoice"), &json!(30), &json!("WARNING"))
    );
    assert_eq!(record["msg"], "an invoice of May is late");
    assert_eq!(record["extra"], json!({"invoice": 7, "late": true}));
    assert_eq!(record["process"], std::process::id());
    assert!(record["pathname"].as_str().unwrap().ends_with("log_layer.rs") && record["lineno"].is_u64());
    assert_eq!(records[1].payload.decode::<Value>().unwrap()["extra"], Value::Null);
}
