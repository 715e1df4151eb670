//! A transport that a test feeds by hand and that writes down what the server does with each request.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use oxlo_transport::{
    CallOptions, Capabilities, ConnectionState, Context, Delivery, Failure, ListenOptions, Listener, Notification,
    Payload, PendingReply, Priority, Replier, Reply, ReplySink, Request, SendOptions, Settings, Settle, Settlement,
    Target, Transport, TransportError,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::{Instant, timeout},
};

pub const TARGET: (&str, &str) = ("topic", "server");

pub fn target() -> Target {
    Target::topic(TARGET.0).server(TARGET.1)
}

type Item = Result<Delivery<Request>, TransportError>;

#[derive(Debug, Default)]
pub struct Fake {
    settings: Settings,
    feed: Mutex<Option<mpsc::UnboundedSender<Item>>>,
    pub prefetch: Mutex<Option<u16>>,
    pub refuse: AtomicBool,
    pub subscribed: Arc<AtomicBool>,
    pub stopped: Arc<AtomicBool>,
    pub closed: Arc<AtomicBool>,
    pub taken: Arc<Mutex<usize>>,
}

impl Fake {
    pub fn new() -> Arc<Self> {
        Self::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Arc<Self> {
        let fake = Self { settings, ..Self::default() };
        fake.subscribed.store(true, Ordering::Release);
        Arc::new(fake)
    }

    pub fn request(&self, method: &str, args: impl Serialize) -> Sending<'_> {
        let mut request = Request::new(method, Payload::encode(&args).unwrap());
        request.context = Context::new().with("user", "alice");
        Sending {
            fake: self,
            request,
            caller: true,
            monitor: None,
            deadline: None,
            redelivered: false,
            script: Script::default(),
        }
    }

    pub fn fail(&self, error: TransportError) {
        self.feed.lock().unwrap().as_ref().unwrap().send(Err(error)).unwrap();
    }
}

/// What happens to replies and heartbeats.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// Replies wait for a permit.
    pub gate: Option<Arc<Semaphore>>,
    pub reply_error: Option<TransportError>,
    pub heartbeat_error: Option<TransportError>,
}

pub struct Sending<'a> {
    fake: &'a Fake,
    pub request: Request,
    caller: bool,
    monitor: Option<Duration>,
    deadline: Option<Instant>,
    redelivered: bool,
    script: Script,
}

impl Sending<'_> {
    pub fn cast(mut self) -> Self {
        self.caller = false;
        self
    }

    pub fn version(mut self, version: &str) -> Self {
        self.request.version = Some(version.into());
        self
    }

    pub fn namespace(mut self, namespace: &str) -> Self {
        self.request.namespace = Some(namespace.into());
        self
    }

    pub fn raw_args(mut self, text: &'static str) -> Self {
        self.request.args = Payload::from_raw(text.into());
        self
    }

    /// Heartbeats are wanted that often.
    pub fn monitor(mut self, every: Duration) -> Self {
        self.monitor = Some(every);
        self
    }

    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    pub fn redelivered(mut self) -> Self {
        self.redelivered = true;
        self
    }

    pub fn script(mut self, script: Script) -> Self {
        self.script = script;
        self
    }

    pub fn send(self) -> Sent {
        let sent = Sent(watch::Sender::new(Story::default()));
        let story = sent.0.clone();
        let settle = Settle::new(move |settlement| {
            story.send_modify(|story| {
                story.settled = Some(settlement);
                story.order.push(match settlement {
                    Settlement::Ack => "ack",
                    Settlement::Requeue => "requeue",
                    Settlement::Reject => "reject",
                    Settlement::Defer(_) => "defer",
                });
            });
        });
        let mut delivery = Delivery::new(self.request, settle);
        let sink = Sink { story: sent.0.clone(), script: self.script };
        delivery.replier = self.caller.then(|| Replier::new(Box::new(sink), self.monitor));
        delivery.deadline = self.deadline;
        delivery.redelivered = self.redelivered;
        delivery.redeliveries = u32::from(self.redelivered);
        self.fake.feed.lock().unwrap().as_ref().expect("nobody listens").send(Ok(delivery)).unwrap();
        sent
    }
}

#[derive(Clone, Debug, Default)]
pub struct Story {
    pub settled: Option<Settlement>,
    pub reply: Option<Reply>,
    pub heartbeats: usize,
    /// The replier is gone, used or not.
    pub released: bool,
    pub order: Vec<&'static str>,
}

/// A request that was sent, and what became of it.
#[derive(Debug)]
pub struct Sent(watch::Sender<Story>);

impl Sent {
    pub fn story(&self) -> Story {
        self.0.borrow().clone()
    }

    /// Waits until the story says so.
    pub async fn until(&self, what: &str, said: impl Fn(&Story) -> bool) -> Story {
        let mut story = self.0.subscribe();
        let found = timeout(Duration::from_secs(100), story.wait_for(|story| said(story))).await;
        match found {
            Ok(story) => story.unwrap().clone(),
            Err(_) => panic!("never {what}: {:?}", self.story()),
        }
    }

    pub async fn settled(&self) -> Settlement {
        self.until("settled", |story| story.settled.is_some()).await.settled.unwrap()
    }

    pub async fn reply(&self) -> Reply {
        self.until("answered", |story| story.reply.is_some()).await.reply.unwrap()
    }

    pub async fn result<T: DeserializeOwned>(&self) -> T {
        match self.reply().await {
            Reply::Result(payload) => payload.decode().unwrap(),
            Reply::Failure(failure) => panic!("failed: {failure}"),
        }
    }

    pub async fn failure(&self) -> Failure {
        match self.reply().await {
            Reply::Failure(failure) => *failure,
            Reply::Result(payload) => panic!("gave {:?}", payload.as_bytes()),
        }
    }
}

struct Sink {
    story: watch::Sender<Story>,
    script: Script,
}

#[async_trait]
impl ReplySink for Sink {
    async fn heartbeat(&self) -> Result<(), TransportError> {
        self.story.send_modify(|story| {
            story.heartbeats += 1;
            story.order.push("heartbeat");
        });
        self.script.heartbeat_error.clone().map_or(Ok(()), Err)
    }

    async fn finish(self: Box<Self>, reply: Reply) -> Result<(), TransportError> {
        if let Some(gate) = &self.script.gate {
            self.story.send_modify(|story| story.order.push("sending"));
            gate.acquire().await.unwrap().forget();
        }
        if let Some(error) = &self.script.reply_error {
            return Err(error.clone());
        }
        self.story.send_modify(|story| {
            story.reply = Some(reply);
            story.order.push("reply");
        });
        Ok(())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.story.send_modify(|story| story.released = true);
    }
}

struct Feed {
    items: mpsc::UnboundedReceiver<Item>,
    subscribed: Arc<AtomicBool>,
    stopped: Arc<AtomicBool>,
    closed: Arc<AtomicBool>,
    taken: Arc<Mutex<usize>>,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Feed")
    }
}

#[async_trait]
impl Listener<Request> for Feed {
    async fn recv(&mut self) -> Result<Delivery<Request>, TransportError> {
        let item = self.items.recv().await.unwrap_or(Err(TransportError::Closed));
        *self.taken.lock().unwrap() += 1;
        item
    }

    async fn stop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        self.items.close();
        while self.items.try_recv().is_ok() {}
    }

    async fn close(self: Box<Self>) {
        self.closed.store(true, Ordering::Release);
    }

    fn is_subscribed(&self) -> bool {
        self.subscribed.load(Ordering::Acquire)
    }
}

#[async_trait]
impl Transport for Fake {
    fn capabilities(&self) -> Capabilities {
        Capabilities::FULL
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn state(&self) -> watch::Receiver<ConnectionState> {
        watch::channel(ConnectionState::Connected).1
    }

    async fn cast(&self, _: &Target, _: Request, _: &SendOptions) -> Result<(), TransportError> {
        Err(TransportError::Closed)
    }

    async fn start(&self, _: &Target, _: Request, _: &CallOptions) -> Result<PendingReply, TransportError> {
        Err(TransportError::Closed)
    }

    async fn notify(&self, _: &Target, _: Notification, _: &SendOptions) -> Result<(), TransportError> {
        Err(TransportError::Closed)
    }

    async fn listen(&self, on: &Target, options: &ListenOptions) -> Result<Box<dyn Listener<Request>>, TransportError> {
        if self.refuse.load(Ordering::Acquire) {
            return Err(TransportError::Topology { object: on.to_string(), reason: "no".into() });
        }
        let (feed, items) = mpsc::unbounded_channel();
        *self.feed.lock().unwrap() = Some(feed);
        *self.prefetch.lock().unwrap() = Some(options.prefetch);
        Ok(Box::new(Feed {
            items,
            subscribed: self.subscribed.clone(),
            stopped: self.stopped.clone(),
            closed: self.closed.clone(),
            taken: self.taken.clone(),
        }))
    }

    async fn listen_for_notifications(
        &self,
        _: &[(Target, Priority)],
        _: Option<&str>,
        _: &ListenOptions,
    ) -> Result<Box<dyn Listener<Notification>>, TransportError> {
        Err(TransportError::Closed)
    }

    async fn close(&self) {}
}
