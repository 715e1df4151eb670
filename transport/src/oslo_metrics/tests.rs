#![allow(clippy::unwrap_used)]

use std::{
    os::unix::net::UnixDatagram,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Labels, OsloMetrics, OsloMetricsOptions};
use crate::target::Target;

const SOON: Duration = Duration::from_secs(20);

struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn metrics(&self, buffer: usize) -> OsloMetrics {
        let options = OsloMetricsOptions::new().socket(self.folder.path().join("socket"));
        options.process_name("p").buffer_size(buffer).start().unwrap()
    }

    /// Starts a collector at the same path as the previous one.
    fn collector(&self) -> UnixDatagram {
        let path = self.folder.path().join("socket");
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        socket
    }
}

fn next(collector: &UnixDatagram) -> Value {
    let mut datagram = vec![0; 65_565];
    let length = collector.recv(&mut datagram).unwrap();
    serde_json::from_slice(&datagram[..length]).unwrap()
}

fn labels(method: &str) -> Arc<Labels> {
    Arc::new(Labels::client("call", &Target::topic("t").server("s"), "t".into(), method.into()))
}

#[test]
fn datagrams_have_oslos_form() {
    let site = Site::new();
    let (collector, metrics) = (site.collector(), site.metrics(10));
    metrics.began(&labels("m"));
    let told = json!({"call_type": "call", "exchange": null, "topic": "t", "namespace": null, "version": null, "server": "s",
        "fanout": null, "method": "m", "timeout": null, "process": "p"});
    let inc = json!({"value": null, "action": "inc"});
    assert_eq!(
        next(&collector),
        json!({"module": "oslo_messaging", "name": "rpc_client_invocation_start_total", "action": inc, "labels": told})
    );
    metrics.ended(&labels("m"), Duration::from_millis(1500));
    let observed = next(&collector);
    assert_eq!(observed["name"], "rpc_client_processing_seconds");
    assert_eq!(observed["action"], json!({"value": 1.5, "action": "observe"}));
    assert_eq!(next(&collector)["name"], "rpc_client_invocation_end_total");
    metrics.failed(&labels("m"), "KeyError");
    let failed = next(&collector);
    assert_eq!((&failed["name"], &failed["action"]), (&json!("rpc_client_exception_total"), &inc));
    assert_eq!(failed["labels"]["exception"], "KeyError");
}

#[test]
fn without_a_collector_callers_never_wait_and_excess_datagrams_are_counted() {
    let site = Site::new();
    let metrics = site.metrics(8);
    let begun = Instant::now();
    for number in 0..10_000 {
        metrics.began(&labels(&number.to_string()));
    }
    // Sending waits half a second between attempts; reporting must not wait.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let dropped = metrics.dropped();
    // Eight are queued, and the thread holds one.
    assert!((10_000 - 9..=10_000 - 8).contains(&dropped), "{dropped}");
    assert!(!metrics.flush(Duration::from_millis(10)));

    let collector = site.collector();
    for kept in 0..10_000 - dropped {
        let method = next(&collector)["labels"]["method"].as_str().unwrap().parse::<u64>().unwrap();
        // The ninth is the one reported after the thread had taken the first.
        assert!(if kept < 8 { method == kept } else { method > 7 }, "{method} came as number {kept}");
    }
    assert!(metrics.flush(SOON));
    assert_eq!(metrics.dropped(), dropped);
}

#[test]
fn a_restarted_collector_is_found() {
    let site = Site::new();
    let (first, metrics) = (site.collector(), site.metrics(10));
    metrics.began(&labels("one"));
    assert_eq!(next(&first)["labels"]["method"], "one");
    drop(first);
    let second = site.collector();
    metrics.began(&labels("two"));
    assert_eq!(next(&second)["labels"]["method"], "two");
    assert_eq!(metrics.dropped(), 0);
}

#[test]
fn a_datagram_that_the_system_refuses_is_dropped_alone() {
    let site = Site::new();
    let (collector, metrics) = (site.collector(), site.metrics(10));
    metrics.failed(&labels("large"), &"x".repeat(8 << 20));
    metrics.began(&labels("small"));
    assert_eq!(next(&collector)["labels"]["method"], "small");
    assert!(metrics.flush(SOON));
    assert_eq!(metrics.dropped(), 1);
}

#[test]
fn a_collector_that_does_not_read_blocks_no_caller() {
    let site = Site::new();
    let (_collector, metrics) = (site.collector(), site.metrics(4));
    let begun = Instant::now();
    for _ in 0..10_000 {
        metrics.began(&labels("m"));
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(metrics.dropped() > 0);
}

#[test]
fn the_last_handle_ends_the_thread() {
    let site = Site::new();
    let metrics = site.metrics(10);
    metrics.began(&labels("m"));
    let counts = Arc::downgrade(&metrics.counts);
    drop(metrics);
    let begun = Instant::now();
    while counts.strong_count() > 0 {
        assert!(begun.elapsed() < SOON, "the thread waits for a collector that never comes");
        std::thread::sleep(Duration::from_millis(5));
    }
}
