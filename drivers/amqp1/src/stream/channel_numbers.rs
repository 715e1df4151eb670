//! The channel numbers of sessions on the wire.
//!
//! fe2o3-amqp takes the lowest free channel number for each session, usually the one that was freed last. RabbitMQ 4
//! ignores a session that begins on a number whose last session it is still closing, and fe2o3-amqp cannot abandon a
//! session that the broker does not begin. So the numbers on the wire are chosen here: the one that has been free for
//! longest is used next, and an abandoned session keeps its number until the broker has begun and ended it.

use std::{
    collections::{HashMap, VecDeque},
    mem,
};

use super::guard::GuardError;

/// How many numbers stay free before one is reused, if there are that many.
const MIN_FREE: usize = 16;

/// A session, by its number on the wire.
#[derive(Debug)]
struct Session {
    /// The number in fe2o3-amqp.
    inner: u16,
    /// Whether the broker has begun it.
    begun: bool,
    /// Nobody waits for it: no frame of it reaches fe2o3-amqp.
    abandoned: bool,
    ended_by_us: bool,
    ended_by_peer: bool,
}

/// What to do with a frame of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InboundAction {
    /// Pass it unchanged.
    Pass,
    /// Pass it as the begin of the session with this number in fe2o3-amqp.
    Begun(u16),
    /// Drop it.
    Drop,
    /// Drop it, and end the session with this number on the wire.
    End(u16),
}

/// The number on the wire of each session.
#[derive(Debug, Default)]
pub(crate) struct ChannelNumbers {
    /// The number on the wire, by the number in fe2o3-amqp.
    wire: Vec<Option<u16>>,
    /// Sessions by their number on the wire.
    sessions: HashMap<u16, Session>,
    /// The number on the wire, by the number in the broker.
    peers: HashMap<u16, u16>,
    /// Free numbers that were used before, the longest free first.
    free: VecDeque<u16>,
    /// The lowest unused number.
    unused: u32,
    /// Maximum number of sessions.
    max: u32,
    /// Numbers that became free since the last call of `take_freed`.
    freed: usize,
    /// Sessions whose frames are dropped.
    abandoned: usize,
    /// Sessions that were abandoned before fe2o3-amqp wrote their begin.
    unwritten: usize,
}

impl ChannelNumbers {
    /// Sets how many sessions both peers allow.
    pub(super) fn set_max(&mut self, max: u32) {
        self.max = max;
    }

    /// Returns and resets the count of numbers that became free.
    pub(super) fn take_freed(&mut self) -> usize {
        mem::take(&mut self.freed)
    }

    /// The number on the wire for a session that fe2o3-amqp begins.
    ///
    /// # Errors
    ///
    /// [`GuardError`] if no number is free; permits prevent that.
    pub(super) fn begin(&mut self, inner: u16) -> Result<u16, GuardError> {
        let rested = self.free.len() > MIN_FREE;
        let unused = u16::try_from(self.unused).ok().filter(|_| self.unused < self.max);
        let number = match unused {
            Some(unused) if !rested => {
                self.unused += 1;
                Some(unused)
            }
            _ => self.free.pop_front(),
        };
        let number = number.ok_or(GuardError::Frame("the driver begins a session without a free channel number"))?;
        let index = usize::from(inner);
        if self.wire.len() <= index {
            self.wire.resize(index + 1, None);
        }
        let abandoned = self.unwritten > 0;
        if abandoned {
            self.unwritten -= 1;
            self.abandoned += 1;
        }
        self.wire[index] = (!abandoned).then_some(number);
        let session = Session { inner, begun: false, abandoned, ended_by_us: false, ended_by_peer: false };
        self.sessions.insert(number, session);
        Ok(number)
    }

    /// The number on the wire of a session of fe2o3-amqp; `None` if the session is over.
    pub(super) fn outbound(&self, inner: u16) -> Option<u16> {
        self.wire.get(usize::from(inner)).copied().flatten()
    }

    /// As [`outbound`](Self::outbound), for the end of the session.
    pub(super) fn end(&mut self, inner: u16) -> Option<u16> {
        let number = self.outbound(inner)?;
        let session = self.sessions.get_mut(&number)?;
        session.ended_by_us = true;
        if session.ended_by_peer {
            self.free(number);
        }
        Some(number)
    }

    /// Handles a begin of the broker on its number `peer`, for the session with this number on the wire.
    pub(super) fn begun(&mut self, peer: u16, number: u16) -> InboundAction {
        let Some(session) = self.sessions.get_mut(&number) else { return InboundAction::Pass };
        session.begun = true;
        self.peers.insert(peer, number);
        if session.abandoned {
            if std::mem::replace(&mut session.ended_by_us, true) {
                return InboundAction::Drop;
            }
            return InboundAction::End(number);
        }
        InboundAction::Begun(session.inner)
    }

    /// Handles an end of the broker on its number `peer`.
    pub(super) fn ended(&mut self, peer: u16) -> InboundAction {
        let Some(number) = self.peers.remove(&peer) else { return InboundAction::Pass };
        let Some(session) = self.sessions.get_mut(&number) else { return InboundAction::Pass };
        session.ended_by_peer = true;
        let (abandoned, over) = (session.abandoned, session.ended_by_us);
        if over {
            self.free(number);
        }
        if abandoned { InboundAction::Drop } else { InboundAction::Pass }
    }

    /// Handles any other frame of the broker on its number `peer`.
    pub(super) fn inbound(&self, peer: u16) -> InboundAction {
        if self.abandoned == 0 {
            return InboundAction::Pass;
        }
        let session = self.peers.get(&peer).and_then(|number| self.sessions.get(number));
        if session.is_some_and(|session| session.abandoned) { InboundAction::Drop } else { InboundAction::Pass }
    }

    /// Abandons the session that the broker has not begun; there is at most one at a time.
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

    fn channels(max: u32) -> ChannelNumbers {
        let mut channels = ChannelNumbers::default();
        channels.set_max(max);
        channels
    }

    /// Begins and ends a session.
    fn pass(channels: &mut ChannelNumbers) -> u16 {
        let number = channels.begin(0).unwrap();
        assert_eq!(channels.begun(number, number), InboundAction::Begun(0));
        assert_eq!(channels.end(0), Some(number));
        assert_eq!(channels.ended(number), InboundAction::Pass);
        assert_eq!((channels.take_freed(), channels.outbound(0)), (1, None));
        number
    }

    #[test]
    fn a_number_that_was_just_given_up_is_not_used_again() {
        let mut many = channels(1000);
        let used: Vec<u16> = (0..40).map(|_| pass(&mut many)).collect();
        for (place, number) in used.iter().enumerate() {
            assert!(!used[..place].iter().rev().take(MIN_FREE).any(|earlier| earlier == number), "{used:?}");
        }
        assert!(used.iter().all(|number| usize::from(*number) <= MIN_FREE), "{used:?}");
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
        assert_eq!(channels.outbound(1), None, "later frames of fe2o3-amqp for it are dropped");
        let other = channels.begin(2).unwrap();
        assert_ne!(other, lost);
        // The broker answers late.
        assert_eq!(channels.begun(9, lost), InboundAction::End(lost));
        assert_eq!((channels.inbound(9), channels.inbound(7)), (InboundAction::Drop, InboundAction::Pass));
        assert_eq!(channels.take_freed(), 0);
        assert_eq!(channels.ended(9), InboundAction::Drop);
        assert_eq!(channels.take_freed(), 1);
        assert_eq!(channels.begun(8, other), InboundAction::Begun(2));
    }

    #[test]
    fn a_session_may_be_given_up_before_it_is_written_that_it_begins() {
        let mut channels = channels(10);
        channels.abandon();
        let late = channels.begin(0).unwrap();
        assert_eq!((channels.outbound(0), channels.begun(3, late)), (None, InboundAction::End(late)));
        let next = channels.begin(1).unwrap();
        assert_eq!(channels.begun(4, next), InboundAction::Begun(1));
    }

    #[test]
    fn whoever_ends_first_a_number_is_free_when_both_have() {
        let mut channels = channels(1);
        let number = channels.begin(3).unwrap();
        assert!(channels.begin(4).is_err());
        channels.begun(5, number);
        assert_eq!(channels.ended(5), InboundAction::Pass);
        assert_eq!(channels.take_freed(), 0);
        assert_eq!(channels.end(3), Some(number));
        assert_eq!((channels.take_freed(), channels.outbound(3)), (1, None));
    }
}
