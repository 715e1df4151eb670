//! The transport: each method is a few steps of the other modules.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use oxlo_transport::{
    CallOptions, Capabilities, ConnectionState, ListenOptions, Listener, Notification, PendingReply, Priority, Request,
    SendOptions, Settings, Target, Transport, TransportError,
};
use oxlo_wire::request::CallLabels;
use tokio::{sync::watch, time::sleep};
use uuid::Uuid;

use crate::{
    config::Config,
    listener::{FilesListener, read_notification, read_request},
    session::Session,
    topology::{Destination, shown},
};

/// One program's connection to a folder. Dropping it closes it, unless a listener or a handle of it is still there.
#[derive(Debug)]
pub(crate) struct FilesTransport {
    session: Arc<Session>,
}

impl FilesTransport {
    pub(crate) fn open(config: Config, settings: Settings) -> Result<Self, TransportError> {
        let session = Arc::new(Session::open(config, settings)?);
        let (weak, pause) = (Arc::downgrade(&session), session.poll_interval);
        // Holds no session while it waits, so that it does not keep one open.
        tokio::spawn(async move {
            while let Some(session) = weak.upgrade().filter(|session| !session.is_closed()) {
                session.deliver_replies();
                drop(session);
                sleep(pause).await;
            }
        });
        Ok(Self { session })
    }

    fn send(&self, to: &Target, body: &[u8], mandatory: bool) -> Result<(), TransportError> {
        match self.session.topology.destination(to)? {
            Destination::Queue(queue) => self.send_to(&queue, body, mandatory),
            Destination::Fanout(folder) => {
                // A fanout is for whoever is there; nobody is no error.
                for queue in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                    self.session.publish(&queue.path(), body)?;
                }
                Ok(())
            }
        }
    }

    fn send_to(&self, queue: &Path, body: &[u8], mandatory: bool) -> Result<(), TransportError> {
        if self.session.publish(queue, body)? || !mandatory {
            return Ok(());
        }
        let (exchange, routing_key) = shown(queue);
        Err(TransportError::Undeliverable { exchange, routing_key })
    }
}

#[async_trait]
impl Transport for FilesTransport {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::FULL;
        // The folder of a queue exists from its first listener on.
        capabilities.detects_undeliverable = true;
        // The exchange is part of the path.
        capabilities.isolates_exchanges = true;
        // A request does not say when its caller gives up.
        capabilities.expires_requests = false;
        // Nothing notices that a process died. What it held stays in its folder below `.sessions`.
        capabilities.redelivers = false;
        // Nothing copies a notification into several queues.
        capabilities.notification_pools = false;
        capabilities
    }

    fn settings(&self) -> &Settings {
        &self.session.settings
    }

    fn state(&self) -> watch::Receiver<ConnectionState> {
        self.session.state()
    }

    async fn cast(&self, to: &Target, request: Request, options: &SendOptions) -> Result<(), TransportError> {
        self.session.check_open()?;
        let body = self.session.codec.request(&request, None)?;
        self.send(to, &body, options.mandatory)
    }

    async fn start(
        &self,
        to: &Target,
        request: Request,
        options: &CallOptions,
    ) -> Result<PendingReply, TransportError> {
        to.require_topic()?;
        to.refuse_fanout()?;
        // Registered before the request leaves: its reply cannot come too early, and a dropped future forgets the call.
        let call = self.session.pending.register(options.timeout, options.monitor_timeout)?;
        let (message_id, reply_queue) = (call.message_id(), self.session.id.simple().to_string());
        let labels = CallLabels {
            message_id: &message_id,
            reply_queue: &reply_queue,
            monitor_timeout: options.monitor_timeout.map(|silence| silence.as_secs()),
        };
        let body = self.session.codec.request(&request, Some(labels))?;
        self.send(to, &body, options.mandatory)?;
        call.sent();
        Ok(call.into())
    }

    async fn notify(
        &self,
        to: &Target,
        notification: Notification,
        options: &SendOptions,
    ) -> Result<(), TransportError> {
        self.session.check_open()?;
        let queue = self.session.topology.notifications(to, notification.priority)?;
        let body = self.session.codec.notification(&notification)?;
        if options.default_queue {
            // So that nothing is lost before the first listener comes.
            self.session.declare(&queue)?;
        }
        self.send_to(&queue, &body, options.mandatory)
    }

    async fn listen(&self, on: &Target, options: &ListenOptions) -> Result<Box<dyn Listener<Request>>, TransportError> {
        self.session.check_open()?;
        let queues = self.session.topology.subscription(on, &options.scope, Uuid::new_v4())?;
        Ok(Box::new(FilesListener::new(&self.session, queues, options.prefetch, read_request)?))
    }

    async fn listen_for_notifications(
        &self,
        on: &[(Target, Priority)],
        pool: Option<&str>,
        options: &ListenOptions,
    ) -> Result<Box<dyn Listener<Notification>>, TransportError> {
        self.session.check_open()?;
        if pool.is_some() || options.transient {
            return Err(TransportError::Unsupported { what: "a pool of notification listeners".into() });
        }
        if on.is_empty() {
            return Err(TransportError::InvalidTarget {
                reason: "it names no topic and priority to listen for".into(),
            });
        }
        let queues: Result<Vec<_>, _> =
            on.iter().map(|(target, priority)| self.session.topology.notifications(target, *priority)).collect();
        Ok(Box::new(FilesListener::new(&self.session, (queues?, None), options.prefetch, read_notification)?))
    }

    async fn close(&self) {
        self.session.close();
    }
}
