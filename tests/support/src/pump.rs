//! The bytes of one proxied connection.

use std::{collections::VecDeque, io, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::proxy::{Counters, Direction, Hangup, Mode};

const CHUNK: usize = 64 * 1024;
// Bytes that may wait in a delayed direction before the proxy stops reading.
const WINDOW: usize = 16 * 1024 * 1024;

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Both directions ended by themselves.
    Finished,
    /// The mode asked for it.
    HungUp(Hangup),
}

/// Copies both directions as `modes` says, until both have ended or the mode ends them.
pub(crate) async fn relay(
    client: &mut TcpStream,
    broker: &mut TcpStream,
    modes: watch::Receiver<Mode>,
    counters: &Counters,
) -> Ending {
    // Borrowed halves: owned ones would send a FIN when dropped, before a reset.
    let (client_read, client_write) = client.split();
    let (broker_read, broker_write) = broker.split();
    let mut up = Pump::new(Direction::Up, client_read, broker_write, modes.clone(), counters);
    let mut down = Pump::new(Direction::Down, broker_read, client_write, modes, counters);
    let (mut up_ended, mut down_ended) = (false, false);
    let (up, down) = (up.run(), down.run());
    tokio::pin!(up, down);
    while !(up_ended && down_ended) {
        let ending = tokio::select! {
            ending = &mut up, if !up_ended => { up_ended = true; ending }
            ending = &mut down, if !down_ended => { down_ended = true; ending }
        };
        if let Ending::HungUp(_) = ending {
            return ending;
        }
    }
    Ending::Finished
}

/// One direction of a connection.
struct Pump<'a> {
    direction: Direction,
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    modes: watch::Receiver<Mode>,
    counters: &'a Counters,
    /// Chunks that were read and are not due yet; an empty chunk is the end of the stream.
    waiting: VecDeque<(Instant, Bytes)>,
    waiting_bytes: usize,
    ended: bool,
    /// The end of the pause that a throttle asks for.
    rest_until: Option<Instant>,
    /// Bytes passed on since the mode was set.
    passed: u64,
}

impl<'a> Pump<'a> {
    fn new(
        direction: Direction,
        from: ReadHalf<'a>,
        to: WriteHalf<'a>,
        modes: watch::Receiver<Mode>,
        counters: &'a Counters,
    ) -> Self {
        let waiting = VecDeque::new();
        Self {
            direction,
            from,
            to,
            modes,
            counters,
            waiting,
            waiting_bytes: 0,
            ended: false,
            rest_until: None,
            passed: 0,
        }
    }

    async fn run(&mut self) -> Ending {
        let mut buffer = vec![0; CHUNK];
        loop {
            let mode = *self.modes.borrow_and_update();
            if let Some(hangup) = self.due_hangup(mode) {
                return Ending::HungUp(hangup);
            }
            let open = !self.blackholed(mode);
            let reads = open && !self.ended && self.waiting_bytes < WINDOW;
            let due = self.waiting.front().map(|(due, _)| self.rest_until.map_or(*due, |rest| rest.max(*due)));
            tokio::select! {
                biased;
                changed = self.modes.changed() => {
                    // Without a sender the proxy is being dropped, which aborts this task anyway.
                    if changed.is_err() {
                        return Ending::HungUp(Hangup::Reset);
                    }
                    self.passed = 0;
                    self.rest_until = None;
                }
                () = reach(due), if open => match self.pass_on(mode).await {
                    Ok(true) => {}
                    Ok(false) => return Ending::Finished,
                    // The receiver is closed; its sender must see a reset, as from a broker that died.
                    Err(_) => return Ending::HungUp(Hangup::Reset),
                },
                read = self.from.read(&mut buffer), if reads => {
                    let Ok(length) = read else { return Ending::HungUp(Hangup::Reset) };
                    self.ended = length == 0;
                    self.waiting_bytes += length;
                    self.waiting.push_back((Instant::now() + delay(mode), Bytes::copy_from_slice(&buffer[..length])));
                }
            }
        }
    }

    fn due_hangup(&self, mode: Mode) -> Option<Hangup> {
        match mode {
            Mode::HangUp(hangup) => Some(hangup),
            Mode::Cut { direction, bytes, hangup } if direction == self.direction && self.passed >= bytes => {
                Some(hangup)
            }
            _ => None,
        }
    }

    fn blackholed(&self, mode: Mode) -> bool {
        mode == Mode::Blackhole || mode == Mode::BlackholeOne(self.direction)
    }

    /// Writes one piece of the waiting bytes, as large as `mode` allows; `false` when that was the end of the stream.
    async fn pass_on(&mut self, mode: Mode) -> io::Result<bool> {
        let Some((due, mut chunk)) = self.waiting.pop_front() else { return Ok(true) };
        if chunk.is_empty() {
            self.to.shutdown().await?;
            return Ok(false);
        }
        let most = match mode {
            Mode::OneByte => 1,
            // Pieces of 50 ms keep the flow even and let a new mode take effect quickly.
            Mode::Throttle(per_second) => (per_second / 20).max(1) as usize,
            Mode::Cut { direction, bytes, .. } if direction == self.direction => {
                usize::try_from(bytes.saturating_sub(self.passed)).unwrap_or(usize::MAX)
            }
            _ => usize::MAX,
        };
        let piece = chunk.split_to(chunk.len().min(most));
        if !chunk.is_empty() {
            self.waiting.push_front((due, chunk));
        }
        self.to.write_all(&piece).await?;
        self.waiting_bytes -= piece.len();
        self.passed += piece.len() as u64;
        self.counters.add(self.direction, piece.len());
        match mode {
            // Lets the kernel send this segment before the next is written.
            Mode::OneByte => tokio::task::yield_now().await,
            Mode::Throttle(per_second) => {
                let pause = Duration::from_secs_f64(piece.len() as f64 / f64::from(per_second.max(1)));
                self.rest_until = Some(Instant::now() + pause);
            }
            _ => {}
        }
        Ok(true)
    }
}

fn delay(mode: Mode) -> Duration {
    match mode {
        Mode::Delay(delay) => delay,
        _ => Duration::ZERO,
    }
}

async fn reach(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
