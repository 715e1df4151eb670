//! Where messages go: oslo's legacy and routable addresses, and the sets of them that brokers need. Pure.
//!
//! oslo.messaging's AMQP 1.0 driver knows two ways to write an address and picks one by the product that the broker
//! names when it opens the connection. Neither of them fans out on ActiveMQ or reaches RabbitMQ at all, so a
//! [`Profile`] beside them knows each broker's own prefixes.

mod replies;

use std::{borrow::Cow, fmt};

use oxlo_transport::{Priority, Target, TransportError, options::ListenScope};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use uuid::Uuid;

use crate::{
    management::{Kind, Need},
    syntax::Syntax,
};

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
    /// Whether each listener there gets a copy of each message.
    pub(crate) everyone: bool,
}

impl Place {
    fn fanout(key: &str) -> Self {
        let queue = format!("{key}.{}", Uuid::new_v4().simple());
        let address = format!("/queues/{}", escaped(&queue));
        let binding = Need::Binding { exchange: FANOUT, key: key.to_owned(), queue: queue.clone() };
        Self { address, needs: vec![Need::Queue(queue, Kind::Passing), binding], everyone: true }
    }

    /// As it is for one subscription. A queue that goes with its consumer has another name each time: the broker may still
    /// hold the last one for a connection that it does not know to be dead.
    pub(crate) fn once(&self) -> Self {
        match &self.needs[..] {
            [Need::Queue(_, Kind::Passing), Need::Binding { key, .. }] => Self::fanout(key),
            _ => self.clone(),
        }
    }
}

impl Addresses {
    /// Where a request goes. Fanout wins over the server, as in oslo.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] without topic, or with a name that the broker cannot have.
    pub(crate) fn request(&self, to: &Target) -> Result<String, TransportError> {
        let topic = to.require_topic()?;
        let whom = match (&to.server, to.fanout) {
            (_, true) => Whom::Every,
            (Some(server), false) => Whom::Server(server),
            (None, false) => Whom::Any,
        };
        self.address(true, self.exchange(to), topic, whom)
    }

    /// What an RPC server takes messages from: its own address, everyone's, anyone's, as far as `scope` goes.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] without topic or server, for an extra queue, and with a name that the broker cannot
    /// have.
    pub(crate) fn rpc_server(&self, on: &Target, scope: &ListenScope) -> Result<Vec<Place>, TransportError> {
        let topic = on.require_topic()?;
        let address = |whom| self.place(true, self.exchange(on), topic, whom);
        let named = || on.require_topic_and_server().and_then(|(_, server)| address(Whom::Server(server)));
        match scope {
            ListenScope::Server => Ok(vec![named()?, address(Whom::Every)?, address(Whom::Any)?]),
            ListenScope::Topic => Ok(vec![address(Whom::Any)?]),
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
    /// As [`request`](Self::request).
    pub(crate) fn notification(&self, to: &Target, priority: Priority) -> Result<Place, TransportError> {
        let topic = format!("{}.{priority}", to.require_topic()?);
        self.place(false, &self.notification_exchange, &topic, Whom::Any)
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
    fn address(&self, rpc: bool, exchange: &str, topic: &str, whom: Whom<'_>) -> Result<String, TransportError> {
        let name = self.write(rpc, exchange, topic, whom)?;
        Ok(match (self.profile, whom) {
            (Profile::RabbitMq4, Whom::Every) => format!("/exchanges/{FANOUT}/{}", escaped(&name)),
            (Profile::RabbitMq4, _) => format!("/queues/{}", escaped(&name)),
            _ => name,
        })
    }

    /// Name of the queue that requests for a target wait in, where queues have names of their own.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] without topic.
    pub(crate) fn request_queue(&self, to: &Target) -> Result<Option<String>, TransportError> {
        let topic = to.require_topic()?;
        let whom = to.server.as_deref().map_or(Whom::Any, Whom::Server);
        let needs = self.place(true, self.exchange(to), topic, whom)?.needs;
        Ok(needs.into_iter().find_map(|need| match need {
            Need::Queue(name, _) => Some(name),
            Need::Binding { .. } => None,
        }))
    }

    /// Where such messages are taken from.
    fn place(&self, rpc: bool, exchange: &str, topic: &str, whom: Whom<'_>) -> Result<Place, TransportError> {
        if self.profile != Profile::RabbitMq4 {
            let everyone = matches!(whom, Whom::Every);
            let address = self.address(rpc, exchange, topic, whom)?;
            return Ok(Place { address, needs: Vec::new(), everyone });
        }
        let name = self.write(rpc, exchange, topic, whom)?;
        let (queue, needs) = match whom {
            Whom::Any => (name.clone(), vec![Need::Queue(name, Kind::Shared)]),
            Whom::Server(_) => (name.clone(), vec![Need::Queue(name, Kind::Own)]),
            Whom::Every => return Ok(Place::fanout(&name)),
        };
        Ok(Place { address: format!("/queues/{}", escaped(&queue)), needs, everyone: false })
    }

    fn write(&self, rpc: bool, exchange: &str, topic: &str, whom: Whom<'_>) -> Result<String, TransportError> {
        let syntax = Syntax::of(self.profile);
        let virtual_host = self.virtual_host.as_deref();
        let server = if let Whom::Server(name) = whom { Some(name) } else { None };
        let names = [virtual_host, Some(exchange), Some(topic), server];
        for name in names.into_iter().flatten() {
            if syntax.refuses_control && name.contains(char::is_control) {
                let reason = format!("the name `{}` has a control character; use another name", name.escape_debug());
                return Err(TransportError::InvalidTarget { reason });
            }
        }
        let [virtual_host, exchange, topic, server] = names.map(|name| name.map(|name| syntax.write(name)));
        let address = match &self.scheme {
            Scheme::Legacy { server: to_server, broadcast, group } => {
                let (prefix, last) = match whom {
                    Whom::Server(_) => (to_server, server),
                    Whom::Every => (broadcast, Some("all".into())),
                    Whom::Any => (group, None),
                };
                join(".", [Some(prefix.into()), virtual_host, exchange, topic, last])
            }
            Scheme::Routable { rpc: rpc_prefix, notify, multicast, unicast, anycast } => {
                let kind = match whom {
                    Whom::Server(_) => unicast,
                    Whom::Every => multicast,
                    Whom::Any => anycast,
                };
                let prefix = if rpc { rpc_prefix } else { notify };
                join("/", [Some(prefix.into()), Some(kind.into()), virtual_host, exchange, topic, server])
            }
        };
        // A queue that goes with its consumer has a suffix of a dot and 32 digits.
        let suffix = if self.profile == Profile::RabbitMq4 && matches!(whom, Whom::Every) { 33 } else { 0 };
        let size = match self.profile {
            Profile::RabbitMq => percent_decode_str(address.rsplit('/').next().unwrap_or_default()).count(),
            _ => address.len(),
        };
        if size + suffix > syntax.longest {
            return Err(TransportError::InvalidTarget {
                reason: format!(
                    "exchange, topic and server make a name of {} bytes, and the broker allows {}; use shorter names",
                    size + suffix,
                    syntax.longest
                ),
            });
        }
        Ok(address)
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
#[path = "address_tests.rs"]
mod tests;
