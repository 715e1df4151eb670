//! Dispatching events.

use oxlo_notify::{EventDispatcher, NotifyError};
use oxlo_transport::{Context, ListenOptions, Priority, Target};

use crate::bench::{bus, take};

#[tokio::test]
async fn an_event_goes_to_the_pools_of_its_type_and_leaves_no_queue_behind() {
    let (transport, bus) = bus().await;
    let on = [(Target::topic("paid").exchange("events.shop"), Priority::Info)];
    let mut listener = transport
        .listen_for_notifications(&on, Some("events.shop:paid:singleton"), &ListenOptions::new())
        .await
        .unwrap();
    let shop = EventDispatcher::new(transport.clone(), "shop").unwrap();
    for event in ["paid", "sent"] {
        shop.dispatch(&Context::new(), event, 7).await.unwrap().confirmed().await.unwrap();
    }
    assert_eq!(&*take(&mut listener).await.event_type, "paid");
    assert_eq!((bus.load().waiting, shop.stats().sent), (0, 2), "what nobody subscribes to is kept nowhere");
}

#[tokio::test]
async fn nobody_listening_is_an_error_where_that_was_asked_for() {
    let (transport, _) = bus().await;
    let shop = EventDispatcher::builder(transport.clone(), "shop").mandatory(true).build().unwrap();
    let lost = shop.dispatch(&Context::new(), "paid", 7).await.unwrap().confirmed().await.unwrap_err();
    assert_eq!(
        lost.to_string(),
        "notification `paid` was not delivered by driver `events` on topic `paid` (nobody listens on paid.info (exchange `events.shop`))"
    );
}

#[tokio::test]
async fn names_that_brokers_take_as_patterns_are_refused() {
    let (transport, _) = bus().await;
    let refused = EventDispatcher::new(transport.clone(), "shop.#").unwrap_err();
    assert!(refused.to_string().starts_with("option `source`: "), "{refused}");
    let shop = EventDispatcher::new(transport.clone(), "shop").unwrap();
    let refused = shop.dispatch(&Context::new(), "*", ()).await.unwrap_err();
    assert!(matches!(refused, NotifyError::InvalidEvent { .. }), "{refused:?}");
}
