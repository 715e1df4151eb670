//! What the URL says about a broker: hosts, credentials, TLS, and oslo's options of the group `oslo_messaging_amqp`.

use std::time::Duration;

use oxlo_driver_kit::{
    hosts::{Account, Host, places},
    options::{contradiction, tls as tls_options},
    tls::{MinVersion, TlsOptions},
};
use oxlo_transport::{
    TransportError, TransportUrl,
    url::{QueryReader, Secret},
};

use crate::address::{AddressOptions, Mode, Profile};

/// Everything that a connection needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) hosts: Vec<Host>,
    /// What the broker is asked for as its host name: the virtual host, unless that is part of the addresses.
    pub(crate) hostname: Option<String>,
    /// How long the peer may be silent before it counts as dead; absent: for ever.
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) container: Option<String>,
    pub(crate) tls: Option<TlsOptions>,
    pub(crate) addresses: AddressOptions,
    /// How many replies may be on their way to us.
    pub(crate) reply_credit: u32,
    /// Upper bound of an RPC listener's prefetch.
    pub(crate) server_credit: Option<u16>,
    /// Upper bound of a notification listener's prefetch.
    pub(crate) notify_credit: Option<u16>,
    /// How long a link that sends is kept without use.
    pub(crate) sender_idle: Duration,
}

const DEFAULT_PORT: u16 = 5672;
const DEFAULT_TLS_PORT: u16 = 5671;
const MODES: &[&str] = &["legacy", "routable", "dynamic"];
const PROFILES: &[&str] = &["auto", "qpid", "router", "activemq", "rabbitmq", "rabbitmq4"];
const MECHANISMS: &[&str] = &["PLAIN", "ANONYMOUS"];
const TLS_VERSIONS: &[&str] = &["TLSv1_2", "TLSv1_3"];

const RECONNECTING: &str = "reconnecting waits 100 ms to 5 s with full jitter, and is not set; remove the option";
const TIMEOUTS: &str = "each call and cast has a timeout of its own; remove the option";

/// Options of oslo that mean nothing here, and why.
const WITHOUT_MEANING: &[(&str, &str)] = &[
    ("connection_retry_interval", RECONNECTING),
    ("connection_retry_backoff", RECONNECTING),
    ("connection_retry_interval_max", RECONNECTING),
    ("link_retry_delay", RECONNECTING),
    ("default_reply_timeout", TIMEOUTS),
    ("default_reply_retry", TIMEOUTS),
    ("default_send_timeout", TIMEOUTS),
    ("default_notify_timeout", TIMEOUTS),
    ("pre_settled", "everything is confirmed by the broker; remove the option"),
    ("trace", "logging is by tracing, RUST_LOG=oxlo_driver_amqp1=trace; remove the option"),
    ("sasl_config_dir", "there is no Cyrus SASL; remove the option"),
    ("sasl_config_name", "there is no Cyrus SASL; remove the option"),
    ("sasl_default_realm", "write the realm into the user's name: user%40realm; remove the option"),
    ("ssl_key_password", "encrypted keys are not supported; decrypt the file and protect it by its permissions"),
    ("ssl_verify_vhost", "the certificate is checked for the host that is dialled; remove the option"),
];

impl Config {
    /// Reads a URL of the schemes `amqp` and `amqps`.
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
        let tls = tls(url, &mut options)?;
        let pseudo_vhost = options.bool("pseudo_vhost")?.unwrap_or(true);
        let virtual_host = url.virtual_host().filter(|name| !name.is_empty()).map(str::to_owned);
        let profile = match options.choice("address_profile", PROFILES)? {
            Some("qpid") => Some(Profile::Qpid),
            Some("router") => Some(Profile::Router),
            Some("activemq") => Some(Profile::ActiveMq),
            Some("rabbitmq") => Some(Profile::RabbitMq),
            Some("rabbitmq4") => Some(Profile::RabbitMq4),
            _ => None,
        };
        let addresses = addresses(&mut options, profile, virtual_host.clone().filter(|_| pseudo_vhost))?;
        let config = Self {
            hosts: hosts(url, &mut options, tls.is_some())?,
            hostname: virtual_host.filter(|_| !pseudo_vhost).map(|name| match profile {
                // How RabbitMQ wants to hear it.
                Some(profile) if profile.is_rabbitmq() => format!("vhost:{name}"),
                _ => name,
            }),
            idle_timeout: options
                .seconds("idle_timeout", ..=Duration::from_secs(86_400))?
                .map_or(Some(Duration::from_secs(60)), |limit| Some(limit).filter(|limit| !limit.is_zero())),
            container: options.text("container_name").filter(|name| !name.is_empty()).map(str::to_owned),
            tls,
            addresses,
            reply_credit: credit(&mut options, "reply_link_credit")?.map_or(200, u32::from),
            server_credit: credit(&mut options, "rpc_server_credit")?,
            notify_credit: credit(&mut options, "notify_server_credit")?,
            sender_idle: options
                .seconds("default_sender_link_timeout", Duration::from_secs(1)..)?
                .unwrap_or(Duration::from_secs(600)),
        };
        options.finish()?;
        Ok(config)
    }

    /// The hosts as a person should see them.
    pub(crate) fn places(&self) -> String {
        places(&self.hosts)
    }
}

/// A host without a user is entered as nobody (SASL ANONYMOUS), as all are if the mechanism says so.
fn hosts(url: &TransportUrl, options: &mut QueryReader<'_>, tls: bool) -> Result<Vec<Host>, TransportError> {
    let mechanism = options.choice("sasl_mechanisms", MECHANISMS)?;
    let default_port = if tls { DEFAULT_TLS_PORT } else { DEFAULT_PORT };
    let hosts = Host::from_url(url, default_port, |credentials| {
        let named = credentials.filter(|credentials| !credentials.user().is_empty());
        named.filter(|_| mechanism != Some("ANONYMOUS")).map(|credentials| Account {
            user: credentials.user().to_owned(),
            password: credentials.password().cloned().unwrap_or_else(|| Secret::from(String::new())),
        })
    });
    match hosts.iter().find(|host| host.account.is_none()) {
        Some(host) if mechanism == Some("PLAIN") => {
            Err(contradiction("sasl_mechanisms", &format!("PLAIN needs a user, and {} has none", host.place())))
        }
        _ => Ok(hosts),
    }
}

fn tls(url: &TransportUrl, options: &mut QueryReader<'_>) -> Result<Option<TlsOptions>, TransportError> {
    let min_version = match options.choice("ssl_version", TLS_VERSIONS)? {
        Some("TLSv1_3") => MinVersion::Tls13,
        _ => MinVersion::Tls12,
    };
    tls_options(url, options, ("amqp", "amqps"), min_version)
}

fn addresses(
    options: &mut QueryReader<'_>,
    profile: Option<Profile>,
    virtual_host: Option<String>,
) -> Result<AddressOptions, TransportError> {
    let mode = match options.choice("addressing_mode", MODES)? {
        Some("legacy") => Some(Mode::Legacy),
        Some("routable") => Some(Mode::Routable),
        _ => None,
    };
    if mode.is_some() && profile.is_some() {
        return Err(contradiction("address_profile", "it says more than addressing_mode does; remove one of the two"));
    }
    let mut text = |name| options.text(name).filter(|text| !text.is_empty()).map(str::to_owned);
    Ok(AddressOptions {
        mode,
        profile,
        server_request_prefix: text("server_request_prefix"),
        broadcast_prefix: text("broadcast_prefix"),
        group_request_prefix: text("group_request_prefix"),
        rpc_address_prefix: text("rpc_address_prefix"),
        notify_address_prefix: text("notify_address_prefix"),
        multicast_address: text("multicast_address"),
        unicast_address: text("unicast_address"),
        anycast_address: text("anycast_address"),
        default_rpc_exchange: text("default_rpc_exchange"),
        default_notification_exchange: text("default_notification_exchange"),
        virtual_host,
    })
}

fn credit(options: &mut QueryReader<'_>, name: &'static str) -> Result<Option<u16>, TransportError> {
    Ok(options.integer(name, 1..=1000)?.and_then(|number| u16::try_from(number).ok()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Config, TransportError> {
        Config::from_url(&url.parse().unwrap())
    }

    #[test]
    fn defaults() {
        let config = read("amqp://").unwrap();
        assert_eq!(config.places(), "localhost:5672");
        assert!(config.hosts[0].account.is_none() && config.tls.is_none() && config.hostname.is_none());
        assert_eq!((config.reply_credit, config.idle_timeout), (200, Some(Duration::from_secs(60))));
        let secure = read("amqps://h").unwrap();
        assert!(secure.tls.is_some() && secure.places() == "h:5671");
        assert_eq!(read("amqp://h/?idle_timeout=0").unwrap().idle_timeout, None);
    }

    #[test]
    fn hosts_without_a_user_are_entered_as_nobody() {
        let config = read("amqp://u:p@h1,h2:5673,[::1]").unwrap();
        assert_eq!(config.hosts.iter().map(Host::user).collect::<Vec<_>>(), ["u", "", ""]);
        let refused = read("amqp://u:p@h1,h2/?sasl_mechanisms=PLAIN").unwrap_err().to_string();
        assert_eq!(refused, "option `sasl_mechanisms`: PLAIN needs a user, and h2:5672 has none");
        assert!(read("amqp://u:p@h/?sasl_mechanisms=anonymous").unwrap().hosts[0].account.is_none());
    }

    #[test]
    fn the_virtual_host_is_part_of_the_addresses_or_the_host_name() {
        let config = read("amqp://h/vh").unwrap();
        assert_eq!((config.addresses.virtual_host.as_deref(), config.hostname), (Some("vh"), None));
        let config = read("amqp://h/vh?pseudo_vhost=false").unwrap();
        assert_eq!((config.addresses.virtual_host, config.hostname.as_deref()), (None, Some("vh")));
        let config = read("amqp://h/vh?pseudo_vhost=false&address_profile=rabbitmq").unwrap();
        assert_eq!(config.hostname.as_deref(), Some("vhost:vh"));
    }

    #[test]
    fn what_means_nothing_here_says_why() {
        for (name, reason) in WITHOUT_MEANING {
            let refused = read(&format!("amqp://h/?{name}=1")).unwrap_err();
            assert_eq!(refused.to_string(), format!("option `{name}`: {reason}"));
        }
    }

    #[test]
    fn contradictions_and_unknown_names_are_refused() {
        assert!(read("amqp://h/?addressing_mode=legacy&address_profile=router").is_err());
        assert!(read("amqp://h/?rpc_server_credit=0").is_err());
        assert!(read("amqp://h/?addressing_mode=guess").is_err());
        assert!(read("amqp://h/?heartbeat=5").is_err());
    }
}
