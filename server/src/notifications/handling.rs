//! What becomes of a notification that a handler took.

use std::error::Error;

/// What becomes of a notification that a handler took: oslo's `NotificationResult`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Handling {
    /// It is done.
    #[default]
    Handled,
    /// It is to come again, to this listener or another. No further endpoint sees it this time; those before see it
    /// again. Without `allow_requeue` it counts as handled, as in oslo.
    Requeue,
}

/// Why a handler failed.
pub type HandlingFailure = Box<dyn Error + Send + Sync>;

/// What a handler may return: nothing, a [`Handling`], or a `Result` of one of these with any error.
///
/// An error is logged by its text and counted; the notification then is requeued where that is allowed, and done
/// otherwise, as in oslo.
#[diagnostic::on_unimplemented(
    message = "a notification handler cannot return `{Self}`",
    label = "not an outcome",
    note = "it returns `()`, `Handling`, or a `Result` of one of these whose error converts into `Box<dyn Error + Send + Sync>`"
)]
pub trait IntoHandling {
    /// What becomes of the notification.
    ///
    /// # Errors
    ///
    /// Why the handler failed.
    fn into_handling(self) -> Result<Handling, HandlingFailure>;
}

impl IntoHandling for () {
    fn into_handling(self) -> Result<Handling, HandlingFailure> {
        Ok(Handling::Handled)
    }
}

impl IntoHandling for Handling {
    fn into_handling(self) -> Result<Handling, HandlingFailure> {
        Ok(self)
    }
}

impl<T: IntoHandling, E: Into<HandlingFailure>> IntoHandling for Result<T, E> {
    fn into_handling(self) -> Result<Handling, HandlingFailure> {
        self.map_err(Into::into).and_then(T::into_handling)
    }
}
