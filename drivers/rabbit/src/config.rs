//! What the URL says about a broker: hosts, credentials, TLS, and oslo's options of the group `oslo_messaging_rabbit`.

use std::{path::PathBuf, time::Duration};

use oxlo_transport::{
    TransportError, TransportUrl,
    parts::supervisor::Failover,
    url::{QueryReader, Secret},
};

use crate::{
    stream::tls::{MinVersion, TlsOptions},
    topology::{Quorum, TopologyOptions},
};

/// Everything that a connection needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) hosts: Vec<Host>,
    pub(crate) virtual_host: String,
    /// Seconds after which a silent peer counts as dead; 0 switches heartbeats off.
    pub(crate) heartbeat: u16,
    pub(crate) tls: Option<TlsOptions>,
    pub(crate) login: Login,
    pub(crate) failover: Failover,
    pub(crate) topology: TopologyOptions,
    /// Whether bodies that are sent are compressed, as kombu's `gzip` does it.
    pub(crate) compress: bool,
    /// Upper bound of a listener's prefetch.
    pub(crate) prefetch: Option<u16>,
    /// How long a reply to a queue that does not exist is tried again.
    pub(crate) missing_queue_retry: Duration,
    /// Whether a reply to a queue that does not exist is noticed at all.
    pub(crate) mandatory_replies: bool,
    pub(crate) cancel_on_failover: bool,
}

/// One broker of the list, and who we are there.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: Secret,
}

impl Host {
    /// As a person should see it.
    pub(crate) fn place(&self) -> String {
        if self.name.contains(':') {
            format!("[{}]:{}", self.name, self.port)
        } else {
            format!("{}:{}", self.name, self.port)
        }
    }
}

/// How we say who we are: `rabbit_login_method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    AmqPlain,
    Plain,
    External,
}

const DEFAULT_PORT: u16 = 5672;
const GUEST: &str = "guest";
const LOGIN_METHODS: &[&str] = &["AMQPLAIN", "PLAIN", "EXTERNAL"];
const FAILOVERS: &[&str] = &["round-robin", "shuffle"];
const COMPRESSIONS: &[&str] = &["gzip"];
const TLS_VERSIONS: &[&str] = &["TLSv1_2", "TLSv1_3"];

/// Options of oslo that mean nothing here, and why.
const WITHOUT_MEANING: &[(&str, &str)] = &[
    ("rpc_conn_pool_size", "there is no pool: one connection sends for any number of tasks; remove the option"),
    ("conn_pool_min_size", "there is no pool: one connection sends for any number of tasks; remove the option"),
    ("conn_pool_ttl", "there is no pool: one connection sends for any number of tasks; remove the option"),
    ("kombu_reconnect_delay", "reconnecting waits 100 ms to 5 s with full jitter, and is not set; remove the option"),
    ("kombu_reconnect_splay", "reconnecting waits 100 ms to 5 s with full jitter, and is not set; remove the option"),
    ("rabbit_retry_interval", "reconnecting waits 100 ms to 5 s with full jitter, and is not set; remove the option"),
    ("rabbit_retry_backoff", "reconnecting waits 100 ms to 5 s with full jitter, and is not set; remove the option"),
    ("rabbit_interval_max", "reconnecting waits 100 ms to 5 s with full jitter, and is not set; remove the option"),
    ("heartbeat_rate", "a heartbeat is sent twice per heartbeat_timeout_threshold; remove the option"),
    ("ssl_enforce_hostname_verification", "the host name is always verified; remove the option"),
    ("ssl_enforce_fips_mode", "the cryptography is ring's, which has no FIPS mode; remove the option"),
    ("rabbit_stream_fanout", "fanout through streams is not there yet; remove the option"),
    ("use_queue_manager", "stable queue names are not there yet; remove the option"),
    ("hostname", "it only names queues under use_queue_manager, which is not there yet; remove the option"),
    ("processname", "it only names queues under use_queue_manager, which is not there yet; remove the option"),
];

impl Config {
    /// Reads a URL of the schemes `rabbit`, `rabbits` and `kombu`.
    ///
    /// # Errors
    ///
    /// [`TransportError`] naming the option that is unknown, has a bad value, contradicts another, or means nothing here.
    pub(crate) fn from_url(url: &TransportUrl) -> Result<Self, TransportError> {
        let mut options = url.options();
        for (name, reason) in WITHOUT_MEANING {
            if options.text(name).is_some() {
                return Err(contradiction(name, reason));
            }
        }
        let config = Self {
            hosts: hosts(url),
            virtual_host: url.virtual_host().unwrap_or("/").to_owned(),
            heartbeat: integer(&mut options, "heartbeat_timeout_threshold", u16::MAX)?.unwrap_or(60),
            tls: tls(url, &mut options)?,
            login: match options.choice("rabbit_login_method", LOGIN_METHODS)? {
                Some("PLAIN") => Login::Plain,
                Some("EXTERNAL") => Login::External,
                _ => Login::AmqPlain,
            },
            failover: match options.choice("kombu_failover_strategy", FAILOVERS)? {
                Some("shuffle") => Failover::Shuffle,
                _ => Failover::RoundRobin,
            },
            topology: topology(&mut options)?,
            compress: options.choice("kombu_compression", COMPRESSIONS)?.is_some(),
            prefetch: integer(&mut options, "rabbit_qos_prefetch_count", u16::MAX)?.filter(|prefetch| *prefetch > 0),
            missing_queue_retry: options
                .seconds("kombu_missing_consumer_retry_timeout", ..)?
                .unwrap_or(Duration::from_secs(60)),
            mandatory_replies: options.bool("direct_mandatory_flag")?.unwrap_or(true),
            cancel_on_failover: options.bool("enable_cancel_on_failover")?.unwrap_or(false),
        };
        options.finish()?;
        Ok(config)
    }

    /// The hosts as a person should see them.
    pub(crate) fn places(&self) -> String {
        self.hosts.iter().map(Host::place).collect::<Vec<_>>().join(", ")
    }
}

/// Hosts without credentials get `guest`, as kombu gives them; credentials are never inherited from another host.
fn hosts(url: &TransportUrl) -> Vec<Host> {
    let guest = || Host {
        name: "localhost".to_owned(),
        port: DEFAULT_PORT,
        user: GUEST.to_owned(),
        password: Secret::from(GUEST.to_owned()),
    };
    if url.hosts().is_empty() {
        return vec![guest()];
    }
    url.hosts()
        .iter()
        .map(|host| {
            let credentials = host.credentials();
            let user = credentials.map(|credentials| credentials.user()).filter(|user| !user.is_empty());
            let password =
                credentials.and_then(|credentials| credentials.password()).filter(|p| !p.expose().is_empty());
            Host {
                name: if host.name().is_empty() { "localhost".to_owned() } else { host.name().to_owned() },
                port: host.port().unwrap_or(DEFAULT_PORT),
                user: user.unwrap_or(GUEST).to_owned(),
                password: password.cloned().unwrap_or_else(|| Secret::from(GUEST.to_owned())),
            }
        })
        .collect()
}

fn tls(url: &TransportUrl, options: &mut QueryReader<'_>) -> Result<Option<TlsOptions>, TransportError> {
    let asked = options.bool("ssl")?;
    let files = TlsOptions {
        ca_file: path(options, "ssl_ca_file"),
        cert_file: path(options, "ssl_cert_file"),
        key_file: path(options, "ssl_key_file"),
        min_version: match options.choice("ssl_version", TLS_VERSIONS)? {
            Some("TLSv1_3") => MinVersion::Tls13,
            _ => MinVersion::Tls12,
        },
    };
    if url.scheme() == "rabbits" {
        return match asked {
            Some(false) => {
                Err(contradiction("ssl", "it is off, but the scheme rabbits:// asks for TLS; use rabbit://"))
            }
            _ => Ok(Some(files)),
        };
    }
    if asked == Some(true) {
        return Ok(Some(files));
    }
    for (name, given) in
        [("ssl_ca_file", &files.ca_file), ("ssl_cert_file", &files.cert_file), ("ssl_key_file", &files.key_file)]
    {
        if given.is_some() {
            return Err(contradiction(name, "it is set, but ssl is off; add ssl=true or use rabbits://"));
        }
    }
    Ok(None)
}

fn topology(options: &mut QueryReader<'_>) -> Result<TopologyOptions, TransportError> {
    let quorum = options.bool("rabbit_quorum_queue")?.unwrap_or(false);
    let limits = Quorum {
        delivery_limit: integer(options, "rabbit_quorum_delivery_limit", i32::MAX)?.unwrap_or(0),
        max_memory_length: integer(options, "rabbit_quorum_max_memory_length", i32::MAX)?.unwrap_or(0),
        max_memory_bytes: integer(options, "rabbit_quorum_max_memory_bytes", i32::MAX)?.unwrap_or(0),
    };
    let topology = TopologyOptions {
        durable: options.bool("amqp_durable_queues")?.unwrap_or(false),
        auto_delete: options.bool("amqp_auto_delete")?.unwrap_or(false),
        highly_available: options.bool("rabbit_ha_queues")?.unwrap_or(false),
        quorum: quorum.then_some(limits),
        transient_quorum: options.bool("rabbit_transient_quorum_queue")?.unwrap_or(false),
        transient_ttl: options
            .seconds("rabbit_transient_queues_ttl", ..=Duration::from_millis(i32::MAX as u64))?
            .unwrap_or(Duration::from_secs(1800)),
    };
    if topology.highly_available && (quorum || topology.transient_quorum) {
        return Err(contradiction("rabbit_ha_queues", "it excludes quorum queues; turn one of the two off"));
    }
    if topology.auto_delete && quorum {
        return Err(contradiction("amqp_auto_delete", "a quorum queue cannot delete itself; turn one of the two off"));
    }
    Ok(topology)
}

fn integer<N: TryFrom<i64> + Into<i64>>(
    options: &mut QueryReader<'_>,
    name: &'static str,
    most: N,
) -> Result<Option<N>, TransportError> {
    Ok(options.integer(name, 0..=most.into())?.and_then(|number| N::try_from(number).ok()))
}

fn path(options: &mut QueryReader<'_>, name: &'static str) -> Option<PathBuf> {
    options.text(name).filter(|text| !text.is_empty()).map(PathBuf::from)
}

fn contradiction(option: &str, reason: &str) -> TransportError {
    TransportError::Config { option: option.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Config, TransportError> {
        Config::from_url(&url.parse().unwrap())
    }

    #[test]
    fn defaults_are_oslos() {
        let config = read("rabbit://").unwrap();
        assert_eq!(config.places(), "localhost:5672");
        assert_eq!((config.hosts[0].user.as_str(), config.hosts[0].password.expose()), ("guest", "guest"));
        assert_eq!((config.virtual_host.as_str(), config.heartbeat), ("/", 60));
        assert_eq!((config.login, config.failover), (Login::AmqPlain, Failover::RoundRobin));
        assert!(config.tls.is_none() && !config.compress && config.mandatory_replies && config.prefetch.is_none());
        assert_eq!(config.topology.transient_ttl, Duration::from_secs(1800));
    }

    #[test]
    fn credentials_are_not_inherited() {
        let config = read("rabbit://u:p@h1,h2:5673,[::1]/vh").unwrap();
        let users: Vec<_> = config.hosts.iter().map(|host| host.user.as_str()).collect();
        assert_eq!(users, ["u", "guest", "guest"]);
        assert_eq!(config.places(), "h1:5672, h2:5673, [::1]:5672");
        assert_eq!(config.virtual_host, "vh");
    }

    #[test]
    fn tls_is_asked_for_by_scheme_or_option() {
        assert!(read("rabbits://h").unwrap().tls.is_some());
        assert!(read("rabbit://h/?ssl=true").unwrap().tls.is_some());
        assert_eq!(read("rabbit://h/?ssl=1").unwrap().hosts[0].port, 5672, "oslo's default port is the same with TLS");
        for (url, wanted) in [
            (
                "rabbits://h/?ssl=false",
                "option `ssl`: it is off, but the scheme rabbits:// asks for TLS; use rabbit://",
            ),
            (
                "rabbit://h/?ssl_ca_file=/ca.pem",
                "option `ssl_ca_file`: it is set, but ssl is off; add ssl=true or use rabbits://",
            ),
        ] {
            assert_eq!(read(url).unwrap_err().to_string(), wanted);
        }
    }

    #[test]
    fn what_means_nothing_here_says_why() {
        for (name, reason) in WITHOUT_MEANING {
            let refused = read(&format!("rabbit://h/?{name}=1")).unwrap_err();
            assert_eq!(refused.to_string(), format!("option `{name}`: {reason}"));
        }
    }

    #[test]
    fn contradictions_and_unknown_names_are_refused() {
        assert!(read("rabbit://h/?rabbit_ha_queues=1&rabbit_quorum_queue=1").is_err());
        assert!(read("rabbit://h/?amqp_auto_delete=1&rabbit_quorum_queue=1").is_err());
        assert!(read("rabbit://h/?heartbeat_timeout_threshold=many").is_err());
        assert!(read("rabbit://h/?heartbeat_timeout_threshold=70000").is_err());
        let unknown = read("rabbit://h/?heartbeat=5").unwrap_err().to_string();
        assert!(unknown.contains("\"heartbeat\""), "{unknown}");
    }

    #[test]
    fn passwords_are_not_printed() {
        let config = read("rabbit://u:tooth-fairy@h").unwrap();
        assert!(!format!("{config:?}").contains("tooth-fairy"));
    }
}
