//! The driver's [`Transport`]: it composes what the other files do.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use oxlo_driver_kit::{
    held::HeldReplies,
    lateness::{Lateness, stamped_id},
    link::close,
    options::load,
    patience::Patience,
    pending::{PendingCall, PendingCalls},
    state::joined,
};
use oxlo_transport::{
    CallOptions, Capabilities, ConnectionState, Driver, ListenOptions, Listener, Notification, PendingReply, Priority,
    Reply, Request, Retry, SendOptions, Settings, Target, Transport, TransportError, TransportUrl, budget::Budget,
    json::Limits,
};
use oxlo_wire::amqp1;
use tokio::{sync::watch, time::timeout};

use crate::{
    address::{Addresses, ListenAddress, Profile},
    config::Config,
    connection::{Link, Role, link},
    consume::{Order, Reader, Subscriber},
    message::{self, Outgoing},
    publish::Publisher,
    receive::Duplicates,
    reply::ReplyLink,
    request::{HELD_FOR, NotificationReader, RequestReader, Unsent},
};

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
        Ok(Arc::new(Amqp1Transport::connect(config, settings).await?))
    }
}

/// A transport on AMQP 1.0: one connection that sends, and one that receives once something is to be received.
struct Amqp1Transport {
    config: Arc<Config>,
    settings: Settings,
    addresses: Addresses,
    publishing: Arc<Link>,
    consuming: Arc<Link>,
    publisher: Arc<Publisher>,
    pending: PendingCalls,
    reply_link: OnceLock<ReplyLink>,
    duplicates: Arc<Duplicates>,
    held: Arc<HeldReplies<Unsent>>,
    lateness: Arc<Lateness>,
    state: watch::Receiver<ConnectionState>,
}

impl Amqp1Transport {
    async fn connect(config: Config, settings: Settings) -> Result<Self, TransportError> {
        let tls = load(config.tls.clone()).await?;
        let config = Arc::new(config);
        let max = settings.max_message_size;
        let news = watch::Sender::new(());
        let publishing = Arc::new(link(config.clone(), tls.clone(), Role::Publish, max, &news));
        let consuming = Arc::new(link(config.clone(), tls, Role::Consume, max, &news));
        publishing.begin();
        let connected = publishing.first_connection(settings.connect_retry).await?;
        // The hosts of one URL are one broker: what the first says of itself holds for all.
        let addresses = config.addresses.on(connected.product(), connected.version(), &settings.control_exchange);
        let publisher = Arc::new(Publisher::new(config.clone(), publishing.clone()));
        let state = joined(publishing.state(), consuming.state());
        Ok(Self {
            config,
            settings,
            addresses,
            publishing,
            consuming,
            publisher,
            pending: PendingCalls::new(),
            reply_link: OnceLock::new(),
            duplicates: Arc::default(),
            held: Arc::new(HeldReplies::new(HELD_FOR)),
            lateness: Arc::default(),
            state,
        })
    }

    fn limits(&self) -> Limits {
        Limits::default().with_max_bytes(self.settings.max_message_size).with_max_depth(self.settings.max_depth)
    }

    fn reply_link(&self) -> &ReplyLink {
        self.reply_link.get_or_init(|| {
            self.consuming.begin();
            let node = self.addresses.reply_node();
            ReplyLink::spawn(&self.config, self.consuming.state(), node, self.pending.clone(), self.limits())
        })
    }

    fn fits(&self, json: String) -> Result<String, TransportError> {
        let limit = self.settings.max_message_size;
        if json.len() > limit {
            return Err(TransportError::TooLarge { size: json.len(), limit });
        }
        Ok(json)
    }

    async fn subscribe<R: Reader>(
        &self,
        places: Vec<ListenAddress>,
        prefetch: u16,
        deferrable: bool,
        reader: R,
    ) -> Result<Box<dyn Listener<R::Message>>, TransportError> {
        self.consuming.begin();
        let order = Order {
            link: self.consuming.clone(),
            places,
            prefetch: prefetch.clamp(1, MOST_PREFETCH),
            budget: Budget::new(self.settings.max_in_flight_bytes),
            message_max: self.settings.max_message_size,
            counts_deliveries: !self.addresses.profile.is_rabbitmq(),
            duplicates: self.duplicates.clone(),
            resends: deferrable.then(|| self.publisher.clone()),
            reader,
        };
        Ok(Box::new(Subscriber::subscribe(order, &self.config, self.settings.response_timeout).await?))
    }

    /// Registers a call and writes its request, which is not sent yet.
    async fn begin(&self, to: &Target, request: &Request, options: &CallOptions) -> Result<Begun, TransportError> {
        if to.fanout {
            return Err(TransportError::InvalidTarget {
                reason: "a call goes to one server; use cast for fanout".into(),
            });
        }
        let address = self.addresses.request(to)?;
        let monitor = options.monitor_timeout.map(|silence| silence.as_secs());
        let json = self.fits(amqp1::encode_request(request, monitor).map_err(|error| unwritable(&error))?)?;
        let patience = Patience::new(options.timeout, options.retry);
        let pending = self.pending.register_as(stamped_id(), options.timeout, options.monitor_timeout)?;
        let reply_to = self.reply_link().ready(&self.config, &patience).await?;
        let message = message::call(&address, &json, &pending.message_id(), &reply_to, patience.deadline);
        Ok(Begun { pending, address, message, patience })
    }
}

/// A call whose request is to be sent.
struct Begun {
    pending: PendingCall,
    address: String,
    message: Outgoing,
    patience: Patience,
}

/// How much later than a call its sending may notice that their common deadline has passed.
const VERDICT: Duration = Duration::from_millis(50);
/// More would let a listener's settlements fill the queues between fe2o3-amqp's tasks.
const MOST_PREFETCH: u16 = 1000;

#[async_trait]
impl Transport for Amqp1Transport {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::FULL;
        capabilities.isolates_exchanges = true;
        capabilities.notification_pools = false;
        // Brokers make a queue of every address that is named, but for those whose queues are declared; routers tell, but
        // not in every case at once.
        capabilities.detects_undeliverable = self.addresses.profile == Profile::RabbitMq4;
        // ActiveMQ hands what came back to the same link again, for as long as there is one.
        capabilities.requeues_to_anyone = self.addresses.profile != Profile::ActiveMq;
        capabilities.counts_listeners = self.addresses.profile == Profile::RabbitMq4;
        capabilities.counts_redeliveries = !self.addresses.profile.is_rabbitmq();
        // A router stores nothing.
        capabilities.redelivers = self.addresses.profile != Profile::Router;
        capabilities
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn state(&self) -> watch::Receiver<ConnectionState> {
        self.state.clone()
    }

    async fn cast(&self, to: &Target, request: Request, options: &SendOptions) -> Result<(), TransportError> {
        let address = self.addresses.request(to)?;
        let json = self.fits(amqp1::encode_request(&request, None).map_err(|error| unwritable(&error))?)?;
        let mandatory = options.mandatory && !to.fanout;
        let patience = Patience::new(options.timeout, options.retry);
        self.publisher.send(&address, &mut message::cast(&address, &json), mandatory, &patience).await
    }

    async fn start(
        &self,
        to: &Target,
        request: Request,
        options: &CallOptions,
    ) -> Result<PendingReply, TransportError> {
        let Begun { pending, address, mut message, patience } = self.begin(to, &request, options).await?;
        self.publisher.send(&address, &mut message, options.mandatory, &patience).await?;
        pending.sent();
        Ok(pending.into())
    }

    /// Does not wait for the broker's outcome: a router gives it with the server's, and the reply says more.
    async fn call(&self, to: &Target, request: Request, options: &CallOptions) -> Result<Reply, TransportError> {
        let Begun { pending, address, mut message, patience } = self.begin(to, &request, options).await?;
        let mut sending = std::pin::pin!(self.publisher.send(&address, &mut message, options.mandatory, &patience));
        let mut pending = std::pin::pin!(pending);
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

    async fn notify(
        &self,
        to: &Target,
        notification: Notification,
        options: &SendOptions,
    ) -> Result<(), TransportError> {
        let place = self.addresses.notification(to, notification.priority)?;
        let json = self.fits(amqp1::encode_notification(&notification).map_err(|error| unwritable(&error))?)?;
        let patience = Patience::new(options.timeout, options.retry);
        let address = &place.address;
        let mut message = message::cast(address, &json);
        if place.needs.is_empty() {
            return self.publisher.send(address, &mut message, options.mandatory, &patience).await;
        }
        // Whoever notifies makes the queue, as in oslo: listeners may come later.
        match self.publisher.send(address, &mut message, true, &patience).await {
            Err(TransportError::Undeliverable { .. }) => {
                self.publisher.declare(&place.needs, &patience).await?;
                self.publisher.send(address, &mut message, options.mandatory, &patience).await
            }
            sent => sent,
        }
    }

    async fn listen(&self, on: &Target, options: &ListenOptions) -> Result<Box<dyn Listener<Request>>, TransportError> {
        let places = self.addresses.rpc_server(on, &options.scope)?;
        let reader = RequestReader {
            publisher: self.publisher.clone(),
            held: self.held.clone(),
            lateness: self.lateness.clone(),
            limits: self.limits(),
            max_size: self.settings.max_message_size,
            addresses: self.addresses.clone(),
        };
        let prefetch = self.config.server_credit.map_or(options.prefetch, |most| most.min(options.prefetch));
        self.subscribe(places, prefetch, options.deferrable, reader).await
    }

    async fn listen_for_notifications(
        &self,
        on: &[(Target, Priority)],
        pool: Option<&str>,
        options: &ListenOptions,
    ) -> Result<Box<dyn Listener<Notification>>, TransportError> {
        if on.is_empty() {
            return Err(TransportError::InvalidTarget { reason: "a listener needs at least one topic".into() });
        }
        if pool.is_some() {
            let what = "pools of notification listeners over AMQP 1.0; listen without one, or use rabbit://".into();
            return Err(TransportError::Unsupported { what });
        }
        let mut places = Vec::new();
        for (target, priority) in on {
            let place = self.addresses.notification(target, *priority)?;
            if !places.contains(&place) {
                places.push(place);
            }
        }
        let prefetch = self.config.notify_credit.map_or(options.prefetch, |most| most.min(options.prefetch));
        let reader = NotificationReader { limits: self.limits() };
        self.subscribe(places, prefetch, options.deferrable, reader).await
    }

    async fn listeners(&self, on: &Target, within: Duration) -> Result<u32, TransportError> {
        on.refuse_fanout()?;
        let Some(queue) = self.addresses.request_queue(on)? else {
            let what = format!("to count who listens for {on}: only RabbitMQ 4's management over AMQP 1.0 tells");
            return Err(TransportError::Unsupported { what });
        };
        self.publisher.consumers(&queue, &Patience::new(within, Retry::Forever)).await
    }

    async fn close(&self) {
        self.pending.close();
        self.held.close().await;
        self.publisher.flush().await;
        if let Some(reply_link) = self.reply_link.get() {
            reply_link.close().await;
        }
        close(&self.publishing, &self.consuming, self.state.clone()).await;
    }
}

impl fmt::Debug for Amqp1Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Amqp1Transport")
            .field("hosts", &self.config.places())
            .field("profile", &self.addresses.profile)
            .field("state", &*self.state.borrow())
            .field("pending", &self.pending)
            .finish_non_exhaustive()
    }
}

fn unwritable(error: &serde_json::Error) -> TransportError {
    TransportError::InvalidTarget { reason: format!("the message cannot be written: {error}") }
}
