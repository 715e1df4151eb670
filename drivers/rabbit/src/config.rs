//! What the URL says about a broker: hosts, credentials, TLS, and oslo's options of the group `oslo_messaging_rabbit`.

use std::time::Duration;

use oxlo_driver_kit::{
    hosts::{Account, Host, places},
    link::Pace,
    options::{contradiction, tls as tls_options},
    supervisor::Failover,
    tls::{MinVersion, TlsOptions},
};
use oxlo_transport::{
    TransportError, TransportUrl,
    backoff::Backoff,
    url::{Credentials, QueryReader, Secret},
};

use crate::{
    builder::LoginMethod,
    options,
    properties::CompressionAlgorithm,
    queue_name,
    topology::{Mismatch, Quorum, TopologyOptions},
};

/// Everything that a connection needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) hosts: Vec<Host>,
    pub(crate) virtual_host: String,
    /// Seconds after which a silent peer counts as dead; 0 switches heartbeats off.
    pub(crate) heartbeat: u16,
    pub(crate) tls: Option<TlsOptions>,
    pub(crate) login: LoginMethod,
    pub(crate) failover: Failover,
    pub(crate) topology: TopologyOptions,
    /// How reconnecting is paced.
    pub(crate) pace: Pace,
    /// Host and process that queues are named after, in place of random names.
    pub(crate) stable_names: Option<StableNames>,
    /// How bodies that are sent are packed.
    pub(crate) compress: Option<CompressionAlgorithm>,
    /// Upper bound of a listener's prefetch.
    pub(crate) prefetch: Option<u16>,
    /// How long a reply to a queue that does not exist is tried again.
    pub(crate) missing_queue_retry: Duration,
    /// Whether a reply to a queue that does not exist is noticed at all.
    pub(crate) mandatory_replies: bool,
    pub(crate) cancel_on_failover: bool,
    /// The pause between two checks that messages still reach a listener's queues.
    pub(crate) self_check: Option<Duration>,
}

/// `hostname` and `processname`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StableNames {
    pub(crate) host: String,
    pub(crate) process: String,
}

const DEFAULT_PORT: u16 = 5672;
const SELF_CHECK: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
const GUEST: &str = "guest";
const LOGIN_METHODS: &[&str] = &["AMQPLAIN", "PLAIN", "EXTERNAL"];
const MISMATCHES: &[&str] = &["fail", "adopt"];
const FAILOVERS: &[&str] = &["round-robin", "shuffle"];
/// kombu's names. What it can do beside these (lzma, brotli, zstd) is not there on every receiver either.
const COMPRESSIONS: &[&str] = &["gzip", "zlib", "bzip2", "bzip", "bz2"];
const TLS_VERSIONS: &[&str] = &["SSLv23", "TLSv1_2", "TLSv1_3", ""];

impl Config {
    /// Reads a URL of the schemes `rabbit`, `rabbits` and `kombu`.
    ///
    /// # Errors
    ///
    /// [`TransportError`] naming the option that is unknown, has a bad value, contradicts another, or means nothing here.
    pub(crate) fn from_url(url: &TransportUrl) -> Result<Self, TransportError> {
        let mut options = url.options();
        if let Some((name, reason)) = url.query().find_map(|(name, _)| Some((name, options::refusal(name)?))) {
            return Err(contradiction(name, reason));
        }
        let prefetch = integer(&mut options, "rabbit_qos_prefetch_count", u16::MAX)?.filter(|prefetch| *prefetch > 0);
        let config = Self {
            hosts: Host::from_url(url, DEFAULT_PORT, |credentials| Some(account(credentials))),
            virtual_host: url.virtual_host().unwrap_or("/").to_owned(),
            heartbeat: heartbeat(&mut options)?,
            pace: pace(&mut options)?,
            tls: tls(url, &mut options)?,
            login: match options.choice("rabbit_login_method", LOGIN_METHODS)? {
                Some("PLAIN") => LoginMethod::Plain,
                Some("EXTERNAL") => LoginMethod::External,
                _ => LoginMethod::AmqPlain,
            },
            failover: match options.choice("kombu_failover_strategy", FAILOVERS)? {
                Some("shuffle") => Failover::Shuffle,
                _ => Failover::RoundRobin,
            },
            topology: topology(&mut options, prefetch)?,
            stable_names: stable_names(&mut options)?,
            compress: match options.choice("kombu_compression", COMPRESSIONS)? {
                Some("bzip2" | "bzip" | "bz2") => Some(CompressionAlgorithm::Bzip2),
                Some(_) => Some(CompressionAlgorithm::Zlib),
                None => None,
            },
            prefetch,
            missing_queue_retry: missing_queue_retry(&mut options)?,
            mandatory_replies: options.bool("direct_mandatory_flag")?.unwrap_or(true),
            cancel_on_failover: options.bool("enable_cancel_on_failover")?.unwrap_or(false),
            self_check: Some(options.seconds("self_check_interval", ..=DAY)?.unwrap_or(SELF_CHECK))
                .filter(|every| !every.is_zero()),
        };
        options.finish()?;
        Ok(config)
    }

    /// The hosts as a person should see them.
    pub(crate) fn places(&self) -> String {
        places(&self.hosts)
    }
}

/// A host without credentials gets `guest`, as kombu gives it.
fn account(credentials: Option<&Credentials>) -> Account {
    let user = credentials.map(Credentials::user).filter(|user| !user.is_empty());
    let password = credentials.and_then(Credentials::password).filter(|password| !password.expose().is_empty());
    Account {
        user: user.unwrap_or(GUEST).to_owned(),
        password: password.cloned().unwrap_or_else(|| Secret::from(GUEST.to_owned())),
    }
}

fn tls_version(options: &mut QueryReader<'_>) -> Result<Option<&'static str>, TransportError> {
    // Looked at before the reader is asked, because its answer would not say that these are names of something old.
    let mut peek = options.clone();
    match peek.text("ssl_version") {
        Some(old @ ("TLSv1" | "TLSv1_1" | "SSLv2" | "SSLv3")) => Err(contradiction(
            "ssl_version",
            &format!("{old} is broken and is not spoken; use TLSv1_2 or leave it out"),
        )),
        _ => Ok(options.choice("ssl_version", TLS_VERSIONS)?),
    }
}

fn tls(url: &TransportUrl, options: &mut QueryReader<'_>) -> Result<Option<TlsOptions>, TransportError> {
    let min_version = match tls_version(options)? {
        Some("TLSv1_3") => MinVersion::Tls13,
        _ => MinVersion::Tls12,
    };
    tls_options(url, options, ("rabbit", "rabbits"), min_version)
}

/// The heartbeat to agree on with the broker: a heartbeat is sent twice in that time.
fn heartbeat(options: &mut QueryReader<'_>) -> Result<u16, TransportError> {
    let threshold: u16 = integer(options, "heartbeat_timeout_threshold", u16::MAX)?.unwrap_or(60);
    let rate = options.integer("heartbeat_rate", 1..=100)?.unwrap_or(2);
    if threshold == 0 || rate <= 2 {
        return Ok(threshold);
    }
    let agreed = i64::from(threshold) * 2 / rate;
    if agreed == 0 {
        return Err(contradiction(
            "heartbeat_rate",
            "the broker counts heartbeats in whole seconds, and more than two per second are asked for; lower it, or \
             raise heartbeat_timeout_threshold",
        ));
    }
    Ok(u16::try_from(agreed).unwrap_or(threshold))
}

fn pace(options: &mut QueryReader<'_>) -> Result<Pace, TransportError> {
    let positive = (std::ops::Bound::Excluded(Duration::ZERO), std::ops::Bound::Unbounded);
    let first = options.seconds("rabbit_retry_interval", positive)?;
    let most = options.seconds("rabbit_interval_max", positive)?;
    if let (Some(first), Some(most)) = (first, most)
        && first > most
    {
        return Err(contradiction("rabbit_retry_interval", "it is above rabbit_interval_max; lower it"));
    }
    let base = first.unwrap_or(Backoff::BASE);
    let cap = most.unwrap_or(Backoff::CAP);
    Ok(Pace {
        delay: options.seconds("kombu_reconnect_delay", ..=Duration::from_millis(4500))?.unwrap_or_default(),
        splay: options.seconds("kombu_reconnect_splay", ..=Duration::from_secs(60))?.unwrap_or_default(),
        backoff: Backoff::new(base.min(most.unwrap_or(base)), cap.max(first.unwrap_or(cap))),
    })
}

fn missing_queue_retry(options: &mut QueryReader<'_>) -> Result<Duration, TransportError> {
    let retry = options.seconds("kombu_missing_consumer_retry_timeout", ..)?;
    match (retry, options.seconds("kombu_reconnect_timeout", ..)?) {
        (Some(_), Some(_)) => Err(contradiction(
            "kombu_reconnect_timeout",
            "it is the old name of kombu_missing_consumer_retry_timeout, which is set as well; keep one",
        )),
        (retry, old) => Ok(retry.or(old).unwrap_or(Duration::from_secs(60))),
    }
}

fn stable_names(options: &mut QueryReader<'_>) -> Result<Option<StableNames>, TransportError> {
    let wanted = options.bool("use_queue_manager")?.unwrap_or(false);
    let (host, process) = (options.text("hostname"), options.text("processname"));
    if !wanted {
        return match (host, process) {
            (None, None) => Ok(None),
            (host, _) => {
                let name = if host.is_some() { "hostname" } else { "processname" };
                Err(contradiction(name, "it only names queues under use_queue_manager, which is off; add it"))
            }
        };
    }
    let host = host.map_or_else(queue_name::host, str::to_owned);
    let process = process.map_or_else(queue_name::process, str::to_owned);
    for (name, text) in [("hostname", &host), ("processname", &process)] {
        if !queue_name::is_usable(text) {
            let reason =
                "it becomes part of queue names, so it needs 1 to 64 of the characters A-Z a-z 0-9 . - _; set it";
            return Err(contradiction(name, reason));
        }
    }
    Ok(Some(StableNames { host, process }))
}

fn topology(options: &mut QueryReader<'_>, prefetch: Option<u16>) -> Result<TopologyOptions, TransportError> {
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
        transient_quorum: options.bool("rabbit_transient_quorum_queue")?.unwrap_or(false).then_some(limits),
        transient_ttl: options
            .seconds("rabbit_transient_queues_ttl", ..=Duration::from_millis(i32::MAX as u64))?
            .unwrap_or(Duration::from_secs(1800)),
        stream_fanout: options.bool("rabbit_stream_fanout")?.unwrap_or(false),
        mismatch: match options.choice("on_declare_mismatch", MISMATCHES)? {
            Some("adopt") => Mismatch::Adopt(std::sync::Arc::default()),
            _ => Mismatch::Fail,
        },
    };
    if topology.stream_fanout && prefetch.is_none() {
        let reason = "the broker hands a stream out by credit; set rabbit_qos_prefetch_count above 0";
        return Err(contradiction("rabbit_stream_fanout", reason));
    }
    if topology.stream_fanout && topology.transient_quorum.is_none() {
        let reason = "as in oslo, it needs rabbit_transient_quorum_queue; add it";
        return Err(contradiction("rabbit_stream_fanout", reason));
    }
    if topology.highly_available && (quorum || topology.transient_quorum.is_some()) {
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
        let guest = config.hosts[0].account.as_ref().unwrap();
        assert_eq!((guest.user.as_str(), guest.password.expose()), ("guest", "guest"));
        assert_eq!((config.virtual_host.as_str(), config.heartbeat), ("/", 60));
        assert_eq!((config.login, config.failover), (LoginMethod::AmqPlain, Failover::RoundRobin));
        assert!(
            config.tls.is_none() && config.compress.is_none() && config.mandatory_replies && config.prefetch.is_none()
        );
        assert_eq!(config.topology.transient_ttl, Duration::from_secs(1800));
    }

    #[test]
    fn hosts_without_credentials_are_entered_as_guest() {
        let config = read("rabbit://u:p@h1,h2:5673,[::1]/vh").unwrap();
        assert_eq!(config.hosts.iter().map(Host::user).collect::<Vec<_>>(), ["u", "guest", "guest"]);
        assert_eq!(config.virtual_host, "vh");
    }

    #[test]
    fn tls_is_asked_for_by_scheme_or_option() {
        assert!(read("rabbits://h").unwrap().tls.is_some());
        let config = read("rabbit://h/?ssl=1").unwrap();
        assert!(config.tls.is_some());
        assert_eq!(config.hosts[0].port, 5672, "oslo's default port is the same with TLS");
    }

    #[test]
    fn reconnecting_is_paced_as_set() {
        assert_eq!(read("rabbit://").unwrap().pace.backoff, Backoff::default());
        let slow =
            read("rabbit://h/?kombu_reconnect_delay=0.5&kombu_reconnect_splay=2&rabbit_retry_interval=1").unwrap();
        assert_eq!((slow.pace.delay, slow.pace.splay), (Duration::from_millis(500), Duration::from_secs(2)));
        assert_eq!(slow.pace.backoff, Backoff::new(Duration::from_secs(1), Backoff::CAP));
        let short = read("rabbit://h/?rabbit_interval_max=0.05").unwrap();
        assert_eq!(short.pace.backoff, Backoff::new(Duration::from_millis(50), Duration::from_millis(50)));
    }

    #[test]
    fn a_rate_of_heartbeats_shortens_what_is_agreed_on() {
        let agreed = |query: &str| read(&format!("rabbit://h/?{query}")).map(|config| config.heartbeat);
        assert_eq!(agreed("heartbeat_rate=3").unwrap(), 40);
        assert_eq!(agreed("heartbeat_rate=2&heartbeat_timeout_threshold=30").unwrap(), 30);
        assert_eq!(agreed("heartbeat_rate=1").unwrap(), 60);
        assert_eq!(agreed("heartbeat_rate=9&heartbeat_timeout_threshold=0").unwrap(), 0);
        assert!(agreed("heartbeat_rate=9&heartbeat_timeout_threshold=2").unwrap_err().to_string().contains("lower it"));
        assert!(agreed("heartbeat_rate=0").is_err());
    }

    #[test]
    fn stable_names_are_of_host_and_process() {
        let named = read("rabbit://h/?use_queue_manager=1&hostname=node-7&processname=nova").unwrap();
        assert_eq!(named.stable_names, Some(StableNames { host: "node-7".into(), process: "nova".into() }));
        assert!(read("rabbit://h/?use_queue_manager=1").unwrap().stable_names.is_some());
        for (query, part) in [
            ("hostname=node-7", "option `hostname`: it only names queues under use_queue_manager"),
            ("use_queue_manager=1&processname=a/b", "option `processname`: it becomes part of queue names"),
            ("kombu_reconnect_timeout=1&kombu_missing_consumer_retry_timeout=1", "keep one"),
            ("rabbit_stream_fanout=1&rabbit_transient_quorum_queue=1", "set rabbit_qos_prefetch_count above 0"),
            ("rabbit_stream_fanout=1&rabbit_qos_prefetch_count=9", "it needs rabbit_transient_quorum_queue"),
            ("rabbit_retry_interval=9&rabbit_interval_max=1", "it is above rabbit_interval_max"),
            ("ssl=1&ssl_version=TLSv1_1", "TLSv1_1 is broken"),
            ("kombu_compression=zstd", "one of gzip, zlib, bzip2"),
            ("on_declare_mismatch=replace", "one of fail, adopt"),
        ] {
            let refused = read(&format!("rabbit://h/?{query}")).unwrap_err().to_string();
            assert!(refused.contains(part), "{query}: {refused}");
        }
        assert!(read("rabbit://h/?ssl=1&ssl_version=SSLv23").unwrap().tls.is_some());
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
}
