//! Addresses of messages: oslo's legacy and routable addresses, and those that each broker needs. Pure.
//!
//! oslo.messaging's AMQP 1.0 driver has two addressing modes and chooses one by the product that the broker names in
//! its open. Neither mode supports fanout on ActiveMQ, and neither reaches RabbitMQ, so that a [`Profile`] adds each
//! broker's own prefixes.

mod replies;
mod syntax;

use std::{borrow::Cow, fmt};

use oxlo_transport::{ListenScope, Priority, Target, TransportError};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use syntax::Syntax;
use uuid::Uuid;

use crate::management::{Declaration, QueueKind};

/// The exchange for fanout on RabbitMQ, which always exists.
const FANOUT: &str = "amq.direct";

/// `addressing_mode`: the form of oslo's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `unicast.exchange.topic`
    Legacy,
    /// `openstack.org/om/rpc/anycast/exchange/topic`
    Routable,
}

/// `address_profile`: the needs of a broker beyond oslo's two modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// qpidd and similar brokers: legacy addresses, replies to a dynamic node.
    Qpid,
    /// Qpid Dispatch and Skupper routers: routable addresses, replies to a dynamic node.
    Router,
    /// ActiveMQ and Artemis: legacy addresses, fanout by `topic://`, replies to a dynamic node.
    ActiveMq,
    /// RabbitMQ 3 with its plugin, and RabbitMQ 4, with addresses of version 1: they have no dynamic nodes, so that
    /// replies go to a named queue.
    RabbitMq,
    /// RabbitMQ 4 with addresses of version 2: queues are declared, and a missing queue is noticed.
    RabbitMq4,
}

impl Profile {
    /// Whether replies go to named queues.
    pub(crate) fn is_rabbitmq(self) -> bool {
        matches!(self, Self::RabbitMq | Self::RabbitMq4)
    }
}

/// The address options of a URL; the profile decides where an option is absent.
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
    /// The virtual host, if it is a part of addresses (`pseudo_vhost`).
    pub(crate) virtual_host: Option<String>,
}

/// The profile for the product that a broker names: oslo's choice, except for brokers with which that does not work.
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
    /// The addresses on a broker with this product and version.
    pub(crate) fn on(&self, product: Option<&str>, version: Option<&str>, control_exchange: &str) -> Addresses {
        let profile = match (self.profile, self.mode) {
            (Some(profile), _) => profile,
            // These modes use addresses of version 1.
            (None, Some(_)) if profile_of(product, version) == Profile::RabbitMq4 => Profile::RabbitMq,
            (None, _) => profile_of(product, version),
        };
        let mode = match (self.profile, self.mode) {
            (None, Some(mode)) => mode,
            _ if profile == Profile::Router => Mode::Routable,
            _ => Mode::Legacy,
        };
        // An explicit mode means oslo's own prefixes, for Python peers with the same mode.
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

/// The receivers that an address means.
#[derive(Clone, Copy)]
enum Receivers<'a> {
    Server(&'a str),
    Every,
    Any,
}

/// The node that receives the replies to a transport's calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReplyNode {
    /// The broker creates a node and reports its address.
    Dynamic,
    /// A named queue that outlives a lost connection.
    Queue {
        /// The address for sending and receiving; without `needs`, its first use creates the queue.
        address: String,
        /// The address of the same queue, which does not create it.
        existing: String,
        /// Objects to declare first.
        needs: Vec<Declaration>,
    },
}

/// An address to receive from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenAddress {
    pub(crate) address: String,
    /// Objects to declare first.
    pub(crate) needs: Vec<Declaration>,
    /// Whether each listener gets a copy of each message.
    pub(crate) everyone: bool,
}

impl ListenAddress {
    fn fanout(key: &str) -> Self {
        let queue = format!("{key}.{}", Uuid::new_v4().simple());
        let address = format!("/queues/{}", escaped(&queue));
        let binding = Declaration::Binding { exchange: FANOUT, key: key.to_owned(), queue: queue.clone() };
        Self { address, needs: vec![Declaration::Queue(queue, QueueKind::Transient), binding], everyone: true }
    }

    /// The address for one subscription. A transient queue gets a new name each time: the broker may still keep the
    /// last one for a connection that it does not know to be dead.
    pub(crate) fn once(&self) -> Self {
        match &self.needs[..] {
            [Declaration::Queue(_, QueueKind::Transient), Declaration::Binding { key, .. }] => Self::fanout(key),
            _ => self.clone(),
        }
    }
}

impl Addresses {
    /// The address of a request. Fanout takes precedence over the server, as in oslo.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] without topic, or with a name that the broker does not allow.
    pub(crate) fn request(&self, to: &Target) -> Result<String, TransportError> {
        let topic = to.require_topic()?;
        let receivers = match (&to.server, to.fanout) {
            (_, true) => Receivers::Every,
            (Some(server), false) => Receivers::Server(server),
            (None, false) => Receivers::Any,
        };
        self.address(true, self.exchange(to), topic, receivers)
    }

    /// The addresses of an RPC server in `scope`: its own, fanout, and its topic.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] without topic or server, for an extra queue, and with a name that the broker
    /// does not allow.
    pub(crate) fn rpc_server(&self, on: &Target, scope: &ListenScope) -> Result<Vec<ListenAddress>, TransportError> {
        let topic = on.require_topic()?;
        let address = |receivers| self.listen_address(true, self.exchange(on), topic, receivers);
        let named = || on.require_topic_and_server().and_then(|(_, server)| address(Receivers::Server(server)));
        match scope {
            ListenScope::Server => Ok(vec![named()?, address(Receivers::Every)?, address(Receivers::Any)?]),
            ListenScope::Topic => Ok(vec![address(Receivers::Any)?]),
            ListenScope::Named => Ok(vec![named()?]),
            _ => Err(TransportError::InvalidTarget {
                reason: "AMQP 1.0 has no extra request queues; listen on a topic, or use rabbit://".into(),
            }),
        }
    }

    /// The address of a notification, for sending and receiving. The target's exchange is ignored, as in oslo.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub(crate) fn notification(&self, to: &Target, priority: Priority) -> Result<ListenAddress, TransportError> {
        let topic = format!("{}.{priority}", to.require_topic()?);
        self.listen_address(false, &self.notification_exchange, &topic, Receivers::Any)
    }

    /// A new node for replies.
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
                needs: vec![Declaration::Queue(name, QueueKind::Own)],
            },
            Profile::Qpid | Profile::Router | Profile::ActiveMq => ReplyNode::Dynamic,
        }
    }

    fn exchange<'a>(&'a self, target: &'a Target) -> &'a str {
        target.exchange.as_deref().filter(|name| !name.is_empty()).unwrap_or(&self.rpc_exchange)
    }

    /// The address for sending.
    fn address(
        &self,
        rpc: bool,
        exchange: &str,
        topic: &str,
        receivers: Receivers<'_>,
    ) -> Result<String, TransportError> {
        let name = self.oslo_address(rpc, exchange, topic, receivers)?;
        Ok(match (self.profile, receivers) {
            (Profile::RabbitMq4, Receivers::Every) => format!("/exchanges/{FANOUT}/{}", escaped(&name)),
            (Profile::RabbitMq4, _) => format!("/queues/{}", escaped(&name)),
            _ => name,
        })
    }

    /// The name of the queue for requests to a target, where queues have names.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] without topic.
    pub(crate) fn request_queue(&self, to: &Target) -> Result<Option<String>, TransportError> {
        let topic = to.require_topic()?;
        let receivers = to.server.as_deref().map_or(Receivers::Any, Receivers::Server);
        let needs = self.listen_address(true, self.exchange(to), topic, receivers)?.needs;
        Ok(needs.into_iter().find_map(|need| match need {
            Declaration::Queue(name, _) => Some(name),
            Declaration::Binding { .. } => None,
        }))
    }

    /// The address for receiving.
    fn listen_address(
        &self,
        rpc: bool,
        exchange: &str,
        topic: &str,
        receivers: Receivers<'_>,
    ) -> Result<ListenAddress, TransportError> {
        if self.profile != Profile::RabbitMq4 {
            let everyone = matches!(receivers, Receivers::Every);
            let address = self.address(rpc, exchange, topic, receivers)?;
            return Ok(ListenAddress { address, needs: Vec::new(), everyone });
        }
        let name = self.oslo_address(rpc, exchange, topic, receivers)?;
        let (queue, needs) = match receivers {
            Receivers::Any => (name.clone(), vec![Declaration::Queue(name, QueueKind::Shared)]),
            Receivers::Server(_) => (name.clone(), vec![Declaration::Queue(name, QueueKind::Own)]),
            Receivers::Every => return Ok(ListenAddress::fanout(&name)),
        };
        Ok(ListenAddress { address: format!("/queues/{}", escaped(&queue)), needs, everyone: false })
    }

    /// The address in oslo's form.
    fn oslo_address(
        &self,
        rpc: bool,
        exchange: &str,
        topic: &str,
        receivers: Receivers<'_>,
    ) -> Result<String, TransportError> {
        let syntax = Syntax::new(self.profile);
        let virtual_host = self.virtual_host.as_deref();
        let server = if let Receivers::Server(name) = receivers { Some(name) } else { None };
        let names = [virtual_host, Some(exchange), Some(topic), server];
        for name in names.into_iter().flatten() {
            if syntax.refuses_control && name.contains(char::is_control) {
                let reason = format!("name `{}` contains a control character; use another name", name.escape_debug());
                return Err(TransportError::InvalidTarget { reason });
            }
        }
        let [virtual_host, exchange, topic, server] = names.map(|name| name.map(|name| syntax.escape(name)));
        let address = match &self.scheme {
            Scheme::Legacy { server: to_server, broadcast, group } => {
                let (prefix, last) = match receivers {
                    Receivers::Server(_) => (to_server, server),
                    Receivers::Every => (broadcast, Some("all".into())),
                    Receivers::Any => (group, None),
                };
                join(".", [Some(prefix.into()), virtual_host, exchange, topic, last])
            }
            Scheme::Routable { rpc: rpc_prefix, notify, multicast, unicast, anycast } => {
                let kind = match receivers {
                    Receivers::Server(_) => unicast,
                    Receivers::Every => multicast,
                    Receivers::Any => anycast,
                };
                let prefix = if rpc { rpc_prefix } else { notify };
                join("/", [Some(prefix.into()), Some(kind.into()), virtual_host, exchange, topic, server])
            }
        };
        // The name of a transient queue has a suffix of a dot and 32 digits.
        let suffix = if self.profile == Profile::RabbitMq4 && matches!(receivers, Receivers::Every) { 33 } else { 0 };
        let size = match self.profile {
            Profile::RabbitMq => percent_decode_str(address.rsplit('/').next().unwrap_or_default()).count(),
            _ => address.len(),
        };
        if size + suffix > syntax.max_length {
            return Err(TransportError::InvalidTarget {
                reason: format!(
                    "exchange, topic and server make a name of {} bytes, but the broker allows {}; use shorter names",
                    size + suffix,
                    syntax.max_length
                ),
            });
        }
        Ok(address)
    }
}

/// A name as one segment of an address of version 2.
pub(crate) fn escaped(part: &str) -> impl fmt::Display {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(part, KEPT)
}

/// Joins the parts that are present and not empty, as oslo does.
fn join<'a>(separator: &str, parts: impl IntoIterator<Item = Option<Cow<'a, str>>>) -> String {
    parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
mod tests;
