//! One broker for many tests, with a vhost for each.

use std::{
    ops::Deref,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use tokio::sync::OnceCell;

use crate::{
    admin::VhostAdmin,
    broker::{Broker, create_vhost},
    control::{Control, binary},
    installation::RabbitVersion,
};

/// The broker of one version that tests share unless they disrupt it.
///
/// `tests/run` starts one node of each version for the whole run and names it in the environment: `OXLO_TEST_BROKER` and
/// `OXLO_TEST_BROKER_CONTROL`, `OXLO_TEST_RABBITMQ4` and `OXLO_TEST_RABBITMQ4_CONTROL`. Without these variables the first use in a
/// process starts a node, which ends with the process.
/// Tests that kill, freeze or alarm a broker start their own [`Broker`].
#[derive(Debug)]
pub struct SharedBroker {
    port: u16,
    control: Control,
    _own: Option<Broker>,
}

impl SharedBroker {
    /// The shared broker of [`RabbitVersion::chosen`].
    ///
    /// # Panics
    ///
    /// When the broker named by the environment does not answer, or one cannot be started.
    pub async fn get() -> &'static Self {
        Self::of(RabbitVersion::chosen()).await
    }

    /// The shared broker of a version.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    pub async fn of(version: RabbitVersion) -> &'static Self {
        static SHARED: [OnceCell<SharedBroker>; 2] = [const { OnceCell::const_new() }; 2];
        let cell = match version {
            RabbitVersion::V3 => &SHARED[0],
            RabbitVersion::V4 => &SHARED[1],
        };
        cell.get_or_init(|| Self::find_or_start(version)).await
    }

    /// Starts a broker with the settings of the shared one: it speaks AMQP 1.0 beside 0-9-1, for which version 3 needs a plugin.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub async fn start(version: RabbitVersion) -> Broker {
        let builder = Broker::builder().version(version);
        match version {
            RabbitVersion::V3 => builder.plugin("rabbitmq_amqp1_0").start().await,
            RabbitVersion::V4 => builder.start().await,
        }
    }

    async fn find_or_start(version: RabbitVersion) -> Self {
        let [place, socket] = variables(version);
        let (Ok(found), Some(socket)) = (std::env::var(place), std::env::var_os(socket)) else {
            let own = Self::start(version).await;
            return Self { port: own.port(), control: own.control().clone(), _own: Some(own) };
        };
        // The port alone, or the end of a URL.
        let port = found.trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
        let port = port
            .unwrap_or_else(|| panic!("{place} must be a port or rabbit://guest:guest@127.0.0.1:PORT/ and is {found}"));
        let control = Control::new(PathBuf::from(socket));
        if let Err(error) = control.try_eval("ok.") {
            panic!(
                "the broker of {place}={found} does not answer ({error}): unset the variable, or run the tests by ./tests/run"
            );
        }
        Self { port, control, _own: None }
    }

    /// The environment variables that make other processes share `broker`, as `NAME=value`.
    #[must_use]
    pub fn environment(broker: &Broker) -> [String; 2] {
        let [place, socket] = variables(broker.version());
        let found = match broker.version() {
            RabbitVersion::V3 => broker.url(),
            RabbitVersion::V4 => broker.port().to_string(),
        };
        [format!("{place}={found}"), format!("{socket}={}", broker.control().socket().display())]
    }

    /// The plain AMQP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs Erlang expressions in the broker.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }
}

/// The variables for a shared broker's address and its control socket.
fn variables(version: RabbitVersion) -> [&'static str; 2] {
    match version {
        RabbitVersion::V3 => ["OXLO_TEST_BROKER", "OXLO_TEST_BROKER_CONTROL"],
        RabbitVersion::V4 => ["OXLO_TEST_RABBITMQ4", "OXLO_TEST_RABBITMQ4_CONTROL"],
    }
}

/// A fresh vhost of the [`SharedBroker`] in which user `guest` may do everything. It derefs to its administrator's view.
///
/// Creating one takes about 10 ms. Dropping it deletes it, which closes its connections.
#[derive(Debug)]
pub struct TestVhost {
    admin: VhostAdmin,
    port: u16,
}

impl TestVhost {
    /// Creates the vhost, on the broker of [`RabbitVersion::chosen`].
    ///
    /// # Panics
    ///
    /// As [`SharedBroker::get`].
    pub async fn new() -> Self {
        Self::on(RabbitVersion::chosen()).await
    }

    /// Creates the vhost on the shared broker of a version.
    ///
    /// # Panics
    ///
    /// As [`SharedBroker::get`].
    pub async fn on(version: RabbitVersion) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let broker = SharedBroker::of(version).await;
        // A pid alone may be reused within one run and collide with the leftovers of a killed test.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
        let name = format!("test-{}-{now}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        broker.control.eval::<String>(&create_vhost(&name)).await;
        Self { admin: VhostAdmin::new(broker.control.clone(), name), port: broker.port }
    }

    /// `rabbit://guest:guest@127.0.0.1:PORT/VHOST`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("rabbit://guest:guest@127.0.0.1:{}/{}", self.port, self.admin.name())
    }

    /// `amqp://guest:guest@127.0.0.1:PORT/VHOST` with the options that make RabbitMQ use the vhost.
    #[must_use]
    pub fn amqp1_url(&self) -> String {
        format!(
            "amqp://guest:guest@127.0.0.1:{}/{}?address_profile=rabbitmq&pseudo_vhost=false",
            self.port,
            self.admin.name()
        )
    }

    /// The shared broker's port on 127.0.0.1, for a [`FaultProxy`](crate::FaultProxy) in front of it.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Deref for TestVhost {
    type Target = VhostAdmin;

    fn deref(&self) -> &VhostAdmin {
        &self.admin
    }
}

impl Drop for TestVhost {
    fn drop(&mut self) {
        // The broker may have ended before; and a second panic while a test panics would abort the whole test binary.
        let _ = self.control().try_eval(&format!("rabbit_vhost:delete({}, <<\"oxlo\">>).", binary(self.name())));
    }
}
