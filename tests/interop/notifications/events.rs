//! Events on a real broker: routing to subscribers, and cleanup.

use oxlo::{
    Context,
    notify::{Body, EventDispatcher, EventListener, RunningEventListener, Subscription},
};
use oxlo_test_support::{TestVhost, eventually};

use super::fixture::{Collected, PATIENCE, connect};

async fn listen(
    vhost: &TestVhost,
    service: &'static str,
    subscription: Subscription,
    into: &Collected<(&'static str, u64)>,
) -> RunningEventListener {
    let into = into.clone();
    EventListener::builder(connect(vhost).await, service)
        .on(subscription, move |Body(number): Body<u64>| {
            let into = into.clone();
            async move { into.add((service, number)) }
        })
        .start()
        .await
        .unwrap()
}

#[tokio::test]
async fn each_reach_gives_events_to_as_many_as_it_says() {
    let vhost = TestVhost::new().await;
    let shop = EventDispatcher::new(connect(&vhost).await, "shop").unwrap();
    for (subscription, wanted) in [
        (Subscription::service_pool as fn(&'static str, &'static str) -> Subscription, 2),
        (Subscription::broadcast, 3),
        (Subscription::singleton, 1),
    ] {
        let got = Collected::default();
        let mut listeners = Vec::new();
        for service in ["billing", "billing", "stock"] {
            listeners.push(listen(&vhost, service, subscription("shop", "paid"), &got).await);
        }
        for number in 0..5_u64 {
            shop.dispatch(&Context::new(), "paid", number).await.unwrap().confirmed().await.unwrap();
        }
        shop.dispatch(&Context::new(), "another", 9_u64).await.unwrap().confirmed().await.unwrap();
        let got = got.wait(5 * wanted).await;
        for number in 0..5 {
            assert_eq!(got.iter().filter(|(_, it)| *it == number).count(), wanted, "{number}: {got:?}");
        }
        for listener in &listeners {
            listener.stop();
        }
        for listener in listeners {
            listener.wait().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_reliable_queue_keeps_events_and_another_goes_with_its_last_listener() {
    let vhost = TestVhost::new().await;
    let shop = EventDispatcher::new(connect(&vhost).await, "shop").unwrap();
    for reliable in [true, false] {
        let got = Collected::default();
        let event = if reliable { "kept" } else { "gone" };
        let subscription = || Subscription::service_pool("shop", event).reliable(reliable);
        let first = listen(&vhost, "billing", subscription(), &got).await;
        let second = listen(&vhost, "billing", subscription(), &got).await;
        first.stop();
        first.wait().await.unwrap();
        // The queue exists as long as one listener does.
        shop.dispatch(&Context::new(), event, 1_u64).await.unwrap().confirmed().await.unwrap();
        got.wait(1).await;
        second.stop();
        second.wait().await.unwrap();
        shop.dispatch(&Context::new(), event, 2_u64).await.unwrap().confirmed().await.unwrap();
        let third = listen(&vhost, "billing", subscription(), &got).await;
        shop.dispatch(&Context::new(), event, 3_u64).await.unwrap().confirmed().await.unwrap();
        let last = eventually(
            PATIENCE,
            "the last event came",
            || std::future::ready(got.now()),
            |got: &Vec<_>| got.contains(&("billing", 3)),
        )
        .await;
        assert_eq!(last.contains(&("billing", 2)), reliable, "{last:?}");
        third.stop();
        tokio::time::timeout(PATIENCE, third.wait()).await.unwrap().unwrap();
    }
}
