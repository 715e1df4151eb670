//! The read buffer of a stream, which checks frames with the guard. Pure, no I/O.

use std::time::{Duration, Instant};

use super::{
    guard::{Frame, Guard, GuardError, Verdict, content_header::Repair},
    layout,
    ports::PortTable,
};

/// Bytes of the buffer: enough for hundreds of small frames per system call.
pub(super) const CAPACITY: usize = 64 * 1024;
/// When only ports received frames for this long, lapin gets a synthetic heartbeat: a broker that sends messages sends
/// no heartbeats, and lapin closes a connection on which it reads nothing.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// The period over which the guard counts unsolicited methods.
const COUNT_PERIOD: Duration = Duration::from_secs(10);
const HEARTBEAT: [u8; 8] = [layout::HEARTBEAT, 0, 0, 0, 0, 0, 0, layout::FRAME_END];

/// The read buffer between a socket, lapin and the ports.
pub(super) struct Inbound {
    guard: Guard,
    /// `start..end` is not checked yet.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes that the guard needs to check the next frame.
    needed: usize,
    /// When lapin last got bytes.
    last_visible: Instant,
    /// When the guard's count of unsolicited methods was last reset.
    count_started: Instant,
}

impl Inbound {
    pub(super) fn new(guard: Guard) -> Self {
        Self {
            guard,
            bytes: vec![0; CAPACITY],
            start: 0,
            end: 0,
            needed: 0,
            last_visible: Instant::now(),
            count_started: Instant::now(),
        }
    }

    /// Checks the bytes that were read into [`space`](Self::space). Passes frames to the ports, appends the bytes for
    /// lapin to `visible`, and the reason of each changed frame to `repairs`; both also in front of an error.
    pub(super) fn check(
        &mut self,
        ports: &mut PortTable,
        visible: &mut Vec<u8>,
        repairs: &mut Vec<Repair>,
    ) -> Result<(), GuardError> {
        let mut withheld = false;
        if self.count_started.elapsed() > COUNT_PERIOD {
            self.count_started = Instant::now();
            self.guard.reset_count();
        }
        loop {
            let input = &self.bytes[self.start..self.end];
            match self.guard.advance(input, |channel| ports.owner(channel))? {
                Verdict::Pass(bytes) => {
                    visible.extend_from_slice(&input[..bytes]);
                    self.start += bytes;
                }
                Verdict::Replace { take, with, reason } => {
                    visible.extend_from_slice(&with);
                    repairs.push(reason);
                    self.start += take;
                }
                Verdict::ForPort { take, and_lapin, repaired } => {
                    let frame = &input[..take];
                    withheld = true;
                    if and_lapin {
                        visible.extend_from_slice(frame);
                    }
                    if let Some((channel, own)) = Frame::parse(frame) {
                        match &repaired {
                            Some((payload, _)) => ports.take(channel, Frame::Header(payload))?,
                            None => ports.take(channel, own)?,
                        }
                    }
                    repairs.extend(repaired.map(|(_, reason)| reason));
                    self.start += take;
                }
                Verdict::Need(bytes) => {
                    self.needed = bytes;
                    break;
                }
            }
        }
        if !visible.is_empty() {
            self.last_visible = Instant::now();
        } else if withheld && self.guard.is_between_frames() && self.last_visible.elapsed() > HEARTBEAT_INTERVAL {
            self.last_visible = Instant::now();
            visible.extend_from_slice(&HEARTBEAT);
        }
        Ok(())
    }

    /// The space for the next bytes of the socket; never empty.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.bytes.len() > CAPACITY && self.needed <= CAPACITY {
                self.bytes.truncate(CAPACITY);
                self.bytes.shrink_to_fit();
            }
        } else if self.start + self.needed > self.bytes.len() || self.end == self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.needed > self.bytes.len() {
            self.bytes.resize(self.needed, 0);
        }
        &mut self.bytes[self.end..]
    }

    /// Records how many bytes were read into [`space`](Self::space).
    pub(super) fn filled(&mut self, bytes: usize) {
        self.end = (self.end + bytes).min(self.bytes.len());
    }

    /// The negotiated `frame_max`, or the initial limit before.
    pub(super) fn frame_max(&self) -> u32 {
        self.guard.frame_max()
    }

    /// The error of a stream that ends here, if its bytes explain the end.
    pub(super) fn error_at_end(&self) -> Option<GuardError> {
        self.guard.error_at_end(&self.bytes[self.start..self.end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{
        ports::Ports,
        tests::{sink, wire},
    };

    fn given(inbound: &mut Inbound, ports: &Ports, bytes: &[u8]) -> Vec<u8> {
        inbound.space()[..bytes.len()].copy_from_slice(bytes);
        inbound.filled(bytes.len());
        let (mut visible, mut repairs) = (Vec::new(), Vec::new());
        assert_eq!(inbound.check(&mut ports.lock(), &mut visible, &mut repairs), Ok(()));
        assert_eq!(repairs, []);
        visible
    }

    #[test]
    fn lapin_gets_a_heartbeat_when_only_confirms_arrive() {
        let (mut inbound, ports) = (Inbound::new(Guard::new(0)), Ports::default());
        ports.publish(1, &sink());
        given(&mut inbound, &ports, &[wire::start(b""), wire::tune(0, 131_072, 60)].concat());
        let ack = wire::method(1, 60, 80, &[0, 0, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(given(&mut inbound, &ports, &ack), b"");
        inbound.last_visible = Instant::now() - 2 * HEARTBEAT_INTERVAL;
        assert_eq!(given(&mut inbound, &ports, &ack), HEARTBEAT);
        assert_eq!(given(&mut inbound, &ports, &ack), b"", "the interval starts again");
    }
}
