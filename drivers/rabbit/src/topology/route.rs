//! Where messages are published.

use oxlo_transport::{Priority, Target, TransportError};

use super::{Declaration, TopologyOptions, check_length};

/// The destination of a message, and the objects that must be declared first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Route {
    pub(crate) exchange: String,
    pub(crate) routing_key: String,
    pub(crate) declares: Vec<Declaration>,
    /// Identifies the declarations, so that they are made once for each connection. Absent if they must be made for
    /// each message, because the broker may delete the exchange in between.
    pub(crate) declared_as: Option<String>,
}

impl Route {
    /// Whether it leads to a fanout exchange, which the broker deletes with its last queue.
    pub(crate) fn is_fanout(&self) -> bool {
        self.declares.iter().any(|declare| matches!(declare, Declaration::Exchange { fanout: true, .. }))
    }
}

impl TopologyOptions {
    /// The route of a reply: the default exchange routes by queue name, and nothing is declared.
    pub(crate) fn reply_route(reply_queue: &str) -> Route {
        Route {
            exchange: String::new(),
            routing_key: reply_queue.to_owned(),
            declares: Vec::new(),
            declared_as: Some(String::new()),
        }
    }

    /// The route of a request.
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
        check_length(&route.exchange)?;
        check_length(&route.routing_key)?;
        Ok(route)
    }

    /// The route of a notification. With `default_queue`, its queue is declared first, so that nothing is lost before a
    /// listener exists.
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
        check_length(exchange)?;
        check_length(&routing_key)?;
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
