//! Where the replies to our own calls come to.
//!
//! On most brokers that is a node which the broker makes for us and which goes with the connection: the calls that wait
//! for a reply there end as `ReplyLost` as soon as it is gone. RabbitMQ makes none; there it is a queue of our own that
//! outlives a lost connection, and so do the replies in it. Whether it did is seen when the link is attached again: if it is
//! not there any more, the calls that wait end as `ReplyLost` then.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use fe2o3_amqp::{
    Receiver,
    link::RecvError,
    types::{
        messaging::{Body, Source},
        primitives::Value,
    },
};
use futures_util::FutureExt;
use oxlo_driver_kit::{link::exhausted, patience::Patience, pending::PendingCalls};
use oxlo_transport::{TransportError, backoff::Backoff, budget::TURN, json::Limits, limited, text};
use oxlo_wire::{reply::ReplyPart, unread::UnreadReply};
use tokio::{
    sync::{oneshot, watch},
    task::yield_now,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    address::ReplyNode,
    config::Config,
    connection::{Connected, LinkState, connected, unreachable_after},
    consume::Failed,
    error,
    management::{self, Declaration},
    message::Id,
    receive,
    sessions::{FAREWELL, Seat},
};

/// How long the broker may take to make and attach all that it takes.
const ATTACH_LIMIT: Duration = Duration::from_secs(20);

/// Whether replies can come, and to which address; if not, why the last try failed.
#[derive(Clone, Debug)]
enum State {
    Ready(Arc<str>),
    /// It is tried, and failed like this the last time.
    Trying(Option<TransportError>),
    /// The broker refuses it.
    Refused(TransportError),
}

/// Our reply link, attached for as long as the transport lives.
#[derive(Debug)]
pub(crate) struct ReplyLink {
    link: watch::Receiver<LinkState>,
    state: watch::Receiver<State>,
    stop: CancellationToken,
    stopped: tokio::sync::Mutex<Option<oneshot::Receiver<()>>>,
}

impl ReplyLink {
    /// Starts to attach it.
    pub(crate) fn spawn(
        config: &Config,
        link: watch::Receiver<LinkState>,
        node: ReplyNode,
        pending: PendingCalls,
        limits: Limits,
    ) -> Self {
        let (sender, state) = watch::channel(State::Trying(None));
        let stop = CancellationToken::new();
        let (done, stopped) = oneshot::channel();
        let credit = config.reply_credit;
        let ours = link.clone();
        let keeper = Keeper { node, link, pending, limits, credit, state: sender, stop: stop.clone() };
        tokio::spawn(async move {
            keeper.run().await;
            let _ = done.send(());
        });
        Self { link: ours, state, stop, stopped: tokio::sync::Mutex::new(Some(stopped)) }
    }

    /// Its address, once replies can come.
    ///
    /// # Errors
    ///
    /// `Topology` if the broker refuses it, `Unreachable` with the last failure if it cannot be attached in time,
    /// `Closed`.
    pub(crate) async fn ready(&self, config: &Config, patience: &Patience) -> Result<Arc<str>, TransportError> {
        let mut state = self.state.clone();
        let settled = |state: &State| !matches!(state, State::Trying(_));
        let ready = timeout_at(patience.deadline, state.wait_for(settled));
        let outcome = tokio::select! {
            outcome = ready => outcome,
            error = exhausted(self.link.clone(), config.hosts.len(), config.places(), patience) => return Err(error),
        };
        match outcome {
            Ok(Ok(state)) => match &*state {
                State::Ready(address) => return Ok(address.clone()),
                State::Refused(error) => return Err(error.clone()),
                State::Trying(_) => {}
            },
            Ok(Err(_)) => return Err(TransportError::Closed),
            Err(_) => {}
        }
        Err(unreachable_after(config, patience.begun, self.failure()))
    }

    /// Why replies cannot come, as far as it is known.
    fn failure(&self) -> Option<TransportError> {
        if let LinkState::Down(down) = &*self.link.borrow() {
            return down.cause.clone();
        }
        match &*self.state.borrow() {
            State::Trying(cause) => cause.clone(),
            State::Refused(error) => Some(error.clone()),
            State::Ready(_) => None,
        }
    }

    /// Detaches and ends.
    pub(crate) async fn close(&self) {
        self.stop.cancel();
        if let Some(stopped) = self.stopped.lock().await.take() {
            let _ = stopped.await;
        }
    }
}

impl Drop for ReplyLink {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn unanswered(up: &Connected, cause: &str) -> State {
    up.report(cause, &"the address of replies");
    State::Trying(Some(error::lost(cause)))
}

struct Keeper {
    node: ReplyNode,
    link: watch::Receiver<LinkState>,
    pending: PendingCalls,
    limits: Limits,
    credit: u32,
    state: watch::Sender<State>,
    stop: CancellationToken,
}

impl Keeper {
    async fn run(mut self) {
        let mut backoff = Backoff::default();
        let mut attached_before = false;
        loop {
            let up = self.stop.run_until_cancelled(connected(&mut self.link)).await;
            let Some(Some(up)) = up else { return };
            let attached =
                self.stop.run_until_cancelled(timeout(ATTACH_LIMIT, self.attach(&up, attached_before))).await;
            let state = match attached {
                None => return,
                Some(Ok(Ok((seat, mut receiver, address)))) => {
                    attached_before = true;
                    self.state.send_replace(State::Ready(address.clone()));
                    let begun = Instant::now();
                    let ended = self.serve(&up, &mut receiver).await;
                    let Some(cause) = ended else {
                        seat.close_receivers(vec![receiver]).await;
                        self.delete(&up).await;
                        return;
                    };
                    up.report(&cause, &address);
                    let ended = State::Trying(Some(error::lost(&cause)));
                    self.state.send_replace(ended.clone());
                    if self.node == ReplyNode::Dynamic {
                        self.lose(&address);
                    }
                    if begun.elapsed() > Duration::from_secs(1) {
                        backoff.reset();
                    }
                    ended
                }
                Some(Ok(Err(Failed::Refused(error) | Failed::Missing(error)))) => {
                    warn!(%error, "the broker refused the link for replies, retrying");
                    State::Refused(error)
                }
                Some(Ok(Err(Failed::Lost(cause)))) => unanswered(&up, &cause),
                Some(Err(_)) => unanswered(&up, &format!("the broker attached no link within {ATTACH_LIMIT:?}")),
            };
            self.state.send_replace(state);
            let pause = sleep(backoff.next(&mut rand::rng()));
            if self.stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    /// Takes our own queue away, where that can be done; elsewhere it has to expire.
    async fn delete(&self, up: &Connected) {
        let ReplyNode::Queue { needs, .. } = &self.node else { return };
        for need in needs {
            if let Declaration::Queue(name, _) = need {
                let _ = timeout(FAREWELL, management::delete_queue(up, name)).await;
            }
        }
    }

    /// Ends the calls that wait for a reply at an address that is gone.
    fn lose(&self, address: &str) {
        let lost = self.pending.fail_all(&TransportError::ReplyLost { queue: address.to_owned() });
        if lost > 0 {
            warn!(%address, calls = lost, "the reply address is gone, and with it the replies");
        }
    }

    async fn attach(&self, up: &Connected, attached_before: bool) -> Result<(Seat, Receiver, Arc<str>), Failed> {
        let (source, address) = match &self.node {
            ReplyNode::Dynamic => (Source::builder().dynamic(true).build(), None),
            ReplyNode::Queue { address, existing, needs } => {
                if attached_before {
                    match self.attach_to(up, receive::from(existing)).await {
                        Ok((seat, receiver)) => return Ok((seat, receiver, address.as_str().into())),
                        Err(Failed::Missing(_)) => self.lose(address),
                        Err(failed) => return Err(failed),
                    }
                }
                management::declare(up, needs).await?;
                (receive::from(address), Some(address.as_str()))
            }
        };
        let (seat, receiver) = self.attach_to(up, source).await?;
        let given = receiver.source().as_ref().and_then(|source| source.address.as_deref());
        match address.or(given).map(Arc::from) {
            Some(address) => Ok((seat, receiver, address)),
            None => Err(Failed::Refused(TransportError::Topology {
                object: "reply address".to_owned(),
                reason: "the broker made none; see the option address_profile".to_owned(),
            })),
        }
    }

    /// A session for each attempt: some brokers end it with a refusal.
    async fn attach_to(&self, up: &Connected, source: Source) -> Result<(Seat, Receiver), Failed> {
        let failed = |refusal| Failed::of("address of replies", refusal);
        let seat = Seat::alone(up.session().await.map_err(failed)?, 1);
        let mut receiver = seat.receiver("rpc-response", source).await.map_err(failed)?;
        receive::give_credit(&mut receiver, self.credit).await.map_err(Failed::Lost)?;
        Ok((seat, receiver))
    }

    /// Hands replies to their calls; why the link ended, or nothing when told to stop.
    async fn serve(&self, up: &Connected, receiver: &mut Receiver) -> Option<String> {
        let ended = |error| match error {
            RecvError::LinkStateError(state) => error::link_end(&state),
            error => error::shown(&error),
        };
        let mut left = self.credit;
        let (mut taken, mut read) = (Vec::new(), 0);
        loop {
            if read >= TURN {
                read = 0;
                yield_now().await;
            }
            let delivery = tokio::select! {
                delivery = receiver.recv::<Body<Value>>() => delivery,
                () = up.ended() => return Some("the connection was lost".to_owned()),
                () = self.stop.cancelled() => return None,
            };
            // Those that are there already are accepted together.
            let mut next = Some(delivery);
            while let Some(delivery) = next {
                let (info, message) = match delivery {
                    Ok(delivery) => delivery.into_parts(),
                    Err(error) => return Some(ended(error)),
                };
                read += self.take(message.body);
                taken.push(info);
                left = left.saturating_sub(1);
                next = (left > self.credit / 2 && read < TURN).then(|| receiver.recv().now_or_never()).flatten();
            }
            if let Err(error) = receiver.accept_all(taken.drain(..)).await {
                return Some(error::shown(&error));
            }
            if left <= self.credit / 2 {
                left = self.credit;
                if let Err(error) = receive::give_credit(receiver, left).await {
                    return Some(error);
                }
            }
        }
    }

    /// Hands one reply to its call. One that cannot be read, or that nobody waits for, is counted and forgotten: it is
    /// of no use at the broker either. Returns how many bytes it has.
    fn take(&self, body: Body<Value>) -> usize {
        let incoming = match receive::read(body, self.limits.max_bytes) {
            Ok(incoming) => incoming,
            Err(poison) => {
                limited!(warn, "a reply was dropped that cannot be read", %poison);
                metrics::counter!("oxlo_poison_total", "kind" => poison.kind()).increment(1);
                return TURN;
            }
        };
        let Some(Id::String(message_id)) = incoming.correlation_id else {
            limited!(warn, "a reply was dropped that does not say which call it is for");
            metrics::counter!("oxlo_poison_total", "kind" => "missing_key").increment(1);
            return TURN;
        };
        let bytes = incoming.body.as_ref().map_or(0, Bytes::len);
        let part = match incoming.body {
            None => ReplyPart::Heartbeat,
            Some(body) => ReplyPart::Unread(Box::new(UnreadReply::amqp1(body, self.limits))),
        };
        let awaited = self.pending.deliver(&message_id, part);
        if !awaited {
            debug!(message_id = %text::name(&message_id), "a reply came that nobody waits for");
            metrics::counter!("oxlo_late_replies_total").increment(1);
        }
        bytes
    }
}
