//! The periodic check of a subscription: exchanges and bindings that were removed by hand are declared again.
//!
//! AMQP cannot ask whether a binding exists, and declaring one that exists does nothing. To log a lost binding, an empty
//! message (a probe) is sent through the exchange first, which the broker returns if no queue is bound. It is sent only
//! where no one else can receive it: to a queue whose only consumer is this listener.

use std::{sync::Arc, time::Duration};

use lapin::{BasicProperties, Channel};
use oxlo_driver_kit::send_budget::SendBudget;
use oxlo_transport::{Retry, TransportError, backoff::jitter};
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::{
    control::declare::declare_on,
    listeners::consumers,
    publish::{Outgoing, Publisher},
    stream::ports::Incoming,
    topology::{Declaration, Route, Subscription},
};

/// The content type that marks a probe, beside its empty body.
const CONTENT_TYPE: &str = "application/x-oxlo-probe";
/// Milliseconds after which the broker drops a probe that was not consumed.
const EXPIRATION: &str = "10000";
/// How long the broker may take to return or confirm a probe.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// Whether a message is a probe of a self-check.
pub(crate) fn is_probe(incoming: &Incoming) -> bool {
    incoming.body.is_empty() && incoming.properties.content_type() == Some(CONTENT_TYPE)
}

/// Checks one subscription.
pub(crate) struct SelfCheck {
    /// The pause between two checks.
    pub(crate) every: Duration,
    /// The listener's channel: it ends with a declaration that the broker refuses, and the listener subscribes again.
    pub(crate) channel: Channel,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) subscription: Subscription,
}

impl SelfCheck {
    /// Checks until the channel ends.
    pub(crate) async fn run(self) {
        let mut probing = true;
        loop {
            // Processes that started together do not check together.
            let pause = self.every + jitter(&mut rand::rng(), self.every / 10);
            sleep(pause).await;
            if let Err(error) = self.check(&mut probing).await {
                debug!(%error, "a self-check failed");
                return;
            }
        }
    }

    async fn check(&self, probing: &mut bool) -> lapin::Result<()> {
        let declares = &self.subscription.declares;
        for exchange in declares.iter().filter(|declare| matches!(declare, Declaration::Exchange { .. })) {
            declare_on(&self.channel, exchange).await?;
        }
        for declare in declares {
            let Declaration::Binding { queue, exchange, routing_key } = declare else { continue };
            let is_fanout = |known: &Declaration| matches!(known, Declaration::Exchange { name, fanout: true, .. } if name == exchange);
            let gone = *probing
                && !declares.iter().any(is_fanout)
                && self.is_only_consumer(queue).await?
                && self.is_unbound(exchange, routing_key, probing).await;
            declare_on(&self.channel, declare).await?;
            if gone {
                warn!(queue, exchange, routing_key, "the binding of a queue was gone; bound it again");
                metrics::counter!("oxlo_rebindings_total").increment(1);
            }
        }
        Ok(())
    }

    async fn is_only_consumer(&self, queue: &str) -> lapin::Result<bool> {
        Ok(consumers(&self.channel, queue).await? == 1)
    }

    /// Whether the broker returns what is sent to an exchange under a key.
    async fn is_unbound(&self, exchange: &str, routing_key: &str, probing: &mut bool) -> bool {
        let route = Arc::new(Route {
            exchange: exchange.to_owned(),
            routing_key: routing_key.to_owned(),
            declares: Vec::new(),
            declared_as: Some(String::new()),
        });
        let properties = BasicProperties::default()
            .with_content_type(CONTENT_TYPE.into())
            .with_expiration(EXPIRATION.into())
            .with_delivery_mode(1);
        let again = Some(Box::new(properties));
        let probe = Outgoing { route: &route, body: Vec::new(), mandatory: true, expires: false, again };
        match self.publisher.publish_confirmed(probe, &SendBudget::new(PROBE_LIMIT, Retry::Forever)).await {
            Ok(()) => false,
            Err(TransportError::Undeliverable { .. }) => true,
            // Nothing is known for now.
            Err(
                TransportError::Unreachable { .. }
                | TransportError::Blocked { .. }
                | TransportError::Unconfirmed { .. },
            ) => false,
            Err(error) => {
                debug!(%error, exchange, "a self-check may not publish; binding without a probe");
                *probing = false;
                false
            }
        }
    }
}
