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

/// Every character that some broker takes for syntax.
const HOSTILE: &[&str] = &[
    "a,b",
    "*",
    ">",
    "#",
    "a.*",
    "a.>",
    "a?b=c",
    "a b ",
    "a%2Cb",
    "%",
    "a/b",
    "/",
    "queue://a",
    "topic://a",
    "\u{e4}\u{6f22}",
    "a\nb",
    "a:b",
    "a@b",
    "a&b",
    "a;b",
    "$a",
    "{a}",
    "\\",
    "\"",
];

#[test]
fn what_activemq_takes_for_syntax_is_escaped() {
    let it = addresses(&AddressOptions::default(), Some("ActiveMQ"));
    let to = |name: &str| it.request(&Target::topic(name)).unwrap();
    assert_eq!(to("a,b"), "unicast.openstack.a%2Cb");
    assert_eq!(to("a%2Cb"), "unicast.openstack.a%252Cb", "it is another name");
    assert_eq!(it.request(&target().server("*")).unwrap(), "exclusive.openstack.tpc.%2A");
    assert_eq!(to("\u{e4}"), "unicast.openstack.\u{e4}", "as Python writes it");
    for name in HOSTILE {
        for address in all(&it, &Target::topic(*name)) {
            let rest = address.strip_prefix("topic://").unwrap_or(&address);
            assert!(!rest.contains([',', '*', '>', '?', ' ', '\n']), "{address}");
        }
    }
}

#[test]
fn a_name_is_one_part_of_rabbitmqs_addresses() {
    for version in ["3.10.8", "4.0.5"] {
        let it = AddressOptions::default().on(Some("RabbitMQ"), Some(version), "openstack");
        for name in HOSTILE {
            for address in all(&it, &Target::topic(*name)) {
                let parts: Vec<&str> = address.split('/').collect();
                assert!(
                    matches!(parts[..], ["", "queue" | "queues", _] | ["", "exchange" | "exchanges", _, _]),
                    "{address}"
                );
                let last = parts[parts.len() - 1];
                assert!(last.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)), "{address}");
                let decoded = percent_decode_str(last).decode_utf8().unwrap();
                assert!(decoded.contains(&format!(".openstack.{name}")), "{address}");
            }
        }
    }
}

#[test]
fn different_names_have_different_addresses() {
    for product in [None, ROUTER, Some("ActiveMQ"), Some("RabbitMQ")] {
        let it = addresses(&AddressOptions::default(), product);
        let written: Vec<_> = HOSTILE.iter().filter_map(|name| it.request(&Target::topic(*name)).ok()).collect();
        let different: std::collections::HashSet<_> = written.iter().collect();
        assert_eq!(different.len(), written.len(), "{product:?}");
    }
}

#[test]
fn names_that_a_broker_cannot_have_are_refused() {
    let refused = |it: &Addresses, to: &Target| it.request(to).unwrap_err().to_string();
    for product in [None, ROUTER] {
        let it = addresses(&AddressOptions::default(), product);
        let told = refused(&it, &Target::topic("a\nb"));
        assert_eq!(told, "the target cannot be used: name `a\\nb` contains a control character; use another name");
    }
    for version in ["3.10.8", "4.0.5"] {
        let it = AddressOptions::default().on(Some("RabbitMQ"), Some(version), "openstack");
        let fits = "\u{e4}".repeat((255 - "unicast.openstack.".len()) / 2);
        assert!(it.request(&Target::topic(fits.as_str())).is_ok());
        assert!(refused(&it, &Target::topic(fits + "xx")).contains("256 bytes, but the broker allows 255"));
        // The transient queue of each server needs a suffix.
        let every = Target::topic("x".repeat(210)).fanout(true);
        assert_eq!(it.request(&every).is_ok(), version == "3.10.8");
    }
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
    let queue = |name: &str, kind| vec![Declaration::Queue(name.to_owned(), kind)];
    assert_eq!(own.needs, queue("exclusive.openstack.tpc.srv", QueueKind::Own));
    assert_eq!(any.needs, queue("unicast.openstack.tpc", QueueKind::Shared));
    let [Declaration::Queue(name, QueueKind::Transient), Declaration::Binding { key, queue, .. }] = &every.needs[..]
    else {
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
