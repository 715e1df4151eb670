//! The options of a RabbitMQ transport, with their types.

use std::{fmt::Display, path::Path, time::Duration};

/// How this program says who it is to the broker: `rabbit_login_method`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginMethod {
    /// RabbitMQ's own form of user and password, oslo's default.
    #[default]
    AmqPlain,
    /// SASL PLAIN: user and password.
    Plain,
    /// SASL EXTERNAL: by the client certificate.
    External,
}

/// In which order hosts are tried: `kombu_failover_strategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailoverStrategy {
    /// Always the same order.
    #[default]
    RoundRobin,
    /// A new order for each round.
    Shuffle,
}

/// How bodies that are sent are packed: `kombu_compression`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// What kombu calls gzip: a zlib stream.
    Gzip,
    /// bzip2.
    Bzip2,
}

/// What becomes of a queue or an exchange that is there with other properties: `on_declare_mismatch`. Nothing is ever
/// deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeclareMismatch {
    /// An error that names the object, both values and what to do.
    #[default]
    Fail,
    /// It is used as it is, and a warning says what differs.
    Adopt,
}

/// The oldest TLS version to accept: `ssl_version`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 and newer.
    #[default]
    Tls12,
    /// TLS 1.3 only.
    Tls13,
}

/// Options of a RabbitMQ transport, named as in oslo's group `oslo_messaging_rabbit` without its prefixes; for
/// [`TransportBuilder::options`](oxlo_transport::TransportBuilder::options). What is not set keeps what the URL says, or
/// the default; what is set wins over the URL. Values are checked when the transport connects.
///
/// ```
/// use oxlo_driver_rabbit::{RabbitDriver, RabbitOptions};
/// use oxlo_transport::Registry;
///
/// let options = RabbitOptions::new().quorum_queues(true).prefetch(50).heartbeat_timeout(30);
/// let builder = Registry::new().with(RabbitDriver).transport("rabbit://mq1/prod").options(options);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until a builder has them"]
pub struct RabbitOptions(Vec<(&'static str, String)>);

impl RabbitOptions {
    /// No options set.
    pub fn new() -> Self {
        Self::default()
    }

    fn set(mut self, name: &'static str, value: impl Display) -> Self {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value.to_string()));
        self
    }
}

impl IntoIterator for RabbitOptions {
    type Item = (&'static str, String);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    /// Names and values as they would stand in the URL.
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

macro_rules! setters {
    ($($(#[$doc:meta])* $method:ident($argument:ident: $kind:ty) -> $option:literal = $value:expr;)+) => {
        /// Each option's name, and the method that sets it.
        pub(crate) const SETTERS: &[(&str, &str)] = &[$(($option, stringify!($method))),+];

        impl RabbitOptions {
            $(
                $(#[$doc])*
                #[doc = concat!("\n\nOption `", $option, "`; see `docs/options.md` for its range and default.")]
                pub fn $method(self, $argument: $kind) -> Self {
                    self.set($option, $value)
                }
            )+
        }
    };
}

setters! {
    /// Whether queues and exchanges survive a restart of the broker.
    durable_queues(on: bool) -> "amqp_durable_queues" = on;
    /// Whether shared queues and exchanges go with their last user. Excludes quorum queues.
    auto_delete(on: bool) -> "amqp_auto_delete" = on;
    /// Whether TLS is spoken.
    tls(on: bool) -> "ssl" = on;
    /// Sets the oldest TLS version to accept.
    tls_version(oldest: TlsVersion) -> "ssl_version" = match oldest {
        TlsVersion::Tls12 => "TLSv1_2",
        TlsVersion::Tls13 => "TLSv1_3",
    };
    /// Sets the PEM file with the key of our certificate.
    tls_key_file(path: impl AsRef<Path>) -> "ssl_key_file" = path.as_ref().display();
    /// Sets the PEM file with our certificate.
    tls_cert_file(path: impl AsRef<Path>) -> "ssl_cert_file" = path.as_ref().display();
    /// Sets the PEM file with the authorities to trust instead of the system's.
    tls_ca_file(path: impl AsRef<Path>) -> "ssl_ca_file" = path.as_ref().display();
    /// Sets a pause before every attempt to reconnect, at most 4.5 s.
    reconnect_delay(pause: Duration) -> "kombu_reconnect_delay" = pause.as_secs_f64();
    /// Sets how much is added to that pause at most, drawn anew each time; at most 60 s.
    reconnect_splay(most: Duration) -> "kombu_reconnect_splay" = most.as_secs_f64();
    /// Sets how bodies that are sent are packed.
    compression(kind: Compression) -> "kombu_compression" = match kind {
        Compression::Gzip => "gzip",
        Compression::Bzip2 => "bzip2",
    };
    /// Sets how long a reply to a queue that is gone is tried again.
    missing_reply_queue_retry(limit: Duration) -> "kombu_missing_consumer_retry_timeout" = limit.as_secs_f64();
    /// Sets in which order hosts are tried.
    failover(strategy: FailoverStrategy) -> "kombu_failover_strategy" = match strategy {
        FailoverStrategy::RoundRobin => "round-robin",
        FailoverStrategy::Shuffle => "shuffle",
    };
    /// Sets how we say who we are.
    login(method: LoginMethod) -> "rabbit_login_method" = match method {
        LoginMethod::AmqPlain => "AMQPLAIN",
        LoginMethod::Plain => "PLAIN",
        LoginMethod::External => "EXTERNAL",
    };
    /// Sets the upper bound of the first pause between rounds through the hosts.
    retry_interval(first: Duration) -> "rabbit_retry_interval" = first.as_secs_f64();
    /// Sets the upper bound of every such pause.
    retry_interval_max(most: Duration) -> "rabbit_interval_max" = most.as_secs_f64();
    /// Whether queues are mirrored (`x-ha-policy`). Excludes quorum queues.
    ha_queues(on: bool) -> "rabbit_ha_queues" = on;
    /// Whether shared queues are quorum queues.
    quorum_queues(on: bool) -> "rabbit_quorum_queue" = on;
    /// Whether fanout and reply queues are quorum queues.
    transient_quorum_queues(on: bool) -> "rabbit_transient_quorum_queue" = on;
    /// Sets after how many deliveries a quorum queue drops or dead-letters a message; 0 leaves the broker's own limit.
    quorum_delivery_limit(deliveries: u32) -> "rabbit_quorum_delivery_limit" = deliveries;
    /// Sets how many messages a quorum queue keeps in memory; 0 leaves the broker's own limit.
    quorum_max_memory_length(messages: u32) -> "rabbit_quorum_max_memory_length" = messages;
    /// Sets how many bytes a quorum queue keeps in memory; 0 leaves the broker's own limit.
    quorum_max_memory_bytes(bytes: u32) -> "rabbit_quorum_max_memory_bytes" = bytes;
    /// Sets how long unused fanout and reply queues live; zero: for ever.
    transient_queues_ttl(ttl: Duration) -> "rabbit_transient_queues_ttl" = ttl.as_secs_f64();
    /// Sets the upper bound of every listener's prefetch; 0: none.
    prefetch(messages: u16) -> "rabbit_qos_prefetch_count" = messages;
    /// Sets the seconds after which a silent peer counts as dead; 0 switches heartbeats off.
    heartbeat_timeout(seconds: u16) -> "heartbeat_timeout_threshold" = seconds;
    /// Sets how many heartbeats are sent within that time.
    heartbeat_rate(times: u16) -> "heartbeat_rate" = times;
    /// Whether a reply to a queue that is gone is noticed and tried again.
    mandatory_replies(on: bool) -> "direct_mandatory_flag" = on;
    /// Whether consumers are cancelled when a mirrored queue fails over.
    cancel_on_failover(on: bool) -> "enable_cancel_on_failover" = on;
    /// Whether fanout and reply queues have stable names, of host, process and number.
    stable_queue_names(on: bool) -> "use_queue_manager" = on;
    /// Sets the host's part of stable names.
    host_name(name: impl AsRef<str>) -> "hostname" = name.as_ref();
    /// Sets the process's part of stable names.
    process_name(name: impl AsRef<str>) -> "processname" = name.as_ref();
    /// Whether fanout goes through one stream per topic. Needs a prefetch and transient quorum queues.
    stream_fanout(on: bool) -> "rabbit_stream_fanout" = on;
    /// Sets what becomes of a queue or an exchange that is there with other properties.
    on_declare_mismatch(what: DeclareMismatch) -> "on_declare_mismatch" = match what {
        DeclareMismatch::Fail => "fail",
        DeclareMismatch::Adopt => "adopt",
    };
    /// Sets the pause between two checks of a listener's exchanges and bindings; zero: no checks.
    self_check_interval(pause: Duration) -> "self_check_interval" = pause.as_secs_f64();
}

/// The method that sets an option.
pub(crate) fn setter(option: &str) -> Option<&'static str> {
    SETTERS.iter().find(|(name, _)| *name == option).map(|(_, method)| *method)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use oxlo_transport::TransportUrl;

    use super::*;
    use crate::config::Config;

    #[test]
    fn a_later_value_wins_and_all_of_them_can_be_read() {
        let options = RabbitOptions::new()
            .durable_queues(true)
            .tls(true)
            .tls_version(TlsVersion::Tls13)
            .tls_ca_file("/etc/ca.pem")
            .reconnect_delay(Duration::from_millis(500))
            .compression(Compression::Bzip2)
            .failover(FailoverStrategy::Shuffle)
            .on_declare_mismatch(DeclareMismatch::Adopt)
            .login(LoginMethod::External)
            .retry_interval(Duration::from_secs(1))
            .transient_queues_ttl(Duration::from_secs(60))
            .heartbeat_timeout(30)
            .prefetch(5)
            .prefetch(7);
        let mut url: TransportUrl = "rabbit://h/?rabbit_qos_prefetch_count=1".parse().unwrap();
        for (name, value) in options {
            url.set_option(name, value);
        }
        let config = Config::from_url(&url).unwrap();
        assert_eq!((config.prefetch, config.heartbeat), (Some(7), 30));
        assert!(config.topology.durable && config.tls.is_some());
        assert_eq!(config.topology.transient_ttl, Duration::from_secs(60));
        assert_eq!(config.pace.delay, Duration::from_millis(500));
    }
}
