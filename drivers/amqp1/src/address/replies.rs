//! The addresses to which replies may be sent.
//!
//! A request names the address of its reply, and whoever can send requests can name any address. A server that replies
//! there lends its own permissions to that peer (reflection): the reply would reach the requests of another service, or
//! a queue of another application. So replies go only to addresses that brokers generate for replies.

use oxlo_driver_kit::inbound::is_reply_name;

use super::{Addresses, Profile, Scheme};

/// Maximum bytes of a reply address.
const MAX_LENGTH: usize = 1024;

impl Addresses {
    /// Whether an address may be a reply address.
    ///
    /// On RabbitMQ these are queues with names as in [`reply_node`](Self::reply_node). Elsewhere they are nodes that
    /// the broker creates for a receiver with a dynamic source: ActiveMQ's temporary destinations, addresses with a
    /// router's own prefix, and on Artemis, qpidd and similar brokers names with a UUID of the node, the link or the
    /// container. Addresses of requests, notifications, and named queues and topics are never reply addresses.
    pub(crate) fn can_be_reply(&self, address: &str) -> bool {
        if address.len() > MAX_LENGTH || address.chars().any(char::is_control) {
            return false;
        }
        match self.profile {
            Profile::RabbitMq => is_queue_of_replies(address, "/queue/reply_"),
            Profile::RabbitMq4 => is_queue_of_replies(address, "/queues/reply_"),
            Profile::ActiveMq => is_temporary(address) || is_uuid(address.as_bytes()),
            Profile::Qpid | Profile::Router => {
                is_temporary(address)
                    || ["amqp:/_", "/_", "_"].iter().any(|own| address.starts_with(own))
                    || (holds_uuid(address) && !self.can_be_named(address))
            }
        }
    }

    /// Whether this may be the address of requests, notifications, or a named queue or topic.
    fn can_be_named(&self, address: &str) -> bool {
        let ours = match &self.scheme {
            Scheme::Legacy { server, broadcast, group } => [server, broadcast, group].map(String::as_str).to_vec(),
            Scheme::Routable { rpc, notify, .. } => vec![&**rpc, notify],
        };
        // Both of oslo's schemes: peers may use the other one.
        let usual = ["exclusive.", "broadcast.", "unicast.", "openstack.org/om/rpc", "openstack.org/om/notify"];
        let named = ["queue://", "topic://", "/queue", "/topic", "/exchange", "/amq/"];
        ours.into_iter().chain(usual).chain(named).any(|prefix| !prefix.is_empty() && address.starts_with(prefix))
    }
}

fn is_queue_of_replies(address: &str, prefix: &str) -> bool {
    address.strip_prefix(prefix).is_some_and(is_reply_name)
}

fn is_temporary(address: &str) -> bool {
    ["temp-queue://", "temp-topic://"].iter().any(|prefix| address.starts_with(prefix))
}

fn holds_uuid(address: &str) -> bool {
    let bytes = address.as_bytes();
    [36, 32].iter().any(|length| bytes.windows(*length).any(is_uuid))
}

/// Whether these are 32 hexadecimal digits, grouped or not.
fn is_uuid(bytes: &[u8]) -> bool {
    match bytes.len() {
        32 => bytes.iter().all(u8::is_ascii_hexdigit),
        36 => bytes.iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::AddressOptions;

    fn on(product: Option<&str>, version: Option<&str>) -> Addresses {
        AddressOptions::default().on(product, version, "openstack")
    }

    #[test]
    fn only_addresses_that_brokers_make_for_replies_are_answered_to() {
        let python = "openstack.org/om/container/host/nova-api/17/5f3c_openstack.org/om/receiver/[rpc-response]/\
                      0d5e1a1c-36f7-4f0a-9a55-5c6b7c2a8d11";
        let (qpid, router) = (on(None, None), on(Some("qpid-dispatch-router"), None));
        let activemq = on(Some("ActiveMQ"), None);
        let artemis = on(Some("apache-activemq-artemis"), None);
        let (three, four) = (on(Some("RabbitMQ"), Some("3.10.8")), on(Some("RabbitMQ"), Some("4.0.5")));
        for (addresses, address) in [
            (&qpid, "0d5e1a1c-36f7-4f0a-9a55-5c6b7c2a8d11"),
            (&qpid, "reply_0d5e1a1c36f74f0a9a555c6b7c2a8d11"),
            (&qpid, python),
            (&router, "amqp:/_topo/0/om1/temp.Q3nH_u7l5eKZ0Ly"),
            (&router, "amqp:/_edge/edge-1/temp.5KZLKNTXGVXWBOw"),
            (&activemq, "temp-queue://ID:host-36781-1700000000000-3:2:1"),
            (&artemis, "0d5e1a1c-36f7-4f0a-9a55-5c6b7c2a8d11"),
            (&three, "/queue/reply_1"),
            (&four, "/queues/reply_0d5e1a1c36f74f0a9a555c6b7c2a8d11"),
        ] {
            assert!(addresses.can_be_reply(address), "{address}");
        }
        let long = "temp-queue://".to_owned() + &"x".repeat(MAX_LENGTH);
        for addresses in [&qpid, &router, &activemq, &artemis, &three, &four] {
            for address in [
                "",
                "billing",
                "unicast.openstack.nova",
                "unicast.openstack.nova.0d5e1a1c36f74f0a9a555c6b7c2a8d11",
                "exclusive.openstack.compute.0d5e1a1c-36f7-4f0a-9a55-5c6b7c2a8d11",
                "openstack.org/om/rpc/unicast/openstack/compute/0d5e1a1c-36f7-4f0a-9a55-5c6b7c2a8d11",
                "openstack.org/om/notify/anycast/openstack/notifications.info",
                "queue://0d5e1a1c-36f7-4f0a-9a55-5c6b7c2a8d11",
                "topic://broadcast.openstack.nova.all",
                "/exchange/amq.fanout/0d5e1a1c-36f7-4f0a-9a55-5c6b7c2a8d11",
                "/queue/other",
                "/queue/reply_",
                "/queues/reply_a/b",
                "temp-queue://a\nb",
                long.as_str(),
            ] {
                assert!(!addresses.can_be_reply(address), "{address:?} {:?}", addresses.profile);
            }
        }
        assert!(!three.can_be_reply("/queues/reply_1") && !four.can_be_reply("/queue/reply_1"));
    }
}
