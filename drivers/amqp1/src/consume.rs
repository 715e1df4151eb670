//! Receiving: the addresses of one subscription, each on a link of its own, all links in one session.
//!
//! Each link has a task, because fe2o3-amqp's receiver takes and settles from one place only.

use std::{fmt, sync::Arc, time::Duration};

use fe2o3_amqp::Receiver;
use oxlo_driver_kit::{intake::Reader, session::AttachError, subscription::Source};
use oxlo_transport::TransportError;
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time::timeout,
};

use crate::{
    address::ListenAddress,
    connection::Connected,
    error::{Refused, lost},
    management,
    message::Incoming,
    receive::{self, Order, Receiving, Stopping},
    sessions::{FAREWELL, Seat},
};

/// How long the broker may take to attach the links of a subscription.
const SUBSCRIBE_LIMIT: Duration = Duration::from_secs(20);

/// The addresses of one subscription.
pub(crate) struct Links<R: Reader<Incoming>> {
    pub(crate) places: Vec<ListenAddress>,
    pub(crate) receiving: Arc<Receiving<R>>,
}

/// An active subscription.
pub(crate) struct Live {
    links: JoinSet<Result<Receiver, String>>,
    order: watch::Sender<Order>,
    stopping: Stopping,
    seat: Seat,
}

/// Why the broker did not give what was asked for.
pub(crate) enum Failed {
    /// Nothing exists at the address.
    Missing(TransportError),
    /// The broker refused it.
    Refused(TransportError),
    /// The connection or the session was lost.
    Lost(String),
}

impl Failed {
    /// The failure of a request for `object`.
    pub(crate) fn new(object: &str, refusal: Refused) -> Self {
        let topology = |reason| TransportError::Topology { object: object.to_owned(), reason };
        match refusal {
            Refused::Missing(reason) => Self::Missing(topology(reason)),
            Refused::Gone(reason) | Refused::Denied(reason) => Self::Refused(topology(reason)),
            Refused::Lost(cause) => Self::Lost(format!("{object}: {cause}")),
        }
    }
}

/// The error of a link to `address` that was not attached. What was lost is logged, because it is retried.
pub(crate) fn attach_error(up: &Connected, failed: Failed, address: &str) -> AttachError {
    match failed {
        Failed::Missing(error) | Failed::Refused(error) => AttachError::Refused(error),
        Failed::Lost(cause) => {
            up.report(&cause, &address);
            AttachError::Lost(lost(&cause))
        }
    }
}

impl<R: Reader<Incoming>> Source for Links<R> {
    type Session = Connected;
    type Live = Live;

    async fn subscribe(&mut self, up: &Arc<Connected>) -> Result<Live, AttachError> {
        let attached = timeout(SUBSCRIBE_LIMIT, Box::pin(self.attach(up)))
            .await
            .unwrap_or_else(|_| Err(Failed::Lost(format!("the broker attached no links within {SUBSCRIBE_LIMIT:?}"))));
        let address = self.places.first().map_or("", |place| &place.address);
        attached.map_err(|failed| attach_error(up, failed, address))
    }

    /// The links take, each in its task.
    async fn take(&mut self, live: &mut Live) -> String {
        ended(live.links.join_next().await)
    }

    /// Takes the credit back, and waits until the broker knows that.
    async fn stop(&mut self, live: &mut Live) {
        live.order.send_replace(Order::Stop(live.stopping.clone()));
        let _ = timeout(FAREWELL, live.stopping.told.acquire_many(permits(live))).await;
    }

    async fn drained(&mut self, live: &mut Live) -> Result<(), String> {
        let links = permits(live);
        tokio::select! {
            _ = live.stopping.drained.acquire_many(links) => Ok(()),
            joined = live.links.join_next() => Err(ended(joined)),
        }
    }

    /// Sends what is settled and closes the links; when the broker has answered, it has heard every settlement.
    async fn close(&mut self, mut live: Live) {
        self.receiving.intake.finish_resending(FAREWELL).await;
        live.order.send_replace(Order::End);
        let ending = async {
            let mut receivers = Vec::new();
            while let Some(ended) = live.links.join_next().await {
                receivers.extend(ended.ok().and_then(Result::ok));
            }
            live.seat.close_receivers(receivers).await;
        };
        let _ = timeout(2 * FAREWELL, ending).await;
    }
}

impl<R: Reader<Incoming>> Links<R> {
    async fn attach(&self, up: &Arc<Connected>) -> Result<Live, Failed> {
        let places: Vec<ListenAddress> = self.places.iter().map(ListenAddress::once).collect();
        let needs: Vec<_> = places.iter().flat_map(|place| place.needs.iter().cloned()).collect();
        management::declare(up, &needs).await?;
        let links = u32::try_from(places.len()).unwrap_or(u32::MAX);
        let seat = up.seat(links).await.map_err(|refusal| Failed::new("session", refusal))?;
        let refused = |place: &ListenAddress, refusal| Failed::new(&format!("address `{}`", place.address), refusal);
        // A queue of one fanout listener goes with its only link, and would go with the trial's.
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
        let (order, seen) = watch::channel(Order::Take);
        let mut links = JoinSet::new();
        for (receiver, place) in receivers.into_iter().zip(&places) {
            let place = receive::Place { address: place.address.as_str().into(), everyone: place.everyone };
            links.spawn(receive::run(receiver, place, self.receiving.clone(), seen.clone()));
        }
        Ok(Live { links, order, stopping: Stopping::new(), seat })
    }
}

impl<R: Reader<Incoming>> fmt::Debug for Links<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.places.iter().map(|place| &place.address)).finish()
    }
}

fn permits(live: &Live) -> u32 {
    u32::try_from(live.links.len()).unwrap_or(u32::MAX)
}

/// Why a subscription ended of which a link's task did.
fn ended(joined: Option<Result<Result<Receiver, String>, JoinError>>) -> String {
    match joined {
        Some(Ok(Err(cause))) => cause,
        Some(Err(panicked)) => panicked.to_string(),
        Some(Ok(Ok(_))) | None => "no link is left".to_owned(),
    }
}
