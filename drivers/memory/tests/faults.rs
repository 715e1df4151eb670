//! What the scripted faults do, under a paused clock.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{sync::Arc, time::Duration};

use oxlo_driver_memory::{Fault, MemoryBus, MemoryTransport, Traffic};
use oxlo_transport::{
    CallOptions, ConnectionState, Delivery, ListenOptions, Listener, Notification, NotificationFormat, Payload,
    Priority, Reply, Request, Retry, SendOptions, Settings, Target, Transport, TransportError,
};
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// A bus with a client and a server, which the faults know by these names.
struct Stage {
    bus: MemoryBus,
    client: Arc<MemoryTransport>,
    server: MemoryTransport,
    listener: Box<dyn Listener<Request>>,
    to: Target,
}

impl Stage {
    async fn new(name: &str) -> Self {
        let bus = MemoryBus::named(name);
        let client = Arc::new(bus.connect(Some("client"), Settings::default()));
        let server = bus.connect(Some("server"), Settings::default());
        let to = Target::topic("topic");
        let listener = server.listen(&to.clone().server("server"), &ListenOptions::new()).await.unwrap();
        Self { bus, client, server, listener, to }
    }

    async fn cast(&self, number: u32) -> Result<(), TransportError> {
        self.client.cast(&self.to, request(number), &SendOptions::new().with_timeout(10 * SECOND)).await
    }

    /// Makes a call in a task of its own.
    fn call(&self, number: u32, options: CallOptions) -> tokio::task::JoinHandle<Result<Reply, TransportError>> {
        let (client, to) = (self.client.clone(), self.to.clone());
        tokio::spawn(async move { client.call(&to, request(number), &options).await })
    }

    async fn take(&mut self) -> Delivery<Request> {
        timeout(60 * SECOND, self.listener.recv()).await.expect("no request came").unwrap()
    }

    async fn nothing_comes(&mut self) {
        assert!(timeout(60 * SECOND, self.listener.recv()).await.is_err(), "a request came");
    }

    fn assert_baseline(&self) {
        let load = self.bus.load();
        assert_eq!((load.calls, load.waiting, load.unsettled), (0, 0, 0));
        assert_eq!(self.bus.faults().outstanding(), 0);
    }
}

fn request(number: u32) -> Request {
    Request::new("method", Payload::encode(&[number]).unwrap())
}

fn number(delivery: &Delivery<Request>) -> u32 {
    let [number] = delivery.message.args.decode().unwrap();
    number
}

fn done() -> Reply {
    Reply::Result(Payload::null())
}

async fn answer(delivery: Delivery<Request>) -> Result<(), TransportError> {
    delivery.settle.ack();
    delivery.replier.unwrap().reply(done()).await
}

fn patient() -> CallOptions {
    CallOptions::new().with_timeout(10 * SECOND)
}

#[tokio::test(start_paused = true)]
async fn dropped_requests_are_lost_in_silence() {
    let mut stage = Stage::new("drop-requests").await;
    stage.bus.faults().inject(Traffic::Requests, 2, Fault::Drop);
    for number in 0..3 {
        stage.cast(number).await.unwrap();
    }
    let got = stage.take().await;
    assert_eq!(number(&got), 2);
    got.settle.ack();
    stage.assert_baseline();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_reply_leaves_the_caller_to_its_timeout() {
    let mut stage = Stage::new("drop-reply").await;
    stage.bus.faults().inject(Traffic::Replies, 1, Fault::Drop);
    let (call, begun) = (stage.call(0, patient()), Instant::now());
    answer(stage.take().await).await.unwrap();
    let ended = call.await.unwrap();
    assert!(matches!(ended, Err(TransportError::TimedOut { .. })), "{ended:?}");
    assert_eq!(begun.elapsed(), 10 * SECOND);
    stage.assert_baseline();
}

#[tokio::test(start_paused = true)]
async fn dropped_heartbeats_make_a_server_seem_silent() {
    let mut stage = Stage::new("drop-heartbeats").await;
    stage.bus.faults().inject(Traffic::Heartbeats, 2, Fault::Drop);
    let call = stage.call(0, patient().with_monitor_timeout(Some(2 * SECOND)));
    let got = stage.take().await;
    let replier = got.replier.unwrap();
    got.settle.ack();
    for _ in 0..2 {
        sleep(replier.heartbeat_interval().unwrap()).await;
        replier.heartbeat().await.unwrap();
    }
    let ended = call.await.unwrap();
    assert!(matches!(ended, Err(TransportError::ServerSilent { .. })), "{ended:?}");
    stage.assert_baseline();
}

#[tokio::test(start_paused = true)]
async fn duplicates_are_handed_out_once_also_to_several_listeners_of_a_transport() {
    let mut stage = Stage::new("duplicates").await;
    let on = stage.to.clone().server("second");
    let mut second = stage.server.listen(&on, &ListenOptions::new()).await.unwrap();
    stage.bus.faults().inject(Traffic::All, 2, Fault::Duplicate);
    stage.cast(0).await.unwrap();
    stage.client.cast(&stage.to.clone().fanout(true), request(1), &SendOptions::new()).await.unwrap();
    let first = stage.take().await;
    assert_eq!(number(&first), 0);
    first.settle.ack();
    // The fanout's copies for different servers are no duplicates; the one more for each is.
    for listener in [&mut stage.listener, &mut second] {
        let got = timeout(SECOND, listener.recv()).await.unwrap().unwrap();
        assert_eq!(number(&got), 1);
        got.settle.ack();
        assert!(timeout(SECOND, listener.recv()).await.is_err());
    }
    stage.assert_baseline();
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_that_was_requeued_is_handed_out_again() {
    let mut stage = Stage::new("duplicate-requeued").await;
    stage.cast(0).await.unwrap();
    for redelivered in [false, true, true] {
        let got = stage.take().await;
        assert_eq!(got.redelivered, redelivered);
        got.settle.requeue();
    }
    stage.take().await.settle.ack();
    stage.assert_baseline();
}

#[tokio::test(start_paused = true)]
async fn a_duplicated_reply_finds_one_caller() {
    let mut stage = Stage::new("duplicate-reply").await;
    stage.bus.faults().inject(Traffic::Replies, 1, Fault::Duplicate);
    let call = stage.call(0, patient());
    answer(stage.take().await).await.unwrap();
    assert_eq!(call.await.unwrap().unwrap(), done());
    stage.assert_baseline();
}

#[tokio::test(start_paused = true)]
async fn delayed_messages_come_late_and_their_publisher_waits() {
    let mut stage = Stage::new("delay").await;
    stage.bus.faults().inject(Traffic::Requests, 1, Fault::Delay(3 * SECOND));
    stage.bus.faults().inject(Traffic::Replies, 1, Fault::Delay(4 * SECOND));
    let (call, begun) = (stage.call(0, patient()), Instant::now());
    let got = stage.take().await;
    assert_eq!(begun.elapsed(), 3 * SECOND);
    answer(got).await.unwrap();
    assert_eq!(begun.elapsed(), 7 * SECOND);
    assert!(call.await.unwrap().is_ok());
    stage.assert_baseline();
}

#[tokio::test(start_paused = true)]
async fn a_delay_beyond_the_timeout_ends_the_call_and_the_request_never_runs() {
    let mut stage = Stage::new("delay-too-long").await;
    stage.bus.faults().inject(Traffic::Requests, 1, Fault::Delay(60 * SECOND));
    let begun = Instant::now();
    let ended = stage.call(0, patient()).await.unwrap();
    assert!(matches!(ended, Err(TransportError::Unconfirmed { waited }) if waited == 10 * SECOND), "{ended:?}");
    assert_eq!(begun.elapsed(), 10 * SECOND);
    stage.nothing_comes().await;
    stage.assert_baseline();
}

#[tokio::test(start_paused = true)]
async fn a_reply_delayed_beyond_the_timeout_is_lost() {
    let mut stage = Stage::new("delay-reply").await;
    stage.bus.faults().inject(Traffic::Replies, 1, Fault::Delay(11 * SECOND));
    let call = stage.call(0, patient());
    let got = stage.take().await;
    let told = answer(got).await;
    assert!(matches!(told, Err(TransportError::Unconfirmed { .. })), "{told:?}");
    assert!(matches!(call.await.unwrap(), Err(TransportError::TimedOut { .. })));
    stage.assert_baseline();
}

#[tokio::test(start_paused = true)]
async fn refused_messages_say_so() {
    let mut stage = Stage::new("reject").await;
    stage.bus.faults().inject(Traffic::Requests, 1, Fault::Reject);
    let ended = stage.cast(0).await;
    assert!(matches!(&ended, Err(TransportError::Rejected { routing_key, .. }) if routing_key == "topic"), "{ended:?}");
    stage.bus.faults().inject(Traffic::Replies, 1, Fault::Reject);
    let call = stage.call(1, patient());
    let told = answer(stage.take().await).await;
    assert!(matches!(told, Err(TransportError::Rejected { .. })), "{told:?}");
    assert!(matches!(call.await.unwrap(), Err(TransportError::TimedOut { .. })));
    stage.assert_baseline();
}

#[tokio::test(start_paused = true)]
async fn a_lost_confirm_is_an_unknown_outcome_and_the_message_runs() {
    let mut stage = Stage::new("lose-confirm").await;
    stage.bus.faults().inject(Traffic::Requests, 1, Fault::LoseConfirm);
    let ended = stage.cast(0).await.unwrap_err();
    assert!(matches!(ended, TransportError::ConnectionLost { .. }) && ended.may_have_run(), "{ended:?}");
    let got = stage.take().await;
    assert_eq!(number(&got), 0);
    got.settle.ack();
    stage.assert_baseline();
}

#[tokio::test(start_paused = true)]
async fn cleared_faults_do_not_happen() {
    let mut stage = Stage::new("clear").await;
    stage.bus.faults().inject(Traffic::All, 5, Fault::Drop);
    assert_eq!(stage.bus.faults().outstanding(), 5);
    stage.bus.faults().clear();
    stage.cast(0).await.unwrap();
    stage.take().await.settle.ack();
    stage.assert_baseline();
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_was_stopped_while_disconnected_takes_nothing_more() {
    let mut stage = Stage::new("stop-disconnected").await;
    let faults = stage.bus.faults();
    assert_eq!(faults.disconnect("server", "cable pulled"), 1);
    stage.listener.stop().await;
    assert_eq!(faults.reconnect("server"), 1);
    stage.cast(7).await.unwrap();
    assert!(!stage.listener.is_subscribed());
    assert!(matches!(stage.listener.recv().await, Err(TransportError::Closed)));
    let other = stage.bus.connect(Some("other"), Settings::default());
    let mut listener = other.listen(&stage.to.clone().server("other"), &ListenOptions::new()).await.unwrap();
    let got = listener.recv().await.unwrap();
    assert_eq!((number(&got), got.redelivered), (7, false));
    got.settle.ack();
}

#[tokio::test(start_paused = true)]
async fn a_disconnected_client_waits_or_fails_as_its_options_say() {
    let mut stage = Stage::new("disconnect-client").await;
    let faults = stage.bus.faults();
    assert_eq!(faults.disconnect("nobody", "no reason"), 0);
    assert_eq!(faults.disconnect("client", "cable pulled"), 1);
    assert_eq!(*stage.client.state().borrow(), ConnectionState::Disconnected("cable pulled".into()));
    assert_eq!(*stage.server.state().borrow(), ConnectionState::Connected);

    // Attempts that are counted: none more, or some, a moment apart.
    for (times, takes) in [(0, Duration::ZERO), (3, 3 * SECOND / 10)] {
        let begun = Instant::now();
        let options = SendOptions::new().with_retry(Retry::Times(times));
        let ended = stage.client.cast(&stage.to, request(0), &options).await.unwrap_err();
        assert!(matches!(ended, TransportError::Unreachable { .. }) && !ended.may_have_run(), "{ended:?}");
        assert_eq!(std::error::Error::source(&ended).unwrap().to_string(), "cable pulled");
        assert_eq!(begun.elapsed(), takes);
    }

    // Without end, but within the timeout.
    let begun = Instant::now();
    let ended = stage.call(1, patient()).await.unwrap();
    assert!(matches!(&ended, Err(TransportError::Unreachable { waited, .. }) if *waited == 10 * SECOND), "{ended:?}");
    assert_eq!(begun.elapsed(), 10 * SECOND);

    // And until it is back.
    let call = stage.call(2, patient());
    sleep(5 * SECOND).await;
    assert_eq!(faults.reconnect("client"), 1);
    assert_eq!(*stage.client.state().borrow(), ConnectionState::Connected);
    let got = stage.take().await;
    assert_eq!(number(&got), 2, "what failed was never sent");
    answer(got).await.unwrap();
    assert!(call.await.unwrap().is_ok());
    stage.assert_baseline();
}

#[tokio::test(start_paused = true)]
async fn a_message_in_flight_is_lost_with_its_connection() {
    let mut stage = Stage::new("disconnect-in-flight").await;
    stage.bus.faults().inject(Traffic::Requests, 1, Fault::Delay(5 * SECOND));
    let call = stage.call(0, patient());
    sleep(SECOND).await;
    stage.bus.faults().disconnect("client", "cable pulled");
    let ended = call.await.unwrap();
    assert!(matches!(ended, Err(TransportError::ConnectionLost { .. })), "{ended:?}");
    stage.bus.faults().reconnect_all();
    stage.nothing_comes().await;
    stage.assert_baseline();
}

#[tokio::test(start_paused = true)]
async fn a_reply_waits_for_its_caller_to_come_back() {
    let mut stage = Stage::new("disconnect-caller").await;
    let call = stage.call(0, patient());
    let got = stage.take().await;
    stage.bus.faults().disconnect("client", "cable pulled");
    answer(got).await.unwrap();
    sleep(5 * SECOND).await;
    assert!(!call.is_finished());
    stage.bus.faults().reconnect("client");
    assert_eq!(call.await.unwrap().unwrap(), done());
    stage.assert_baseline();
}

#[tokio::test(start_paused = true)]
async fn a_disconnected_server_replies_when_it_is_back_or_gives_up_with_its_caller() {
    let mut stage = Stage::new("disconnect-replier").await;
    for (outage, answered) in [(5 * SECOND, true), (15 * SECOND, false)] {
        let call = stage.call(0, patient());
        let got = stage.take().await;
        got.settle.ack();
        stage.bus.faults().disconnect("server", "cable pulled");
        let telling = tokio::spawn(got.replier.unwrap().reply(done()));
        sleep(outage).await;
        stage.bus.faults().reconnect("server");
        let (told, ended) = (telling.await.unwrap(), call.await.unwrap());
        assert_eq!((told.is_ok(), ended.is_ok()), (answered, answered), "{told:?}, {ended:?}");
    }
    stage.assert_baseline();
}

#[tokio::test(start_paused = true)]
async fn what_a_lost_server_held_is_redelivered() {
    let mut stage = Stage::new("disconnect-server").await;
    let other = stage.bus.connect(Some("other"), Settings::default());
    for number in 0..3 {
        stage.cast(number).await.unwrap();
    }
    let unsettled = stage.take().await;
    stage.bus.faults().disconnect("server", "cable pulled");
    assert!(!stage.listener.is_subscribed());
    let mut second = other.listen(&stage.to.clone().server("other"), &ListenOptions::new()).await.unwrap();
    let mut got = Vec::new();
    for _ in 0..3 {
        let delivery = timeout(SECOND, second.recv()).await.unwrap().unwrap();
        got.push((number(&delivery), delivery.redelivered));
        delivery.settle.ack();
    }
    assert_eq!(got, [(0, true), (1, false), (2, false)]);
    unsettled.settle.requeue();
    drop(second);
    stage.bus.faults().reconnect("server");
    assert!(stage.listener.is_subscribed());
    stage.cast(3).await.unwrap();
    let got = stage.take().await;
    assert_eq!(number(&got), 3, "the late requeue had no effect, and the listener is subscribed again");
    got.settle.ack();
    stage.assert_baseline();
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_that_was_too_late_still_counts() {
    let mut stage = Stage::new("late-ack").await;
    stage.cast(0).await.unwrap();
    let (handled, faults) = (stage.take().await, stage.bus.faults());
    faults.disconnect("server", "cable pulled");
    handled.settle.ack();
    faults.reconnect("server");
    stage.nothing_comes().await;
    stage.assert_baseline();
}

#[tokio::test(start_paused = true)]
async fn unsettled_messages_come_again_after_a_reconnect() {
    let mut stage = Stage::new("redelivered-to-self").await;
    stage.cast(0).await.unwrap();
    let interrupted = stage.take().await;
    stage.bus.faults().disconnect_all("broker restarted");
    stage.bus.faults().reconnect_all();
    let again = stage.take().await;
    assert_eq!((number(&again), again.redelivered), (0, true));
    again.settle.ack();
    drop(interrupted);
    stage.nothing_comes().await;
    stage.assert_baseline();
}

#[tokio::test(start_paused = true)]
async fn listening_waits_for_the_connection_within_the_response_timeout() {
    let stage = Stage::new("listen-disconnected").await;
    stage.bus.faults().disconnect("client", "cable pulled");
    let (begun, on) = (Instant::now(), stage.to.clone().server("late"));
    let ended = stage.client.listen(&on, &ListenOptions::new()).await;
    assert!(matches!(ended, Err(TransportError::Unreachable { .. })), "{ended:?}");
    assert_eq!(begun.elapsed(), 60 * SECOND);
    let faults = stage.bus.faults();
    let options = ListenOptions::new();
    let (listener, ()) = tokio::join!(stage.client.listen(&on, &options), async {
        sleep(SECOND).await;
        faults.reconnect("client");
    });
    assert!(listener.unwrap().is_subscribed());
}

#[tokio::test(start_paused = true)]
async fn blocked_publishers_wait_then_fail_and_never_run_later() {
    let mut stage = Stage::new("block").await;
    let faults = stage.bus.faults();
    faults.block("low on memory");
    for transport in [&*stage.client, &stage.server] {
        assert_eq!(*transport.state().borrow(), ConnectionState::Blocked("low on memory".into()));
    }
    let begun = Instant::now();
    let ended = stage.call(0, patient().with_retry(Retry::Times(0))).await.unwrap();
    assert!(
        matches!(&ended, Err(TransportError::Blocked { reason, waited })
            if reason == "low on memory" && *waited == 10 * SECOND),
        "{ended:?}"
    );
    assert_eq!(begun.elapsed(), 10 * SECOND);
    assert!(matches!(stage.cast(1).await, Err(TransportError::Blocked { .. })));
    assert!(stage.listener.is_subscribed(), "listening goes on");

    let call = stage.call(2, patient());
    sleep(5 * SECOND).await;
    faults.unblock();
    let got = stage.take().await;
    assert_eq!(number(&got), 2);
    answer(got).await.unwrap();
    assert!(call.await.unwrap().is_ok());
    assert_eq!(*stage.client.state().borrow(), ConnectionState::Connected);
    stage.assert_baseline();
}

#[tokio::test(start_paused = true)]
async fn being_cut_off_hides_an_alarm_until_the_connection_is_back() {
    let stage = Stage::new("block-and-disconnect").await;
    let (faults, state) = (stage.bus.faults(), stage.client.state());
    faults.disconnect("client", "cable pulled");
    faults.block("low on disk");
    assert_eq!(*state.borrow(), ConnectionState::Disconnected("cable pulled".into()));
    faults.reconnect("client");
    assert_eq!(*state.borrow(), ConnectionState::Blocked("low on disk".into()));
    let newcomer = stage.bus.connect(None, Settings::default());
    assert_eq!(*newcomer.state().borrow(), ConnectionState::Blocked("low on disk".into()));
    stage.client.close().await;
    faults.unblock();
    assert_eq!(*state.borrow(), ConnectionState::Closed);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_what_waits_for_a_connection() {
    let stage = Stage::new("close-while-waiting").await;
    stage.bus.faults().disconnect("client", "cable pulled");
    let call = stage.call(0, patient());
    sleep(SECOND).await;
    stage.client.close().await;
    let ended = call.await.unwrap();
    assert!(matches!(ended, Err(TransportError::Closed)), "{ended:?}");
    stage.assert_baseline();
}

#[tokio::test(start_paused = true)]
async fn notifications_have_faults_of_their_own() {
    let stage = Stage::new("notifications").await;
    let on = [(stage.to.clone(), Priority::Info)];
    let mut listener = stage.server.listen_for_notifications(&on, None, &ListenOptions::new()).await.unwrap();
    stage.bus.faults().inject(Traffic::Notifications, 1, Fault::Drop);
    stage.bus.faults().inject(Traffic::Notifications, 1, Fault::Duplicate);
    for number in 0..2 {
        let notification = Notification {
            context: oxlo_transport::Context::new(),
            message_id: "id".into(),
            publisher_id: "publisher".into(),
            event_type: "event".into(),
            priority: Priority::Info,
            payload: Payload::encode(&number).unwrap(),
            timestamp: "2026-01-02 03:04:05".into(),
            format: NotificationFormat::V2,
        };
        stage.client.notify(&stage.to, notification, &SendOptions::new()).await.unwrap();
    }
    let got = timeout(SECOND, listener.recv()).await.unwrap().unwrap();
    assert_eq!(got.message.payload.decode::<i32>().unwrap(), 1);
    got.settle.ack();
    assert!(timeout(SECOND, listener.recv()).await.is_err());
    stage.assert_baseline();
}
