//! A server that runs in the background.

use std::{sync::Arc, time::Duration};

use oxlo_transport::{CallOptions, ListenScope, Payload, Request, Target, Transport, TransportError};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{control::Command, error::ServeError, oversight::Oversight, ping::PING_METHOD, report::ServeReport};

/// What a ping sends to the topic. Of a name that ends so, a Python server logs at debug level only that it is unknown.
const ROUTE_METHOD: &str = "oslo_rpc_server_ping_ignore_errors";

pub(crate) type End = Option<Result<ServeReport, ServeError>>;

/// A server that runs in the background, on a task of its own.
///
/// Dropping it stops the server as [`stop`](Self::stop) does; nobody then learns how it ended. If nobody stopped it
/// before, a warning says so.
#[derive(Debug)]
#[must_use = "dropping it stops the server"]
pub struct RunningServer {
    pub(crate) transport: Arc<dyn Transport>,
    /// Where the server itself can be reached, if it can.
    pub(crate) itself: Option<Target>,
    /// Where requests for any server of its topic go, if it takes those as well.
    pub(crate) topic: Option<Target>,
    pub(crate) stop: CancellationToken,
    pub(crate) force: CancellationToken,
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) ready: watch::Receiver<bool>,
    pub(crate) end: watch::Receiver<End>,
    pub(crate) oversight: Oversight,
}

impl RunningServer {
    /// Begins to stop: nothing more is taken, what runs may finish within the grace. Returns at once; a second call
    /// does nothing.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Ends at once: no grace for what runs. What was not settled goes back to the broker; who waits for a reply is told
    /// so if that can be done in a moment. [`wait`](Self::wait) says what was abandoned.
    pub fn stop_now(&self) {
        self.force.cancel();
        self.stop.cancel();
    }

    /// Takes nothing more until [`resume`](Self::resume); what is here and did not begin goes back, what runs goes on
    /// and is answered. Returns when nothing more will be taken; pausing what is paused does nothing.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future pauses all the same.
    pub async fn pause(&self) {
        let (done, paused) = oneshot::channel();
        if self.commands.send(Command::Pause(done)).is_ok() {
            let _ = paused.await;
        }
    }

    /// Takes requests again.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the broker cannot be listened on; it then stays paused. `Closed` if the server has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future resumes all the same.
    pub async fn resume(&self) -> Result<(), TransportError> {
        if *self.ready.borrow() { Ok(()) } else { self.reset().await }
    }

    /// Subscribes anew and ends the old subscription: what is here and did not begin goes back, what runs goes on. For
    /// a SIGHUP, or after a broker was given another topology. A paused server takes requests again.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the broker cannot be listened on; the old subscription then stays. `Closed` if the server
    /// has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future subscribes anew all the same.
    pub async fn reset(&self) -> Result<(), TransportError> {
        let (done, subscribed) = oneshot::channel();
        self.commands.send(Command::Subscribe(done)).map_err(|_| TransportError::Closed)?;
        subscribed.await.unwrap_or(Err(TransportError::Closed))
    }

    /// Sends the server a request through the broker, by its name, and returns how long until it was answered: proof
    /// that broker, subscription and dispatch are alive. It needs no [`ping`](crate::RPCServerBuilder::ping): that the
    /// method is unknown is an answer too. A server all of whose places are taken answers when one is free.
    ///
    /// A server that takes its topic's requests is also sent one to the topic, the way its callers' requests go. Whichever
    /// server takes that one need not answer: it is enough that a queue takes it.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if no answer came `within` the time, or a request could not be sent: `Undeliverable` if the
    /// topic or the server's name leads to no queue any more. `Unsupported` if the server takes requests for its topic
    /// only, and cannot be told from others.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the request.
    pub async fn ping(&self, within: Duration) -> Result<Duration, TransportError> {
        let Some(itself) = &self.itself else {
            return Err(TransportError::Unsupported {
                what: "to ping a server that takes its topic's requests only".into(),
            });
        };
        let begun = Instant::now();
        let mut left = CallOptions::new().with_timeout(within);
        // Kept until the end: an answer that nobody waits for would be counted as a late one.
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

    /// Waits until the server has ended, which needs [`stop`](Self::stop), or the transport's close, or a failure. It
    /// may be called more than once, and then says the same again. When it has waited 10 s for a server that nothing has
    /// told to stop, a warning names the server, once; [`serve_until`](crate::RPCServer::serve_until) serves until
    /// something else happens, without it.
    ///
    /// # Errors
    ///
    /// [`ServeError::Receive`] if the listener failed for good, [`ServeError::Cancelled`] if the runtime shut down.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the server is not touched by it.
    pub async fn wait(&self) -> Result<ServeReport, ServeError> {
        let mut end = self.end.clone();
        tokio::select! {
            biased;
            ended = end.wait_for(Option::is_some) => match ended {
                Ok(end) => end.clone().unwrap_or(Err(ServeError::Cancelled)),
                Err(_) => Err(ServeError::Cancelled),
            },
            never = self.oversight.waiting(&self.stop) => match never {},
        }
    }

    /// Whether its consumers stand at the broker: `false` while the connection is lost, while it is paused, and once it
    /// stops.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// [`is_ready`](Self::is_ready), and every change of it.
    #[must_use]
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.clone()
    }
}

/// Where requests for any server of the topic go, if the server takes those.
pub(crate) fn topic(target: &Target, scope: &ListenScope) -> Option<Target> {
    if *scope != ListenScope::Server {
        return None;
    }
    let mut topic = Target::topic(target.topic.clone()?);
    topic.exchange.clone_from(&target.exchange);
    Some(topic)
}

/// Where a server can be reached by itself.
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

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.oversight.dropped(&self.stop, self.end.borrow().is_some());
        self.stop.cancel();
    }
}
