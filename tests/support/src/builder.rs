//! Settings that a broker is started with.

use std::{fmt::Write as _, sync::Arc};

use crate::{broker::Broker, installation::RabbitVersion, node::Epmd};

/// A server certificate chain, its key and the CA that signs clients, all PEM.
#[derive(Debug, Clone)]
pub struct TlsMaterial {
    /// Certificates that clients' certificates are checked against; also offered to clients as part of the chain.
    pub ca: String,
    /// The server's certificate.
    pub cert: String,
    /// The server's private key.
    pub key: String,
    /// Whether a client without a valid certificate is refused.
    pub require_client_cert: bool,
}

/// Settings of a [`Broker`] before it starts.
#[derive(Debug, Clone)]
pub struct BrokerBuilder {
    pub(crate) config: String,
    pub(crate) plugins: Vec<String>,
    pub(crate) tls: Option<TlsMaterial>,
    pub(crate) beside: Option<(Arc<Epmd>, String)>,
    pub(crate) schedulers: usize,
    pub(crate) version: RabbitVersion,
}

impl Default for BrokerBuilder {
    fn default() -> Self {
        Self {
            config: String::new(),
            plugins: Vec::new(),
            tls: None,
            beside: None,
            schedulers: 1,
            version: RabbitVersion::chosen(),
        }
    }
}

impl BrokerBuilder {
    /// Adds lines to `rabbitmq.conf`, for example `consumer_timeout = 1000`. A key given twice has its last value.
    #[must_use]
    pub fn config(mut self, lines: &str) -> Self {
        let _ = writeln!(self.config, "{lines}");
        self
    }

    /// Enables a plugin. Default: none.
    #[must_use]
    pub fn plugin(mut self, name: &str) -> Self {
        self.plugins.push(name.to_owned());
        self
    }

    /// Adds a TLS listener on [`Broker::tls_port`].
    #[must_use]
    pub fn tls(mut self, material: TlsMaterial) -> Self {
        self.tls = Some(material);
        self
    }

    /// Lets the node reach `other` (same epmd and cookie), so that it can [`Broker::join_cluster`] it.
    #[must_use]
    pub fn beside(mut self, other: &Broker) -> Self {
        self.beside = Some((other.epmd(), other.cookie().to_owned()));
        self
    }

    /// Sets the number of Erlang schedulers. Default 1, because many brokers share a machine; RabbitMQ's own default is one
    /// per processor.
    #[must_use]
    pub fn schedulers(mut self, schedulers: usize) -> Self {
        self.schedulers = schedulers;
        self
    }

    /// Sets the version of RabbitMQ. Default [`RabbitVersion::chosen`].
    #[must_use]
    pub fn version(mut self, version: RabbitVersion) -> Self {
        self.version = version;
        self
    }

    /// Starts the node and waits until it accepts clients, 4 to 8 s.
    ///
    /// # Panics
    ///
    /// When this version of RabbitMQ is not installed or does not start within two minutes, showing its log.
    pub async fn start(self) -> Broker {
        Broker::launch(self).await
    }
}
