//! Prevents endless recursion between notifiers and the log.
//!
//! A notifier runs foreign code: drivers, callbacks, metrics recorders, the `Debug` of logged values. That code may log or
//! count, and a layer that sends log records as notifications would call the notifier again, without end.

use std::{
    cell::Cell,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

thread_local! {
    static REPORTING: Cell<bool> = const { Cell::new(false) };
    static REPORTING_LOSS: Cell<bool> = const { Cell::new(false) };
    static COUNTING: Cell<bool> = const { Cell::new(false) };
}

type Flag = &'static std::thread::LocalKey<Cell<bool>>;

/// Marks the thread as running code that a notifier called, until it is dropped.
pub(crate) struct Inside {
    flag: Flag,
    was: bool,
    /// The flag belongs to this thread.
    _not_send: PhantomData<*const ()>,
}

impl Inside {
    fn set(flag: Flag) -> Self {
        // A thread that ends has no flags left, and nothing to protect.
        let was = flag.try_with(|inside| inside.replace(true)).unwrap_or(true);
        Self { flag, was, _not_send: PhantomData }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = self.flag.try_with(|inside| inside.set(self.was));
    }
}

/// Marks the following code as a notifier's work: its log records are not sent as notifications.
pub(crate) fn enter() -> Inside {
    Inside::set(&REPORTING)
}

/// [`enter`]; `None` if the thread is already in such work.
#[cfg(any(test, feature = "tracing-layer"))]
pub(crate) fn enter_first() -> Option<Inside> {
    first(&REPORTING)
}

/// Marks the following code as a callback for lost notifications; `None` if the thread is already in one.
pub(crate) fn report_first() -> Option<Inside> {
    first(&REPORTING_LOSS)
}

/// Updates metrics, unless the metrics recorder itself notifies.
pub(crate) fn counted(update: impl FnOnce()) {
    if let Some(_counting) = first(&COUNTING) {
        let _inside = enter();
        update();
    }
}

fn first(flag: Flag) -> Option<Inside> {
    let inside = Inside::set(flag);
    (!inside.was).then_some(inside)
}

/// Runs a future as a notifier's work, wherever it is polled.
pub(crate) struct Quiet<F>(Pin<Box<F>>);

impl<F> Quiet<F> {
    pub(crate) fn new(future: F) -> Self {
        Self(Box::pin(future))
    }
}

impl<F: Future> Future for Quiet<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _inside = enter();
        self.0.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_outermost_is_first() {
        let outer = enter_first();
        assert!(outer.is_some() && enter_first().is_none());
        let nested = enter();
        drop(nested);
        assert!(enter_first().is_none(), "leaving a nested one must not end the outer one");
        // A callback may be told within a notifier's own work.
        assert!(report_first().is_some());
        drop(outer);
        assert!(enter_first().is_some());
    }

    #[tokio::test]
    async fn a_future_is_inside_only_while_it_is_polled() {
        let mut quiet = Quiet::new(async {
            let first = enter_first().is_none();
            tokio::task::yield_now().await;
            first && enter_first().is_none()
        });
        assert!(futures_util::poll!(&mut quiet).is_pending());
        assert!(enter_first().is_some());
        assert!(quiet.await);
    }
}
