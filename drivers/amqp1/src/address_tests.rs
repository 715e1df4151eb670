#![allow(clippy::unwrap_used)]

use super::*;

const ROUTER: Option<&str> = Some("qpid-dispatch-router");

fn addresses(options: &AddressOptions, product: Option<&str>) -> Addresses {
    options.on(product, None, "openstack")
}

fn target() -> Target {
    Target::topic("tpc")
}

fn all(addresses: &Addresses, to: &Target) -> [String; 3] {
    let server = to.clone().server("srv");
    [to.clone(), server, to.clone().fanout(true)].map(|to| addresses.request(&to).unwrap())
}

#[test]
fn legacy_addresses_are_oslos() {
    let plain = addresses(&AddressOptions::default(), None);
    assert_eq!(
        all(&plain, &target()),
        ["unicast.openstack.tpc", "exclusive.openstack.tpc.srv", "broadcast.openstack.tpc.all"]
    );
    let options = AddressOptions { virtual_host: Some("myvh".into()), ..AddressOptions::default() };
    let hosted = addresses(&options, Some("qpid-cpp"));
    assert_eq!(hosted.request(&target().exchange("ex2")).unwrap(), "unicast.myvh.ex2.tpc");
    assert_eq!(
        hosted.notification(&Target::topic("notes"), Priority::Info).unwrap().address,
        "unicast.myvh.openstack.notes.info"
    );
}

#[test]
fn routable_addresses_are_oslos() {
    let options = AddressOptions { virtual_host: Some("myvh".into()), ..AddressOptions::default() };
    let routed = addresses(&options, ROUTER);
    assert_eq!(
        all(&routed, &target()),
        [
            "openstack.org/om/rpc/anycast/myvh/openstack/tpc",
            "openstack.org/om/rpc/unicast/myvh/openstack/tpc/srv",
            "openstack.org/om/rpc/multicast/myvh/openstack/tpc"
        ]
    );
    let plain = addresses(&AddressOptions::default(), ROUTER);
    let on = Target::topic("notes").exchange("ignored");
    assert_eq!(
        plain.notification(&on, Priority::Info).unwrap().address,
        "openstack.org/om/notify/anycast/openstack/notes.info"
    );
    let options = AddressOptions {
        default_rpc_exchange: Some("calls".into()),
        default_notification_exchange: Some("news".into()),
        ..AddressOptions::default()
    };
    let named = addresses(&options, ROUTER);
    assert_eq!(named.request(&target()).unwrap(), "openstack.org/om/rpc/anycast/calls/tpc");
    let warned = named.notification(&on, Priority::Warn).unwrap();
    assert_eq!(warned.address, "openstack.org/om/notify/anycast/news/notes.warn");
}

#[test]
fn fanout_wins_over_server() {
    let plain = addresses(&AddressOptions::default(), None);
    assert_eq!(plain.request(&target().server("srv").fanout(true)).unwrap(), "broadcast.openstack.tpc.all");
}

#[test]
fn a_server_listens_to_itself_everyone_and_anyone_in_oslos_order() {
    let plain = addresses(&AddressOptions::default(), None);
    let taken = |on: Target, scope| -> Vec<String> {
        let places = plain.rpc_server(&on, &scope).unwrap();
        assert!(places.iter().all(|place| place.needs.is_empty()));
        places.into_iter().map(|place| place.address).collect()
    };
    assert_eq!(
        taken(target().server("srv"), ListenScope::Server),
        ["exclusive.openstack.tpc.srv", "broadcast.openstack.tpc.all", "unicast.openstack.tpc"]
    );
    assert!(plain.rpc_server(&target(), &ListenScope::Server).is_err());
    assert_eq!(taken(target(), ListenScope::Topic), ["unicast.openstack.tpc"]);
    assert_eq!(taken(target().server("srv"), ListenScope::Named), ["exclusive.openstack.tpc.srv"]);
}

#[test]
fn the_product_decides() {
    for (product, profile) in [
        (None, Profile::Qpid),
        (Some("qpid-cpp"), Profile::Qpid),
        (ROUTER, Profile::Router),
        (Some("skupper-router"), Profile::Router),
        (Some("Azure"), Profile::Router),
        (Some("ActiveMQ"), Profile::ActiveMq),
        (Some("apache-activemq-artemis"), Profile::ActiveMq),
        (Some("RabbitMQ"), Profile::RabbitMq),
    ] {
        assert_eq!(addresses(&AddressOptions::default(), product).profile, profile, "{product:?}");
    }
}

#[test]
fn activemq_fans_out_by_its_topics() {
    let it = addresses(&AddressOptions::default(), Some("ActiveMQ"));
    assert_eq!(
        all(&it, &target()),
        ["unicast.openstack.tpc", "exclusive.openstack.tpc.srv", "topic://broadcast.openstack.tpc.all"]
    );
    assert_eq!(it.reply_node(), ReplyNode::Dynamic);
}

#[test]
fn rabbitmq_gets_its_own_addresses_with_names_escaped() {
    let it = addresses(&AddressOptions::default(), Some("RabbitMQ"));
    assert_eq!(
        all(&it, &Target::topic("a/b%")),
        [
            "/queue/unicast.openstack.a%2Fb%25",
            "/queue/exclusive.openstack.a%2Fb%25.srv",
            "/exchange/amq.direct/broadcast.openstack.a%2Fb%25.all"
        ]
    );
    let (one, two) = (it.reply_node(), it.reply_node());
    assert!(matches!(&one, ReplyNode::Queue { address, existing, needs }
        if address.starts_with("/queue/reply_") && existing.starts_with("/amq/queue/reply_") && needs.is_empty()));
    assert_ne!(one, two, "each transport has a reply queue of its own");
}

#[test]
fn rabbitmq_4_gets_queues_that_are_declared() {
    let it = AddressOptions::default().on(Some("RabbitMQ"), Some("4.0.5"), "openstack");
    assert_eq!(
        all(&it, &Target::topic("a/b")),
        [
            "/queues/unicast.openstack.a%2Fb",
            "/queues/exclusive.openstack.a%2Fb.srv",
            "/exchanges/amq.direct/broadcast.openstack.a%2Fb.all"
        ]
    );
    let places = it.rpc_server(&target().server("srv"), &ListenScope::Server).unwrap();
    let [own, every, any] = &places[..] else { panic!("{places:?}") };
    let queue = |name: &str, kind| vec![Need::Queue(name.to_owned(), kind)];
    assert_eq!(own.needs, queue("exclusive.openstack.tpc.srv", Kind::Own));
    assert_eq!(any.needs, queue("unicast.openstack.tpc", Kind::Shared));
    let [Need::Queue(name, Kind::Passing), Need::Binding { key, queue, .. }] = &every.needs[..] else {
        panic!("{every:?}")
    };
    assert_eq!((queue, key.as_str()), (name, "broadcast.openstack.tpc.all"));
    assert_eq!(every.address, format!("/queues/{name}"));
    assert!(every.once() != *every && own.once() == *own, "only a queue that goes with its consumer is made anew");
    assert!(matches!(it.reply_node(), ReplyNode::Queue { address, existing, needs }
        if address == existing && needs.len() == 1));
    let older = AddressOptions::default().on(Some("RabbitMQ"), Some("3.10.8"), "openstack");
    assert_eq!(older.profile, Profile::RabbitMq);
}

#[test]
fn a_mode_in_the_url_means_oslos_own_prefixes() {
    let options = AddressOptions { mode: Some(Mode::Legacy), ..AddressOptions::default() };
    assert_eq!(all(&addresses(&options, Some("ActiveMQ")), &target())[2], "broadcast.openstack.tpc.all");
    let options = AddressOptions { broadcast_prefix: Some("topic://b".into()), ..options };
    assert_eq!(all(&addresses(&options, Some("ActiveMQ")), &target())[2], "topic://b.openstack.tpc.all");
    let options = AddressOptions { mode: Some(Mode::Routable), ..AddressOptions::default() };
    let it = addresses(&options, Some("ActiveMQ"));
    assert_eq!(all(&it, &target())[0], "openstack.org/om/rpc/anycast/openstack/tpc");
    assert_eq!(it.profile, Profile::ActiveMq, "replies still come as the broker can bring them");
}

#[test]
fn a_profile_in_the_url_wins_over_the_product() {
    let options = AddressOptions { profile: Some(Profile::Router), ..AddressOptions::default() };
    assert_eq!(all(&addresses(&options, None), &target())[0], "openstack.org/om/rpc/anycast/openstack/tpc");
    let options = AddressOptions { profile: Some(Profile::RabbitMq), ..AddressOptions::default() };
    assert_eq!(all(&addresses(&options, ROUTER), &target())[0], "/queue/unicast.openstack.tpc");
}
