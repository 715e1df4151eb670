//! Keeping a subscription: resubscribes whenever it ends, until its listener is closed or dropped.

use std::{
    fmt,
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use oxlo_transport::{Delivery, Listener, TransportError};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, timeout},
};
use tracing::{debug, warn};

use crate::{
    intake::Outlet,
    link::{Link, LinkState, connected},
    session::{AttachError, Pauses, Session},
};

/// The queues or addresses of one subscription.
pub trait Source: fmt::Debug + Send + 'static {
    /// One incarnation of the connection.
    type Session: Session;
    /// The subscription as it stands on one session.
    type Live: Send;

    /// Subscribes once. The driver bounds how long that takes.
    fn subscribe(
        &mut self,
        session: &Arc<Self::Session>,
    ) -> impl Future<Output = Result<Self::Live, AttachError>> + Send;

    /// Takes messages until the subscription ends, and returns why it did.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped and made again at each command of the listener; no message may be lost by that.
    fn take(&mut self, live: &mut Self::Live) -> impl Future<Output = String> + Send;

    /// Takes nothing more: tells the broker, and gives back what was not handed out.
    fn stop(&mut self, live: &mut Self::Live) -> impl Future<Output = ()> + Send;

    /// Waits until everything that was handed out is settled. Called after [`stop`](Self::stop).
    ///
    /// # Errors
    ///
    /// Why the subscription ended before that.
    ///
    /// # Cancel safety
    ///
    /// As [`take`](Self::take).
    fn drained(&mut self, live: &mut Self::Live) -> impl Future<Output = Result<(), String>> + Send;

    /// Sends what is settled, deletes what belongs to this listener alone, and ends the subscription.
    fn close(&mut self, live: Self::Live) -> impl Future<Output = ()> + Send;

    /// Deletes what belongs to this listener alone, without a subscription, on the connection if there is one.
    fn leave(&mut self, session: Option<Arc<Self::Session>>) -> impl Future<Output = ()> + Send {
        let _ = session;
        std::future::ready(())
    }
}

/// A listener's request to its subscription.
enum Command {
    Stop(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// The listener of a subscription that is kept.
pub(crate) struct Subscriber<M> {
    outlet: Outlet<M>,
    commands: mpsc::UnboundedSender<Command>,
    subscribed: watch::Receiver<bool>,
    prefetch: u16,
}

impl<M: Send + 'static> Subscriber<M> {
    /// Subscribes `source` within `limit`, and returns when the subscription is active.
    ///
    /// # Errors
    ///
    /// `Topology` if the broker refuses it, `Refused` if a limit of the broker does, `Closed` if the link was closed,
    /// `Unreachable` with the last failure if it takes longer.
    pub(crate) async fn subscribe<S: Source>(
        source: S,
        outlet: Outlet<M>,
        prefetch: u16,
        link: Arc<Link<S::Session>>,
        limit: Duration,
    ) -> Result<Self, TransportError> {
        let begun = Instant::now();
        let (commands, inbox) = mpsc::unbounded_channel();
        let (sender, subscribed) = watch::channel(false);
        let (failed, failure) = watch::channel(None);
        let (first, stands) = oneshot::channel();
        let keeper = Keeper {
            source,
            link: link.clone(),
            commands: inbox,
            subscribed: sender,
            failed,
            first: Some(first),
            is_stopped: false,
        };
        tokio::spawn(keeper.run());
        match timeout(limit, stands).await {
            Ok(Ok(Ok(()))) => Ok(Self { outlet, commands, subscribed, prefetch }),
            Ok(Ok(Err(error))) => Err(error),
            Ok(Err(_)) => Err(TransportError::Closed),
            Err(_) => Err(link.unreachable(begun, link.failure().or_else(|| failure.borrow().clone()))),
        }
    }

    async fn command(&self, command: impl FnOnce(oneshot::Sender<()>) -> Command) {
        let (done, finished) = oneshot::channel();
        if self.commands.send(command(done)).is_ok() {
            let _ = finished.await;
        }
    }
}

#[async_trait]
impl<M: Send + 'static> Listener<M> for Subscriber<M> {
    async fn recv(&mut self) -> Result<Delivery<M>, TransportError> {
        self.outlet.deliveries.recv().await.ok_or(TransportError::Closed)
    }

    async fn stop(&mut self) {
        self.command(Command::Stop).await;
        self.outlet.deliveries.close();
        // Dropping a delivery gives it back.
        while self.outlet.deliveries.try_recv().is_ok() {}
    }

    async fn close(mut self: Box<Self>) {
        self.stop().await;
        self.command(Command::Close).await;
    }

    fn is_subscribed(&self) -> bool {
        *self.subscribed.borrow()
    }

    fn subscribed(&self) -> watch::Receiver<bool> {
        self.subscribed.clone()
    }

    fn prefetch(&self) -> Option<u16> {
        Some(self.prefetch)
    }
}

impl<M> Drop for Outlet<M> {
    fn drop(&mut self) {
        self.leaving.store(true, Ordering::Release);
    }
}

impl<M> fmt::Debug for Subscriber<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").field("subscribed", &*self.subscribed.borrow()).finish_non_exhaustive()
    }
}

/// Whoever waits for the first subscription.
type First = oneshot::Sender<Result<(), TransportError>>;

struct Keeper<S: Source> {
    source: S,
    /// Held, so that a listener outlives the handle of its transport.
    link: Arc<Link<S::Session>>,
    commands: mpsc::UnboundedReceiver<Command>,
    subscribed: watch::Sender<bool>,
    /// Why the last attempt to subscribe failed.
    failed: watch::Sender<Option<TransportError>>,
    first: Option<First>,
    /// The listener takes nothing more: it is never subscribed again.
    is_stopped: bool,
}

/// Why a subscription ended.
enum End {
    /// The broker or the network ended it.
    Lost(String),
    /// It was stopped, and everything that was handed out is settled.
    Drained,
    /// Its listener was closed or dropped; a listener that waits for the end is told.
    Closed(Option<oneshot::Sender<()>>),
}

impl<S: Source> Keeper<S> {
    async fn run(mut self) {
        let mut pauses = Pauses::default();
        let mut state = self.link.state();
        loop {
            let session = tokio::select! {
                session = connected(&mut state) => match session {
                    Some(session) => session,
                    None => return,
                },
                done = idle(&mut self.commands, &mut self.is_stopped) => return self.leave(done).await,
                () = gone(&mut self.first) => return,
            };
            if self.is_stopped {
                let done = idle(&mut self.commands, &mut self.is_stopped).await;
                return self.leave(done).await;
            }
            let failure = match self.source.subscribe(&session).await {
                Ok(live) => {
                    if let Some(first) = self.first.take()
                        && first.send(Ok(())).is_err()
                    {
                        return;
                    }
                    let since = Instant::now();
                    self.subscribed.send_replace(true);
                    let end = self.serve(&session, live).await;
                    self.subscribed.send_replace(false);
                    match end {
                        End::Lost(cause) => {
                            debug!(%cause, source = ?self.source, "a subscription ended; resubscribing")
                        }
                        End::Drained => {
                            let done = idle(&mut self.commands, &mut self.is_stopped).await;
                            return answer(done);
                        }
                        End::Closed(done) => return answer(done),
                    }
                    metrics::counter!("oxlo_resubscriptions_total").increment(1);
                    pauses.ended(since);
                    None
                }
                Err(AttachError::Refused(error)) => {
                    if let Some(first) = self.first.take() {
                        let _ = first.send(Err(error));
                        return;
                    }
                    warn!(%error, source = ?self.source, "resubscribe failed, retrying");
                    Some(error)
                }
                Err(AttachError::Lost(error)) => {
                    debug!(%error, source = ?self.source, "subscribe failed, retrying");
                    Some(error)
                }
            };
            let pause = pauses.next(failure.as_ref());
            if failure.is_some() {
                self.failed.send_replace(failure);
            }
            tokio::select! {
                () = sleep(pause), if !self.is_stopped => {}
                done = idle(&mut self.commands, &mut self.is_stopped) => return self.leave(done).await,
                () = gone(&mut self.first) => return self.leave(None).await,
            }
        }
    }

    async fn serve(&mut self, session: &S::Session, mut live: S::Live) -> End {
        let mut is_abandoned = false;
        loop {
            let (source, is_stopped) = (&mut self.source, self.is_stopped);
            let work =
                async { if is_stopped { source.drained(&mut live).await } else { Err(source.take(&mut live).await) } };
            let command = tokio::select! {
                worked = work => match worked {
                    Err(cause) => return End::Lost(cause),
                    Ok(()) => {
                        self.source.close(live).await;
                        return if is_abandoned { End::Closed(None) } else { End::Drained };
                    }
                },
                command = self.commands.recv(), if !is_abandoned => command,
                () = session.ended() => return End::Lost("the connection was lost".to_owned()),
            };
            match command {
                Some(Command::Close(done)) => {
                    self.source.close(live).await;
                    return End::Closed(Some(done));
                }
                Some(Command::Stop(done)) => {
                    self.stop(&mut live).await;
                    let _ = done.send(());
                }
                // What was handed out before the listener was dropped can still be settled.
                None => {
                    self.stop(&mut live).await;
                    is_abandoned = true;
                }
            }
        }
    }

    async fn stop(&mut self, live: &mut S::Live) {
        self.is_stopped = true;
        self.subscribed.send_replace(false);
        self.source.stop(live).await;
    }

    /// Ends without a subscription.
    async fn leave(mut self, done: Option<oneshot::Sender<()>>) {
        let session = match &*self.link.state().borrow() {
            LinkState::Up(session) => Some(session.clone()),
            LinkState::Down(_) | LinkState::Closed => None,
        };
        self.source.leave(session).await;
        answer(done);
    }
}

/// Waits until the listener is closed or dropped, while there is no subscription. A stop is remembered, also if the future
/// is dropped after it.
async fn idle(commands: &mut mpsc::UnboundedReceiver<Command>, is_stopped: &mut bool) -> Option<oneshot::Sender<()>> {
    loop {
        match commands.recv().await {
            Some(Command::Stop(done)) => {
                *is_stopped = true;
                let _ = done.send(());
            }
            Some(Command::Close(done)) => return Some(done),
            None => return None,
        }
    }
}

/// Resolves when the caller that waits for the first subscription is gone; never once that was made.
async fn gone(first: &mut Option<First>) {
    match first {
        Some(first) => first.closed().await,
        None => std::future::pending().await,
    }
}

fn answer(done: Option<oneshot::Sender<()>>) {
    if let Some(done) = done {
        let _ = done.send(());
    }
}

#[cfg(test)]
#[path = "subscription_tests.rs"]
mod tests;
