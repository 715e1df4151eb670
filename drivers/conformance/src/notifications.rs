//! Notifications: priorities, topics, pools.

use oxlo_transport::{
    Context, ListenOptions, Listener, Notification, NotificationFormat, Priority, SendOptions, Target, Transport,
    TransportError,
};
use serde_json::json;

use super::{
    Harness,
    fixture::{connect, nothing_comes, notification, payload, payload_of, take, topic},
};

type Notifications = Box<dyn Listener<Notification>>;

async fn listen(transport: &dyn Transport, on: &[(&Target, Priority)], pool: Option<&str>) -> Notifications {
    let on: Vec<(Target, Priority)> = on.iter().map(|(target, priority)| ((*target).clone(), *priority)).collect();
    transport.listen_for_notifications(&on, pool, &ListenOptions::new()).await.unwrap()
}

async fn notify(transport: &dyn Transport, to: &Target, numbers: std::ops::Range<usize>, priority: Priority) {
    for number in numbers {
        transport.notify(to, notification(number, priority), &SendOptions::new()).await.unwrap();
    }
}

/// Takes and acknowledges `count` notifications, and returns their numbers in ascending order.
async fn numbers(listener: &mut Notifications, count: usize) -> Vec<usize> {
    let mut numbers = Vec::new();
    for _ in 0..count {
        let got = take(listener).await;
        numbers.push(payload_of(&got.message));
        got.settle.ack();
    }
    numbers.sort_unstable();
    numbers
}

/// Every field of a notification arrives, in both formats, and no reply is expected.
pub async fn a_notification_arrives_with_all_its_fields(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut listener = listen(&*transport, &[(&to, Priority::Warn)], None).await;
    for format in [NotificationFormat::V1, NotificationFormat::V2] {
        let sent = Notification {
            context: Context::new().with("user", "Zoë").with("admin", false),
            event_type: "compute.instance.create.end".into(),
            payload: payload(&json!({"id": 7, "name": "größer", "tags": [null, ""]})),
            format,
            ..notification(0, Priority::Warn)
        };
        transport.notify(&to, sent.clone(), &SendOptions::new()).await.unwrap();
        let got = take(&mut listener).await;
        assert!(got.replier.is_none() && !got.redelivered);
        got.settle.ack();
        let (got, value) = (got.message, |it: &Notification| it.payload.decode::<serde_json::Value>().unwrap());
        assert_eq!(got.message_id, sent.message_id);
        assert_eq!(got.publisher_id, sent.publisher_id);
        assert_eq!(got.event_type, sent.event_type);
        assert_eq!(got.priority, sent.priority);
        assert_eq!(got.timestamp, sent.timestamp);
        assert_eq!(got.format, sent.format);
        assert_eq!(got.context.iter().collect::<Vec<_>>(), sent.context.iter().collect::<Vec<_>>());
        assert_eq!(value(&got), value(&sent));
    }
}

/// A listener receives only the priorities it subscribed to, of all seven.
pub async fn each_priority_has_its_own_queue(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut some = listen(&*transport, &[(&to, Priority::Info), (&to, Priority::Error)], None).await;
    for (number, priority) in Priority::ALL.into_iter().enumerate() {
        notify(&*transport, &to, number..number + 1, priority).await;
    }
    let index = |wanted| Priority::ALL.iter().position(|priority| *priority == wanted).unwrap();
    assert_eq!(numbers(&mut some, 2).await, [index(Priority::Info), index(Priority::Error)]);
    nothing_comes(&mut some).await;
    let rest: Vec<_> = Priority::ALL.into_iter().filter(|p| ![Priority::Info, Priority::Error].contains(p)).collect();
    let mut others = listen(&*transport, &rest.iter().map(|p| (&to, *p)).collect::<Vec<_>>(), None).await;
    assert_eq!(numbers(&mut others, 5).await.len(), 5);
    nothing_comes(&mut others).await;
}

/// One listener can take several topics.
pub async fn one_listener_takes_several_topics(harness: &dyn Harness) {
    let (transport, here, there) = (connect(harness).await, topic(), topic());
    let mut listener = listen(&*transport, &[(&here, Priority::Info), (&there, Priority::Info)], None).await;
    notify(&*transport, &here, 0..3, Priority::Info).await;
    notify(&*transport, &there, 3..6, Priority::Info).await;
    assert_eq!(numbers(&mut listener, 6).await, [0, 1, 2, 3, 4, 5]);
}

/// Notifications sent before anyone listens wait for the first listener.
pub async fn nothing_is_lost_before_the_first_listener(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    notify(&*transport, &to, 0..3, Priority::Audit).await;
    let mut listener = listen(&*transport, &[(&to, Priority::Audit)], None).await;
    assert_eq!(numbers(&mut listener, 3).await, [0, 1, 2]);
}

/// Listeners without a pool share a topic: each notification goes to one of them.
pub async fn listeners_without_pool_share(harness: &dyn Harness) {
    let (one, two, to) = (connect(harness).await, connect(harness).await, topic());
    let mut first = listen(&*one, &[(&to, Priority::Info)], None).await;
    let mut second = listen(&*two, &[(&to, Priority::Info)], None).await;
    share(&*one, &to, &mut first, &mut second).await;
}

/// Listeners of one pool share its notifications, also across transports. A driver without pools refuses one.
pub async fn a_pool_shares(harness: &dyn Harness) {
    let (one, two, to) = (connect(harness).await, connect(harness).await, topic());
    if !one.capabilities().notification_pools {
        let on = [(to, Priority::Info)];
        let refused = one.listen_for_notifications(&on, Some("pool"), &ListenOptions::new()).await.err();
        assert!(matches!(refused, Some(TransportError::Unsupported { .. })), "{refused:?}");
        return;
    }
    let pool = format!("{}-pool", to.topic.as_deref().unwrap());
    let mut first = listen(&*one, &[(&to, Priority::Info)], Some(&pool)).await;
    let mut second = listen(&*two, &[(&to, Priority::Info)], Some(&pool)).await;
    share(&*one, &to, &mut first, &mut second).await;
}

async fn share(sender: &dyn Transport, to: &Target, first: &mut Notifications, second: &mut Notifications) {
    notify(sender, to, 0..10, Priority::Info).await;
    let (mut here, mut there) = (Vec::new(), Vec::new());
    let everything = async {
        while here.len() + there.len() < 10 {
            let (got, by) = tokio::select! {
                got = first.recv() => (got.unwrap(), &mut here),
                got = second.recv() => (got.unwrap(), &mut there),
            };
            by.push(payload_of(&got.message));
            got.settle.ack();
        }
    };
    tokio::time::timeout(super::fixture::TIMEOUT, everything).await.expect("notifications are missing");
    assert!(!here.is_empty() && !there.is_empty(), "one listener received everything: {here:?}, {there:?}");
    nothing_comes(first).await;
    nothing_comes(second).await;
    here.append(&mut there);
    here.sort_unstable();
    assert_eq!(here, (0..10).collect::<Vec<_>>());
}

/// Each pool receives every notification, and so do the listeners without a pool.
pub async fn pools_and_the_rest_each_get_everything(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    if !transport.capabilities().notification_pools {
        return;
    }
    let on = [(&to, Priority::Info), (&to, Priority::Error)];
    let pool = |number| format!("{}-pool-{number}", to.topic.as_deref().unwrap());
    let mut plain = listen(&*transport, &on, None).await;
    let mut first = listen(&*transport, &on, Some(&pool(1))).await;
    let mut second = listen(&*transport, &on, Some(&pool(2))).await;
    notify(&*transport, &to, 0..2, Priority::Info).await;
    notify(&*transport, &to, 2..4, Priority::Error).await;
    for listener in [&mut plain, &mut first, &mut second] {
        assert_eq!(numbers(listener, 4).await, [0, 1, 2, 3]);
        nothing_comes(listener).await;
    }
}

/// A requeued notification is redelivered and marked as such.
pub async fn a_requeued_notification_comes_back(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let mut listener = listen(&*transport, &[(&to, Priority::Info)], None).await;
    notify(&*transport, &to, 0..1, Priority::Info).await;
    take(&mut listener).await.settle.requeue();
    let again = take(&mut listener).await;
    assert_eq!((payload_of(&again.message), again.redelivered), (0, true));
    again.settle.ack();
}

/// A deferred notification returns to the end of its own queue, and to no other queue.
pub async fn a_deferred_notification_comes_back_to_its_own_queue(harness: &dyn Harness) {
    let (transport, to) = (connect(harness).await, topic());
    let pool = format!("{}-pool", to.topic.as_deref().unwrap());
    let pooled = transport.capabilities().notification_pools;
    let options = ListenOptions::new().with_deferrable(true).with_prefetch(1);
    let on = [(to.clone(), Priority::Info)];
    let pool = pooled.then_some(&*pool);
    let mut deferring = transport.listen_for_notifications(&on, pool, &options).await.unwrap();
    notify(&*transport, &to, 0..3, Priority::Info).await;
    let mut came = Vec::new();
    for _ in 0..6 {
        let got = take(&mut deferring).await;
        came.push((payload_of(&got.message), got.redeliveries));
        if got.redeliveries == 0 { got.settle.defer(std::time::Duration::ZERO) } else { got.settle.ack() }
    }
    assert_eq!(came, [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]);
    nothing_comes(&mut deferring).await;
    if pooled {
        // The queue without a pool has each notification once.
        let mut plain = listen(&*transport, &[(&to, Priority::Info)], None).await;
        assert_eq!(numbers(&mut plain, 3).await, [0, 1, 2]);
        nothing_comes(&mut plain).await;
    }
}
