//! Timeouts, deadlines and heartbeats.

use std::time::{Duration, Instant};

use oxlo_transport::{
    PendingReply,
    error::TransportError,
    message::Reply,
    options::{CallOptions, SendOptions},
};
use tokio::time::{interval, sleep};

use super::{
    Harness,
    fixture::{PATIENCE, connect, listen, number_of, patient, request, result, take, topic, value_of},
};

/// A call ends within 100 ms after its timeout; the rest is for a machine that has much to do.
const SLACK: Duration = Duration::from_secs(4);

/// Long enough for what the first call of a transport sets up, on a machine that has much to do.
const SHORT: Duration = Duration::from_secs(1);

/// Awaits a call and checks when it ended.
async fn ends_at(call: PendingReply, begun: Instant, timeout: Duration) -> Result<Reply, TransportError> {
    let ended = call.await;
    let took = begun.elapsed();
    assert!(took >= timeout && took < timeout + SLACK, "it took {took:?} instead of {timeout:?}: {ended:?}");
    ended
}

/// A call that is not answered fails as `TimedOut`, not before its timeout and not long after.
pub async fn a_call_ends_at_its_timeout(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut listener = listen(&to.clone().server("server"), &*transport).await;
    let begun = Instant::now();
    let call = transport.start(&to, request(1), &CallOptions::new().with_timeout(SHORT)).await.unwrap();
    let unanswered = take(&mut listener).await;
    let ended = ends_at(call, begun, SHORT).await;
    assert!(matches!(ended, Err(TransportError::TimedOut { waited }) if waited == SHORT), "{ended:?}");
    unanswered.settle.ack();
}

/// A reply that comes after the timeout is dropped: no error for the server that took the trouble, no surprise for the
/// next call.
pub async fn a_late_reply_harms_nobody(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut listener = listen(&to.clone().server("server"), &*transport).await;
    let call = transport.start(&to, request(1), &CallOptions::new().with_timeout(SHORT)).await.unwrap();
    let late = take(&mut listener).await;
    late.settle.ack();
    assert!(matches!(call.await, Err(TransportError::TimedOut { .. })));
    let next = transport.start(&to, request(2), &patient()).await.unwrap();
    late.replier.expect("a call is to be answered").reply(result("late")).await.unwrap();
    let got = take(&mut listener).await;
    got.settle.ack();
    got.replier.expect("a call is to be answered").reply(result("in time")).await.unwrap();
    assert_eq!(value_of::<String>(next.await), "in time");
}

/// A request that waits in its queue until its caller has given up is dropped there.
pub async fn an_expired_request_is_never_delivered(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    if !transport.capabilities().expires_requests {
        return;
    }
    let on = to.clone().server("server");
    listen(&on, &*transport).await.close().await;
    let ended = transport.call(&to, request(1), &CallOptions::new().with_timeout(SHORT)).await;
    assert!(matches!(ended, Err(TransportError::TimedOut { .. })), "{ended:?}");
    // The broker counts from when it read the request, which is later by what it had to do before.
    sleep(SHORT).await;
    transport.cast(&to, request(2), &SendOptions::new()).await.unwrap();
    let mut listener = listen(&on, &*transport).await;
    let got = take(&mut listener).await;
    assert_eq!(number_of(&got.message), 2, "the request of a caller that had given up was delivered");
    got.settle.ack();
}

/// The server can know when its caller stops waiting; for a cast nobody waits.
pub async fn the_deadline_reaches_the_server(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    if !transport.capabilities().expires_requests {
        return;
    }
    let mut listener = listen(&to.clone().server("server"), &*transport).await;
    let before = tokio::time::Instant::now();
    let call = transport.start(&to, request(1), &patient()).await.unwrap();
    let got = take(&mut listener).await;
    let deadline = got.deadline.expect("a call has a deadline");
    // A broker may count from when it got the request.
    assert!(deadline >= before + PATIENCE / 2, "the deadline is {:?} after the call", deadline - before);
    assert!(deadline <= before + PATIENCE + SLACK, "the deadline is {:?} after the call", deadline - before);
    got.settle.ack();
    drop(call);
    transport.cast(&to, request(2), &SendOptions::new()).await.unwrap();
    let got = take(&mut listener).await;
    assert!(got.deadline.is_none());
    got.settle.ack();
}

/// A monitored call outlives its monitor timeout as long as heartbeats come.
pub async fn heartbeats_keep_a_monitored_call_alive(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut listener = listen(&to.clone().server("server"), &*transport).await;
    let monitor = Duration::from_secs(2);
    let call = transport.start(&to, request(1), &patient().with_monitor_timeout(Some(monitor))).await.unwrap();
    let serving = async {
        let got = take(&mut listener).await;
        got.settle.ack();
        let replier = got.replier.expect("a call is to be answered");
        let begun = Instant::now();
        let mut beats = interval(Duration::from_millis(200));
        while begun.elapsed() < monitor + Duration::from_millis(400) {
            beats.tick().await;
            replier.heartbeat().await.unwrap();
        }
        replier.reply(result("done")).await.unwrap();
    };
    // Together, so that the caller would notice a silence.
    let (ended, ()) = tokio::join!(call, serving);
    assert_eq!(value_of::<String>(ended), "done");
}

/// Heartbeats say that the server lives, they do not give it more time.
pub async fn heartbeats_never_extend_the_timeout(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut listener = listen(&to.clone().server("server"), &*transport).await;
    let timeout = Duration::from_millis(1500);
    let options = CallOptions::new().with_timeout(timeout).with_monitor_timeout(Some(Duration::from_secs(2)));
    let begun = Instant::now();
    let call = transport.start(&to, request(1), &options).await.unwrap();
    let got = take(&mut listener).await;
    got.settle.ack();
    let replier = got.replier.expect("a call is to be answered");
    let beating = async {
        let mut beats = interval(Duration::from_millis(100));
        loop {
            beats.tick().await;
            // Towards the end the caller may be gone, which is no concern of this case.
            let _ = replier.heartbeat().await;
        }
    };
    tokio::select! {
        ended = ends_at(call, begun, timeout) => {
            assert!(matches!(ended, Err(TransportError::TimedOut { .. })), "{ended:?}");
        }
        () = beating => {}
    }
}

/// A monitored call whose server sends no heartbeat fails as `ServerSilent` after the monitor timeout.
pub async fn a_silent_server_fails_a_monitored_call(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut listener = listen(&to.clone().server("server"), &*transport).await;
    let monitor = Duration::from_secs(1);
    let begun = Instant::now();
    let call = transport.start(&to, request(1), &patient().with_monitor_timeout(Some(monitor))).await.unwrap();
    let silent = take(&mut listener).await;
    silent.settle.ack();
    let ended = ends_at(call, begun, monitor).await;
    assert!(matches!(ended, Err(TransportError::ServerSilent { silence }) if silence == monitor), "{ended:?}");
    sleep(Duration::from_millis(1)).await;
    drop(silent.replier);
}

/// Heartbeats are asked for every half of the monitor timeout, in whole seconds of it, and not below one second: as
/// oslo reckons. Without a monitor timeout none are.
pub async fn the_server_learns_the_heartbeat_interval(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut listener = listen(&to.clone().server("server"), &*transport).await;
    for (monitor, wanted) in [(None, None), (Some(1), None), (Some(2), Some(1000)), (Some(3), Some(1500))] {
        let options = patient().with_monitor_timeout(monitor.map(Duration::from_secs));
        let call = transport.start(&to, request(1), &options).await.unwrap();
        let got = take(&mut listener).await;
        got.settle.ack();
        let replier = got.replier.expect("a call is to be answered");
        assert_eq!(replier.heartbeat_interval(), wanted.map(Duration::from_millis), "for {monitor:?}");
        replier.reply(result("done")).await.unwrap();
        assert_eq!(value_of::<String>(call.await), "done");
    }
}
