//! Replays inbound bytes without a socket, for tests and fuzz targets.

use super::{
    guard::{Guard, GuardError},
    inbound::Inbound,
    ports::Ports,
};

/// The bytes that lapin gets of `input`, the number of changed frames, and the error at the end. `arrivals` are the
/// sizes of the chunks in which it arrives, used in turn and never 0; an empty list means one chunk.
pub(crate) fn replay(input: &[u8], arrivals: &[usize]) -> (Vec<u8>, usize, Option<GuardError>) {
    let ports = Ports::default();
    ports.let_lapin_consume();
    replay_with(&ports, input, arrivals)
}

/// As [`replay`], with ports on some channels, which take their messages and confirms.
pub(crate) fn replay_with(ports: &Ports, input: &[u8], arrivals: &[usize]) -> (Vec<u8>, usize, Option<GuardError>) {
    let mut inbound = Inbound::new(Guard::new(0));
    let mut arrivals = arrivals.iter().copied().cycle();
    let (mut output, mut repairs, mut left) = (Vec::new(), Vec::new(), input);
    while !left.is_empty() {
        let space = inbound.space();
        assert!(!space.is_empty());
        let bytes = arrivals.next().unwrap_or(usize::MAX).min(left.len()).min(space.len());
        let (now, later) = left.split_at(bytes);
        space[..bytes].copy_from_slice(now);
        left = later;
        inbound.filled(bytes);
        if let Err(error) = inbound.check(&mut ports.lock(), &mut output, &mut repairs) {
            return (output, repairs.len(), Some(error));
        }
    }
    (output, repairs.len(), inbound.error_at_end())
}
