//! The read buffer between a socket and lapin, with the guard in it. Pure, no I/O.

use std::time::{Duration, Instant};

use super::guard::content_header::Reason;
use super::guard::publishing::News;
use super::guard::{Guard, GuardError, Verdict};

/// Enough for some hundred small frames per system call; lapin's own buffer holds 32 frames of `frame_max`.
pub(super) const CAPACITY: usize = 64 * 1024;
/// From here on a body is read into lapin's buffer at once: below, one read that takes the next frames along is cheaper.
const DIRECT: usize = 16 * 1024;
/// lapin takes a broker that it hears nothing of for dead, and a broker that has confirms to send sends no heartbeats: when
/// nothing else came for this long, lapin gets one in place of them.
const HEARTBEAT_PAUSE: Duration = Duration::from_secs(1);
const HEARTBEAT: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, 0xCE];

/// What is found out about a stream on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// A frame was replaced.
    Changed(Reason),
    /// The broker said something of what we published.
    News(News),
}

/// Bytes on their way from a socket to lapin.
pub(super) struct Inbound {
    guard: Guard,
    /// `start..judged` may be taken, `judged..end` is not yet judged.
    bytes: Vec<u8>,
    start: usize,
    judged: usize,
    end: usize,
    /// What stands in for a frame that was taken out before `start`.
    patch: Vec<u8>,
    patched: usize,
    room_wanted: usize,
    /// When lapin last got something.
    shown: Instant,
}

impl Inbound {
    pub(super) fn new(guard: Guard) -> Self {
        Self {
            guard,
            bytes: vec![0; CAPACITY],
            start: 0,
            judged: 0,
            end: 0,
            patch: Vec::new(),
            patched: 0,
            room_wanted: 0,
            shown: Instant::now(),
        }
    }

    /// Moves bytes that lapin may see into `out`, and returns how many; 0 means that more input is needed.
    pub(super) fn take(&mut self, out: &mut [u8], mut on_notice: impl FnMut(Notice)) -> Result<usize, GuardError> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            if self.patched < self.patch.len() {
                let taken = copy(&self.patch[self.patched..], out);
                self.patched += taken;
                return Ok(taken);
            }
            if self.start < self.judged {
                let taken = copy(&self.bytes[self.start..self.judged], out);
                self.start += taken;
                self.shown = Instant::now();
                return Ok(taken);
            }
            let verdict = self.guard.advance(&self.bytes[self.judged..self.end]);
            self.guard.news().for_each(|news| on_notice(Notice::News(news)));
            match verdict? {
                Verdict::Pass(bytes) => self.judged += bytes,
                Verdict::Replace { take, with, reason } => {
                    self.skip(take);
                    self.patch = with;
                    self.patched = 0;
                    on_notice(Notice::Changed(reason));
                }
                Verdict::Withhold(bytes) => {
                    self.skip(bytes);
                    if self.guard.is_between_frames() && self.shown.elapsed() > HEARTBEAT_PAUSE {
                        self.shown = Instant::now();
                        self.patch = HEARTBEAT.to_vec();
                        self.patched = 0;
                    }
                }
                Verdict::Need(bytes) => {
                    self.room_wanted = bytes;
                    return Ok(0);
                }
            }
        }
    }

    fn skip(&mut self, bytes: usize) {
        self.judged += bytes;
        self.start = self.judged;
    }

    /// How many of the bytes to come may be read past this buffer, straight into a buffer of `room` bytes; 0 for none.
    ///
    /// To be asked after [`take`](Self::take) returned 0, and followed by [`took_direct`](Self::took_direct).
    pub(super) fn direct(&self, room: usize) -> usize {
        let bytes = self.guard.unseen().min(room);
        if bytes < DIRECT || self.start < self.end { 0 } else { bytes }
    }

    /// Takes note of a direct read.
    pub(super) fn took_direct(&mut self, bytes: usize) {
        self.guard.passed_unseen(bytes);
    }

    /// Where the next bytes of the socket go; never empty after [`take`](Self::take) returned 0.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.judged, self.end) = (0, 0, 0);
            if self.bytes.len() > CAPACITY && self.room_wanted <= CAPACITY {
                self.bytes.truncate(CAPACITY);
                self.bytes.shrink_to_fit();
            }
        } else if self.start + self.room_wanted > self.bytes.len() || self.end == self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.judged -= self.start;
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

    /// What to say of a stream that ended here, if there is more to say than that.
    pub(super) fn ended(&self) -> Option<GuardError> {
        self.guard.ended_with(&self.bytes[self.judged..self.end])
    }
}

fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let bytes = from.len().min(to.len());
    to[..bytes].copy_from_slice(&from[..bytes]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::tests::wire;

    fn given(inbound: &mut Inbound, bytes: &[u8]) -> Vec<u8> {
        inbound.space()[..bytes.len()].copy_from_slice(bytes);
        inbound.filled(bytes.len());
        let mut out = vec![0; 4096];
        let taken = inbound.take(&mut out, |_| {}).unwrap_or_default();
        out.truncate(taken);
        out
    }

    #[test]
    fn lapin_hears_a_heartbeat_when_only_confirms_come() {
        let mut inbound = Inbound::new(Guard::new(0));
        given(&mut inbound, &[wire::start(b""), wire::tune(0, 131_072, 60)].concat());
        let ack = wire::method(1, 60, 80, &[0, 0, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(given(&mut inbound, &ack), b"");
        inbound.shown = Instant::now() - 2 * HEARTBEAT_PAUSE;
        assert_eq!(given(&mut inbound, &ack), HEARTBEAT);
        assert_eq!(given(&mut inbound, &ack), b"", "the pause begins anew");
        inbound.shown = Instant::now() - 2 * HEARTBEAT_PAUSE;
        assert_eq!(given(&mut inbound, &ack[..9]), b"", "never in the middle of a frame");
    }
}
