//! The read buffer behind a socket, with the guard in it. Pure, no I/O.

use std::time::{Duration, Instant};

use super::guard::content_header::Reason;
use super::guard::{Frame, Guard, GuardError, Verdict};
use super::layout;
use super::ports::Open;

/// Enough for some hundred small frames per system call.
pub(super) const CAPACITY: usize = 64 * 1024;
/// lapin takes a broker that it hears nothing of for dead, and a broker that has something to send sends no heartbeats: when
/// only ports got something for this long, lapin gets one made here.
const HEARTBEAT_PAUSE: Duration = Duration::from_secs(1);
/// How long what nobody asked for is counted together.
const REST_AFTER: Duration = Duration::from_secs(10);
const HEARTBEAT: [u8; 8] = [layout::HEARTBEAT, 0, 0, 0, 0, 0, 0, layout::FRAME_END];

/// Bytes on their way from a socket to lapin and to the ports.
pub(super) struct Inbound {
    guard: Guard,
    /// `start..end` is not yet judged.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    room_wanted: usize,
    /// When lapin last got something.
    shown: Instant,
    /// When the guard last began to count what nobody asked for.
    rested: Instant,
}

impl Inbound {
    pub(super) fn new(guard: Guard) -> Self {
        Self {
            guard,
            bytes: vec![0; CAPACITY],
            start: 0,
            end: 0,
            room_wanted: 0,
            shown: Instant::now(),
            rested: Instant::now(),
        }
    }

    /// Judges what was put into [`space`](Self::space): hands the ports theirs, and adds what lapin may see to `visible` and
    /// for each frame that was changed the reason to `changed`, also where an error follows.
    pub(super) fn judge(
        &mut self,
        ports: &mut Open,
        visible: &mut Vec<u8>,
        changed: &mut Vec<Reason>,
    ) -> Result<(), GuardError> {
        let mut withheld = false;
        if self.rested.elapsed() > REST_AFTER {
            self.rested = Instant::now();
            self.guard.rest();
        }
        loop {
            let input = &self.bytes[self.start..self.end];
            match self.guard.advance(input, |channel| ports.standing(channel))? {
                Verdict::Pass(bytes) => {
                    visible.extend_from_slice(&input[..bytes]);
                    self.start += bytes;
                }
                Verdict::Replace { take, with, reason } => {
                    visible.extend_from_slice(&with);
                    changed.push(reason);
                    self.start += take;
                }
                Verdict::ForPort { take, and_lapin, repaired } => {
                    let frame = &input[..take];
                    withheld = true;
                    if and_lapin {
                        visible.extend_from_slice(frame);
                    }
                    if let Some((channel, own)) = Frame::of(frame) {
                        match &repaired {
                            Some((payload, _)) => ports.take(channel, Frame::Header(payload))?,
                            None => ports.take(channel, own)?,
                        }
                    }
                    changed.extend(repaired.map(|(_, reason)| reason));
                    self.start += take;
                }
                Verdict::Need(bytes) => {
                    self.room_wanted = bytes;
                    break;
                }
            }
        }
        if !visible.is_empty() {
            self.shown = Instant::now();
        } else if withheld && self.guard.is_between_frames() && self.shown.elapsed() > HEARTBEAT_PAUSE {
            self.shown = Instant::now();
            visible.extend_from_slice(&HEARTBEAT);
        }
        Ok(())
    }

    /// Where the next bytes of the socket go; never empty.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.bytes.len() > CAPACITY && self.room_wanted <= CAPACITY {
                self.bytes.truncate(CAPACITY);
                self.bytes.shrink_to_fit();
            }
        } else if self.start + self.room_wanted > self.bytes.len() || self.end == self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.room_wanted > self.bytes.len() {
            self.bytes.resize(self.room_wanted, 0);
        }
        &mut self.bytes[self.end..]
    }

    /// Takes note of bytes that were put into [`space`](Self::space).
    pub(super) fn filled(&mut self, bytes: usize) {
        self.end = (self.end + bytes).min(self.bytes.len());
    }

    /// The `frame_max` as far as it is agreed upon.
    pub(super) fn frame_max(&self) -> u32 {
        self.guard.frame_max()
    }

    /// What to say of a stream that ended here, if there is more to say than that.
    pub(super) fn ended(&self) -> Option<GuardError> {
        self.guard.ended_with(&self.bytes[self.start..self.end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::confirms::Ledger;
    use crate::stream::ports::Ports;
    use crate::stream::tests::wire;

    fn given(inbound: &mut Inbound, ports: &Ports, bytes: &[u8]) -> Vec<u8> {
        inbound.space()[..bytes.len()].copy_from_slice(bytes);
        inbound.filled(bytes.len());
        let (mut visible, mut changed) = (Vec::new(), Vec::new());
        assert_eq!(inbound.judge(&mut ports.lock(), &mut visible, &mut changed), Ok(()));
        assert_eq!(changed, []);
        visible
    }

    #[test]
    fn lapin_hears_a_heartbeat_when_only_confirms_come() {
        let (mut inbound, ports) = (Inbound::new(Guard::new(0)), Ports::default());
        ports.publish(1, &Ledger::new(std::sync::Arc::default(), tokio::sync::mpsc::unbounded_channel().0));
        given(&mut inbound, &ports, &[wire::start(b""), wire::tune(0, 131_072, 60)].concat());
        let ack = wire::method(1, 60, 80, &[0, 0, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(given(&mut inbound, &ports, &ack), b"");
        inbound.shown = Instant::now() - 2 * HEARTBEAT_PAUSE;
        assert_eq!(given(&mut inbound, &ports, &ack), HEARTBEAT);
        assert_eq!(given(&mut inbound, &ports, &ack), b"", "the pause begins anew");
    }
}
