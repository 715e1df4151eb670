//! Transports that wrap another transport, to change messages independently of the driver.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{
    error::TransportError,
    listener::Listener,
    message::{Notification, Priority, Reply, Request},
    options::{CallOptions, ListenOptions, SendOptions},
    pending_reply::PendingReply,
    request_queue::{Removal, RequestQueue},
    settings::Settings,
    target::Target,
    transport::{Capabilities, ConnectionState, Transport},
};

/// A transport that wraps another one: each method delegates to the inner transport by default. [`wrap`] turns it into a
/// [`Transport`].
#[async_trait]
pub trait Wrap: fmt::Debug + Send + Sync + 'static {
    /// The transport that carries the messages.
    fn inner(&self) -> &Arc<dyn Transport>;

    /// As [`Transport::cast`].
    ///
    /// # Errors
    ///
    /// As [`Transport::cast`].
    async fn cast(&self, to: &Target, request: Request, options: &SendOptions) -> Result<(), TransportError> {
        self.inner().cast(to, request, options).await
    }

    /// As [`Transport::start`].
    ///
    /// # Errors
    ///
    /// As [`Transport::start`].
    async fn start(
        &self,
        to: &Target,
        request: Request,
        options: &CallOptions,
    ) -> Result<PendingReply, TransportError> {
        self.inner().start(to, request, options).await
    }

    /// As [`Transport::call`].
    ///
    /// # Errors
    ///
    /// As [`Transport::call`].
    async fn call(&self, to: &Target, request: Request, options: &CallOptions) -> Result<Reply, TransportError> {
        self.inner().call(to, request, options).await
    }

    /// As [`Transport::notify`].
    ///
    /// # Errors
    ///
    /// As [`Transport::notify`].
    async fn notify(&self, to: &Target, it: Notification, options: &SendOptions) -> Result<(), TransportError> {
        self.inner().notify(to, it, options).await
    }

    /// As [`Transport::listen`].
    ///
    /// # Errors
    ///
    /// As [`Transport::listen`].
    async fn listen(&self, on: &Target, options: &ListenOptions) -> Result<Box<dyn Listener<Request>>, TransportError> {
        self.inner().listen(on, options).await
    }

    /// As [`Transport::listen_for_notifications`].
    ///
    /// # Errors
    ///
    /// As [`Transport::listen_for_notifications`].
    async fn listen_for_notifications(
        &self,
        on: &[(Target, Priority)],
        pool: Option<&str>,
        options: &ListenOptions,
    ) -> Result<Box<dyn Listener<Notification>>, TransportError> {
        self.inner().listen_for_notifications(on, pool, options).await
    }
}

/// Creates a transport from a wrapper.
pub fn wrap(wrapper: impl Wrap) -> Arc<dyn Transport> {
    Arc::new(Wrapped(wrapper))
}

#[derive(Debug)]
struct Wrapped<W>(W);

#[async_trait]
impl<W: Wrap> Transport for Wrapped<W> {
    fn capabilities(&self) -> Capabilities {
        self.0.inner().capabilities()
    }

    fn settings(&self) -> &Settings {
        self.0.inner().settings()
    }

    fn state(&self) -> watch::Receiver<ConnectionState> {
        self.0.inner().state()
    }

    async fn cast(&self, to: &Target, request: Request, options: &SendOptions) -> Result<(), TransportError> {
        self.0.cast(to, request, options).await
    }

    async fn start(
        &self,
        to: &Target,
        request: Request,
        options: &CallOptions,
    ) -> Result<PendingReply, TransportError> {
        self.0.start(to, request, options).await
    }

    async fn call(&self, to: &Target, request: Request, options: &CallOptions) -> Result<Reply, TransportError> {
        self.0.call(to, request, options).await
    }

    async fn notify(&self, to: &Target, it: Notification, options: &SendOptions) -> Result<(), TransportError> {
        self.0.notify(to, it, options).await
    }

    async fn listen(&self, on: &Target, options: &ListenOptions) -> Result<Box<dyn Listener<Request>>, TransportError> {
        self.0.listen(on, options).await
    }

    async fn listen_for_notifications(
        &self,
        on: &[(Target, Priority)],
        pool: Option<&str>,
        options: &ListenOptions,
    ) -> Result<Box<dyn Listener<Notification>>, TransportError> {
        self.0.listen_for_notifications(on, pool, options).await
    }

    async fn declare_queue(&self, queue: &RequestQueue) -> Result<(), TransportError> {
        self.0.inner().declare_queue(queue).await
    }

    async fn remove_queue(&self, queue: &RequestQueue, removal: Removal) -> Result<(), TransportError> {
        self.0.inner().remove_queue(queue, removal).await
    }

    async fn listeners(&self, on: &Target, within: Duration) -> Result<u32, TransportError> {
        self.0.inner().listeners(on, within).await
    }

    fn pause_publishing(&self, pause: bool) -> Result<(), TransportError> {
        self.0.inner().pause_publishing(pause)
    }

    async fn close(&self) {
        self.0.inner().close().await;
    }
}
