//! A stream that came from somewhere else than a socket, for tests and fuzz targets.

use super::{
    guard::{Guard, GuardError},
    inbound::Inbound,
    ports::Ports,
};

/// What lapin gets of `input` when it arrives in chunks of the given sizes: the bytes, how many frames were changed, and
/// how it ended. Sizes are used in turn; none stand for all at once, and none is 0.
pub(crate) fn replay(input: &[u8], arrivals: &[usize]) -> (Vec<u8>, usize, Option<GuardError>) {
    let ports = Ports::default();
    ports.let_lapin_consume();
    replay_with(&ports, input, arrivals)
}

/// The same where some channels have a port: then messages and confirms of those go there.
pub(crate) fn replay_with(ports: &Ports, input: &[u8], arrivals: &[usize]) -> (Vec<u8>, usize, Option<GuardError>) {
    let mut inbound = Inbound::new(Guard::new(0));
    let mut arrivals = arrivals.iter().copied().cycle();
    let (mut output, mut changed, mut left) = (Vec::new(), Vec::new(), input);
    while !left.is_empty() {
        let space = inbound.space();
        assert!(!space.is_empty());
        let bytes = arrivals.next().unwrap_or(usize::MAX).min(left.len()).min(space.len());
        let (now, later) = left.split_at(bytes);
        space[..bytes].copy_from_slice(now);
        left = later;
        inbound.filled(bytes);
        if let Err(error) = inbound.judge(&mut ports.lock(), &mut output, &mut changed) {
            return (output, changed.len(), Some(error));
        }
    }
    (output, changed.len(), inbound.ended())
}
