//! Every option of oslo's group `oslo_messaging_rabbit` and what becomes of it here, and our own after them: the one list that the URL, the
//! typed builder and `docs/options.md` are checked against.

use std::fmt::Write as _;

/// One option.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) name: &'static str,
    /// Type and range, as a person writes it.
    pub(crate) kind: &'static str,
    /// The default here, with oslo's in brackets where it is another.
    pub(crate) default: &'static str,
    pub(crate) fate: Fate,
}

/// What becomes of an option.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// It works; the text says what it does, as far as its name does not.
    Works(&'static str),
    /// It means nothing here; the text says why, and what to do.
    Refused(&'static str),
}
use Fate::{Refused, Works};

const fn known(name: &'static str, kind: &'static str, default: &'static str, fate: Fate) -> Known {
    Known { name, kind, default, fate }
}

const NO_POOL: &str = "there is no pool: one connection sends for any number of tasks; remove the option";

/// The options, in oslo's order; last, what oslo does not have.
pub(crate) const OPTIONS: &[Known] = &[
    known("amqp_durable_queues", "bool", "false", Works("queues and exchanges survive a restart of the broker")),
    known(
        "amqp_auto_delete",
        "bool",
        "false",
        Works("shared queues and exchanges go with their last user; excludes `rabbit_quorum_queue`"),
    ),
    known("rpc_conn_pool_size", "", "", Refused(NO_POOL)),
    known("conn_pool_min_size", "", "", Refused(NO_POOL)),
    known("conn_pool_ttl", "", "", Refused(NO_POOL)),
    known(
        "ssl",
        "bool",
        "false",
        Works("TLS; so does the scheme `rabbits://`. The port stays 5672 unless the URL says so"),
    ),
    known(
        "ssl_version",
        "`SSLv23`, `TLSv1_2`, `TLSv1_3`",
        "`SSLv23` (oslo: empty)",
        Works("the oldest version that is accepted; `SSLv23` and empty mean 1.2 and newer. 1.0 and 1.1 are not spoken"),
    ),
    known("ssl_key_file", "path", "none", Works("PEM; may be left out if the key is in `ssl_cert_file`")),
    known("ssl_cert_file", "path", "none", Works("PEM: our certificate and its intermediates")),
    known("ssl_ca_file", "path", "the system's roots", Works("PEM: the authorities to trust")),
    known(
        "ssl_enforce_hostname_verification",
        "",
        "",
        Refused("the host name is always verified, against the host that is connected to; remove the option"),
    ),
    known(
        "ssl_enforce_fips_mode",
        "",
        "",
        Refused("the cryptography is ring's, which has no FIPS mode; remove the option"),
    ),
    known(
        "kombu_reconnect_delay",
        "seconds, 0 to 4.5",
        "0 (oslo: 1)",
        Works("a pause before every attempt to reconnect, beside the jittered one"),
    ),
    known(
        "kombu_reconnect_splay",
        "seconds, 0 to 60",
        "0",
        Works("drawn anew before every attempt to reconnect: between nothing and this is added to the pause"),
    ),
    known(
        "kombu_compression",
        "`gzip` (`zlib`), `bzip2` (`bzip`)",
        "none",
        Works("of what is sent; what comes is unpacked by its header, whatever is set here"),
    ),
    known(
        "kombu_missing_consumer_retry_timeout",
        "seconds",
        "60",
        Works("how long a reply to a queue that is gone is tried again, within the caller's timeout"),
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
        Works("in which order hosts are tried"),
    ),
    known("rabbit_login_method", "`AMQPLAIN`, `PLAIN`, `EXTERNAL`", "`AMQPLAIN`", Works("how we say who we are")),
    known(
        "rabbit_retry_interval",
        "seconds, above 0",
        "0.1 (oslo: 1)",
        Works("upper bound of the first pause between rounds through the hosts; doubles with each"),
    ),
    known(
        "rabbit_retry_backoff",
        "",
        "",
        Refused("pauses double from rabbit_retry_interval to rabbit_interval_max, with full jitter; set those"),
    ),
    known("rabbit_interval_max", "seconds, above 0", "5 (oslo: 30)", Works("upper bound of every such pause")),
    known("rabbit_ha_queues", "bool", "false", Works("`x-ha-policy: all`; excludes quorum queues")),
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
        Works("deliveries after which a quorum queue drops or dead-letters a message"),
    ),
    known(
        "rabbit_quorum_max_memory_length",
        "integer, 0 to 2147483647",
        "0: the broker's",
        Works("messages kept in memory"),
    ),
    known(
        "rabbit_quorum_max_memory_bytes",
        "integer, 0 to 2147483647",
        "0: the broker's",
        Works("bytes kept in memory"),
    ),
    known(
        "rabbit_transient_queues_ttl",
        "seconds, 0 to 2147483.647",
        "1800",
        Works("how long unused fanout and reply queues live; 0: for ever"),
    ),
    known(
        "rabbit_qos_prefetch_count",
        "integer, 0 to 65535",
        "0: as the server says",
        Works("upper bound of every listener's prefetch, which otherwise follows the server's concurrency"),
    ),
    known("heartbeat_timeout_threshold", "seconds, 0 to 65535", "60", Works("0 switches heartbeats off")),
    known(
        "heartbeat_rate",
        "integer, 1 to 100",
        "2 (oslo: 3)",
        Works(
            "heartbeats per `heartbeat_timeout_threshold`; above 2 the broker is asked for a shorter timeout, so that both sides send as often",
        ),
    ),
    known(
        "direct_mandatory_flag",
        "bool",
        "true",
        Works("whether a reply to a queue that is gone is noticed and tried again"),
    ),
    known("enable_cancel_on_failover", "bool", "false", Works("`x-cancel-on-ha-failover` on every consumer")),
    known(
        "use_queue_manager",
        "bool",
        "false",
        Works(
            "fanout and reply queues are named `hostname:processname:n`, with the lowest n that no other process of this machine holds, instead of randomly",
        ),
    ),
    known("hostname", "text", "the machine's", Works("only with `use_queue_manager`")),
    known("processname", "text", "the program's file name", Works("only with `use_queue_manager`")),
    known(
        "rabbit_stream_fanout",
        "bool",
        "false",
        Works(
            "fanout through one stream per topic, read from `next` on: nothing is replayed after a restart; needs `rabbit_qos_prefetch_count` and `rabbit_transient_quorum_queue`",
        ),
    ),
    known(
        "on_declare_mismatch",
        "`fail`, `adopt`",
        "`fail` (not an option of oslo's)",
        Works(
            "what becomes of a queue or an exchange that is there with other properties (the broker's 406, `inequivalent arg`): an error with the object and both values, or it is used as it is and a warning says so; nothing is deleted",
        ),
    ),
    known(
        "self_check_interval",
        "seconds, 0 to 86400",
        "60 (not an option of oslo's)",
        Works(
            "the pause between two checks of a listener's exchanges and bindings; what was removed by hand is made again. A lost binding is logged where the listener is the only consumer of its queue, which is found out with an empty message through the exchange. 0: no checks",
        ),
    ),
];

/// Why an option is refused, if it is.
pub(crate) fn refusal(name: &str) -> Option<&'static str> {
    OPTIONS.iter().find(|option| option.name == name).and_then(|option| match option.fate {
        Refused(reason) => Some(reason),
        Works(_) => None,
    })
}

/// Every option of oslo's group `oslo_messaging_rabbit` as a table in Markdown: name, type, default, the method of
/// [`RabbitOptions`](crate::RabbitOptions) that sets it, and what it does or why it is refused.
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
    use oxlo_transport::{TransportError, url::OptionError};

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

    /// Run with `OXLO_WRITE_DOCS=1` to write the table anew.
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
            assert_eq!(written, table, "docs/options.md is not what the code says; run with OXLO_WRITE_DOCS=1");
        }
    }
}
