//! Receiving: a subscription that is made again whenever it ends, and hands out what can be read.
//!
//! A subscription is a link for each of its addresses, all in one session. Each link has a task, because fe2o3-amqp's
//! receiver takes and settles from one place only; [`Subscriber`]'s keeper starts them, watches them, and subscribes again.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use fe2o3_amqp::Receiver;
use oxlo_transport::{Delivery, Listener, TransportError, backoff::Backoff, budget::Budget, listener::Replier};
use oxlo_wire::envelope::Poison;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::{
    address::ListenAddress,
    config::Config,
    connection::{Connected, Link, connected, unreachable_after},
    error::{Refused, lost},
    management,
    message::Incoming,
    publish::Publisher,
    receive::{self, Duplicates, Orders, Receiving, Stopping},
    sessions::{FAREWELL, Seat},
};

/// How long the broker may take to attach the links of a subscription.
const SUBSCRIBE_LIMIT: Duration = Duration::from_secs(20);

/// A message that could be read.
pub(crate) struct Read<M> {
    pub(crate) message: M,
    pub(crate) replier: Option<Replier>,
    pub(crate) deadline: Option<Instant>,
    /// What it takes of the listener's budget.
    pub(crate) bytes: usize,
}

/// Makes messages of deliveries.
pub(crate) trait Reader: Send + Sync + 'static {
    type Message: Send + 'static;

    /// # Errors
    ///
    /// [`Poison`] if nobody can make anything of it.
    fn read(&self, incoming: Incoming) -> Result<Read<Self::Message>, Poison>;
}

/// What a listener asks of its subscription.
enum Command {
    Stop(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// A listener on AMQP 1.0.
pub(crate) struct Subscriber<M> {
    deliveries: mpsc::UnboundedReceiver<Delivery<M>>,
    commands: mpsc::UnboundedSender<Command>,
    subscribed: watch::Receiver<bool>,
    prefetch: u16,
    leaving: Arc<AtomicBool>,
}

impl<M> Drop for Subscriber<M> {
    fn drop(&mut self) {
        self.leaving.store(true, Ordering::Release);
    }
}

/// What a subscription consists of.
pub(crate) struct Order<R> {
    /// Held, so that a listener outlives the handle of its transport.
    pub(crate) link: Arc<Link>,
    pub(crate) places: Vec<ListenAddress>,
    pub(crate) prefetch: u16,
    /// What may be read and not finished with.
    pub(crate) budget: Budget,
    pub(crate) message_max: usize,
    /// Whether the broker understands `modified`, which counts a delivery that went back.
    pub(crate) counts_deliveries: bool,
    pub(crate) duplicates: Arc<Duplicates>,
    /// Sends messages to their address again, where they may be deferred.
    pub(crate) resends: Option<Arc<Publisher>>,
    pub(crate) reader: R,
}

impl<M: Send + 'static> Subscriber<M> {
    /// Subscribes within `limit`, and returns when the subscription stands.
    ///
    /// # Errors
    ///
    /// `Topology` if the broker refuses, `Closed` if the link was closed, `Unreachable` with the last failure if it takes
    /// too long.
    pub(crate) async fn subscribe<R: Reader<Message = M>>(
        order: Order<R>,
        config: &Config,
        limit: Duration,
    ) -> Result<Self, TransportError> {
        let (begun, down) = (Instant::now(), order.link.clone());
        let (failed, failure) = watch::channel(None);
        let (outbox, deliveries) = mpsc::unbounded_channel();
        let (commands, inbox) = mpsc::unbounded_channel();
        let (sender, subscribed) = watch::channel(false);
        let (first, refused) = oneshot::channel();
        let Order { link, places, prefetch, budget, message_max, counts_deliveries, duplicates, resends, reader } =
            order;
        let leaving = Arc::new(AtomicBool::new(false));
        let receiving = Arc::new(Receiving {
            reader,
            outbox,
            prefetch: u32::from(prefetch),
            budget,
            message_max,
            counts_deliveries,
            duplicates,
            resends,
            resending: TaskTracker::new(),
            leaving: leaving.clone(),
            surplus_told: AtomicBool::new(false),
        });
        let keeper = Keeper { link, places, receiving, commands: inbox, subscribed: sender, failed, stopped: false };
        tokio::spawn(keeper.run(first));
        match timeout(limit, refused).await {
            Ok(Ok(Ok(()))) => Ok(Self { deliveries, commands, subscribed, prefetch, leaving }),
            Ok(Ok(Err(error))) => Err(error),
            Ok(Err(_)) => Err(TransportError::Closed),
            Err(_) => {
                let cause = down.failure().or_else(|| failure.borrow().clone());
                Err(unreachable_after(config, begun, cause))
            }
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
        self.deliveries.recv().await.ok_or(TransportError::Closed)
    }

    async fn stop(&mut self) {
        self.command(Command::Stop).await;
        self.deliveries.close();
        // Dropping a delivery gives it back.
        while self.deliveries.try_recv().is_ok() {}
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

impl<M> fmt::Debug for Subscriber<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").field("subscribed", &*self.subscribed.borrow()).finish_non_exhaustive()
    }
}

struct Keeper<R: Reader> {
    link: Arc<Link>,
    places: Vec<ListenAddress>,
    receiving: Arc<Receiving<R>>,
    commands: mpsc::UnboundedReceiver<Command>,
    subscribed: watch::Sender<bool>,
    /// Why the last try to subscribe failed.
    failed: watch::Sender<Option<TransportError>>,
    /// Nothing more is to be taken, also not by another subscription.
    stopped: bool,
}

/// A subscription that stands.
struct Live {
    links: JoinSet<Result<Receiver, String>>,
    orders: watch::Sender<Orders>,
    seat: Seat,
    connected: Arc<Connected>,
}

/// Why a subscription does not stand.
pub(crate) enum Failed {
    /// There is nothing at the address.
    Missing(TransportError),
    /// The broker refuses it.
    Refused(TransportError),
    /// The connection or the session went.
    Lost(String),
}

impl Failed {
    /// What a refusal means for whoever wanted `object`.
    pub(crate) fn of(object: &str, refusal: Refused) -> Self {
        let topology = |reason| TransportError::Topology { object: object.to_owned(), reason };
        match refusal {
            Refused::Missing(reason) => Self::Missing(topology(reason)),
            Refused::Gone(reason) | Refused::Denied(reason) => Self::Refused(topology(reason)),
            Refused::Lost(cause) => Self::Lost(format!("{object}: {cause}")),
        }
    }
}

/// Why a subscription no longer stands.
enum End {
    /// The broker or the network ended it: subscribe again.
    Lost(String),
    /// Its listener is done with it.
    Closed(Option<oneshot::Sender<()>>),
}

impl<R: Reader> Keeper<R> {
    async fn run(mut self, first: oneshot::Sender<Result<(), TransportError>>) {
        let mut first = Some(first);
        let mut backoff = Backoff::default();
        let mut state = self.link.state();
        loop {
            let up = tokio::select! {
                up = connected(&mut state) => match up {
                    Some(up) => up,
                    None => return,
                },
                end = self.idle() => return farewell(end),
                () = gone(&mut first) => return,
            };
            if self.stopped {
                return farewell(self.idle().await);
            }
            match self.subscribe(&up).await {
                Ok(live) => {
                    if let Some(first) = first.take()
                        && first.send(Ok(())).is_err()
                    {
                        return;
                    }
                    self.subscribed.send_replace(true);
                    let begun = Instant::now();
                    let end = self.serve(live).await;
                    self.subscribed.send_replace(false);
                    match end {
                        End::Lost(cause) => {
                            debug!(%cause, "a subscription ended, and is made again");
                            metrics::counter!("oxlo_resubscriptions_total").increment(1);
                        }
                        closed @ End::Closed(_) => return farewell(closed),
                    }
                    if self.stopped {
                        continue;
                    }
                    if begun.elapsed() > Duration::from_secs(1) {
                        backoff.reset();
                    }
                }
                Err(Failed::Refused(error) | Failed::Missing(error)) => {
                    warn!(%error, "the broker refused a subscription");
                    if let Some(first) = first.take() {
                        let _ = first.send(Err(error));
                        return;
                    }
                }
                Err(Failed::Lost(cause)) => {
                    up.report(&cause, &self.address());
                    self.failed.send_replace(Some(lost(&cause)));
                }
            }
            let pause = backoff.next(&mut rand::rng());
            tokio::select! {
                () = sleep(pause) => {}
                end = self.idle() => return farewell(end),
                () = gone(&mut first) => return,
            }
        }
    }

    /// The first of its addresses, for logs.
    fn address(&self) -> &str {
        self.places.first().map_or("", |place| &place.address)
    }

    async fn subscribe(&self, up: &Arc<Connected>) -> Result<Live, Failed> {
        let places: Vec<ListenAddress> = self.places.iter().map(ListenAddress::once).collect();
        let subscribing = async {
            let needs: Vec<_> = places.iter().flat_map(|place| place.needs.iter().cloned()).collect();
            management::declare(up, &needs).await?;
            let links = u32::try_from(places.len()).unwrap_or(u32::MAX);
            let seat = up.seat(links).await.map_err(|refusal| Failed::of("session", refusal))?;
            let refused = |place: &ListenAddress, refusal| Failed::of(&format!("address `{}`", place.address), refusal);
            // What everyone takes from goes with its only link, and would go with the trial's.
            for place in places.iter().filter(|place| seat.is_shared() && !place.everyone) {
                up.try_receiver(&place.address).await.map_err(|refusal| refused(place, refusal))?;
            }
            let mut receivers = Vec::new();
            for place in &places {
                let attached = seat.receiver(&place.address, receive::from(&place.address)).await;
                let mut receiver = attached.map_err(|refusal| refused(place, refusal))?;
                receive::give_credit(&mut receiver, self.receiving.prefetch).await.map_err(Failed::Lost)?;
                receivers.push(receiver);
            }
            Ok((seat, receivers))
        };
        let attached = timeout(SUBSCRIBE_LIMIT, Box::pin(subscribing)).await;
        let unanswered = || Failed::Lost(format!("the broker attached no links within {SUBSCRIBE_LIMIT:?}"));
        let (seat, receivers) = attached.unwrap_or_else(|_| Err(unanswered()))?;
        let (orders, seen) = watch::channel(Orders::Take);
        let mut links = JoinSet::new();
        for (receiver, place) in receivers.into_iter().zip(&places) {
            let address = place.address.as_str().into();
            let source = receive::Place { address, everyone: place.everyone };
            links.spawn(receive::run(receiver, source, self.receiving.clone(), seen.clone()));
        }
        Ok(Live { links, orders, seat, connected: up.clone() })
    }

    async fn serve(&mut self, mut live: Live) -> End {
        let stopping = Stopping::new();
        let links = permits(&live);
        let mut abandoned = false;
        loop {
            tokio::select! {
                ended = live.links.join_next() => return End::Lost(match ended {
                    Some(Ok(Err(cause))) => cause,
                    Some(Err(panicked)) => panicked.to_string(),
                    Some(Ok(Ok(_))) | None => "no link is left".to_owned(),
                }),
                command = self.commands.recv(), if !abandoned => match command {
                    Some(Command::Stop(done)) => {
                        self.stop(&live, &stopping);
                        let _ = timeout(FAREWELL, stopping.told.acquire_many(links)).await;
                        let _ = done.send(());
                    }
                    Some(Command::Close(done)) => {
                        // The end of the session gives back what is not settled, and there would be two of it.
                        self.receiving.resending.close();
                        let _ = timeout(FAREWELL, self.receiving.resending.wait()).await;
                        end(live).await;
                        return End::Closed(Some(done));
                    }
                    None => {
                        self.stop(&live, &stopping);
                        abandoned = true;
                    }
                },
                // Until then what was handed out can still be settled. Some brokers give nothing back before the end.
                _ = stopping.drained.acquire_many(links), if self.stopped => {
                    end(live).await;
                    return if abandoned { End::Closed(None) } else { End::Lost("it was stopped".to_owned()) };
                }
                () = live.connected.ended() => return End::Lost("the connection was lost".to_owned()),
            }
        }
    }

    /// Takes the credit back, for good.
    fn stop(&mut self, live: &Live, stopping: &Stopping) {
        self.stopped = true;
        self.subscribed.send_replace(false);
        live.orders.send_replace(Orders::Stop(stopping.clone()));
    }

    /// Waits for the listener to be done while there is no subscription. A stop is remembered, also when the future is
    /// dropped after it.
    async fn idle(&mut self) -> End {
        loop {
            match self.commands.recv().await {
                Some(Command::Stop(done)) => {
                    self.stopped = true;
                    let _ = done.send(());
                }
                Some(Command::Close(done)) => return End::Closed(Some(done)),
                None => return End::Closed(None),
            }
        }
    }
}

fn permits(live: &Live) -> u32 {
    u32::try_from(live.links.len()).unwrap_or(u32::MAX)
}

/// Sends what is settled and closes the links; when the broker has answered, it has heard every settlement.
async fn end(mut live: Live) {
    live.orders.send_replace(Orders::End);
    let ending = async {
        let mut receivers = Vec::new();
        while let Some(ended) = live.links.join_next().await {
            receivers.extend(ended.ok().and_then(Result::ok));
        }
        live.seat.close_receivers(receivers).await;
    };
    let _ = timeout(2 * FAREWELL, ending).await;
}

/// Resolves when whoever waits for the first subscription has gone; never after it stood.
async fn gone(first: &mut Option<oneshot::Sender<Result<(), TransportError>>>) {
    match first {
        Some(first) => first.closed().await,
        None => std::future::pending().await,
    }
}

fn farewell(end: End) {
    if let End::Closed(Some(done)) = end {
        let _ = done.send(());
    }
}
