use std::sync::Arc;

use oxlo_transport::{ListenScope, Priority, Target};

use super::*;
use crate::queue_name::QueueName;

fn plain() -> TopologyOptions {
    TopologyOptions {
        durable: false,
        auto_delete: false,
        highly_available: false,
        quorum: None,
        transient_quorum: None,
        transient_ttl: Duration::from_secs(1800),
        stream_fanout: false,
        mismatch: Mismatch::Fail,
    }
}

fn random() -> QueueName {
    let url = "rabbit://h".parse().unwrap();
    QueueName::draw(&crate::config::Config::from_url(&url).unwrap()).unwrap()
}

#[test]
fn what_is_adopted_is_known_to_every_clone_until_it_is_gone() {
    let (fail, adopt) = (Mismatch::Fail, Mismatch::Adopt(Arc::default()));
    assert!(!fail.adopt("queue `T`") && !fail.has_adopted("queue `T`"));
    assert!(!adopt.has_adopted("queue `T`"));
    let TopologyOptions { mismatch, .. } = TopologyOptions { mismatch: adopt.clone(), ..plain() };
    assert!(mismatch.adopt("queue `T`"));
    assert!(adopt.has_adopted("queue `T`") && !adopt.has_adopted("exchange `T`"));
    adopt.forget("queue `T`");
    assert!(!mismatch.has_adopted("queue `T`"));
}

#[test]
fn a_server_declares_what_oslo_declares_in_its_order() {
    let on = Target::topic("T").server("S");
    let subscription = plain().rpc_server(&on, &ListenScope::Server, "openstack", &random()).unwrap();
    let described: Vec<_> = subscription.declares.iter().map(Declaration::describe).collect();
    let fanout = subscription.own[0].clone();
    assert_eq!(
        described,
        [
            "exchange `openstack`".to_owned(),
            "queue `T`".to_owned(),
            "binding of queue `T` to exchange `openstack` by `T`".to_owned(),
            "exchange `openstack`".to_owned(),
            "queue `T.S`".to_owned(),
            "binding of queue `T.S` to exchange `openstack` by `T.S`".to_owned(),
            "exchange `T_fanout`".to_owned(),
            format!("queue `{fanout}`"),
            format!("binding of queue `{fanout}` to exchange `T_fanout` by `T`"),
        ]
    );
    assert_eq!(subscription.queues, ["T".to_owned(), "T.S".to_owned(), fanout.clone()]);
    assert!(fanout.starts_with("T_fanout_") && fanout.len() == "T_fanout_".len() + 32);
}

#[test]
fn a_stream_is_shared_by_all_servers_of_a_topic_and_outlives_them() {
    let options = TopologyOptions {
        stream_fanout: true,
        transient_quorum: Some(Quorum { delivery_limit: 0, max_memory_length: 0, max_memory_bytes: 0 }),
        ..plain()
    };
    let subscription =
        options.rpc_server(&Target::topic("T").server("S"), &ListenScope::Server, "openstack", &random()).unwrap();
    assert_eq!((subscription.queues[2].as_str(), subscription.stream), ("T_fanout", Some(2)));
    assert!(subscription.own.is_empty() && subscription.claimed.is_empty());
    let Declaration::Queue { durable, arguments, .. } = &subscription.declares[7] else { panic!() };
    assert!(durable);
    assert_eq!(arguments.inner().get("x-max-age"), Some(&AMQPValue::LongString("1800s".into())));
}

#[test]
fn transient_queues_expire_and_are_not_durable() {
    let Declaration::Queue { durable, auto_delete, arguments, .. } = plain().reply_queue("reply_x") else { panic!() };
    assert!(!durable && !auto_delete);
    assert_eq!(arguments.inner().len(), 1);
    assert_eq!(arguments.inner().get("x-expires"), Some(&AMQPValue::LongInt(1_800_000)));
    let never = TopologyOptions { transient_ttl: Duration::ZERO, ..plain() };
    let Declaration::Queue { arguments, .. } = never.reply_queue("reply_x") else { panic!() };
    assert!(arguments.inner().is_empty());
}

#[test]
fn quorum_queues_are_durable_and_carry_only_the_limits_that_are_set() {
    let limits = Quorum { delivery_limit: 5, max_memory_length: 0, max_memory_bytes: 0 };
    let options = TopologyOptions { quorum: Some(limits), ..plain() };
    let Declaration::Queue { durable, arguments, .. } = options.queue("T") else { panic!() };
    assert!(durable);
    assert_eq!(arguments.inner().len(), 2);
    assert_eq!(arguments.inner().get("x-delivery-limit"), Some(&AMQPValue::LongInt(5)));
    let Declaration::Exchange { durable, auto_delete, .. } = options.fanout_exchange("T") else { panic!() };
    assert!(!durable && auto_delete, "the fanout side stays transient");
    let options = TopologyOptions { transient_quorum: Some(limits), ..plain() };
    let Declaration::Queue { durable, arguments, .. } = options.reply_queue("reply_x") else { panic!() };
    assert!(durable && arguments.inner().len() == 3, "the limits go to the transient queues as well");
}

#[test]
fn routes_are_oslos() {
    let route = |to: Target| {
        let route = plain().request_route(&to, "openstack").unwrap();
        (route.exchange, route.routing_key)
    };
    assert_eq!(route(Target::topic("T")), ("openstack".into(), "T".into()));
    assert_eq!(route(Target::topic("T").server("S")), ("openstack".into(), "T.S".into()));
    assert_eq!(route(Target::topic("T").exchange("X")), ("X".into(), "T".into()));
    assert_eq!(route(Target::topic("T").server("S").fanout(true)), ("T_fanout".into(), String::new()));
}

#[test]
fn a_notification_brings_its_queue_along() {
    let route = plain().notification_route(&Target::topic("notifications"), Priority::Info, "nova", true).unwrap();
    assert_eq!((route.exchange.as_str(), route.routing_key.as_str()), ("nova", "notifications.info"));
    assert_eq!(route.declares.len(), 3);
}

#[test]
fn a_notification_without_its_queue_needs_the_exchange_only() {
    let route = plain().notification_route(&Target::topic("t"), Priority::Info, "nova", false).unwrap();
    assert_eq!(route.declares.iter().map(Declaration::describe).collect::<Vec<_>>(), ["exchange `nova`"]);
    assert_eq!(route.declared_as.as_deref(), Some("nova"));
}

#[test]
fn a_transient_pool_expires_and_is_deleted_when_nobody_consumes_it() {
    let on = [(Target::topic("a"), Priority::Info)];
    let pooled = plain().notification_listener(&on, Some("p"), true, "openstack").unwrap();
    assert_eq!((pooled.queues.as_slice(), pooled.transient.as_slice()), (&["p".to_owned()][..], &["p".to_owned()][..]));
    assert!(pooled.declares.contains(&plain().transient_queue("p")));
    let refused = plain().notification_listener(&on, None, true, "openstack").unwrap_err();
    assert!(refused.to_string().contains("name a pool"), "{refused}");
}

#[test]
fn a_pool_is_one_queue_with_a_binding_for_each_topic_and_priority() {
    let on = [
        (Target::topic("a"), Priority::Info),
        (Target::topic("a"), Priority::Error),
        (Target::topic("b"), Priority::Info),
    ];
    let pooled = plain().notification_listener(&on, Some("audit"), false, "openstack").unwrap();
    assert_eq!(pooled.queues, ["audit"]);
    let bindings = pooled.declares.iter().filter(|declare| matches!(declare, Declaration::Binding { .. }));
    assert_eq!(bindings.count(), 3);
    let apart = plain().notification_listener(&on, None, false, "openstack").unwrap();
    assert_eq!(apart.queues, ["a.info", "a.error", "b.info"]);
}

#[test]
fn a_name_that_amqp_cannot_carry_is_refused() {
    let refused = plain().request_route(&Target::topic("t".repeat(256)), "openstack").unwrap_err();
    assert!(refused.to_string().contains("256 bytes"), "{refused}");
    assert!(
        plain().rpc_server(&Target::topic("t"), &ListenScope::Server, "openstack", &random()).is_err(),
        "a server needs a name"
    );
}
