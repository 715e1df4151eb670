//! A server that runs in the background.

use std::{sync::Arc, time::Duration};

use oxlo_serving::RunHandle;
use oxlo_transport::{CallOptions, ListenScope, Payload, Request, Target, Transport, TransportError};
use tokio::{sync::watch, time::Instant};

use crate::{error::ServeError, ping::PING_METHOD, report::ServeReport};

/// The method that a ping calls on the topic. A Python server logs unknown methods with such a name at debug level only.
const ROUTE_METHOD: &str = "oslo_rpc_server_ping_ignore_errors";

/// A server that runs in the background, on a task of its own.
///
/// Dropping it stops the server as [`stop`](Self::stop) does, discards the report, and logs a warning unless the server
/// was stopped before.
#[derive(Debug)]
#[must_use = "dropping it stops the server"]
pub struct RunningServer {
    pub(crate) transport: Arc<dyn Transport>,
    /// Where this server can be reached by name, if it can.
    pub(crate) itself: Option<Target>,
    /// Where the requests for any server of the topic go, if this server takes them.
    pub(crate) topic: Option<Target>,
    pub(crate) run: RunHandle<Result<ServeReport, ServeError>>,
}

impl RunningServer {
    /// Starts a graceful stop and returns at once: the server takes no more requests, and running methods may finish
    /// within the grace period. A second call has no effect.
    pub fn stop(&self) {
        self.run.stop();
    }

    /// Stops at once, without a grace period. Unsettled requests return to the broker; callers that wait receive a failure
    /// if it can be sent within 200 ms. The report of [`wait`](Self::wait) names what was abandoned.
    pub fn stop_now(&self) {
        self.run.stop_now();
    }

    /// Takes no more requests until [`resume`](Self::resume). Requests that were fetched and did not start return to the
    /// broker; running ones go on and are answered. Returns when no more requests are taken. Pausing a paused server has
    /// no effect.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future pauses nevertheless.
    pub async fn pause(&self) {
        self.run.pause().await;
    }

    /// Takes requests again.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the subscription fails; the server then stays paused. `Closed` if the server has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future resumes nevertheless.
    pub async fn resume(&self) -> Result<(), TransportError> {
        self.run.resume().await
    }

    /// Subscribes again and ends the old subscription: requests that were fetched and did not start return to the broker,
    /// running ones go on. For a SIGHUP, or after the broker's topology changed. A paused server resumes.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the subscription fails; the old one then stays. `Closed` if the server has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future resubscribes nevertheless.
    pub async fn reset(&self) -> Result<(), TransportError> {
        self.run.reset().await
    }

    /// Calls the server through the broker, by its name, and returns the time until the reply: proof that broker,
    /// subscription and dispatch work. It does not need [`RPCServerBuilder::ping`](crate::RPCServerBuilder::ping), because
    /// the failure of an unknown method is a reply too. A server whose slots are all taken replies when one is free.
    ///
    /// A server that takes its topic's requests is also sent a request to the topic, on the path of its callers' requests.
    /// Any server of the topic may take it, and need not reply: it is enough that the broker accepts it.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if no reply arrived `within` the time, or a request could not be sent: `Undeliverable` if no
    /// queue is bound to the topic or the server's name any more. `Unsupported` if the server takes only requests for its
    /// topic, and cannot be told from others.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the request.
    pub async fn ping(&self, within: Duration) -> Result<Duration, TransportError> {
        let Some(itself) = &self.itself else {
            return Err(TransportError::Unsupported {
                what: "pinging a server that takes only requests for its topic".into(),
            });
        };
        let begun = Instant::now();
        let mut left = CallOptions::new().with_timeout(within);
        // Kept until the end: a reply that nothing waits for would be counted as late.
        let _routed = match &self.topic {
            Some(topic) => {
                let request = Request::new(ROUTE_METHOD, Payload::empty_object());
                Some(self.transport.start(topic, request, &left).await?)
            }
            None => None,
        };
        left = left.with_timeout(within.saturating_sub(begun.elapsed()));
        let request = Request::new(PING_METHOD, Payload::empty_object());
        self.transport.call(itself, request, &left).await?;
        Ok(begun.elapsed())
    }

    /// Waits until the server has ended: after [`stop`](Self::stop), after the transport was closed, or because of a
    /// failure. It may be called again, with the same result. After 10 s of waiting for a server that nothing has stopped a
    /// warning is logged, once; [`RPCServer::serve_until`](crate::RPCServer::serve_until) serves until another event
    /// without it.
    ///
    /// # Errors
    ///
    /// [`ServeError::Receive`] if the listener failed permanently, [`ServeError::Cancelled`] if the runtime shut down.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the server goes on.
    pub async fn wait(&self) -> Result<ServeReport, ServeError> {
        match self.run.wait().await {
            Some(end) => (*end).clone(),
            None => Err(ServeError::Cancelled),
        }
    }

    /// Whether the server is subscribed at the broker: `false` while the connection is lost, while the server is paused,
    /// and after a stop.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.run.is_ready()
    }

    /// [`is_ready`](Self::is_ready), and every change of it.
    #[must_use]
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.run.ready()
    }
}

/// Where requests for any server of the topic go, if the server takes them.
pub(crate) fn topic(target: &Target, scope: &ListenScope) -> Option<Target> {
    if *scope != ListenScope::Server {
        return None;
    }
    let mut topic = Target::topic(target.topic.clone()?);
    topic.exchange.clone_from(&target.exchange);
    Some(topic)
}

/// Where a server can be reached by name.
pub(crate) fn itself(target: &Target, scope: &ListenScope) -> Option<Target> {
    match scope {
        ListenScope::Topic => None,
        ListenScope::Queue(queue) => Some(queue.target()),
        _ => {
            let mut itself = Target::topic(target.topic.clone()?).server(target.server.clone()?);
            itself.exchange.clone_from(&target.exchange);
            Some(itself)
        }
    }
}
