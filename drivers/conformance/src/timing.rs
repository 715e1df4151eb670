//! Timeouts, deadlines and heartbeats.

use std::time::{Duration, Instant};

use oxlo_transport::{CallOptions, PendingReply, Reply, SendOptions, TransportError};
use tokio::time::{interval, sleep};

use super::{
    Harness,
    fixture::{TIMEOUT, call_options, connect, listen, number_of, request, result, take, topic, value_of},
};

/// A call ends within 100 ms after its timeout; the rest is slack for a busy machine.
const SLACK: Duration = Duration::from_secs(4);

/// Long enough for the setup of a transport's first call on a busy machine.
const SHORT: Duration = Duration::from_secs(1);

/// Awaits a call and checks when it ended.
async fn ends_at(call: PendingReply, begun: Instant, timeout: Duration) -> Result<Reply, TransportError> {
    let ended = call.await;
    let took = begun.elapsed();
    assert!(took >= timeout && took < timeout + SLACK, "took {took:?} instead of {timeout:?}: {ended:?}");
    ended
}

/// A call without a reply fails as `TimedOut`, not before its timeout and shortly after.
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

/// A reply after the timeout is dropped: it is no error for the server, and does not affect the next call.
pub async fn a_late_reply_harms_nobody(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut listener = listen(&to.clone().server("server"), &*transport).await;
    let call = transport.start(&to, request(1), &CallOptions::new().with_timeout(SHORT)).await.unwrap();
    let late = take(&mut listener).await;
    late.settle.ack();
    assert!(matches!(call.await, Err(TransportError::TimedOut { .. })));
    let next = transport.start(&to, request(2), &call_options()).await.unwrap();
    late.replier.expect("a call has a replier").reply(result("late")).await.unwrap();
    let got = take(&mut listener).await;
    got.settle.ack();
    got.replier.expect("a call has a replier").reply(result("in time")).await.unwrap();
    assert_eq!(value_of::<String>(next.await), "in time");
}

/// A request that is still in its queue when its caller times out is dropped there.
pub async fn an_expired_request_is_never_delivered(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    if !transport.capabilities().expires_requests {
        return;
    }
    let on = to.clone().server("server");
    listen(&on, &*transport).await.close().await;
    let ended = transport.call(&to, request(1), &CallOptions::new().with_timeout(SHORT)).await;
    assert!(matches!(ended, Err(TransportError::TimedOut { .. })), "{ended:?}");
    // The broker counts from the moment it read the request.
    sleep(SHORT).await;
    transport.cast(&to, request(2), &SendOptions::new()).await.unwrap();
    let mut listener = listen(&on, &*transport).await;
    let got = take(&mut listener).await;
    assert_eq!(number_of(&got.message), 2, "an expired request was delivered");
    got.settle.ack();
}

/// The server learns when its caller stops waiting; a cast has no deadline.
pub async fn the_deadline_reaches_the_server(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    if !transport.capabilities().expires_requests {
        return;
    }
    let mut listener = listen(&to.clone().server("server"), &*transport).await;
    let before = tokio::time::Instant::now();
    let call = transport.start(&to, request(1), &call_options()).await.unwrap();
    let got = take(&mut listener).await;
    let deadline = got.deadline.expect("a call has a deadline");
    // A broker may count from the moment it received the request.
    assert!(deadline >= before + TIMEOUT / 2, "the deadline is {:?} after the call", deadline - before);
    assert!(deadline <= before + TIMEOUT + SLACK, "the deadline is {:?} after the call", deadline - before);
    got.settle.ack();
    drop(call);
    transport.cast(&to, request(2), &SendOptions::new()).await.unwrap();
    let got = take(&mut listener).await;
    assert!(got.deadline.is_none());
    got.settle.ack();
}

/// A monitored call outlives its monitor timeout as long as heartbeats arrive.
pub async fn heartbeats_keep_a_monitored_call_alive(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut listener = listen(&to.clone().server("server"), &*transport).await;
    let monitor = Duration::from_secs(2);
    let call = transport.start(&to, request(1), &call_options().with_monitor_timeout(Some(monitor))).await.unwrap();
    let serving = async {
        let got = take(&mut listener).await;
        got.settle.ack();
        let replier = got.replier.expect("a call has a replier");
        let begun = Instant::now();
        let mut beats = interval(Duration::from_millis(200));
        while begun.elapsed() < monitor + Duration::from_millis(400) {
            beats.tick().await;
            replier.heartbeat().await.unwrap();
        }
        replier.reply(result("done")).await.unwrap();
    };
    // Concurrently, so that the caller would detect silence.
    let (ended, ()) = tokio::join!(call, serving);
    assert_eq!(value_of::<String>(ended), "done");
}

/// Heartbeats show that the server is alive, but do not extend the timeout.
pub async fn heartbeats_never_extend_the_timeout(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut listener = listen(&to.clone().server("server"), &*transport).await;
    let timeout = Duration::from_millis(1500);
    let options = CallOptions::new().with_timeout(timeout).with_monitor_timeout(Some(Duration::from_secs(2)));
    let begun = Instant::now();
    let call = transport.start(&to, request(1), &options).await.unwrap();
    let got = take(&mut listener).await;
    got.settle.ack();
    let replier = got.replier.expect("a call has a replier");
    let beating = async {
        let mut beats = interval(Duration::from_millis(100));
        loop {
            beats.tick().await;
            // At the end the caller may no longer wait, which this case ignores.
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
    let call = transport.start(&to, request(1), &call_options().with_monitor_timeout(Some(monitor))).await.unwrap();
    let silent = take(&mut listener).await;
    silent.settle.ack();
    let ended = ends_at(call, begun, monitor).await;
    assert!(matches!(ended, Err(TransportError::ServerSilent { silence }) if silence == monitor), "{ended:?}");
    sleep(Duration::from_millis(1)).await;
    drop(silent.replier);
}

/// The heartbeat interval is half of the monitor timeout in whole seconds, and at least one second, as in oslo. Without a
/// monitor timeout there are no heartbeats.
pub async fn the_server_learns_the_heartbeat_interval(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut listener = listen(&to.clone().server("server"), &*transport).await;
    for (monitor, wanted) in [(None, None), (Some(1), None), (Some(2), Some(1000)), (Some(3), Some(1500))] {
        let options = call_options().with_monitor_timeout(monitor.map(Duration::from_secs));
        let call = transport.start(&to, request(1), &options).await.unwrap();
        let got = take(&mut listener).await;
        got.settle.ack();
        let replier = got.replier.expect("a call has a replier");
        assert_eq!(replier.heartbeat_interval(), wanted.map(Duration::from_millis), "for {monitor:?}");
        replier.reply(result("done")).await.unwrap();
        assert_eq!(value_of::<String>(call.await), "done");
    }
}
