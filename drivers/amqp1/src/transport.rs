//! The driver: what its [`Broker`] and its connections are.

use std::{
    fmt, pin,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use async_trait::async_trait;
use oxlo_driver_kit::{
    broker::{Broker, Call, SubscriptionSpec, encoded},
    intake::{Intake, Reader},
    lateness::stamped_id,
    options::load,
    pending::{PendingCall, PendingCalls},
    send_budget::SendBudget,
    state::joined,
    transport::{BrokerTransport, Links as Connections},
};
use oxlo_transport::{
    Capabilities, Driver, ListenOptions, Notification, Priority, Reply, Request, SendOptions, Settings, Target,
    Transport, TransportError, TransportUrl,
};
use oxlo_wire::amqp1;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    address::{Addresses, ListenAddress, Profile},
    config::Config,
    connection::{Connected, Link, link},
    consume::Links,
    management::Declaration,
    message::{self, Incoming, Outgoing},
    oslo_codec::OsloCodec,
    publish::Publisher,
    receive::{Receiving, Settler},
    replies::{AddressReplies, HELD_FOR},
    reply_queue::ReplyLink,
};

/// How much later than a call its sending may notice that their common deadline has passed.
const VERDICT: Duration = Duration::from_millis(50);
/// More would let a listener's settlements fill the queues between fe2o3-amqp's tasks.
const MOST_PREFETCH: u16 = 1000;

/// The driver for `amqp://` and `amqps://` (TLS).
#[derive(Clone, Copy, Debug, Default)]
pub struct Amqp1Driver;

#[async_trait]
impl Driver for Amqp1Driver {
    fn schemes(&self) -> &'static [&'static str] {
        &["amqp", "amqps"]
    }

    async fn connect(&self, url: &TransportUrl, settings: Settings) -> Result<Arc<dyn Transport>, TransportError> {
        let config = Config::from_url(url)?;
        Ok(Arc::new(connect(config, settings).await?))
    }
}

async fn connect(config: Config, settings: Settings) -> Result<BrokerTransport<Amqp1>, TransportError> {
    let tls = load(config.tls.clone()).await?;
    let config = Arc::new(config);
    let max_size = settings.max_message_size;
    let connecting = Connections::connect(
        |role, news| link(config.clone(), tls.clone(), role, max_size, news),
        settings.connect_retry,
    );
    let (links, connected) = connecting.await?;
    // The hosts of one URL are one broker: what the first says of itself holds for all.
    let addresses = config.addresses.on(connected.product(), connected.version(), &settings.control_exchange);
    let publisher = Arc::new(Publisher::new(config.clone(), links.publishing.clone()));
    let state = joined(links.publishing.state(), links.consuming.state());
    let replies = AddressReplies { publisher: publisher.clone() };
    let amqp1 = Amqp1 { config, addresses: Arc::new(addresses), publisher, max_size };
    Ok(BrokerTransport::new(amqp1, settings, links, state, replies, HELD_FOR))
}

/// A broker that speaks AMQP 1.0.
struct Amqp1 {
    config: Arc<Config>,
    addresses: Arc<Addresses>,
    publisher: Arc<Publisher>,
    /// The largest message, in bytes.
    max_size: usize,
}

/// A message and where it goes.
struct Message {
    address: Arc<str>,
    message: Outgoing,
    /// What must be there, if nobody is.
    needs: Vec<Declaration>,
}

impl Message {
    fn cast(address: Arc<str>, json: &str, needs: Vec<Declaration>) -> Self {
        let message = message::cast(&address, json);
        Self { address, message, needs }
    }
}

impl Broker for Amqp1 {
    type Session = Connected;
    type Codec = OsloCodec;
    type Replies = AddressReplies;
    type ReplySource = ReplyLink;
    type Route = Arc<str>;
    type Outgoing = Message;
    type Subscription = Vec<ListenAddress>;
    type Source<R: Reader<Incoming>> = Links<R>;
    type Settler = Settler;

    fn capabilities(&self) -> Capabilities {
        let profile = self.addresses.profile;
        let mut capabilities = Capabilities::FULL;
        capabilities.isolates_exchanges = true;
        capabilities.notification_pools = false;
        // Brokers make a queue of every address that is named, but for those whose queues are declared; routers tell, but
        // not in every case at once.
        capabilities.detects_undeliverable = profile == Profile::RabbitMq4;
        // ActiveMQ hands what came back to the same link again, for as long as there is one.
        capabilities.requeues_to_anyone = profile != Profile::ActiveMq;
        capabilities.counts_listeners = profile == Profile::RabbitMq4;
        capabilities.counts_redeliveries = !profile.is_rabbitmq();
        // A router stores nothing.
        capabilities.redelivers = profile != Profile::Router;
        capabilities
    }

    fn codec(&self) -> OsloCodec {
        OsloCodec { addresses: self.addresses.clone() }
    }

    fn route(&self, to: &Target) -> Result<Arc<str>, TransportError> {
        self.addresses.request(to).map(Arc::from)
    }

    fn cast(&self, address: Arc<str>, request: &Request) -> Result<Message, TransportError> {
        let json = encoded(amqp1::encode_request(request, None), self.max_size)?;
        Ok(Message::cast(address, &json, Vec::new()))
    }

    fn call_id(&self) -> Uuid {
        stamped_id()
    }

    async fn call(
        &self,
        address: Arc<str>,
        request: &Request,
        call: &Call<'_, Connected>,
    ) -> Result<Message, TransportError> {
        let json = encoded(amqp1::encode_request(request, call.monitor_timeout), self.max_size)?;
        let reply_to = call.reply_to().await?;
        let message_id = call.pending.message_id();
        let message = message::call(&address, &json, &message_id, &reply_to, call.budget.deadline);
        Ok(Message { address, message, needs: Vec::new() })
    }

    fn notification(
        &self,
        to: &Target,
        notification: &Notification,
        _: &SendOptions,
    ) -> Result<Message, TransportError> {
        let ListenAddress { address, needs, .. } = self.addresses.notification(to, notification.priority)?;
        let json = encoded(amqp1::encode_notification(notification), self.max_size)?;
        Ok(Message::cast(address.into(), &json, needs))
    }

    async fn send(&self, message: Message, mandatory: bool, budget: &SendBudget) -> Result<(), TransportError> {
        let Message { address, mut message, needs } = message;
        // Whoever notifies makes the queue, as in oslo: listeners may come later.
        if !needs.is_empty() {
            match self.publisher.send(&address, &mut message, true, budget).await {
                Err(TransportError::Undeliverable { .. }) => self.publisher.declare(&needs, budget).await?,
                sent => return sent,
            }
        }
        self.publisher.send(&address, &mut message, mandatory, budget).await
    }

    /// Does not wait for the broker's outcome: a router gives it with the server's, and the reply says more.
    async fn exchange(
        &self,
        Message { address, mut message, .. }: Message,
        mandatory: bool,
        _: &PendingCalls,
        pending: PendingCall,
        budget: &SendBudget,
    ) -> Result<Reply, TransportError> {
        let mut sending = pin::pin!(self.publisher.send(&address, &mut message, mandatory, budget));
        let mut pending = pin::pin!(pending);
        tokio::select! {
            biased;
            reply = &mut pending => match reply {
                // A request that was never written is told from one that nobody answered.
                Err(late @ TransportError::TimedOut { .. }) => match timeout(VERDICT, sending).await {
                    Ok(Err(unsent)) if !unsent.may_have_run() => Err(unsent),
                    _ => Err(late),
                },
                reply => reply,
            },
            sent = &mut sending => {
                sent?;
                pending.sent();
                pending.await
            }
        }
    }

    fn requests(
        &self,
        on: &Target,
        options: &ListenOptions,
    ) -> Result<SubscriptionSpec<Vec<ListenAddress>>, TransportError> {
        let to = self.addresses.rpc_server(on, &options.scope)?;
        Ok(SubscriptionSpec { to, prefetch: prefetch(options, self.config.server_credit) })
    }

    fn notifications(
        &self,
        on: &[(Target, Priority)],
        pool: Option<&str>,
        options: &ListenOptions,
    ) -> Result<SubscriptionSpec<Vec<ListenAddress>>, TransportError> {
        if on.is_empty() {
            return Err(TransportError::InvalidTarget { reason: "a listener needs at least one topic".into() });
        }
        if pool.is_some() {
            let what = "pools of notification listeners over AMQP 1.0; listen without one, or use rabbit://".into();
            return Err(TransportError::Unsupported { what });
        }
        let mut to = Vec::new();
        for (target, priority) in on {
            let place = self.addresses.notification(target, *priority)?;
            if !to.contains(&place) {
                to.push(place);
            }
        }
        Ok(SubscriptionSpec { to, prefetch: prefetch(options, self.config.notify_credit) })
    }

    fn source<R: Reader<Incoming>>(
        &self,
        spec: SubscriptionSpec<Vec<ListenAddress>>,
        options: &ListenOptions,
        reader: R,
        intake: Intake<R::Message, Settler>,
    ) -> Links<R> {
        let receiving = Receiving {
            reader,
            intake,
            prefetch: u32::from(spec.prefetch),
            max_size: self.max_size,
            counts_deliveries: !self.addresses.profile.is_rabbitmq(),
            resends: options.deferrable.then(|| self.publisher.clone()),
            surplus_told: AtomicBool::new(false),
        };
        Links { places: spec.to, receiving: Arc::new(receiving) }
    }

    fn reply_source(&self) -> Result<ReplyLink, TransportError> {
        Ok(ReplyLink::new(self.addresses.reply_node(), self.config.reply_credit))
    }

    async fn listeners(&self, on: &Target, _: &Link, budget: &SendBudget) -> Result<u32, TransportError> {
        let Some(queue) = self.addresses.request_queue(on)? else {
            let what = format!("to count who listens for {on}: only RabbitMQ 4's management over AMQP 1.0 tells");
            return Err(TransportError::Unsupported { what });
        };
        self.publisher.consumers(&queue, budget).await
    }

    async fn flush(&self) {
        self.publisher.flush().await;
    }
}

fn prefetch(options: &ListenOptions, most: Option<u16>) -> u16 {
    most.map_or(options.prefetch, |most| most.min(options.prefetch)).clamp(1, MOST_PREFETCH)
}

impl fmt::Debug for Amqp1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Amqp1")
            .field("hosts", &self.config.places())
            .field("profile", &self.addresses.profile)
            .finish_non_exhaustive()
    }
}
