//! The control plane: handshake, channels, declarations, heartbeats, all by lapin.
//!
//! lapin does what has to be right once for each connection. Messages, confirms, returns and acknowledgements are the
//! data plane: [`stream`](crate::stream) carries them past lapin on the same socket.
//!
//! Assumptions about lapin beyond its documentation are in [`lapin_internals`](crate::lapin_internals).

pub(crate) mod channels;
pub(crate) mod declare;
pub(crate) mod handshake;
mod runtime;

#[cfg(test)]
mod tests;
