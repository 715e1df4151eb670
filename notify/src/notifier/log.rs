//! Writes notifications to the program's log: oslo's driver `log`.

use std::sync::Arc;

use async_trait::async_trait;
use oxlo_transport::{Notification, Priority};
use serde_json::{Value, json};

use super::{
    driver::{NotificationDriver, Tries},
    error::DriverError,
    mask::mask,
};

/// Writes every notification to the program's log, as JSON with secrets masked: oslo's `log`.
///
/// It logs by `tracing` with the target `oslo.messaging.notification` and the field `event_type`, at the level of the
/// priority. `audit` and `sample`, which have no level in Python and are left out there, are logged at info.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log;

#[async_trait]
impl NotificationDriver for Log {
    fn name(&self) -> &str {
        "log"
    }

    async fn notify(&self, notification: &Notification, _: &Tries) -> Result<(), Vec<DriverError>> {
        let text = line(notification).map_err(|error| vec![DriverError::new("log", Arc::new(error))])?;
        let event_type = &*notification.event_type;
        macro_rules! log {
            ($level:ident) => {
                tracing::$level!(target: "oslo.messaging.notification", event_type, "{text}")
            };
        }
        match notification.priority {
            Priority::Debug => log!(debug),
            Priority::Warn => log!(warn),
            Priority::Error | Priority::Critical => log!(error),
            _ => log!(info),
        }
        Ok(())
    }
}

fn line(notification: &Notification) -> Result<String, oxlo_transport::json::JsonError> {
    let mut payload: Value = notification.payload.decode()?;
    mask(&mut payload);
    Ok(json!({
        "message_id": &*notification.message_id,
        "publisher_id": &*notification.publisher_id,
        "event_type": &*notification.event_type,
        "priority": notification.priority.as_str().to_ascii_uppercase(),
        "payload": payload,
        "timestamp": &*notification.timestamp,
    })
    .to_string())
}
