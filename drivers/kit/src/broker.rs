//! What a driver does in its broker's protocol.

use std::{fmt, future::Future, sync::Arc};

use oxlo_transport::{
    Capabilities, ListenOptions, Notification, Priority, Removal, Reply, Request, RequestQueue, SendOptions, Target,
    TransportError,
};
use uuid::Uuid;

use crate::{
    duplicates::Settler,
    inbound::Codec,
    intake::{Intake, Reader},
    link::Link,
    pending::{PendingCall, PendingCalls},
    replies::ReplySender,
    reply_queue::{ReplyQueue, ReplySource},
    send_budget::SendBudget,
    session::Session,
    subscription::Source,
};

/// What a driver does in its broker's protocol; [`BrokerTransport`](crate::transport::BrokerTransport) does the rest.
pub trait Broker: fmt::Debug + Send + Sync + 'static {
    /// One incarnation of a connection.
    type Session: Session;
    /// Reads what comes in.
    type Codec: Codec;
    /// Sends replies.
    type Replies: ReplySender<Caller = <Self::Codec as Codec>::Caller>;
    /// Takes the replies to our own calls.
    type ReplySource: ReplySource<Session = Self::Session>;
    /// Where requests for a target go; cheap to clone.
    type Route: Clone + fmt::Debug + Send + Sync;
    /// A message that can be sent any number of times.
    type Outgoing: Send;
    /// What a listener subscribes to.
    type Subscription: Send;
    /// Keeps one subscription.
    type Source<R: Reader<<Self::Codec as Codec>::Raw>>: Source<Session = Self::Session>;
    /// Settles one delivery.
    type Settler: Settler + Send + 'static;

    /// What the broker can do.
    fn capabilities(&self) -> Capabilities;

    /// Reads what comes in.
    fn codec(&self) -> Self::Codec;

    /// Where requests for a target go; asked once for each target.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`].
    fn route(&self, to: &Target) -> Result<Self::Route, TransportError>;

    /// A request that nobody answers.
    ///
    /// # Errors
    ///
    /// `TooLarge`, or `InvalidTarget` if it cannot be encoded.
    fn cast(&self, route: Self::Route, request: &Request) -> Result<Self::Outgoing, TransportError>;

    /// The id of a new call, which must be a fresh one.
    fn call_id(&self) -> Uuid {
        Uuid::new_v4()
    }

    /// A request that is to be answered.
    ///
    /// # Errors
    ///
    /// As [`cast`](Self::cast), and those of [`Call::reply_to`].
    fn call(
        &self,
        route: Self::Route,
        request: &Request,
        call: &Call<'_, Self::Session>,
    ) -> impl Future<Output = Result<Self::Outgoing, TransportError>> + Send;

    /// A notification.
    ///
    /// # Errors
    ///
    /// `InvalidTarget`, `TooLarge`.
    fn notification(
        &self,
        to: &Target,
        notification: &Notification,
        options: &SendOptions,
    ) -> Result<Self::Outgoing, TransportError>;

    /// Sends a message, and waits until the broker has it. With `mandatory`, an error if nobody is there to take it.
    ///
    /// # Errors
    ///
    /// As [`Transport::cast`](oxlo_transport::Transport::cast).
    fn send(
        &self,
        message: Self::Outgoing,
        mandatory: bool,
        budget: &SendBudget,
    ) -> impl Future<Output = Result<(), TransportError>> + Send;

    /// Sends the request of a pending call, and waits for the reply: for the broker's confirm no longer than it takes to
    /// learn that the request was not sent.
    ///
    /// # Errors
    ///
    /// As [`Transport::call`](oxlo_transport::Transport::call).
    fn exchange(
        &self,
        message: Self::Outgoing,
        mandatory: bool,
        calls: &PendingCalls,
        pending: PendingCall,
        budget: &SendBudget,
    ) -> impl Future<Output = Result<Reply, TransportError>> + Send;

    /// What a server subscribes to.
    ///
    /// # Errors
    ///
    /// As [`Transport::listen`](oxlo_transport::Transport::listen).
    fn requests(
        &self,
        on: &Target,
        options: &ListenOptions,
    ) -> Result<SubscriptionSpec<Self::Subscription>, TransportError>;

    /// What a notification listener subscribes to.
    ///
    /// # Errors
    ///
    /// As [`Transport::listen_for_notifications`](oxlo_transport::Transport::listen_for_notifications).
    fn notifications(
        &self,
        on: &[(Target, Priority)],
        pool: Option<&str>,
        options: &ListenOptions,
    ) -> Result<SubscriptionSpec<Self::Subscription>, TransportError>;

    /// A subscription that hands out what `reader` reads by way of `intake`.
    fn source<R: Reader<<Self::Codec as Codec>::Raw>>(
        &self,
        spec: SubscriptionSpec<Self::Subscription>,
        options: &ListenOptions,
        reader: R,
        intake: Intake<R::Message, Self::Settler>,
    ) -> Self::Source<R>;

    /// Where the replies to our own calls arrive.
    ///
    /// # Errors
    ///
    /// `Config` if its name cannot be held.
    fn reply_source(&self) -> Result<Self::ReplySource, TransportError>;

    /// As [`Transport::declare_queue`](oxlo_transport::Transport::declare_queue).
    ///
    /// # Errors
    ///
    /// As there.
    fn declare_queue(
        &self,
        queue: &RequestQueue,
        budget: &SendBudget,
    ) -> impl Future<Output = Result<(), TransportError>> + Send {
        let _ = budget;
        std::future::ready(Err(TransportError::Unsupported { what: format!("{queue}") }))
    }

    /// As [`Transport::remove_queue`](oxlo_transport::Transport::remove_queue).
    ///
    /// # Errors
    ///
    /// As there.
    fn remove_queue(
        &self,
        queue: &RequestQueue,
        removal: Removal,
        budget: &SendBudget,
    ) -> impl Future<Output = Result<(), TransportError>> + Send {
        let _ = (removal, budget);
        std::future::ready(Err(TransportError::Unsupported { what: format!("{queue}") }))
    }

    /// As [`Transport::listeners`](oxlo_transport::Transport::listeners), for a target that is not fanout.
    ///
    /// # Errors
    ///
    /// As there.
    fn listeners(
        &self,
        on: &Target,
        consuming: &Link<Self::Session>,
        budget: &SendBudget,
    ) -> impl Future<Output = Result<u32, TransportError>> + Send;

    /// As [`Transport::pause_publishing`](oxlo_transport::Transport::pause_publishing).
    ///
    /// # Errors
    ///
    /// As there.
    fn pause_publishing(&self, pause: bool) -> Result<(), TransportError> {
        let _ = pause;
        Err(TransportError::Unsupported { what: "pausing to publish".to_owned() })
    }

    /// Waits until nothing is in flight to the broker, or a few seconds.
    fn flush(&self) -> impl Future<Output = ()> + Send;
}

/// What a listener subscribes to, and how many messages of each queue may be unsettled.
#[derive(Clone, Debug)]
pub struct SubscriptionSpec<T> {
    /// The queues or addresses.
    pub to: T,
    /// Messages of each of them that may be unsettled, at least 1.
    pub prefetch: u16,
}

/// A call whose request is being made.
#[derive(Debug)]
pub struct Call<'a, S> {
    /// The id, which names the call in its reply.
    pub pending: &'a PendingCall,
    /// The calls of the transport.
    pub calls: &'a PendingCalls,
    /// How long the server may be silent, in whole seconds.
    pub monitor_timeout: Option<u64>,
    /// What sending the request may take.
    pub budget: SendBudget,
    pub(crate) reply_queue: &'a ReplyQueue<S>,
}

impl<S: Session> Call<'_, S> {
    /// Where the reply goes, once replies can arrive.
    ///
    /// # Errors
    ///
    /// `Topology` or `Refused` if the broker refuses it, `Unreachable` with the last failure if it takes too long, `Closed`.
    pub async fn reply_to(&self) -> Result<Arc<str>, TransportError> {
        self.reply_queue.ready(&self.budget).await
    }
}

/// The text of a message to send, unless it is larger than `limit` bytes.
///
/// # Errors
///
/// `TooLarge`; `InvalidTarget` if it could not be encoded.
pub fn encoded<T: AsRef<[u8]>>(text: Result<T, serde_json::Error>, limit: usize) -> Result<T, TransportError> {
    match text {
        Ok(text) if text.as_ref().len() > limit => Err(TransportError::TooLarge { size: text.as_ref().len(), limit }),
        Ok(text) => Ok(text),
        Err(error) => Err(TransportError::InvalidTarget { reason: format!("cannot encode the message: {error}") }),
    }
}
