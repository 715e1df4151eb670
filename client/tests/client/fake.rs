//! A scripted transport that records its requests.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use oxlo_client::RPCClient;
use oxlo_driver_kit::pending::PendingCalls;
use oxlo_transport::{
    CallOptions, Capabilities, ConnectionState, Context, Failure, ListenOptions, Listener, Notification, Payload,
    PendingReply, Priority, Reply, Request, SendOptions, Settings, Target, Transport, TransportError,
};
use oxlo_wire::reply::ReplyPart;
use serde_json::Value;
use tokio::sync::watch;

/// The outcome of the next request.
#[derive(Debug)]
pub(crate) enum Step {
    Reply(Reply),
    /// It fails before it is confirmed.
    Refuse(TransportError),
    /// It fails after it was confirmed.
    Lose(TransportError),
    Silence,
}

/// A recorded request.
#[derive(Clone, Debug)]
pub(crate) struct Handed {
    pub(crate) to: Target,
    pub(crate) request: Request,
    pub(crate) options: Options,
}

#[derive(Clone, Debug)]
pub(crate) enum Options {
    Call(CallOptions),
    Cast(SendOptions),
}

#[derive(Debug)]
pub(crate) struct Fake {
    settings: Settings,
    handed: Mutex<Vec<Handed>>,
    script: Mutex<VecDeque<Step>>,
    pub(crate) pending: PendingCalls,
    state: watch::Sender<ConnectionState>,
}

impl Fake {
    pub(crate) fn new() -> Arc<Self> {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            handed: Mutex::default(),
            script: Mutex::default(),
            pending: PendingCalls::new(),
            state: watch::channel(ConnectionState::Connected).0,
        })
    }

    /// Answers the next request with this result.
    pub(crate) fn answers(&self, result: &Value) {
        self.then(Step::Reply(Reply::Result(Payload::encode(result).unwrap())));
    }

    /// Answers the next request with this failure.
    pub(crate) fn fails(&self, failure: Failure) {
        self.then(Step::Reply(Reply::Failure(Box::new(failure))));
    }

    pub(crate) fn then(&self, step: Step) {
        self.script.lock().unwrap().push_back(step);
    }

    /// The requests since the last call.
    pub(crate) fn handed(&self) -> Vec<Handed> {
        std::mem::take(&mut self.handed.lock().unwrap())
    }

    pub(crate) fn only(&self) -> Handed {
        let mut handed = self.handed();
        assert_eq!(handed.len(), 1, "{handed:?}");
        handed.remove(0)
    }

    fn take(&self, to: &Target, request: Request, options: Options) -> Option<Step> {
        self.handed.lock().unwrap().push(Handed { to: to.clone(), request, options });
        self.script.lock().unwrap().pop_front()
    }
}

impl Handed {
    pub(crate) fn args(&self) -> &str {
        std::str::from_utf8(self.request.args.as_bytes()).unwrap()
    }

    pub(crate) fn timeout(&self) -> Duration {
        match &self.options {
            Options::Call(options) => options.timeout,
            Options::Cast(options) => options.timeout,
        }
    }

    pub(crate) fn mandatory(&self) -> bool {
        match &self.options {
            Options::Call(options) => options.mandatory,
            Options::Cast(options) => options.mandatory,
        }
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
        self.state.subscribe()
    }

    async fn cast(&self, to: &Target, request: Request, options: &SendOptions) -> Result<(), TransportError> {
        match self.take(to, request, Options::Cast(options.clone())) {
            Some(Step::Refuse(error)) => Err(error),
            _ => Ok(()),
        }
    }

    async fn start(
        &self,
        to: &Target,
        request: Request,
        options: &CallOptions,
    ) -> Result<PendingReply, TransportError> {
        let step = self.take(to, request, Options::Call(options.clone()));
        let pending = self.pending.register(options.timeout, options.monitor_timeout)?;
        let id = pending.message_id();
        match step.unwrap_or(Step::Reply(Reply::Result(Payload::null()))) {
            Step::Reply(reply) => assert!(self.pending.deliver(&id, ReplyPart::Final(Some(reply)))),
            Step::Refuse(error) => return Err(error),
            Step::Lose(error) => assert!(self.pending.fail(&id, error)),
            Step::Silence => {}
        }
        Ok(pending.into())
    }

    async fn notify(&self, _: &Target, _: Notification, _: &SendOptions) -> Result<(), TransportError> {
        unreachable!("a client does not notify")
    }

    async fn listen(&self, _: &Target, _: &ListenOptions) -> Result<Box<dyn Listener<Request>>, TransportError> {
        unreachable!("a client does not listen")
    }

    async fn listen_for_notifications(
        &self,
        _: &[(Target, Priority)],
        _: Option<&str>,
        _: &ListenOptions,
    ) -> Result<Box<dyn Listener<Notification>>, TransportError> {
        unreachable!("a client does not listen")
    }

    async fn close(&self) {
        self.pending.close();
    }
}

pub(crate) fn calculator(fake: &Arc<Fake>) -> RPCClient {
    RPCClient::new(fake.clone(), Target::topic("calculator"))
}

pub(crate) fn ctxt() -> Context {
    Context::new().with("request_id", "req-1")
}
