//! Sends notifications over a transport: oslo's drivers `messaging` and `messagingv2`.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::future::join_all;
use oxlo_transport::{
    Notification, Retry, SendOptions, Target, Transport, TransportError, backoff::Backoff, message::NotificationFormat,
};
use tokio::time::sleep;
use uuid::Uuid;

use super::{
    driver::{NotificationDriver, Tries},
    error::DriverError,
};

/// How long one attempt may take before it counts as failed.
const ATTEMPT: Duration = Duration::from_secs(30);

/// The default topic, as in oslo.
pub(crate) const DEFAULT_TOPIC: &str = "notifications";

/// Sends notifications over a transport, to one or more topics: oslo's drivers `messaging` and `messagingv2`.
///
/// A notification is sent to every topic, and delivered when the broker has confirmed each. After a retryable failure it is
/// sent again with the same ids, so that receivers can recognise the copy.
#[derive(Clone, Debug)]
pub struct Messaging {
    transport: Arc<dyn Transport>,
    topics: Vec<Arc<str>>,
    exchange: Option<Arc<str>>,
    format: NotificationFormat,
}

impl Messaging {
    /// Sends to the topic `notifications` in the transport's control exchange, in oslo's second format (`messagingv2`).
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport, topics: vec![DEFAULT_TOPIC.into()], exchange: None, format: NotificationFormat::V2 }
    }

    /// Sends to these topics instead. With none, nothing is sent.
    #[must_use]
    pub fn topics<T: Into<Arc<str>>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics = topics.into_iter().map(Into::into).collect();
        self
    }

    /// Sends in this exchange. Absent: the transport's control exchange (`openstack` unless set).
    #[must_use]
    pub fn exchange(mut self, exchange: impl Into<Arc<str>>) -> Self {
        self.exchange = Some(exchange.into());
        self
    }

    /// Sets the format of the message body. Default [`NotificationFormat::V2`]; Python listeners read both.
    #[must_use]
    pub fn format(mut self, format: NotificationFormat) -> Self {
        self.format = format;
        self
    }

    async fn send(&self, topic: &Arc<str>, notification: Notification, tries: &Tries) -> Result<(), DriverError> {
        let mut target = Target::topic(topic.clone());
        target.exchange.clone_from(&self.exchange);
        send(&*self.transport, &target, notification, SendOptions::new(), tries)
            .await
            .map_err(|error| DriverError::new(self.name(), Arc::new(error)).on_topic(topic.clone()))
    }
}

#[async_trait]
impl NotificationDriver for Messaging {
    fn name(&self) -> &str {
        match self.format {
            NotificationFormat::V1 => "messaging",
            NotificationFormat::V2 => "messagingv2",
        }
    }

    async fn notify(&self, notification: &Notification, tries: &Tries) -> Result<(), Vec<DriverError>> {
        let notification = Notification { format: self.format, ..notification.clone() };
        let sends = self.topics.iter().map(|topic| self.send(topic, notification.clone(), tries));
        let failures: Vec<_> = join_all(sends).await.into_iter().filter_map(Result::err).collect();
        if failures.is_empty() { Ok(()) } else { Err(failures) }
    }

    fn is_enabled(&self) -> bool {
        !self.topics.is_empty()
    }
}

/// Sends until the broker has confirmed, a failure is permanent, or no retry is left.
pub(crate) async fn send(
    transport: &dyn Transport,
    target: &Target,
    notification: Notification,
    options: SendOptions,
    tries: &Tries,
) -> Result<(), TransportError> {
    // While disconnected the transport retries by itself; counted retries are made here.
    let within = match tries.retry() {
        Retry::Forever => Retry::Forever,
        Retry::Times(_) => Retry::Times(0),
    };
    let unique_id = Uuid::new_v4().simple().to_string();
    let options = options.with_timeout(ATTEMPT).with_retry(within).with_unique_id(unique_id);
    let mut backoff = Backoff::default();
    let mut made = 0;
    loop {
        let failed = match transport.notify(target, notification.clone(), &options).await {
            Ok(()) => return Ok(()),
            Err(failed) => failed,
        };
        let is_retryable = failed.is_retryable() && !matches!(failed, TransportError::Undeliverable { .. });
        if !is_retryable || !tries.again(made) {
            return Err(failed);
        }
        tracing::debug!(error = %failed, event_type = &*notification.event_type, "sending a notification again");
        made = made.saturating_add(1);
        let pause = backoff.next(&mut rand::rng());
        sleep(pause).await;
    }
}
