//! The measuring loop that every Rust client runs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::{
    peers::Client,
    worker::{Order, Outcome},
};

/// The number of significant digits of recorded latencies.
const DIGITS: u8 = 3;

/// The initial capacity for latencies, across all tasks.
const ROOM: usize = 1 << 18;

pub(crate) async fn drive<C: Client>(client: &C, order: Order) -> anyhow::Result<Outcome> {
    let text: Arc<str> = "x".repeat(order.text).into();
    let begun = Instant::now();
    let end = begun + Duration::from_secs_f64(order.seconds);
    let mut tasks = JoinSet::new();
    for _ in 0..order.tasks {
        let (client, text) = (client.clone(), text.clone());
        tasks.spawn(async move {
            // A histogram per task, or unused capacity, would cost more than the measured calls.
            let mut latencies = Vec::with_capacity((ROOM / order.tasks.max(1)).clamp(16, 4096));
            let mut errors = 0;
            let mut start = Instant::now();
            while start < end {
                let outcome = if order.cast { client.cast(&text).await } else { client.call(&text).await };
                let now = Instant::now();
                match outcome {
                    Ok(()) => latencies.push(micros(now - start)),
                    Err(error) => {
                        if errors == 0 {
                            eprintln!("{error:#}");
                        }
                        errors += 1;
                    }
                }
                start = now;
            }
            anyhow::Ok((latencies, errors))
        });
    }
    let mut all = Histogram::<u64>::new(DIGITS)?;
    let mut errors = 0;
    while let Some(ended) = tasks.join_next().await {
        let (latencies, failed) = ended??;
        for latency in latencies {
            all.record(latency)?;
        }
        errors += failed;
    }
    Ok(Outcome {
        count: all.len(),
        errors,
        seconds: begun.elapsed().as_secs_f64(),
        latencies: all.iter_recorded().map(|value| (value.value_iterated_to(), value.count_at_value())).collect(),
    })
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).max(1)
}
