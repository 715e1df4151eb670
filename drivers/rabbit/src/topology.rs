//! Which exchanges, queues and bindings there are, how they are declared, and where a message goes: oslo's rules, as
//! pure functions.
//!
//! Every peer must declare the same object with the same arguments, or the broker refuses the later one; so these
//! follow `oslo_messaging._drivers.impl_rabbit` to the letter.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lapin::types::{AMQPValue, FieldTable, ShortString};
use oxlo_transport::{ListenScope, Priority, RequestQueue, Target, TransportError};

use crate::names::QueueName;

/// The options that shape objects on the broker.
#[derive(Clone, Debug)]
pub(crate) struct TopologyOptions {
    /// `amqp_durable_queues`
    pub(crate) durable: bool,
    /// `amqp_auto_delete`
    pub(crate) auto_delete: bool,
    /// `rabbit_ha_queues`
    pub(crate) highly_available: bool,
    /// `rabbit_quorum_queue` and its limits
    pub(crate) quorum: Option<Quorum>,
    /// `rabbit_transient_quorum_queue`, and the same limits
    pub(crate) transient_quorum: Option<Quorum>,
    /// `rabbit_transient_queues_ttl`; zero: fanout and reply queues never expire
    pub(crate) transient_ttl: Duration,
    /// `rabbit_stream_fanout`
    pub(crate) stream_fanout: bool,
    /// `on_declare_mismatch`
    pub(crate) mismatch: Mismatch,
}

/// What becomes of a queue or an exchange that is there with other properties.
#[derive(Clone, Debug, Default)]
pub(crate) enum Mismatch {
    /// It is an error.
    #[default]
    Fail,
    /// It is used as it is. Which ones were found so is kept, so that they are not declared in vain each time.
    Adopt(Arc<Mutex<HashSet<String>>>),
}

impl PartialEq for Mismatch {
    fn eq(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Fail, Self::Fail) | (Self::Adopt(_), Self::Adopt(_)))
    }
}

impl Mismatch {
    /// Whether `object` is to be used as it is, and was found with other properties before.
    pub(crate) fn has_adopted(&self, object: &str) -> bool {
        match self {
            Self::Fail => false,
            Self::Adopt(known) => known.lock().unwrap_or_else(PoisonError::into_inner).contains(object),
        }
    }

    /// Notes that `object` has other properties; `false` if it must not be used then.
    pub(crate) fn adopt(&self, object: &str) -> bool {
        match self {
            Self::Fail => false,
            Self::Adopt(known) => {
                known.lock().unwrap_or_else(PoisonError::into_inner).insert(object.to_owned());
                true
            }
        }
    }

    /// Notes that `object` is no longer there.
    pub(crate) fn forget(&self, object: &str) {
        if let Self::Adopt(known) = self {
            known.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
        }
    }
}

/// Limits of quorum queues; zero leaves the broker's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quorum {
    pub(crate) delivery_limit: i32,
    pub(crate) max_memory_length: i32,
    pub(crate) max_memory_bytes: i32,
}

/// One object to declare.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Declare {
    Exchange { name: String, fanout: bool, durable: bool, auto_delete: bool, mismatch: Mismatch },
    Queue { name: String, durable: bool, auto_delete: bool, arguments: FieldTable, mismatch: Mismatch },
    Binding { queue: String, exchange: String, routing_key: String },
}

/// What a listener declares, and which queues it then consumes, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Subscription {
    pub(crate) declares: Vec<Declare>,
    pub(crate) queues: Vec<String>,
    /// Queues that are this listener's alone, and are deleted when it closes.
    pub(crate) own: Vec<String>,
    /// Queues that are this listener's alone and outlive it; another consumer on one is a mistake.
    pub(crate) claimed: Vec<String>,
    /// Which of the queues is a stream, if one is.
    pub(crate) stream: Option<usize>,
    /// Queues that are deleted when it closes, unless somebody else consumes them.
    pub(crate) transient: Vec<String>,
}

/// Where a message is published, and what must be there first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Route {
    pub(crate) exchange: String,
    pub(crate) routing_key: String,
    pub(crate) declares: Vec<Declare>,
    /// Names the declarations, so that they are made once per connection; absent if they must be made each time, because
    /// the broker may have deleted the exchange in between.
    pub(crate) declared_as: Option<String>,
}

impl Quorum {
    fn put_into(&self, arguments: &mut FieldTable) {
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        for (name, limit) in [
            ("x-delivery-limit", self.delivery_limit),
            ("x-max-in-memory-length", self.max_memory_length),
            ("x-max-in-memory-bytes", self.max_memory_bytes),
        ] {
            if limit > 0 {
                arguments.insert(name.into(), AMQPValue::LongInt(limit));
            }
        }
    }
}

impl TopologyOptions {
    fn durable(&self) -> bool {
        self.durable || self.quorum.is_some()
    }

    fn exchange(&self, name: &str) -> Declare {
        Declare::Exchange {
            name: name.to_owned(),
            fanout: false,
            durable: self.durable(),
            auto_delete: self.auto_delete,
            mismatch: self.mismatch.clone(),
        }
    }

    fn fanout_exchange(&self, topic: &str) -> Declare {
        Declare::Exchange {
            name: format!("{topic}_fanout"),
            fanout: true,
            durable: self.transient_quorum.is_some() || self.stream_fanout,
            auto_delete: true,
            mismatch: self.mismatch.clone(),
        }
    }

    fn queue(&self, name: &str) -> Declare {
        let mut arguments = FieldTable::default();
        if self.highly_available {
            arguments.insert("x-ha-policy".into(), AMQPValue::LongString("all".into()));
        }
        if let Some(quorum) = &self.quorum {
            quorum.put_into(&mut arguments);
        }
        let (durable, auto_delete) = (self.durable(), self.auto_delete);
        Declare::Queue { name: name.to_owned(), durable, auto_delete, arguments, mismatch: self.mismatch.clone() }
    }

    fn transient_queue(&self, name: &str) -> Declare {
        let mut arguments = FieldTable::default();
        if self.highly_available {
            arguments.insert("x-ha-policy".into(), AMQPValue::LongString("all".into()));
        }
        if let Some(quorum) = &self.transient_quorum {
            quorum.put_into(&mut arguments);
        }
        if !self.transient_ttl.is_zero() {
            let milliseconds = i32::try_from(self.transient_ttl.as_millis()).unwrap_or(i32::MAX);
            arguments.insert("x-expires".into(), AMQPValue::LongInt(milliseconds));
        }
        Declare::Queue {
            name: name.to_owned(),
            durable: self.transient_quorum.is_some(),
            auto_delete: false,
            arguments,
            mismatch: self.mismatch.clone(),
        }
    }

    /// The stream that every server of a topic reads.
    fn stream_queue(&self, name: &str) -> Declare {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
        if !self.transient_ttl.is_zero() {
            let age = format!("{}s", self.transient_ttl.as_secs().max(1));
            arguments.insert("x-max-age".into(), AMQPValue::LongString(age.into()));
        }
        let mismatch = self.mismatch.clone();
        Declare::Queue { name: name.to_owned(), durable: true, auto_delete: false, arguments, mismatch }
    }

    fn bound_queue(&self, declares: &mut Vec<Declare>, exchange: &str, name: &str) {
        declares.push(self.exchange(exchange));
        declares.push(self.queue(name));
        declares.push(binding(name, exchange, name));
    }

    /// What an RPC server declares and consumes: its topic, its own name, and everyone's.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] without topic and server, or with a name that AMQP cannot carry.
    pub(crate) fn rpc_server(
        &self,
        on: &Target,
        scope: &ListenScope,
        control_exchange: &str,
        fanout_name: &QueueName,
    ) -> Result<Subscription, TransportError> {
        if let ListenScope::Queue(queue) = scope {
            let (name, declares) = self.request_queue(queue, control_exchange)?;
            return Ok(Subscription { declares, queues: vec![name], ..Subscription::default() });
        }
        let topic = on.require_topic()?;
        let exchange = on.exchange.as_deref().unwrap_or(control_exchange);
        fits(exchange)?;
        let mut it = Subscription::default();
        if *scope != ListenScope::Named {
            self.bound_queue(&mut it.declares, exchange, topic);
            it.queues.push(topic.to_string());
        }
        if *scope == ListenScope::Topic {
            fits(topic)?;
            return Ok(it);
        }
        let (_, server) = on.require_topic_and_server()?;
        let own = format!("{topic}.{server}");
        fits(&own)?;
        self.bound_queue(&mut it.declares, exchange, &own);
        it.queues.push(own);
        if *scope == ListenScope::Server {
            self.fanout(&mut it, topic, fanout_name)?;
        }
        Ok(it)
    }

    /// Adds what is for every server of a topic.
    fn fanout(&self, it: &mut Subscription, topic: &str, name: &QueueName) -> Result<(), TransportError> {
        let exchange = format!("{topic}_fanout");
        let queue = if self.stream_fanout { exchange.clone() } else { format!("{exchange}_{}", name.suffix) };
        fits(&queue)?;
        it.declares.push(self.fanout_exchange(topic));
        it.declares.push(if self.stream_fanout { self.stream_queue(&queue) } else { self.transient_queue(&queue) });
        it.declares.push(binding(&queue, &exchange, topic));
        if self.stream_fanout {
            it.stream = Some(it.queues.len());
        } else if name.is_stable() {
            it.claimed.push(queue.clone());
        } else {
            it.own.push(queue.clone());
        }
        it.queues.push(queue);
        Ok(())
    }

    /// Name and declarations of an extra request queue.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] if it has no topic, name or key, or one that AMQP cannot carry.
    pub(crate) fn request_queue(
        &self,
        queue: &RequestQueue,
        control_exchange: &str,
    ) -> Result<(String, Vec<Declare>), TransportError> {
        let RequestQueue { topic, routing_key, expires, .. } = queue.check()?;
        let exchange = queue.exchange.as_deref().unwrap_or(control_exchange);
        let (name, routing_key) = (format!("{topic}_queue_{}", queue.name), format!("{topic}.{routing_key}"));
        for text in [exchange, &name, &routing_key] {
            fits(text)?;
        }
        let mut declare = self.queue(&name);
        if let (Declare::Queue { arguments, .. }, Some(after)) = (&mut declare, expires) {
            let milliseconds = i32::try_from(after.as_millis()).unwrap_or(i32::MAX);
            arguments.insert("x-expires".into(), AMQPValue::LongInt(milliseconds));
        }
        let declares = vec![self.exchange(exchange), declare, binding(&name, exchange, &routing_key)];
        Ok((name, declares))
    }

    /// What a notification listener declares and consumes.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] without topics, or with a name that AMQP cannot carry.
    pub(crate) fn notification_listener(
        &self,
        on: &[(Target, Priority)],
        pool: Option<&str>,
        transient: bool,
        control_exchange: &str,
    ) -> Result<Subscription, TransportError> {
        if transient && pool.is_none() {
            return Err(TransportError::InvalidTarget {
                reason: "without a pool the queues are everyone's and stay; name a pool for a transient one".into(),
            });
        }
        let mut declares = Vec::new();
        let mut queues: Vec<String> = Vec::new();
        for (target, priority) in on {
            let exchange = target.exchange.as_deref().unwrap_or(control_exchange);
            let routing_key = format!("{}.{priority}", target.require_topic()?);
            let queue = pool.unwrap_or(&routing_key);
            fits(exchange)?;
            fits(queue)?;
            fits(&routing_key)?;
            declares.push(self.exchange(exchange));
            declares.push(if transient { self.transient_queue(queue) } else { self.queue(queue) });
            declares.push(binding(queue, exchange, &routing_key));
            if !queues.iter().any(|known| known == queue) {
                queues.push(queue.to_owned());
            }
        }
        if queues.is_empty() {
            return Err(TransportError::InvalidTarget {
                reason: "a notification listener needs at least one target and priority".into(),
            });
        }
        let transient = if transient { queues.clone() } else { Vec::new() };
        Ok(Subscription { declares, queues, transient, ..Subscription::default() })
    }

    /// Where a reply goes: the default exchange leads to the queue of that name, and nothing is declared.
    pub(crate) fn reply_route(reply_queue: &str) -> Route {
        Route {
            exchange: String::new(),
            routing_key: reply_queue.to_owned(),
            declares: Vec::new(),
            declared_as: Some(String::new()),
        }
    }

    /// The queue that replies come to.
    pub(crate) fn reply_queue(&self, name: &str) -> Declare {
        self.transient_queue(name)
    }

    /// Where a request goes.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] without a topic, or with a name that AMQP cannot carry.
    pub(crate) fn request_route(&self, to: &Target, control_exchange: &str) -> Result<Route, TransportError> {
        let topic = to.require_topic()?;
        let route = if to.fanout {
            Route {
                exchange: format!("{topic}_fanout"),
                routing_key: String::new(),
                declares: vec![self.fanout_exchange(topic)],
                declared_as: None,
            }
        } else {
            let exchange = to.exchange.as_deref().unwrap_or(control_exchange);
            let routing_key = match &to.server {
                Some(server) => format!("{topic}.{server}"),
                None => topic.to_string(),
            };
            Route {
                exchange: exchange.to_owned(),
                routing_key,
                declares: vec![self.exchange(exchange)],
                declared_as: (!self.auto_delete).then(|| exchange.to_owned()),
            }
        };
        fits(&route.exchange)?;
        fits(&route.routing_key)?;
        Ok(route)
    }

    /// Where a notification goes. Its default queue is declared first, so that nothing is lost before a listener is there,
    /// unless that is not wanted.
    ///
    /// # Errors
    ///
    /// As [`request_route`](Self::request_route).
    pub(crate) fn notification_route(
        &self,
        to: &Target,
        priority: Priority,
        control_exchange: &str,
        default_queue: bool,
    ) -> Result<Route, TransportError> {
        let exchange = to.exchange.as_deref().unwrap_or(control_exchange);
        let routing_key = format!("{}.{priority}", to.require_topic()?);
        fits(exchange)?;
        fits(&routing_key)?;
        let mut declares = Vec::with_capacity(3);
        let declared_as = if default_queue {
            self.bound_queue(&mut declares, exchange, &routing_key);
            format!("{exchange}/{routing_key}")
        } else {
            declares.push(self.exchange(exchange));
            exchange.to_owned()
        };
        let declared_as = (!self.auto_delete).then_some(declared_as);
        Ok(Route { exchange: exchange.to_owned(), routing_key, declares, declared_as })
    }
}

impl Route {
    /// Whether it leads to a fanout exchange, which goes with its last listener.
    pub(crate) fn is_fanout(&self) -> bool {
        self.declares.iter().any(|declare| matches!(declare, Declare::Exchange { fanout: true, .. }))
    }
}

impl Declare {
    /// What becomes of it if it is there with other properties; bindings have none.
    pub(crate) fn mismatch(&self) -> Option<&Mismatch> {
        match self {
            Self::Exchange { mismatch, .. } | Self::Queue { mismatch, .. } => Some(mismatch),
            Self::Binding { .. } => None,
        }
    }

    /// What it is, for a message to a person.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Exchange { name, .. } => format!("exchange `{name}`"),
            Self::Queue { name, .. } => format!("queue `{name}`"),
            Self::Binding { queue, exchange, routing_key } => {
                format!("binding of queue `{queue}` to exchange `{exchange}` by `{routing_key}`")
            }
        }
    }
}

fn binding(queue: &str, exchange: &str, routing_key: &str) -> Declare {
    Declare::Binding { queue: queue.to_owned(), exchange: exchange.to_owned(), routing_key: routing_key.to_owned() }
}

/// A name as AMQP carries it.
///
/// # Errors
///
/// [`TransportError::InvalidTarget`] if it is longer than 255 bytes.
pub(crate) fn short_string(name: &str) -> Result<ShortString, TransportError> {
    fits(name)?;
    Ok(ShortString::from(name))
}

/// Whether a name is short enough for AMQP.
///
/// # Errors
///
/// `InvalidTarget` if it is not.
pub(crate) fn fits(name: &str) -> Result<(), TransportError> {
    if name.len() <= 255 {
        return Ok(());
    }
    Err(TransportError::InvalidTarget {
        reason: format!(
            "`{}…` has {} bytes, the names of queues and exchanges have at most 255; shorten topic or server",
            name.chars().take(32).collect::<String>(),
            name.len()
        ),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

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
        let described: Vec<_> = subscription.declares.iter().map(Declare::describe).collect();
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
        let Declare::Queue { durable, arguments, .. } = &subscription.declares[7] else { panic!() };
        assert!(durable);
        assert_eq!(arguments.inner().get("x-max-age"), Some(&AMQPValue::LongString("1800s".into())));
    }

    #[test]
    fn transient_queues_expire_and_are_not_durable() {
        let Declare::Queue { durable, auto_delete, arguments, .. } = plain().reply_queue("reply_x") else { panic!() };
        assert!(!durable && !auto_delete);
        assert_eq!(arguments.inner().len(), 1);
        assert_eq!(arguments.inner().get("x-expires"), Some(&AMQPValue::LongInt(1_800_000)));
        let never = TopologyOptions { transient_ttl: Duration::ZERO, ..plain() };
        let Declare::Queue { arguments, .. } = never.reply_queue("reply_x") else { panic!() };
        assert!(arguments.inner().is_empty());
    }

    #[test]
    fn quorum_queues_are_durable_and_carry_only_the_limits_that_are_set() {
        let limits = Quorum { delivery_limit: 5, max_memory_length: 0, max_memory_bytes: 0 };
        let options = TopologyOptions { quorum: Some(limits), ..plain() };
        let Declare::Queue { durable, arguments, .. } = options.queue("T") else { panic!() };
        assert!(durable);
        assert_eq!(arguments.inner().len(), 2);
        assert_eq!(arguments.inner().get("x-delivery-limit"), Some(&AMQPValue::LongInt(5)));
        let Declare::Exchange { durable, auto_delete, .. } = options.fanout_exchange("T") else { panic!() };
        assert!(!durable && auto_delete, "the fanout side stays transient");
        let options = TopologyOptions { transient_quorum: Some(limits), ..plain() };
        let Declare::Queue { durable, arguments, .. } = options.reply_queue("reply_x") else { panic!() };
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
        assert_eq!(route.declares.iter().map(Declare::describe).collect::<Vec<_>>(), ["exchange `nova`"]);
        assert_eq!(route.declared_as.as_deref(), Some("nova"));
    }

    #[test]
    fn a_transient_pool_expires_and_is_deleted_when_nobody_consumes_it() {
        let on = [(Target::topic("a"), Priority::Info)];
        let pooled = plain().notification_listener(&on, Some("p"), true, "openstack").unwrap();
        assert_eq!(
            (pooled.queues.as_slice(), pooled.transient.as_slice()),
            (&["p".to_owned()][..], &["p".to_owned()][..])
        );
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
        let bindings = pooled.declares.iter().filter(|declare| matches!(declare, Declare::Binding { .. }));
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
}
