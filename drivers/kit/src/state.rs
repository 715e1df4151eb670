//! The state of a transport, from those of its two connections.

use std::sync::Arc;

use oxlo_transport::{ConnectionState, TransportError};
use tokio::sync::watch;

use crate::{link::LinkState, text::chain};

/// The state of one of the two connections.
#[derive(Clone, Debug)]
pub enum Side {
    /// It is connected.
    Up,
    /// It is connected, and the broker accepts no messages; the text is its reason.
    Blocked(Arc<str>),
    /// It is not connected. Without a cause it was never asked to connect.
    Down(Option<TransportError>),
    /// It was closed.
    Closed,
}

impl<S> From<&LinkState<S>> for Side {
    fn from(state: &LinkState<S>) -> Self {
        match state {
            LinkState::Up(_) => Self::Up,
            LinkState::Down(down) => Self::Down(down.cause.clone()),
            LinkState::Closed => Self::Closed,
        }
    }
}

/// Follows both connections and combines their states, until the publishing one is closed.
///
/// To be called when connecting has succeeded: the publishing side counts as connected until its state changes, because
/// what it needs beyond the connection may open with the first use.
#[must_use]
pub fn joined<P, C>(
    mut publishing: watch::Receiver<P>,
    mut consuming: watch::Receiver<C>,
) -> watch::Receiver<ConnectionState>
where
    P: Send + Sync + 'static,
    C: Send + Sync + 'static,
    for<'a> Side: From<&'a P> + From<&'a C>,
{
    let (sender, state) = watch::channel(ConnectionState::Connected);
    let sender = Following(sender);
    tokio::spawn(async move {
        let Following(sender) = &sender;
        let mut was_up = false;
        loop {
            let publishes = Side::from(&*publishing.borrow_and_update());
            let consumes = Side::from(&*consuming.borrow_and_update());
            was_up |= matches!(publishes, Side::Up | Side::Blocked(_));
            let now = join(publishes, consumes, was_up);
            sender.send_if_modified(|state| std::mem::replace(state, now.clone()) != now);
            if now == ConnectionState::Closed {
                break;
            }
            tokio::select! {
                changed = publishing.changed() => if changed.is_err() { break },
                changed = consuming.changed() => if changed.is_err() { break },
            }
        }
    });
    state
}

/// Sets the state to `Closed` on drop, also when the runtime ends.
struct Following(watch::Sender<ConnectionState>);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.send_replace(ConnectionState::Closed);
    }
}

/// The state of the worse connection: a transport is connected when each connection it has used so far is. The text of a
/// disconnected one names which of them is down.
fn join(publishing: Side, consuming: Side, was_up: bool) -> ConnectionState {
    let down = |cause: &Option<TransportError>, was_used: bool| cause.is_some() || was_used;
    match (publishing, consuming) {
        (Side::Closed, _) => ConnectionState::Closed,
        (Side::Down(publishing), Side::Down(consuming)) if down(&publishing, was_up) && consuming.is_some() => {
            disconnected("both connections", publishing.or(consuming).as_ref())
        }
        (Side::Down(cause), _) if down(&cause, was_up) => disconnected("the publishing connection", cause.as_ref()),
        (_, Side::Down(Some(cause))) => disconnected("the consuming connection", Some(&cause)),
        (Side::Blocked(reason), _) => ConnectionState::Blocked(reason),
        (Side::Up | Side::Down(_), _) => ConnectionState::Connected,
    }
}

fn disconnected(which: &str, cause: Option<&TransportError>) -> ConnectionState {
    let why = cause.map_or_else(|| "it was lost".to_owned(), |cause| chain(cause));
    ConnectionState::Disconnected(format!("{which}: {why}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> Option<TransportError> {
        Some(TransportError::ConnectionLost { source: None })
    }

    #[test]
    fn either_side_being_down_is_a_loss() {
        assert_eq!(join(Side::Up, Side::Up, true), ConnectionState::Connected);
        assert!(matches!(join(Side::Down(lost()), Side::Up, false), ConnectionState::Disconnected(_)));
        assert!(matches!(join(Side::Up, Side::Down(lost()), true), ConnectionState::Disconnected(_)));
        assert!(matches!(
            join(Side::Blocked("memory".into()), Side::Down(lost()), true),
            ConnectionState::Disconnected(_)
        ));
    }

    #[test]
    fn a_loss_names_the_connections_that_are_down() {
        let text = |publishing, consuming| join(publishing, consuming, true).to_string();
        let lost = || Side::Down(lost());
        assert!(text(lost(), Side::Up).starts_with("disconnected: the publishing connection: the connection was lost"));
        assert!(text(lost(), Side::Down(None)).starts_with("disconnected: the publishing connection: "));
        assert!(text(Side::Up, lost()).starts_with("disconnected: the consuming connection: "));
        assert!(text(lost(), lost()).starts_with("disconnected: both connections: "));
    }

    #[test]
    fn a_side_that_was_never_asked_is_no_loss() {
        assert_eq!(join(Side::Up, Side::Down(None), true), ConnectionState::Connected);
        assert_eq!(join(Side::Down(None), Side::Down(None), false), ConnectionState::Connected);
        assert_eq!(
            join(Side::Down(None), Side::Up, true),
            ConnectionState::Disconnected("the publishing connection: it was lost".into())
        );
    }

    #[test]
    fn a_block_is_told_and_closing_is_the_last_word() {
        assert_eq!(join(Side::Blocked("memory".into()), Side::Up, true), ConnectionState::Blocked("memory".into()));
        assert_eq!(join(Side::Closed, Side::Down(lost()), true), ConnectionState::Closed);
    }
}
