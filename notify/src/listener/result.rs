//! What a notification handler returns.

use std::error::Error;

/// What becomes of a notification that a handler took: oslo's `NotificationResult`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotificationResult {
    /// The notification is done.
    #[default]
    Handled,
    /// The notification is redelivered, to this listener or another one. No further endpoint sees it this time; earlier
    /// endpoints see it again. Without `allow_requeue` it counts as handled, as in oslo.
    Requeue,
}

/// Why a handler failed.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What a handler may return: nothing, a [`NotificationResult`], or a `Result` of one of these with any error.
///
/// An error is logged with its text and counted; the notification is then requeued if that is allowed, and done
/// otherwise, as in oslo.
#[diagnostic::on_unimplemented(
    message = "a notification handler cannot return `{Self}`",
    label = "not a notification result",
    note = "return `()`, `NotificationResult`, or a `Result` of one of these whose error converts into `Box<dyn Error + Send + Sync>`"
)]
pub trait IntoNotificationResult {
    /// Converts into the result of the notification.
    ///
    /// # Errors
    ///
    /// Why the handler failed.
    fn into_notification_result(self) -> Result<NotificationResult, BoxError>;
}

impl IntoNotificationResult for () {
    fn into_notification_result(self) -> Result<NotificationResult, BoxError> {
        Ok(NotificationResult::Handled)
    }
}

impl IntoNotificationResult for NotificationResult {
    fn into_notification_result(self) -> Result<NotificationResult, BoxError> {
        Ok(self)
    }
}

impl<T: IntoNotificationResult, E: Into<BoxError>> IntoNotificationResult for Result<T, E> {
    fn into_notification_result(self) -> Result<NotificationResult, BoxError> {
        self.map_err(Into::into).and_then(T::into_notification_result)
    }
}
