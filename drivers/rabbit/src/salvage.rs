//! What becomes of the messages that were in flight on a channel when the broker closed it.
//!
//! The one that the broker refused fails with the broker's words. Those that it never looked at are published again, under
//! their ids, on the channel that takes the place of the one that is gone. Where the broker does not say which one it
//! refused, each is sent once on a channel that it shares with no other.

use std::sync::Arc;

use futures_util::future::join_all;
use oxlo_transport::TransportError;
use tokio::{sync::mpsc, time::timeout_at};
use tracing::debug;

use crate::{
    blame::{self, ChannelClose, Verdict},
    confirms::{ConfirmingChannel, Flight, Wreck},
    connection::Session,
    publish::Way,
};

/// How often an exchange is declared again for one message because the broker does not find it.
const DECLARED_AGAIN: u8 = 3;

/// Works through every channel that the broker closes, until nothing is published any more.
pub(crate) async fn run(mut wrecked: mpsc::UnboundedReceiver<Wreck>, way: Way) {
    while let Some(wreck) = wrecked.recv().await {
        debug!(close = %wreck.close, in_flight = wreck.flights.len(), "the broker closed a channel over a message");
        // Its messages may wait for an alarm to end; those of the next channel do not wait for them.
        tokio::spawn(way.clone().salvage(wreck));
    }
}

impl Way {
    async fn salvage(self, wreck: Wreck) {
        let Wreck { close, flights } = wreck;
        let letters: Vec<_> = flights.iter().map(|(flight, _)| flight.letter()).collect();
        let verdicts = blame::judge(&close, &letters);
        let refused = verdicts.iter().filter(|verdict| **verdict == Verdict::Refused).count();
        // An exchange may have been there for the first of several messages, and be gone for the next.
        let in_doubt = close.is_missing_exchange() && refused > 1;
        let (mut again, mut unknown) = (Vec::new(), Vec::new());
        for ((mut flight, returned), verdict) in flights.into_iter().zip(verdicts) {
            match verdict {
                _ if returned => flight.finish(true, true),
                // The queue has it, and the reply says the rest. Sent again, another server might run it once more.
                Verdict::Taken if flight.expires => flight.finish(true, false),
                Verdict::Taken => {
                    flight.in_doubt = true;
                    again.push(flight);
                }
                Verdict::Unseen => again.push(flight),
                Verdict::Refused => {
                    flight.in_doubt |= in_doubt;
                    again.extend(self.convict(&close, flight));
                }
                Verdict::Unknown => unknown.push(flight),
            }
        }
        tokio::join!(join_all(again.into_iter().map(|flight| self.again(flight))), self.one_by_one(unknown));
    }

    /// Ends the message that was refused, or gives it back if it can be sent again.
    fn convict(&self, close: &ChannelClose, mut flight: Flight) -> Option<Flight> {
        let lane = self.open_now();
        if let Some(lane) = &lane {
            match close.limit() {
                Some(limit) => lane.set_most(limit),
                None if close.is_about_exchange() => lane.set_apart(&flight.route.exchange),
                None => {}
            }
        }
        if close.is_missing_exchange() {
            // Nobody can be bound to an exchange that does not exist: a fanout to nobody.
            if flight.route.is_fanout() {
                flight.finish(true, false);
                return None;
            }
            if !flight.route.declares.is_empty() && flight.declared_again < DECLARED_AGAIN {
                flight.declared_again += 1;
                if let Some(lane) = lane {
                    lane.forget(&flight.route);
                }
                return Some(flight);
            }
        }
        let error = close.error(&flight.route);
        debug!(%error, "the broker refused a message");
        flight.fail_unsent(error);
        None
    }

    async fn again(&self, flight: Flight) {
        if !flight.is_awaited() {
            return;
        }
        if let Err(undelivered) = self.deliver(flight).await {
            let (flight, error) = *undelivered;
            flight.fail_unsent(error);
        }
    }

    /// Sends each on a channel that no other message is on.
    async fn one_by_one(&self, flights: Vec<Flight>) {
        let mut alone = None;
        for mut flight in flights {
            flight.in_doubt = true;
            if flight.is_awaited() {
                alone = self.alone(flight, alone).await;
            }
        }
    }

    /// Sends a message on a channel of its own, and gives that back if it may be used for the next.
    async fn alone(&self, flight: Flight, channel: Option<Alone>) -> Option<Alone> {
        let deadline = flight.patience.deadline;
        let mut alone = match self.own_channel(&flight, channel).await {
            Ok(alone) => alone,
            Err(error) => {
                flight.fail_unsent(error);
                return None;
            }
        };
        let (id, properties) = match self.labels(&flight) {
            Ok(labels) => labels,
            Err(error) => {
                flight.fail_unsent(error);
                return Some(alone);
            }
        };
        if let Err(flight) = alone.channel.publish(id, &properties, flight) {
            flight.fail(TransportError::ConnectionLost { source: None });
            return None;
        }
        let settled = async {
            tokio::select! {
                wreck = alone.wrecked.recv() => wreck,
                // What the broker closed the channel over is handed on before anybody learns that nothing is in flight.
                () = alone.channel.idle() => alone.wrecked.try_recv().ok(),
            }
        };
        match timeout_at(deadline, settled).await {
            Ok(None) => Some(alone),
            Ok(Some(Wreck { close, flights })) => {
                for (mut flight, _) in flights {
                    // What is refused now was refused before.
                    flight.in_doubt = false;
                    if let Some(flight) = self.convict(&close, flight) {
                        self.again(flight).await;
                    }
                }
                None
            }
            // Nobody waits for it any more, and its confirm may still come.
            Err(_) => None,
        }
    }

    async fn own_channel(&self, flight: &Flight, channel: Option<Alone>) -> Result<Alone, TransportError> {
        let lane = self.declared_lane(&flight.route, &flight.patience).await?;
        if let Some(channel) = channel.filter(|alone| !alone.channel.is_gone()) {
            return Ok(channel);
        }
        let opened = lane.session().meanwhile(Alone::open(lane.session())).await;
        opened.map_err(|error| TransportError::ConnectionLost { source: Some(Arc::new(error)) })
    }
}

/// A channel for one message at a time.
struct Alone {
    channel: ConfirmingChannel,
    wrecked: mpsc::UnboundedReceiver<Wreck>,
}

impl Alone {
    async fn open(session: &Session) -> lapin::Result<Self> {
        let (wrecks, wrecked) = mpsc::unbounded_channel();
        Ok(Self { channel: ConfirmingChannel::open(session, wrecks).await?, wrecked })
    }
}
