//! What is particular to `memory://`: its URL, its buses, and what is left behind.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use oxlo_driver_memory::{MemoryBus, MemoryDriver};
use oxlo_transport::{
    CallOptions, ListenOptions, Payload, Registry, Reply, Request, SendOptions, Settings, Target, Transport,
    TransportError,
};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

fn request() -> Request {
    Request::new("method", Payload::empty_object())
}

#[tokio::test]
async fn what_a_url_may_say() {
    let drivers = Registry::new().with(MemoryDriver);
    for good in ["memory://", "memory://url-test", "memory://url-test?name=alice", "memory://url-test/"] {
        drivers.transport(good).connect().await.expect(good);
    }
    let bad = [
        ("memory://bus/vhost", "virtual_host"),
        ("memory://bus:5672", "port"),
        ("memory://user:secret@bus", "credentials"),
        ("memory://one,two", "hosts"),
        ("memory://bus?nmae=alice", "nmae"),
    ];
    for (url, wanted) in bad {
        let error = drivers.transport(url).connect().await.unwrap_err();
        assert!(matches!(&error, TransportError::Config { option, .. } if option == wanted), "{url}: {error}");
        assert!(!error.to_string().contains("secret"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_bus_is_shared_by_name_and_goes_with_its_last_user() {
    let drivers = Registry::new().with(MemoryDriver);
    let one = drivers.transport("memory://lifetime").connect().await.unwrap();
    let bus = MemoryBus::named("lifetime");
    assert_eq!((bus.name(), bus.load().transports), ("lifetime", 1));
    let elsewhere = drivers.transport("memory://lifetime-2").connect().await.unwrap();
    assert_eq!(bus.load().transports, 1);
    let to = Target::topic("topic");
    let mandatory = SendOptions::new().with_mandatory(true);
    drop(one.listen(&to.clone().server("server"), &ListenOptions::new()).await.unwrap());
    one.cast(&to, request(), &mandatory).await.unwrap();
    let ended = elsewhere.cast(&to, request(), &mandatory).await;
    assert!(matches!(ended, Err(TransportError::Undeliverable { .. })), "{ended:?}");
    assert_eq!(bus.load().waiting, 1);
    drop((one, bus));
    let again = MemoryBus::named("lifetime");
    assert_eq!(again.load(), oxlo_driver_memory::Load::default());
}

#[tokio::test(start_paused = true)]
async fn a_transport_stays_open_for_what_it_handed_out() {
    let bus = MemoryBus::named("handed-out");
    let (client, server) = (bus.connect(None, Settings::default()), bus.connect(None, Settings::default()));
    let to = Target::topic("topic");
    let mut listener = server.listen(&to.clone().server("server"), &ListenOptions::new()).await.unwrap();
    drop(server);
    let call = client.start(&to, request(), &CallOptions::new()).await.unwrap();
    let got = listener.recv().await.unwrap();
    drop(listener);
    got.replier.unwrap().reply(Reply::Result(Payload::null())).await.unwrap();
    assert_eq!(call.await.unwrap(), Reply::Result(Payload::null()));
    assert_eq!((bus.load().transports, bus.load().unsettled), (2, 1));
    got.settle.ack();
    assert_eq!((bus.load().transports, bus.load().unsettled), (1, 0));
    drop(client);
    assert_eq!(bus.load(), oxlo_driver_memory::Load::default());
}

#[tokio::test(start_paused = true)]
async fn dropped_calls_leave_nothing_pending() {
    let bus = MemoryBus::named("dropped-calls");
    let transport = bus.connect(None, Settings::default());
    let to = Target::topic("topic");
    let mut listener = transport.listen(&to.clone().server("server"), &ListenOptions::new()).await.unwrap();
    for _ in 0..1000 {
        let options = CallOptions::new();
        let call = transport.call(&to, request(), &options);
        assert!(timeout(Duration::from_millis(1), call).await.is_err());
        let got = listener.recv().await.unwrap();
        got.settle.ack();
        got.replier.unwrap().reply(Reply::Result(Payload::null())).await.unwrap();
    }
    let load = bus.load();
    assert_eq!((load.calls, load.waiting, load.unsettled), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_reply_to_a_closed_transport_says_so() {
    let bus = MemoryBus::named("closed-caller");
    let (client, server) = (bus.connect(None, Settings::default()), bus.connect(None, Settings::default()));
    let to = Target::topic("topic");
    let mut listener = server.listen(&to.clone().server("server"), &ListenOptions::new()).await.unwrap();
    let call = client.start(&to, request(), &CallOptions::new()).await.unwrap();
    let got = listener.recv().await.unwrap();
    got.settle.ack();
    client.close().await;
    assert!(matches!(call.await, Err(TransportError::ClosedWaiting)));
    let told = got.replier.unwrap().reply(Reply::Result(Payload::null())).await;
    assert!(matches!(told, Err(TransportError::Undeliverable { .. })), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_result_above_the_limit_is_not_sent() {
    let bus = MemoryBus::named("large-result");
    let mut settings = Settings::default();
    settings.max_message_size = 100;
    let transport = bus.connect(None, settings);
    let to = Target::topic("topic");
    let mut listener = transport.listen(&to.clone().server("server"), &ListenOptions::new()).await.unwrap();
    let _call = transport.start(&to, request(), &CallOptions::new()).await.unwrap();
    let got = listener.recv().await.unwrap();
    got.settle.ack();
    let large = Reply::Result(Payload::encode(&"x".repeat(100)).unwrap());
    let told = got.replier.unwrap().reply(large).await;
    assert!(matches!(told, Err(TransportError::TooLarge { size: 102, limit: 100 })), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_prefetched_request_expires_as_well() {
    let bus = MemoryBus::named("prefetched-expiry");
    let transport = bus.connect(None, Settings::default());
    let to = Target::topic("topic");
    let mut listener = transport.listen(&to.clone().server("server"), &ListenOptions::new()).await.unwrap();
    let begun = Instant::now();
    let second = Duration::from_secs(1);
    let ended = transport.call(&to, request(), &CallOptions::new().with_timeout(second)).await;
    assert!(matches!(ended, Err(TransportError::TimedOut { .. })), "{ended:?}");
    assert_eq!(begun.elapsed(), second);
    assert!(timeout(second, listener.recv()).await.is_err());
    assert_eq!(bus.load().unsettled, 0);
}

/// Every call is answered once although servers on several threads requeue, drop and answer at random moments.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_between_threads() {
    const CALLERS: u32 = 8;
    const CALLS: u32 = 200;
    let bus = MemoryBus::named("threads");
    let to = Target::topic("topic");
    let mut servers = JoinSet::new();
    for name in ["first", "second", "third"] {
        let server = bus.connect(Some(name), Settings::default());
        let options = ListenOptions::new().with_prefetch(3);
        let mut listener = server.listen(&to.clone().server(name), &options).await.unwrap();
        servers.spawn(async move {
            for turn in 0_u32.. {
                let Ok(got) = listener.recv().await else { break };
                match turn % 7 {
                    0 => got.settle.requeue(),
                    1 => drop(got),
                    _ => {
                        tokio::spawn(async move {
                            let reply = Reply::Result(got.message.args.clone());
                            got.replier.unwrap().reply(reply).await.unwrap();
                            got.settle.ack();
                        });
                    }
                }
            }
            drop(server);
        });
    }
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (client, to) = (bus.connect(None, Settings::default()), to.clone());
        callers.spawn(async move {
            for call in 0..CALLS {
                let args = Payload::encode(&[caller, call]).unwrap();
                let options = CallOptions::new().with_timeout(Duration::from_secs(20));
                let got = client.call(&to, Request::new("method", args.clone()), &options).await.unwrap();
                assert_eq!(got, Reply::Result(args));
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    // An answer may reach its caller before the acknowledgement reaches the bus.
    let settled = async {
        while bus.load().unsettled + bus.load().waiting + bus.load().calls > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), settled).await.expect("something was left behind");
    servers.shutdown().await;
    assert_eq!(bus.load().transports, 0);
}

#[tokio::test(start_paused = true)]
async fn a_loop_over_a_busy_bus_lets_others_run() {
    let bus = MemoryBus::named("cooperation");
    let transport = bus.connect(None, Settings::default());
    let to = Target::topic("topic");
    let mut listener = transport.listen(&to.clone().server("server"), &ListenOptions::new()).await.unwrap();
    transport.cast(&to, request(), &SendOptions::new()).await.unwrap();
    let busy = tokio::spawn(async move {
        loop {
            listener.recv().await.unwrap().settle.requeue();
        }
    });
    tokio::task::yield_now().await;
    busy.abort();
    assert!(busy.await.unwrap_err().is_cancelled());
}
