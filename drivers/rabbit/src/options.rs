//! Every option of oslo's group `oslo_messaging_rabbit`, implemented or refused, and oxlo's own options. The URL, the typed builder and
//! `docs/options.md` are checked against this list.

use std::fmt::Write as _;

/// One option.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) name: &'static str,
    /// Type and range, for display.
    pub(crate) kind: &'static str,
    /// The default, with oslo's in parentheses if it differs.
    pub(crate) default: &'static str,
    pub(crate) fate: Fate,
}

/// Whether an option is implemented or refused.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// Implemented; the text is the meaning.
    Works(&'static str),
    /// Refused; the text is the reason and what to do.
    Refused(&'static str),
}
use Fate::{Refused, Works};

const fn known(name: &'static str, kind: &'static str, default: &'static str, fate: Fate) -> Known {
    Known { name, kind, default, fate }
}

const NO_POOL: &str =
    "there is no connection pool: one connection publishes for any number of tasks; remove the option";

/// The options, in oslo's order, followed by oxlo's own.
pub(crate) const OPTIONS: &[Known] = &[
    known("amqp_durable_queues", "bool", "false", Works("queues and exchanges survive a restart of the broker")),
    known(
        "amqp_auto_delete",
        "bool",
        "false",
        Works("shared queues and exchanges are deleted with their last user; excludes `rabbit_quorum_queue`"),
    ),
    known("rpc_conn_pool_size", "", "", Refused(NO_POOL)),
    known("conn_pool_min_size", "", "", Refused(NO_POOL)),
    known("conn_pool_ttl", "", "", Refused(NO_POOL)),
    known(
        "ssl",
        "bool",
        "false",
        Works("enables TLS, as does the scheme `rabbits://`. The port stays 5672 unless the URL sets another"),
    ),
    known(
        "ssl_version",
        "`SSLv23`, `TLSv1_2`, `TLSv1_3`",
        "`SSLv23` (oslo: empty)",
        Works("the minimum TLS version; `SSLv23` and empty mean 1.2. TLS 1.0 and 1.1 are not supported"),
    ),
    known(
        "ssl_key_file",
        "path",
        "none",
        Works("PEM file with the client's private key; optional if the key is in `ssl_cert_file`"),
    ),
    known("ssl_cert_file", "path", "none", Works("PEM file with the client's certificate and its intermediates")),
    known("ssl_ca_file", "path", "the system's roots", Works("PEM file with the trusted certificate authorities")),
    known(
        "ssl_enforce_hostname_verification",
        "",
        "",
        Refused("the host name is always verified against the host of the connection; remove the option"),
    ),
    known(
        "ssl_enforce_fips_mode",
        "",
        "",
        Refused("cryptography is provided by ring, which has no FIPS mode; remove the option"),
    ),
    known(
        "kombu_reconnect_delay",
        "seconds, 0 to 4.5",
        "0 (oslo: 1)",
        Works("a fixed delay before every attempt to reconnect, in addition to the jittered one"),
    ),
    known(
        "kombu_reconnect_splay",
        "seconds, 0 to 60",
        "0",
        Works("the upper bound of a random delay added before every attempt to reconnect"),
    ),
    known(
        "kombu_compression",
        "`gzip` (`zlib`), `bzip2` (`bzip`)",
        "none",
        Works(
            "compression of sent messages; received messages are decompressed by their header, independent of this option",
        ),
    ),
    known(
        "kombu_missing_consumer_retry_timeout",
        "seconds",
        "60",
        Works("how long a reply to a missing queue is retried, within the caller's timeout"),
    ),
    known(
        "kombu_reconnect_timeout",
        "seconds",
        "60",
        Works("oslo's old name of `kombu_missing_consumer_retry_timeout`"),
    ),
    known(
        "kombu_failover_strategy",
        "`round-robin`, `shuffle`",
        "`round-robin`",
        Works("the order in which hosts are tried"),
    ),
    known("rabbit_login_method", "`AMQPLAIN`, `PLAIN`, `EXTERNAL`", "`AMQPLAIN`", Works("the SASL mechanism")),
    known(
        "rabbit_retry_interval",
        "seconds, above 0",
        "0.1 (oslo: 1)",
        Works("upper bound of the first delay between rounds through the hosts; doubles with each round"),
    ),
    known(
        "rabbit_retry_backoff",
        "",
        "",
        Refused(
            "delays double from rabbit_retry_interval to rabbit_interval_max, with full jitter; set these options instead",
        ),
    ),
    known("rabbit_interval_max", "seconds, above 0", "5 (oslo: 30)", Works("upper bound of every such delay")),
    known(
        "rabbit_ha_queues",
        "bool",
        "false",
        Works("declares queues with `x-ha-policy: all`; excludes quorum queues"),
    ),
    known("rabbit_quorum_queue", "bool", "false", Works("shared queues are quorum queues, and durable")),
    known(
        "rabbit_transient_quorum_queue",
        "bool",
        "false",
        Works("fanout and reply queues are quorum queues, and durable; excludes `rabbit_ha_queues`"),
    ),
    known(
        "rabbit_quorum_delivery_limit",
        "integer, 0 to 2147483647",
        "0: the broker's",
        Works("number of deliveries after which a quorum queue drops or dead-letters a message"),
    ),
    known(
        "rabbit_quorum_max_memory_length",
        "integer, 0 to 2147483647",
        "0: the broker's",
        Works("maximum number of messages of a quorum queue in memory"),
    ),
    known(
        "rabbit_quorum_max_memory_bytes",
        "integer, 0 to 2147483647",
        "0: the broker's",
        Works("maximum number of bytes of a quorum queue in memory"),
    ),
    known(
        "rabbit_transient_queues_ttl",
        "seconds, 0 to 2147483.647",
        "1800",
        Works("time after which unused fanout and reply queues expire; 0: never"),
    ),
    known(
        "rabbit_qos_prefetch_count",
        "integer, 0 to 65535",
        "0: from the server",
        Works("upper bound of every listener's prefetch, which otherwise depends on the server's concurrency"),
    ),
    known(
        "heartbeat_timeout_threshold",
        "seconds, 0 to 65535",
        "60",
        Works("a connection without any bytes is closed after at most twice this time; 0 disables heartbeats"),
    ),
    known(
        "heartbeat_rate",
        "integer, 1 to 100",
        "2 (oslo: 3)",
        Works(
            "heartbeats per `heartbeat_timeout_threshold`; above 2, a shorter timeout is negotiated with the broker, so that both sides send at this rate",
        ),
    ),
    known("direct_mandatory_flag", "bool", "true", Works("whether a reply to a missing queue is detected and retried")),
    known("enable_cancel_on_failover", "bool", "false", Works("sets `x-cancel-on-ha-failover` on every consumer")),
    known(
        "use_queue_manager",
        "bool",
        "false",
        Works(
            "fanout and reply queues are named `hostname:processname:n` instead of randomly, with the lowest n that no other process on this machine uses",
        ),
    ),
    known("hostname", "text", "the machine's", Works("part of queue names, with `use_queue_manager`")),
    known("processname", "text", "the program's file name", Works("part of queue names, with `use_queue_manager`")),
    known(
        "rabbit_stream_fanout",
        "bool",
        "false",
        Works(
            "fanout uses one stream per topic, consumed from offset `next`: nothing is replayed after a restart; requires `rabbit_qos_prefetch_count` and `rabbit_transient_quorum_queue`",
        ),
    ),
    known(
        "on_declare_mismatch",
        "`fail`, `adopt`",
        "`fail` (not an option of oslo's)",
        Works(
            "how a queue or an exchange that exists with different properties is treated (the broker's 406, `inequivalent arg`): `fail` is an error with the object and both values, `adopt` uses the object and logs a warning; nothing is deleted",
        ),
    ),
    known(
        "self_check_interval",
        "seconds, 0 to 86400",
        "60 (not an option of oslo's)",
        Works(
            "the interval between checks of a listener's exchanges and bindings, which restore removed ones. A lost binding is logged if the listener is the only consumer of its queue, because it is detected with an empty message sent through the exchange. 0 disables the checks",
        ),
    ),
];

/// Why an option is refused; `None` if it is not.
pub(crate) fn refusal(name: &str) -> Option<&'static str> {
    OPTIONS.iter().find(|option| option.name == name).and_then(|option| match option.fate {
        Refused(reason) => Some(reason),
        Works(_) => None,
    })
}

/// Every option of oslo's group `oslo_messaging_rabbit` as a table in Markdown: name, type, default, the method of
/// [`RabbitOptions`](crate::RabbitOptions) that sets it, and its meaning or the reason why it is refused.
#[must_use]
pub fn options_table() -> String {
    let mut text = String::from("| option | type | default | `RabbitOptions` | meaning |\n|---|---|---|---|---|\n");
    for option in OPTIONS {
        let Known { name, kind, default, fate } = option;
        let setter = crate::builder::setter(name).map(|setter| format!("`{setter}`")).unwrap_or_default();
        let meaning = match fate {
            Works(meaning) => (*meaning).to_owned(),
            Refused(reason) => format!("**refused**: {reason}"),
        };
        let _ = writeln!(text, "| `{name}` | {kind} | {default} | {setter} | {meaning} |");
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use oxlo_transport::{OptionError, TransportError};

    use super::*;
    use crate::{builder, config::Config};

    fn works() -> Vec<&'static str> {
        let mut names: Vec<_> =
            OPTIONS.iter().filter(|option| matches!(option.fate, Works(_))).map(|option| option.name).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn the_url_reads_exactly_the_options_that_work() {
        let unknown = Config::from_url(&"rabbit://h/?no_such_option_at_all=1".parse().unwrap()).unwrap_err();
        let TransportError::InvalidOption(OptionError::Unknown { known, .. }) = unknown else { panic!("{unknown}") };
        assert_eq!(known, works());
    }

    #[test]
    fn what_is_refused_says_why() {
        for option in OPTIONS {
            if let Refused(reason) = option.fate {
                let refused = Config::from_url(&format!("rabbit://h/?{}=1", option.name).parse().unwrap()).unwrap_err();
                assert_eq!(refused.to_string(), format!("option `{}`: {reason}", option.name));
            }
        }
    }

    #[test]
    fn the_builder_has_a_setter_for_each_option_that_works() {
        let mut names: Vec<_> = builder::SETTERS.iter().map(|(option, _)| *option).collect();
        names.sort_unstable();
        let aliases = ["kombu_reconnect_timeout"];
        let expected: Vec<_> = works().into_iter().filter(|name| !aliases.contains(name)).collect();
        assert_eq!(names, expected);
    }

    /// Run with `OXLO_WRITE_DOCS=1` to update the table.
    #[test]
    fn the_table_in_the_documentation_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/options.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (begin, end) = ("<!-- rabbit options: begin -->\n", "<!-- rabbit options: end -->");
        let (before, rest) = text.split_once(begin).unwrap();
        let (written, after) = rest.split_once(end).unwrap();
        let table = options_table();
        if std::env::var_os("OXLO_WRITE_DOCS").is_some() {
            std::fs::write(path, format!("{before}{begin}{table}{end}{after}")).unwrap();
        } else {
            assert_eq!(written, table, "docs/options.md is out of date; run with OXLO_WRITE_DOCS=1");
        }
    }
}
