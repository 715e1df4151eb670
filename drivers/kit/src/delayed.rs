//! Giving a message back after a delay, where it cannot be sent to its queue again.

use std::time::Duration;

use oxlo_transport::{Deferral, Settle, Settlement};
use tokio::{runtime::Handle, time::sleep};

/// The least delay: without one, a message that nobody can handle would spin.
const PAUSE: Duration = Duration::from_millis(250);

/// Settles a message that cannot be sent again: it goes back after its delay, to where it stood.
#[must_use]
pub fn late(settle: Settle) -> Settle {
    Settle::new(move |settlement| match (settlement, Handle::try_current()) {
        (Settlement::Defer(Deferral { delay, .. }), Ok(runtime)) => {
            runtime.spawn(async move {
                sleep(delay.max(PAUSE)).await;
                settle.requeue();
            });
        }
        (Settlement::Defer(_), Err(_)) => settle.requeue(),
        (settlement, _) => settle.settle(settlement),
    })
}
