//! Sending a delivery to its queue again.

use std::sync::Arc;

use bytes::Bytes;
use oxlo_driver_kit::{deferral::Way, lateness::stamped_id, resend::Resend, send_budget::SendBudget};
use oxlo_transport::TransportError;
use tokio::time::Instant;
use tracing::debug;

use crate::{
    properties,
    publish::{Outgoing, Publisher},
    stream::received::Received,
    topology::TopologyOptions,
};

/// A delivery as it came, and the queue that it came from.
pub(crate) struct Delivered {
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) queue: String,
    pub(crate) properties: Received,
    pub(crate) body: Bytes,
}

impl Resend for Delivered {
    fn queue(&self) -> &str {
        &self.queue
    }

    /// Publishes by the default exchange, and again under the same id if the connection is lost: a listener that sees both
    /// drops one as a duplicate.
    async fn resend(&self, way: Way, deadline: Option<Instant>, budget: &SendBudget) -> Result<(), TransportError> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let properties = properties::resent(&self.properties, stamped_id(), way, left);
        let route = Arc::new(TopologyOptions::reply_route(&self.queue));
        loop {
            let again = Some(Box::new(properties.clone()));
            let outgoing = Outgoing { route: &route, body: self.body.to_vec(), mandatory: true, expires: false, again };
            match self.publisher.publish_confirmed(outgoing, budget).await {
                Err(TransportError::ConnectionLost { .. }) if Instant::now() < budget.deadline => {
                    debug!(queue = self.queue, "the connection was lost; publishing a message to its queue again");
                }
                ended => return ended,
            }
        }
    }
}
