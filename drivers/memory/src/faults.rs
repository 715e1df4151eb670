//! What a test can do to a bus: lose, repeat, delay and refuse messages, cut transports off, block publishers.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crate::bus::Bus;

/// Which messages a [`Fault`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Traffic {
    /// Calls and casts.
    Requests,
    /// Results and failures.
    Replies,
    /// What tells the caller of a monitored call that its method still runs.
    Heartbeats,
    /// Notifications.
    Notifications,
    /// Every message.
    All,
}

/// What becomes of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It is lost behind the broker's back: the publisher believes that it was sent.
    Drop,
    /// It arrives twice, as when a publisher repeats what it had no confirm for.
    Duplicate,
    /// It is this long on its way to the broker, and its publisher waits as long for the confirm. If the transport is
    /// [disconnected](Faults::disconnect) meanwhile, the message is lost and the publisher fails with `ConnectionLost`;
    /// if the publisher's timeout ends first, it is lost and the publisher fails with `Unconfirmed`.
    Delay(Duration),
    /// The broker refuses it: the publisher fails with `Rejected`.
    Reject,
    /// It arrives, but its confirm does not: the publisher fails with `ConnectionLost`.
    LoseConfirm,
}

/// A handle on what goes wrong on one bus. Cloning it, or asking the bus for another one, gives the same handle.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use oxlo_driver_memory::{Fault, MemoryBus, Traffic};
/// let bus = MemoryBus::named("faults-example");
/// bus.faults().inject(Traffic::Requests, 2, Fault::Drop); // the next two requests are lost
/// bus.faults().clear();
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Faults {
    bus: Arc<Bus>,
}

// How many transports were meant is good to know and rarely needed.
#[allow(clippy::must_use_candidate)]
impl Faults {
    pub(crate) fn new(bus: Arc<Bus>) -> Self {
        Self { bus }
    }

    /// Has `fault` befall the next `count` messages of a kind. Where several are scripted for a message, the one that
    /// was scripted first befalls it.
    pub fn inject(&self, traffic: Traffic, count: usize, fault: Fault) {
        self.bus.lock().script.add(traffic, count, fault);
    }

    /// How many scripted faults have not happened yet.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.bus.lock().script.outstanding()
    }

    /// Forgets every scripted fault that has not happened yet.
    pub fn clear(&self) {
        self.bus.lock().script = Script::default();
    }

    /// Cuts off the transports of this name (the URL option `name`), until [`reconnect`](Self::reconnect). Returns how
    /// many there are.
    ///
    /// Their state is `Disconnected(reason)`. What they had taken and not settled is redelivered, to others or, when
    /// they are back, to them. What they send waits as its options say. Replies to them wait at the bus.
    pub fn disconnect(&self, name: &str, reason: &str) -> usize {
        self.bus.lock().disconnect(|other| other == Some(name), reason)
    }

    /// Cuts off every transport of the bus; returns how many there are.
    pub fn disconnect_all(&self, reason: &str) -> usize {
        self.bus.lock().disconnect(|_| true, reason)
    }

    /// Brings the transports of this name back; returns how many there are. Their listeners are subscribed again.
    pub fn reconnect(&self, name: &str) -> usize {
        self.bus.lock().reconnect(|other| other == Some(name))
    }

    /// Brings every transport back; returns how many there are.
    pub fn reconnect_all(&self) -> usize {
        self.bus.lock().reconnect(|_| true)
    }

    /// Takes no messages from anyone until [`unblock`](Self::unblock), as a broker that is short of memory. Every
    /// transport's state is `Blocked(reason)`; publishers wait within their timeout and then fail with `Blocked`.
    /// Listening and settling go on.
    pub fn block(&self, reason: &str) {
        self.bus.lock().set_alarm(Some(reason.into()));
    }

    /// Takes messages again.
    pub fn unblock(&self) {
        self.bus.lock().set_alarm(None);
    }
}

/// The scripted faults that have not happened yet, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Script(VecDeque<Scripted>);

#[derive(Debug)]
struct Scripted {
    traffic: Traffic,
    left: usize,
    fault: Fault,
}

impl Script {
    fn add(&mut self, traffic: Traffic, count: usize, fault: Fault) {
        if count > 0 {
            self.0.push_back(Scripted { traffic, left: count, fault });
        }
    }

    fn outstanding(&self) -> usize {
        self.0.iter().map(|scripted| scripted.left).sum()
    }

    /// The fault for the next message of a kind.
    pub(crate) fn next(&mut self, traffic: Traffic) -> Option<Fault> {
        let at = self.0.iter().position(|it| it.traffic == Traffic::All || it.traffic == traffic)?;
        let scripted = self.0.get_mut(at)?;
        scripted.left -= 1;
        let fault = scripted.fault.clone();
        if scripted.left == 0 {
            self.0.remove(at);
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_happen_in_the_order_they_were_scripted_and_as_often() {
        let mut script = Script::default();
        script.add(Traffic::Requests, 2, Fault::Drop);
        script.add(Traffic::All, 1, Fault::Reject);
        script.add(Traffic::Replies, 0, Fault::Drop);
        assert_eq!(script.outstanding(), 3);
        assert_eq!(script.next(Traffic::Requests), Some(Fault::Drop));
        assert_eq!(script.next(Traffic::Replies), Some(Fault::Reject));
        assert_eq!(script.next(Traffic::Replies), None);
        assert_eq!(script.next(Traffic::Requests), Some(Fault::Drop));
        assert_eq!(script.next(Traffic::Requests), None);
        assert_eq!(script.outstanding(), 0);
    }
}
