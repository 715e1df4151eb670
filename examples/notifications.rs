//! A service that sends notifications, an auditor with a filter, and a batch listener that adds up totals.
//!
//! ```text
//! cargo run --example notifications
//! cargo run --example notifications -- rabbit://guest:guest@localhost:5672/
//! ```

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use oxlo::{
    Context,
    notify::{
        BatchEndpoint, BatchListener, Body, EventType, Filter, Messaging, NotificationEndpoint, NotificationListener,
        Notifier, Priority, Received, Redaction,
    },
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, Serialize)]
struct Usage {
    tenant: String,
    hours: u32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory://example".to_owned());
    let transport = oxlo::connect(url).await?;

    // The auditor handles what its filter accepts. Its own pool receives every notification.
    let ends_of_instances = Filter::new().publisher_id(r"compute\.")?.event_type(r"compute\.instance\..*\.end$")?;
    let auditor = NotificationListener::builder(transport.clone())
        .pool("auditor")
        .endpoint(NotificationEndpoint::new().filter(ends_of_instances).info(
            async |ctxt: Context, EventType(event): EventType, Body(usage): Body<Usage>| {
                let request = ctxt.get_str("request_id").unwrap_or("?").to_owned();
                println!("audit: {event} for {} by request {request}", usage.tenant);
            },
        ))
        .start()
        .await?;

    // Billing takes batches from the shared queue and adds them up.
    let totals = Arc::new(Mutex::new(BTreeMap::<String, u32>::new()));
    let adding = totals.clone();
    let billing = BatchListener::builder(transport.clone())
        .size(100)
        .timeout(Duration::from_millis(200))
        .endpoint(BatchEndpoint::new().on(Priority::Info, move |batch: Vec<Received<Usage>>| {
            if let Ok(mut totals) = adding.lock() {
                for it in &batch {
                    *totals.entry(it.payload.tenant.clone()).or_default() += it.payload.hours;
                }
            }
            println!("billing: a batch of {}", batch.len());
            async {}
        }))
        .start()
        .await?;

    // The service. Only the request id of the context is sent.
    let notifier = Notifier::builder("compute.host-1")
        .driver(Messaging::new(transport.clone()))
        .redaction(Redaction::keep(["request_id"]))
        .on_lost(|notification, why| eprintln!("lost {}: {why}", notification.message_id))
        .build()?;
    for number in 0..10_u32 {
        let ctxt = Context::new().with("request_id", format!("req-{number}")).with("auth_token", "not sent");
        let tenant = if number % 3 == 0 { "acme" } else { "globex" };
        let event = if number % 5 == 0 { "compute.instance.create.end" } else { "compute.instance.exists" };
        notifier.info(&ctxt, event, Usage { tenant: tenant.to_owned(), hours: number }).await?;
    }
    notifier.close().await?;

    // Everything is confirmed; wait until it is handled.
    let sum = |totals: &BTreeMap<String, u32>| totals.values().sum::<u32>();
    while totals.lock().is_ok_and(|totals| sum(&totals) < 45) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    auditor.stop();
    billing.stop();
    let (audited, billed) = (auditor.wait().await?, billing.wait().await?);
    println!("audited {}, filtered out {}, billed {}", audited.handled, audited.unwanted, billed.handled);
    if let Ok(totals) = totals.lock() {
        println!("totals: {totals:?}");
    }
    transport.close().await;
    Ok(())
}
