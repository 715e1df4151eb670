//! The read buffer between a socket and lapin, with the guard in it. Pure, no I/O.

use super::guard::content_header::Reason;
use super::guard::{Guard, GuardError, Verdict};

/// Enough for some hundred small frames per system call; lapin's own buffer holds 32 frames of `frame_max`.
pub(super) const CAPACITY: usize = 64 * 1024;
/// From here on a body is read into lapin's buffer at once: below, one read that takes the next frames along is cheaper.
const DIRECT: usize = 16 * 1024;

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
        }
    }

    /// Moves bytes that lapin may see into `out`, and returns how many; 0 means that more input is needed.
    ///
    /// `on_change` is told of each frame that was replaced.
    pub(super) fn take(&mut self, out: &mut [u8], mut on_change: impl FnMut(Reason)) -> Result<usize, GuardError> {
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
                return Ok(taken);
            }
            match self.guard.advance(&self.bytes[self.judged..self.end])? {
                Verdict::Pass(bytes) => self.judged += bytes,
                Verdict::Replace { take, with, reason } => {
                    self.judged += take;
                    self.start = self.judged;
                    self.patch = with;
                    self.patched = 0;
                    on_change(reason);
                }
                Verdict::Need(bytes) => {
                    self.room_wanted = bytes;
                    return Ok(0);
                }
            }
        }
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
