//! Where messages go: oslo's legacy and routable addresses, and the sets of them that brokers need. Pure.
//!
//! oslo.messaging's AMQP 1.0 driver knows two ways to write an address and picks one by the product that the broker
//! names when it opens the connection. Neither of them fans out on ActiveMQ or reaches RabbitMQ at all, so a
//! [`Profile`] beside them knows each broker's own prefixes.

use std::{borrow::Cow, fmt};

use oxlo_transport::{Priority, Target, TransportError, options::ListenScope};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

use crate::management::{Kind, Need};

/// The exchange by which RabbitMQ fans out; every broker has it.
const FANOUT: &str = "amq.direct";

/// `addressing_mode`: how oslo writes addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `unicast.exchange.topic`
    Legacy,
    /// `openstack.org/om/rpc/anycast/exchange/topic`
    Routable,
}

/// `address_profile`: what a broker needs beyond oslo's two modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// qpidd and brokers like it: legacy addresses, replies to a dynamic node.
    Qpid,
    /// Qpid Dispatch and Skupper routers: routable addresses, replies to a dynamic node.
    Router,
    /// ActiveMQ and Artemis: legacy addresses, fanout by `topic://`, replies to a dynamic node.
    ActiveMq,
    /// RabbitMQ 3 with its plugin and RabbitMQ 4, by their addresses of version 1: no dynamic nodes, so that replies go
    /// to a queue of our own.
    RabbitMq,
    /// RabbitMQ 4, by its addresses of version 2: queues are declared, and so can be missing.
    RabbitMq4,
}

impl Profile {
    /// Whether replies come to queues of the broker that anybody can name.
    pub(crate) fn is_rabbitmq(self) -> bool {
        matches!(self, Self::RabbitMq | Self::RabbitMq4)
    }

    /// What the addresses of replies begin with, where the broker does not make them up itself.
    pub(crate) fn reply_prefix(self) -> &'static str {
        match self {
            Self::RabbitMq => "/queue/reply_",
            Self::RabbitMq4 => "/queues/reply_",
            Self::Qpid | Self::Router | Self::ActiveMq => "",
        }
    }
}

/// What the URL says about addresses; absent options leave the choice to the profile.
#[derive(Clone, Debug, Default)]
pub(crate) struct AddressOptions {
    pub(crate) mode: Option<Mode>,
    pub(crate) profile: Option<Profile>,
    pub(crate) server_request_prefix: Option<String>,
    pub(crate) broadcast_prefix: Option<String>,
    pub(crate) group_request_prefix: Option<String>,
    pub(crate) rpc_address_prefix: Option<String>,
    pub(crate) notify_address_prefix: Option<String>,
    pub(crate) multicast_address: Option<String>,
    pub(crate) unicast_address: Option<String>,
    pub(crate) anycast_address: Option<String>,
    pub(crate) default_rpc_exchange: Option<String>,
    pub(crate) default_notification_exchange: Option<String>,
    /// The virtual host, if it is part of the addresses (`pseudo_vhost`).
    pub(crate) virtual_host: Option<String>,
}

/// The profile for the product that a broker names, as oslo chooses but for the brokers that its choice does not serve.
fn profile_of(product: Option<&str>, version: Option<&str>) -> Profile {
    match product {
        None | Some("qpid-cpp") => Profile::Qpid,
        Some(product) if product.to_ascii_lowercase().contains("activemq") => Profile::ActiveMq,
        Some(product) if product.eq_ignore_ascii_case("rabbitmq") => {
            let major = version.and_then(|version| version.split('.').next()?.parse().ok());
            if major.is_some_and(|major: u32| major >= 4) { Profile::RabbitMq4 } else { Profile::RabbitMq }
        }
        Some(_) => Profile::Router,
    }
}

impl AddressOptions {
    /// The addresses on a broker that calls itself `product`, of this version.
    pub(crate) fn on(&self, product: Option<&str>, version: Option<&str>, control_exchange: &str) -> Addresses {
        let profile = match (self.profile, self.mode) {
            (Some(profile), _) => profile,
            // Such addresses are of version 1.
            (None, Some(_)) if profile_of(product, version) == Profile::RabbitMq4 => Profile::RabbitMq,
            (None, _) => profile_of(product, version),
        };
        let mode = match (self.profile, self.mode) {
            (None, Some(mode)) => mode,
            _ if profile == Profile::Router => Mode::Routable,
            _ => Mode::Legacy,
        };
        // An explicit mode means oslo's own prefixes, so that Python peers with that mode are met.
        let plain = self.profile.is_none() && self.mode.is_some();
        let (server, broadcast, group) = match profile {
            _ if plain => ("exclusive", "broadcast", "unicast"),
            Profile::ActiveMq => ("exclusive", "topic://broadcast", "unicast"),
            Profile::RabbitMq => ("/queue/exclusive", "/exchange/amq.direct/broadcast", "/queue/unicast"),
            Profile::Qpid | Profile::Router | Profile::RabbitMq4 => ("exclusive", "broadcast", "unicast"),
        };
        let or = |option: &Option<String>, default: &str| option.clone().unwrap_or_else(|| default.to_owned());
        let (rpc_exchange, notification_exchange) = match mode {
            Mode::Legacy => (control_exchange.to_owned(), control_exchange.to_owned()),
            Mode::Routable => (
                or(&self.default_rpc_exchange, control_exchange),
                or(&self.default_notification_exchange, control_exchange),
            ),
        };
        let scheme = match mode {
            Mode::Legacy => Scheme::Legacy {
                server: or(&self.server_request_prefix, server),
                broadcast: or(&self.broadcast_prefix, broadcast),
                group: or(&self.group_request_prefix, group),
            },
            Mode::Routable => Scheme::Routable {
                rpc: or(&self.rpc_address_prefix, "openstack.org/om/rpc"),
                notify: or(&self.notify_address_prefix, "openstack.org/om/notify"),
                multicast: or(&self.multicast_address, "multicast"),
                unicast: or(&self.unicast_address, "unicast"),
                anycast: or(&self.anycast_address, "anycast"),
            },
        };
        Addresses { profile, scheme, virtual_host: self.virtual_host.clone(), rpc_exchange, notification_exchange }
    }
}

/// The addresses on one broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) profile: Profile,
    scheme: Scheme,
    virtual_host: Option<String>,
    rpc_exchange: String,
    notification_exchange: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Scheme {
    Legacy { server: String, broadcast: String, group: String },
    Routable { rpc: String, notify: String, multicast: String, unicast: String, anycast: String },
}

/// Whom an address means.
#[derive(Clone, Copy)]
enum Whom<'a> {
    Server(&'a str),
    Every,
    Any,
}

/// Where the replies to our own calls come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReplyNode {
    /// The broker makes a node for us and says its address.
    Dynamic,
    /// A queue of our own that outlives a lost connection.
    Queue {
        /// Where replies go, and where they are taken from: unless it is needed first, the queue comes into being when this
        /// is first named.
        address: String,
        /// The same queue, if it is there.
        existing: String,
        needs: Vec<Need>,
    },
}

/// Where messages are taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) address: String,
    /// What must be there first.
    pub(crate) needs: Vec<Need>,
}

impl Addresses {
    /// Where a request goes. Fanout wins over the server, as in oslo.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] without topic.
    pub(crate) fn request(&self, to: &Target) -> Result<String, TransportError> {
        let topic = to.require_topic()?;
        let whom = match (&to.server, to.fanout) {
            (_, true) => Whom::Every,
            (Some(server), false) => Whom::Server(server),
            (None, false) => Whom::Any,
        };
        Ok(self.address(true, self.exchange(to), topic, whom))
    }

    /// What an RPC server takes messages from: its own address, everyone's, anyone's, as far as `scope` goes.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] without topic or server, and for an extra queue.
    pub(crate) fn rpc_server(&self, on: &Target, scope: &ListenScope) -> Result<Vec<Place>, TransportError> {
        let topic = on.require_topic()?;
        let address = |whom| self.place(true, self.exchange(on), topic, whom);
        let named = || on.require_topic_and_server().map(|(_, server)| address(Whom::Server(server)));
        match scope {
            ListenScope::Server => Ok(vec![named()?, address(Whom::Every), address(Whom::Any)]),
            ListenScope::Topic => Ok(vec![address(Whom::Any)]),
            ListenScope::Named => Ok(vec![named()?]),
            _ => Err(TransportError::InvalidTarget {
                reason: "there are no extra request queues over AMQP 1.0; listen for a topic, or use rabbit://".into(),
            }),
        }
    }

    /// Where a notification goes, and where it is taken from. The target's exchange does not count, as in oslo.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] without topic.
    pub(crate) fn notification(&self, to: &Target, priority: Priority) -> Result<Place, TransportError> {
        let topic = format!("{}.{priority}", to.require_topic()?);
        Ok(self.place(false, &self.notification_exchange, &topic, Whom::Any))
    }

    /// Where the replies to our calls come to.
    pub(crate) fn reply_node(&self) -> ReplyNode {
        let name = format!("reply_{}", Uuid::new_v4().simple());
        match self.profile {
            Profile::RabbitMq => ReplyNode::Queue {
                address: format!("/queue/{name}"),
                existing: format!("/amq/queue/{name}"),
                needs: Vec::new(),
            },
            Profile::RabbitMq4 => ReplyNode::Queue {
                address: format!("/queues/{name}"),
                existing: format!("/queues/{name}"),
                needs: vec![Need::Queue(name, Kind::Own)],
            },
            Profile::Qpid | Profile::Router | Profile::ActiveMq => ReplyNode::Dynamic,
        }
    }

    fn exchange<'a>(&'a self, target: &'a Target) -> &'a str {
        target.exchange.as_deref().filter(|name| !name.is_empty()).unwrap_or(&self.rpc_exchange)
    }

    /// The address that a message is sent to.
    fn address(&self, rpc: bool, exchange: &str, topic: &str, whom: Whom<'_>) -> String {
        let name = self.write(rpc, exchange, topic, whom);
        match (self.profile, whom) {
            (Profile::RabbitMq4, Whom::Every) => format!("/exchanges/{FANOUT}/{}", escaped(&name)),
            (Profile::RabbitMq4, _) => format!("/queues/{}", escaped(&name)),
            _ => name,
        }
    }

    /// Where such messages are taken from.
    fn place(&self, rpc: bool, exchange: &str, topic: &str, whom: Whom<'_>) -> Place {
        if self.profile != Profile::RabbitMq4 {
            return Place { address: self.address(rpc, exchange, topic, whom), needs: Vec::new() };
        }
        let name = self.write(rpc, exchange, topic, whom);
        let (queue, needs) = match whom {
            Whom::Any => (name.clone(), vec![Need::Queue(name, Kind::Shared)]),
            Whom::Server(_) => (name.clone(), vec![Need::Queue(name, Kind::Own)]),
            Whom::Every => {
                let queue = format!("{name}.{}", Uuid::new_v4().simple());
                let binding = Need::Binding { exchange: FANOUT, key: name, queue: queue.clone() };
                (queue.clone(), vec![Need::Queue(queue, Kind::Passing), binding])
            }
        };
        Place { address: format!("/queues/{}", escaped(&queue)), needs }
    }

    fn write(&self, rpc: bool, exchange: &str, topic: &str, whom: Whom<'_>) -> String {
        let virtual_host = self.virtual_host.as_deref();
        match &self.scheme {
            Scheme::Legacy { server, broadcast, group } => {
                let (prefix, last) = match whom {
                    Whom::Server(name) => (server, Some(name)),
                    Whom::Every => (broadcast, Some("all")),
                    Whom::Any => (group, None),
                };
                let name = |part| self.escaped(part);
                join(
                    ".",
                    [
                        Some(prefix.into()),
                        virtual_host.map(name),
                        Some(name(exchange)),
                        Some(name(topic)),
                        last.map(name),
                    ],
                )
            }
            Scheme::Routable { rpc: rpc_prefix, notify, multicast, unicast, anycast } => {
                let (kind, last) = match whom {
                    Whom::Server(name) => (unicast, Some(name)),
                    Whom::Every => (multicast, None),
                    Whom::Any => (anycast, None),
                };
                let prefix = if rpc { rpc_prefix } else { notify };
                let parts = [prefix.as_str(), kind.as_str()].map(|part| Some(Cow::from(part))).into_iter();
                let rest =
                    [virtual_host, Some(exchange), Some(topic), last].into_iter().map(|part| part.map(Cow::from));
                join("/", parts.chain(rest))
            }
        }
    }

    /// A slash ends the name of a queue in RabbitMQ's addresses, and a percent sign begins an escape.
    fn escaped<'a>(&self, part: &'a str) -> Cow<'a, str> {
        if self.profile == Profile::RabbitMq && part.contains(['/', '%']) {
            part.replace('%', "%25").replace('/', "%2F").into()
        } else {
            part.into()
        }
    }
}

/// Written so that it is one part of an address of version 2.
pub(crate) fn escaped(part: &str) -> impl fmt::Display {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(part, KEPT)
}

/// Joins what is there and not empty, as oslo does.
fn join<'a>(separator: &str, parts: impl IntoIterator<Item = Option<Cow<'a, str>>>) -> String {
    parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
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
}
