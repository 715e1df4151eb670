//! What peers send cannot forge lines of the log, nor flood it.

use oxlo_server::{Endpoint, RPCServer};
use oxlo_test_support::{CapturedLog, LogLine, own_process};
use oxlo_transport::{CallOptions, Context, Failure, Payload, Reply, Request, Target, limit};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tracing::Level;

use crate::{
    bus,
    fake::{Fake, target},
};

const FORGED: &str = "x\n2026-11-28T00:00:00Z ERROR sshd: forged \u{1b}[31m\u{202e}";

fn assert_printable(lines: &[LogLine]) {
    for line in lines {
        for text in line.fields.values().chain([&line.message]) {
            assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line:?}");
            assert!(text.len() < 5000, "{line:?}");
        }
    }
}

/// How many lines one place may have logged since then.
fn most(since: std::time::Instant) -> usize {
    let windows = since.elapsed().as_secs() / limit::WINDOW.as_secs() + 2;
    // One more in each: how many were left out.
    (limit::LINES as usize + 1) * usize::try_from(windows).unwrap()
}

#[tokio::test(start_paused = true)]
async fn requests_that_nobody_serves_forge_no_line_and_are_bounded() {
    own_process!(requests_that_nobody_serves_forge_no_line_and_are_bounded);
    let (log, transport) = (CapturedLog::start(), bus().await);
    let endpoint = Endpoint::new("1.0").method("fail", async || Err::<(), _>(Failure::new(FORGED, FORGED, FORGED)));
    let server = RPCServer::builder(transport.clone(), Target::topic("inventory").server("one"))
        .endpoint(endpoint)
        .start()
        .await
        .unwrap();
    let begun = std::time::Instant::now();
    for number in 0..500 {
        for (method, version) in [(FORGED, "1.0"), ("fail", FORGED), ("fail", "1.0")] {
            let mut request = Request::new(method, Payload::empty_object());
            request.context = Context::new().with("request_id", FORGED);
            request.version = Some(version.into());
            request.namespace = (number % 2 == 1).then(|| FORGED.into());
            let reply = transport.call(&Target::topic("inventory"), request, &CallOptions::new()).await.unwrap();
            let Reply::Failure(failure) = reply else { panic!("{reply:?}") };
            assert!(!failure.to_string().contains(char::is_control), "{failure}");
        }
    }
    server.stop();
    server.wait().await.unwrap();
    let told = log.at(Level::WARN);
    for message in ["no endpoint has this method", "no endpoint offers this namespace and version", "the method failed"]
    {
        let lines = told.iter().filter(|line| line.message.contains(message)).count();
        assert!((1..=most(begun)).contains(&lines), "{message}: {lines}");
    }
    assert_printable(&log.lines());
}

#[tokio::test(start_paused = true)]
async fn requests_that_come_too_late_are_warned_of_with_their_number() {
    own_process!(requests_that_come_too_late_are_warned_of_with_their_number);
    const LATE: u64 = 40;
    let (log, fake) = (CapturedLog::start(), Fake::new());
    let endpoint = Endpoint::new("1.0").method("echo", async || Ok::<_, Failure>(()));
    let server = RPCServer::builder(fake.clone(), target()).endpoint(endpoint).start().await.unwrap();
    let late: Vec<_> = (0..LATE).map(|_| fake.request("echo", json!({})).deadline(Instant::now()).send()).collect();
    for late in &late {
        late.until("released", |story| story.released).await;
    }
    // How many were left out is told at the end of the window.
    sleep(2 * limit::WINDOW).await;
    server.stop();
    let report = server.wait().await.unwrap();
    assert_eq!((report.handled, report.dropped_expired), (0, LATE));
    let told: Vec<_> = log.at(Level::WARN).into_iter().filter(|line| line.message.contains("had given up")).collect();
    assert_eq!(told[0].field("method"), "echo", "{told:?}");
    assert!(!told[0].field("topic").is_empty(), "{told:?}");
    let left_out: u64 = told.iter().map(|line| line.field("left_out").parse().unwrap_or(0)).sum();
    let lines = told.iter().filter(|line| !line.message.contains("left out")).count() as u64;
    assert_eq!(lines + left_out, LATE, "{told:?}");
    assert!(left_out > 0, "{told:?}");
}
