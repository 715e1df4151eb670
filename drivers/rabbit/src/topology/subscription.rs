//! The queues of a listener.

use oxlo_transport::{ListenScope, Priority, RequestQueue, Target, TransportError};

use super::{Declaration, TopologyOptions, check_length, declaration::binding};
use crate::queue_name::QueueName;

/// The objects that a listener declares, and the queues that it consumes, each in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Subscription {
    pub(crate) declares: Vec<Declaration>,
    pub(crate) queues: Vec<String>,
    /// Queues of this listener only, deleted when it closes.
    pub(crate) own: Vec<String>,
    /// Queues of this listener only that outlive it; a second consumer is an error.
    pub(crate) claimed: Vec<String>,
    /// The index in `queues` of the one that is a stream, if any.
    pub(crate) stream: Option<usize>,
    /// Queues that are deleted when the listener closes, unless they have other consumers.
    pub(crate) transient: Vec<String>,
}

impl TopologyOptions {
    /// The subscription of an RPC server: its topic, its own queue, and fanout.
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
        check_length(exchange)?;
        let mut subscription = Subscription::default();
        if *scope != ListenScope::Named {
            self.bound_queue(&mut subscription.declares, exchange, topic);
            subscription.queues.push(topic.to_string());
        }
        if *scope == ListenScope::Topic {
            check_length(topic)?;
            return Ok(subscription);
        }
        let (_, server) = on.require_topic_and_server()?;
        let own = format!("{topic}.{server}");
        check_length(&own)?;
        self.bound_queue(&mut subscription.declares, exchange, &own);
        subscription.queues.push(own);
        if *scope == ListenScope::Server {
            self.add_fanout(&mut subscription, topic, fanout_name)?;
        }
        Ok(subscription)
    }

    /// Adds the queue for fanout requests.
    fn add_fanout(&self, subscription: &mut Subscription, topic: &str, name: &QueueName) -> Result<(), TransportError> {
        let exchange = format!("{topic}_fanout");
        let queue = if self.stream_fanout { exchange.clone() } else { format!("{exchange}_{}", name.suffix) };
        check_length(&queue)?;
        subscription.declares.push(self.fanout_exchange(topic));
        subscription.declares.push(if self.stream_fanout {
            self.stream_queue(&queue)
        } else {
            self.transient_queue(&queue)
        });
        subscription.declares.push(binding(&queue, &exchange, topic));
        if self.stream_fanout {
            subscription.stream = Some(subscription.queues.len());
        } else if name.is_stable() {
            subscription.claimed.push(queue.clone());
        } else {
            subscription.own.push(queue.clone());
        }
        subscription.queues.push(queue);
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
    ) -> Result<(String, Vec<Declaration>), TransportError> {
        let RequestQueue { topic, routing_key, expires, .. } = queue.check()?;
        let exchange = queue.exchange.as_deref().unwrap_or(control_exchange);
        let (name, routing_key) = (format!("{topic}_queue_{}", queue.name), format!("{topic}.{routing_key}"));
        for text in [exchange, &name, &routing_key] {
            check_length(text)?;
        }
        let mut declare = self.queue(&name);
        if let (Declaration::Queue { arguments, .. }, Some(after)) = (&mut declare, expires) {
            let milliseconds = i32::try_from(after.as_millis()).unwrap_or(i32::MAX);
            arguments.insert("x-expires".into(), amq_protocol::types::AMQPValue::LongInt(milliseconds));
        }
        let declares = vec![self.exchange(exchange), declare, binding(&name, exchange, &routing_key)];
        Ok((name, declares))
    }

    /// The subscription of a notification listener.
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
                reason:
                    "a transient listener needs a pool: without one its queues are shared and permanent; name a pool"
                        .into(),
            });
        }
        let mut declares = Vec::new();
        let mut queues: Vec<String> = Vec::new();
        for (target, priority) in on {
            let exchange = target.exchange.as_deref().unwrap_or(control_exchange);
            let routing_key = format!("{}.{priority}", target.require_topic()?);
            let queue = pool.unwrap_or(&routing_key);
            check_length(exchange)?;
            check_length(queue)?;
            check_length(&routing_key)?;
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
}
