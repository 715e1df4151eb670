//! The numbers of sessions on the wire.
//!
//! fe2o3-amqp takes the lowest free channel number for each session, which is the one that was given up last. RabbitMQ 4 loses
//! a session that begins on a number whose last session it still takes down, and fe2o3-amqp cannot give up one that the broker
//! does not begin. So the numbers on the wire are chosen here: the one that has been free for longest is used next, and a
//! session that was given up keeps its number until the broker has answered and ended it.

use std::{
    collections::{HashMap, VecDeque},
    mem,
};

use super::guard::GuardError;

/// How many numbers rest before one is used again, as far as there are so many.
const REST: usize = 16;

/// A session as both ends number it.
#[derive(Debug)]
struct Session {
    /// fe2o3-amqp's number.
    inner: u16,
    /// Whether the broker has begun it.
    begun: bool,
    /// Nobody waits for it any more: fe2o3-amqp is told nothing of it.
    abandoned: bool,
    ended_by_us: bool,
    ended_by_peer: bool,
}

/// What is to be done with a frame of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inbound {
    Pass,
    /// It begins the session that fe2o3-amqp knows by this number.
    Begun(u16),
    /// Nobody is to see it.
    Swallow,
    /// As `Swallow`, and the session of this number on the wire is to be ended.
    End(u16),
}

/// Which number on the wire each session has.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    /// By fe2o3-amqp's number.
    wire: Vec<Option<u16>>,
    /// By the number on the wire.
    sessions: HashMap<u16, Session>,
    /// The number on the wire, by the broker's own number.
    peers: HashMap<u16, u16>,
    /// Numbers that were used, the one that has been free for longest first.
    free: VecDeque<u16>,
    /// The lowest number that was never used.
    fresh: u32,
    /// How many numbers there are.
    most: u32,
    /// How many became free since that was asked last.
    freed: usize,
    /// Sessions whose frames are swallowed.
    abandoned: usize,
    /// Sessions that were given up before fe2o3-amqp wrote that they begin.
    unwritten: usize,
}

impl Channels {
    /// How many sessions the broker and we allow.
    pub(super) fn allow(&mut self, most: u32) {
        self.most = most;
    }

    /// How many numbers became free since this was asked last.
    pub(super) fn freed(&mut self) -> usize {
        mem::take(&mut self.freed)
    }

    /// The number on the wire for a session that fe2o3-amqp begins.
    ///
    /// # Errors
    ///
    /// [`GuardError`] if there is none, which whoever begins sessions has to prevent.
    pub(super) fn begin(&mut self, inner: u16) -> Result<u16, GuardError> {
        let rested = self.free.len() > REST;
        let fresh = u16::try_from(self.fresh).ok().filter(|_| self.fresh < self.most);
        let number = match fresh {
            Some(fresh) if !rested => {
                self.fresh += 1;
                Some(fresh)
            }
            _ => self.free.pop_front(),
        };
        let number = number.ok_or(GuardError::Frame("our own session has no channel number left"))?;
        let place = usize::from(inner);
        if self.wire.len() <= place {
            self.wire.resize(place + 1, None);
        }
        let abandoned = self.unwritten > 0;
        if abandoned {
            self.unwritten -= 1;
            self.abandoned += 1;
        }
        self.wire[place] = (!abandoned).then_some(number);
        let session = Session { inner, begun: false, abandoned, ended_by_us: false, ended_by_peer: false };
        self.sessions.insert(number, session);
        Ok(number)
    }

    /// The number on the wire of a session that fe2o3-amqp uses; nothing if the session is over.
    pub(super) fn outbound(&self, inner: u16) -> Option<u16> {
        self.wire.get(usize::from(inner)).copied().flatten()
    }

    /// As [`outbound`](Self::outbound), for the frame that ends the session.
    pub(super) fn end(&mut self, inner: u16) -> Option<u16> {
        let number = self.outbound(inner)?;
        let session = self.sessions.get_mut(&number)?;
        session.ended_by_us = true;
        if session.ended_by_peer {
            self.free(number);
        }
        Some(number)
    }

    /// The broker begins a session, on its number `peer`, that has this number on the wire.
    pub(super) fn begun(&mut self, peer: u16, number: u16) -> Inbound {
        let Some(session) = self.sessions.get_mut(&number) else { return Inbound::Pass };
        session.begun = true;
        self.peers.insert(peer, number);
        if session.abandoned {
            if std::mem::replace(&mut session.ended_by_us, true) {
                return Inbound::Swallow;
            }
            return Inbound::End(number);
        }
        Inbound::Begun(session.inner)
    }

    /// The broker ends the session of its number.
    pub(super) fn ended(&mut self, peer: u16) -> Inbound {
        let Some(number) = self.peers.remove(&peer) else { return Inbound::Pass };
        let Some(session) = self.sessions.get_mut(&number) else { return Inbound::Pass };
        session.ended_by_peer = true;
        let (abandoned, over) = (session.abandoned, session.ended_by_us);
        if over {
            self.free(number);
        }
        if abandoned { Inbound::Swallow } else { Inbound::Pass }
    }

    /// The broker sends something else on its number.
    pub(super) fn inbound(&self, peer: u16) -> Inbound {
        if self.abandoned == 0 {
            return Inbound::Pass;
        }
        let session = self.peers.get(&peer).and_then(|number| self.sessions.get(number));
        if session.is_some_and(|session| session.abandoned) { Inbound::Swallow } else { Inbound::Pass }
    }

    /// Gives up the session that the broker has not begun; there is one at a time.
    pub(super) fn abandon(&mut self) {
        let before = self.abandoned;
        for session in self.sessions.values_mut().filter(|session| !session.begun && !session.abandoned) {
            session.abandoned = true;
            self.abandoned += 1;
            if let Some(wire) = self.wire.get_mut(usize::from(session.inner)) {
                *wire = None;
            }
        }
        if self.abandoned == before {
            self.unwritten += 1;
        }
    }

    fn free(&mut self, number: u16) {
        let Some(session) = self.sessions.remove(&number) else { return };
        self.abandoned -= usize::from(session.abandoned);
        if let Some(wire) = self.wire.get_mut(usize::from(session.inner))
            && *wire == Some(number)
        {
            *wire = None;
        }
        self.free.push_back(number);
        self.freed += 1;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn channels(most: u32) -> Channels {
        let mut channels = Channels::default();
        channels.allow(most);
        channels
    }

    /// A whole session.
    fn pass(channels: &mut Channels) -> u16 {
        let number = channels.begin(0).unwrap();
        assert_eq!(channels.begun(number, number), Inbound::Begun(0));
        assert_eq!(channels.end(0), Some(number));
        assert_eq!(channels.ended(number), Inbound::Pass);
        assert_eq!((channels.freed(), channels.outbound(0)), (1, None));
        number
    }

    #[test]
    fn a_number_that_was_just_given_up_is_not_used_again() {
        let mut many = channels(1000);
        let used: Vec<u16> = (0..40).map(|_| pass(&mut many)).collect();
        for (place, number) in used.iter().enumerate() {
            assert!(!used[..place].iter().rev().take(REST).any(|earlier| earlier == number), "{used:?}");
        }
        assert!(used.iter().all(|number| usize::from(*number) <= REST), "{used:?}");
        let mut few = channels(2);
        assert_eq!((0..5).map(|_| pass(&mut few)).collect::<Vec<_>>(), [0, 1, 0, 1, 0]);
    }

    #[test]
    fn a_session_that_does_not_begin_is_given_up_alone() {
        let mut channels = channels(10);
        let neighbour = channels.begin(0).unwrap();
        channels.begun(7, neighbour);
        let lost = channels.begin(1).unwrap();
        channels.abandon();
        assert_eq!(channels.outbound(0), Some(neighbour));
        assert_eq!(channels.outbound(1), None, "what fe2o3-amqp still says of it goes nowhere");
        let other = channels.begin(2).unwrap();
        assert_ne!(other, lost);
        // The broker was only slow.
        assert_eq!(channels.begun(9, lost), Inbound::End(lost));
        assert_eq!((channels.inbound(9), channels.inbound(7)), (Inbound::Swallow, Inbound::Pass));
        assert_eq!(channels.freed(), 0);
        assert_eq!(channels.ended(9), Inbound::Swallow);
        assert_eq!(channels.freed(), 1);
        assert_eq!(channels.begun(8, other), Inbound::Begun(2));
    }

    #[test]
    fn a_session_may_be_given_up_before_it_is_written_that_it_begins() {
        let mut channels = channels(10);
        channels.abandon();
        let late = channels.begin(0).unwrap();
        assert_eq!((channels.outbound(0), channels.begun(3, late)), (None, Inbound::End(late)));
        let next = channels.begin(1).unwrap();
        assert_eq!(channels.begun(4, next), Inbound::Begun(1));
    }

    #[test]
    fn whoever_ends_first_a_number_is_free_when_both_have() {
        let mut channels = channels(1);
        let number = channels.begin(3).unwrap();
        assert!(channels.begin(4).is_err());
        channels.begun(5, number);
        assert_eq!(channels.ended(5), Inbound::Pass);
        assert_eq!(channels.freed(), 0);
        assert_eq!(channels.end(3), Some(number));
        assert_eq!((channels.freed(), channels.outbound(3)), (1, None));
    }
}
