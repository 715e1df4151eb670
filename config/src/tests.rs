#![allow(clippy::unwrap_used, clippy::expect_used)]

use async_trait::async_trait;
use oxlo_transport::{options::Retry, registry::Driver, settings::Settings, transport::Transport, url::TransportUrl};

use super::*;

/// Accepts `ssl` and `prefetch`, and returns the options it received as an error instead of connecting.
#[derive(Debug)]
struct RecordingDriver;

#[async_trait]
impl Driver for RecordingDriver {
    fn schemes(&self) -> &'static [&'static str] {
        &["rabbit"]
    }

    fn option_group(&self) -> Option<&'static str> {
        Some("oslo_messaging_rabbit")
    }

    async fn connect(&self, url: &TransportUrl, settings: Settings) -> Result<Arc<dyn Transport>, TransportError> {
        let mut options = url.options();
        let (ssl, prefetch) = (options.bool("ssl")?, options.integer("prefetch", 0..=9)?);
        options.finish()?;
        let outcome = format!("{ssl:?} {prefetch:?} {} {:?}", settings.control_exchange, settings.response_timeout);
        Err(TransportError::InvalidTarget { reason: outcome })
    }
}

async fn outcome(config: &ProcessConfig) -> String {
    let builder = config.transport(&Registry::new().with(RecordingDriver)).unwrap();
    builder.connect().await.unwrap_err().to_string()
}

fn ini(text: &str) -> Result<ProcessConfig, ProcessConfigError> {
    ProcessConfig::new().text(text, "nova.conf")
}

#[tokio::test]
async fn file_variable_and_url_override_each_other_in_order() {
    let config = ini("# Nova\n[DEFAULT]\ndebug = true\ntransport_url = rabbit://h/?prefetch=3\n\
                      control_exchange: nova\nrpc_response_timeout = \"90\"\n[database]\nconnection = x\n\
                      [oslo_messaging_rabbit]\nssl = yes\nprefetch = 1\n")
    .unwrap();
    let wanted = "the target cannot be used: Some(true) Some(3) nova 90s";
    assert_eq!(outcome(&config).await, wanted, "the query overrides the section");
    let variables =
        [("OS_OSLO_MESSAGING_RABBIT__SSL", "off"), ("OS_DEFAULT__CONTROL_EXCHANGE", "cells"), ("HOME", "/")];
    let config = config.variables(variables.map(|(name, value)| (name.into(), value.into()))).unwrap();
    assert_eq!(outcome(&config).await, "the target cannot be used: Some(false) Some(3) cells 90s");
    let debug = format!("{config:?}");
    assert!(debug.contains("variable OS_DEFAULT__CONTROL_EXCHANGE") && !debug.contains("cells"), "{debug}");
}

#[tokio::test]
async fn an_unknown_option_is_named_with_file_and_line() {
    let config = ini("[DEFAULT]\n\n[oslo_messaging_rabbit]\nssl = 1\nprefech = 1\n").unwrap();
    let refused = outcome(&config).await;
    assert!(refused.starts_with("option `prefech`: ") && refused.contains("nova.conf:5"), "{refused}");
    assert!(refused.contains("did you mean prefetch?"), "{refused}");
    let config = ini("[oslo_messaging_rabbit]\nprefetch = 12\n").unwrap();
    let refused = outcome(&config).await;
    assert_eq!(refused, "option `prefetch`: expected an integer from 0 to 9 (nova.conf:2)");
    let variable = [("OS_OSLO_MESSAGING_RABBIT__NOSUCH".to_owned(), "1".to_owned())];
    let refused = outcome(&ProcessConfig::new().variables(variable).unwrap()).await;
    assert!(refused.contains("variable OS_OSLO_MESSAGING_RABBIT__NOSUCH"), "{refused}");
}

#[test]
fn invalid_options_are_reported_with_file_and_line() {
    for (text, wanted) in [
        (
            "[DEFAULT]\ntransport_ulr = x\n",
            "nova.conf:2: option `transport_ulr`: no such option; did you mean transport_url?",
        ),
        (
            "[DEFAULT]\nrpc_response_timeout = soon\n",
            "nova.conf:2: option `rpc_response_timeout`: expected a number of seconds, above 0",
        ),
        (
            "[DEFAULT]\nrpc_ping_enabled = 2\n",
            "nova.conf:2: option `rpc_ping_enabled`: expected one of 1, true, yes, on, 0, false, no, off",
        ),
        (
            "[default]\ntransport_url = x\n",
            "nova.conf:2: option `transport_url`: the section must be written [DEFAULT], in upper case",
        ),
        (
            "[oslo_messaging_rabit]\nssl = 1\n",
            "nova.conf:2: option `ssl`: section [oslo_messaging_rabit] is unknown; did you mean [oslo_messaging_rabbit]?",
        ),
    ] {
        assert_eq!(ini(text).unwrap_err().to_string(), wanted);
    }
    for (text, wanted) in [
        ("# x\n[DEFAULT\n", "nova.conf:2: a section must end with `]`, followed by nothing"),
        ("ssl = 1\n", "nova.conf:1: the option precedes the first section; move it to [DEFAULT]"),
        ("[DEFAULT]\ntransport_url rabbit://u:s3cret@h\n", "nova.conf:2: missing `=` after `transport_url`"),
        (
            "[OSLO_MESSAGING_RABBIT]\nssl 1:s3cret\n",
            "nova.conf:2: the option name contains white space; it must be followed by `=`",
        ),
        ("[DEFAULT]\ntransport_url\n", "nova.conf:2: missing `=` or `:`"),
    ] {
        assert_eq!(ini(text).unwrap_err().to_string(), wanted);
    }
    let missing = ProcessConfig::new().file("/nonexistent/nova.conf").unwrap_err();
    assert_eq!(missing.to_string(), "cannot read /nonexistent/nova.conf");
}

#[test]
fn options_of_the_server_are_available() {
    let config = ini("[DEFAULT]\nrpc_thread_pool_size = 8\nrpc_ping_enabled = true\n").unwrap();
    assert_eq!(config.executor_thread_pool_size().unwrap(), Some(8));
    assert_eq!(config.rpc_ping_enabled().unwrap(), Some(true));
    assert_eq!(ProcessConfig::new().transport_url(), "rabbit:///");
}

#[tokio::test]
async fn references_reach_the_transport_and_its_options() {
    let text = "[DEFAULT]\nmy_ip = 10.0.0.7\ntransport_url = rabbit://nova:pa$$w@$my_ip/$vhost\n\
                rpc_response_timeout = ${shop.timeout}\n\
                [OSLO_Messaging_Rabbit]\nssl = $secure\n[shop]\ntimeout = 7\nsecure = no\n";
    let config = ini(text).unwrap().default_value("DEFAULT", "vhost", "prod");
    assert_eq!(config.transport_url(), "rabbit://nova:***@10.0.0.7/prod");
    assert_eq!(config.url().unwrap(), "rabbit://nova:pa$w@10.0.0.7/prod");
    let missing = config.transport(&Registry::new().with(RecordingDriver)).unwrap_err().to_string();
    assert_eq!(
        missing,
        "option `ssl`: reference 1 in the value cannot be resolved; set the option it names, or write $$ for a \
         dollar sign (nova.conf:6)",
        "another section's option needs the section's name"
    );
    let variable = [("OS_DEFAULT__SECURE".to_owned(), "yes".to_owned())];
    let outcome = outcome(&config.variables(variable).unwrap()).await;
    assert_eq!(outcome, "the target cannot be used: Some(true) None openstack 7s");
}

#[test]
fn circular_references_are_reported() {
    let config = ini("[DEFAULT]\nurl = $a\na = x${shop.b}\n[shop]\nb = $c\nc = $$${url}\n").unwrap();
    assert_eq!(
        config.get("DEFAULT", "a").unwrap_err().to_string(),
        "nova.conf:3: option `a`: circular reference: [DEFAULT] a -> [shop] b -> [shop] c -> [DEFAULT] url -> [DEFAULT] a"
    );
    assert!(config.get("shop", "b").unwrap_err().to_string().starts_with("nova.conf:5: "));
}

#[test]
fn references_are_bounded() {
    let chain = |length: usize, step: &str| {
        let lines = (0..length).map(|at| format!("o{at} = {}\n", step.replace("NEXT", &format!("$o{}", at + 1))));
        let text: String = lines.collect();
        ini(&format!("[s]\n{text}o{length} = 12345678\n")).unwrap()
    };
    assert_eq!(chain(30, "NEXT").get("s", "o0").unwrap().as_deref(), Some("12345678"));
    let deep = chain(40, "NEXT").get("s", "o0").unwrap_err().to_string();
    assert!(deep.contains("nested more than 32 levels deep"), "{deep}");
    let wide = chain(20, "NEXTNEXTNEXT").get("s", "o0").unwrap_err().to_string();
    assert!(wide.contains("expands to more than"), "{wide}");
}

#[test]
fn neither_errors_nor_debug_show_a_value() {
    let text = "[DEFAULT]\ntransport_url = rabbit://u:s3cret$tail@h\nrpc_response_timeout = $secret\nsecret = s3cret\n\
                s3cret;tail = 1\n[shop]\nport = s3cret\nready = s3cret\n";
    let config = ini(text).unwrap();
    let refused = config.transport(&Registry::new().with(RecordingDriver)).unwrap_err();
    let outcome = [
        format!("{config:?}"),
        config.transport_url(),
        format!("{refused} {refused:?}"),
        format!("{:?}", config.of_default("rpc_response_timeout").err()),
        format!("{:?}", config.get_as::<u16>("shop", "port")),
        format!("{:?}", config.get_bool("shop", "ready")),
    ];
    assert!(outcome[0].contains("[DEFAULT] secret") && outcome[3].contains("expected a number"), "{outcome:?}");
    assert!(outcome[4].contains("cannot parse the value as u16"), "{outcome:?}");
    for outcome in outcome {
        assert!(!outcome.contains("s3cret") && !outcome.contains("tail"), "{outcome}");
    }
}

#[test]
fn a_service_reads_its_own_sections() {
    let config = ini("[Shop]\nport = 80\nports =\nopen = On\nitems = a, b,\nhook = x\nhook = y\n").unwrap();
    assert_eq!(config.get_as::<u16>("shop", "port").unwrap(), Some(80));
    assert_eq!(config.get_as::<u16>("shop", "ports").unwrap(), None);
    assert_eq!(config.get_bool("SHOP", "open").unwrap(), Some(true));
    assert_eq!(config.get_list("shop", "items").unwrap().unwrap(), ["a", "b"]);
    assert_eq!(config.get("shop", "Port").unwrap(), None, "option names are case-sensitive");
    let config = config.text("[shop]\nhook = z\n", "more.conf").unwrap();
    assert_eq!(config.get_all("shop", "hook").unwrap(), ["x", "y", "z"]);
    assert_eq!(config.get("shop", "hook").unwrap().as_deref(), Some("z"));
    let variable = [("OS_SHOP__HOOK".to_owned(), "v".to_owned())];
    assert_eq!(config.variables(variable).unwrap().get_all("shop", "hook").unwrap(), ["v"]);
}

#[test]
fn the_section_of_notifications_is_read() {
    let nothing = ProcessConfig::new().notifications().unwrap();
    assert!(nothing.drivers.is_empty() && nothing.topics == ["notifications"] && nothing.retry == Retry::Forever);
    let config = ini("[DEFAULT]\ntransport_url = rabbit://rpc\n[oslo_messaging_notifications]\ndriver = messagingv2\n\
                      driver = log\ndriver = log\ntransport_url = rabbit://bus/v\ntopics = a, b\nretry = 3\n")
    .unwrap();
    let read = config.notifications().unwrap();
    let drivers: Vec<_> = read.drivers.iter().map(|(name, origin)| (name.as_str(), &**origin)).collect();
    assert_eq!(drivers, [("messagingv2", "nova.conf:4"), ("log", "nova.conf:5")]);
    assert_eq!((read.topics, read.retry), (vec!["a".to_owned(), "b".to_owned()], Retry::Times(3)));
    let drivers = Registry::new().with(RecordingDriver);
    let builder = format!("{:?}", config.notification_transport(&drivers).unwrap());
    assert!(builder.contains("rabbit://bus/v"), "{builder}");
    let builder = format!("{:?}", config.transport(&drivers).unwrap());
    assert!(builder.contains("rabbit://rpc"), "{builder}");
    let refused = ini("[oslo_messaging_notifications]\ndrivers = x\n").unwrap().notifications().unwrap_err();
    assert!(refused.to_string().contains("nova.conf:2: option `drivers`: no such option, did you mean driver?"));
}
