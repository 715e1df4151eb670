//! Transport URLs: oslo.messaging's reading, what is refused and how, typed options, and that no password is shown.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use oxlo_transport::{OptionError, TransportUrl};
use proptest::prelude::*;
use serde::Deserialize;

fn parse(text: &str) -> TransportUrl {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Name, port, user, password.
type HostRow = (String, Option<u16>, Option<String>, Option<String>);

#[derive(Deserialize)]
struct Row {
    url: String,
    scheme: String,
    virtual_host: Option<String>,
    hosts: Vec<HostRow>,
    query: BTreeMap<String, String>,
}

#[test]
fn agrees_with_the_table_that_oslo_wrote() {
    let rows: Vec<Row> = serde_json::from_str(include_str!("data/url_table.json")).unwrap();
    assert!(rows.len() > 50, "the table is truncated: {} rows", rows.len());
    for row in rows {
        let url = parse(&row.url);
        let scheme = match url.scheme_variant() {
            Some(variant) => format!("{}+{variant}", url.scheme()),
            None => url.scheme().to_owned(),
        };
        assert_eq!(scheme, row.scheme, "{}", row.url);
        assert_eq!(url.virtual_host(), row.virtual_host.as_deref(), "{}", row.url);
        let hosts: Vec<_> = url
            .hosts()
            .iter()
            .map(|host| {
                let credentials = host.credentials();
                let user = credentials.map(|credentials| credentials.user().to_owned());
                let password = credentials.and_then(|c| c.password()).map(|password| password.expose().to_owned());
                (host.name().to_owned(), host.port(), user, password)
            })
            .collect();
        assert_eq!(hosts, row.hosts, "{}", row.url);
        let query: BTreeMap<_, _> = url.query().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        assert_eq!(query, row.query, "{}", row.url);
        let again = parse(&url.to_string_with_secrets());
        assert_eq!(again, url);
        assert!(again.query().eq(url.query()));
    }
}

#[test]
fn refuses_with_the_part_and_the_place() {
    let cases = [
        ("", "scheme is missing", 0..0),
        ("host", "scheme is missing", 0..4),
        ("://h", "scheme is missing", 0..4),
        ("1bad://h", "start with a letter", 0..4),
        ("ra bit://h", "scheme must start", 0..6),
        ("rabbit:h", "followed by ://", 6..8),
        ("h:5672", "followed by ://", 1..6),
        ("rabbit://h:", "port of host 1", 11..11),
        ("rabbit://h:abc", "port of host 1", 11..14),
        ("rabbit://h:0", "port of host 1", 11..12),
        ("rabbit://h1,h2:65536/v", "port of host 2", 15..20),
        ("rabbit://h:-1", "port of host 1", 11..13),
        ("rabbit://h:+1", "port of host 1", 11..13),
        ("rabbit://[::1", "IPv6", 9..13),
        ("rabbit://[h]", "IPv6", 9..12),
        ("rabbit://[]:1", "IPv6", 9..13),
        ("rabbit://a:b:c", "IPv6", 9..14),
        ("rabbit://[::1]x:5", "follow the bracket", 14..17),
        ("rabbit://h]/", "bracket", 10..11),
        ("rabbit://h/v#x", "%23", 12..13),
        ("rabbit://h/a b", "white space", 12..13),
        (" rabbit://h", "scheme", 0..7),
        ("rabbit://u:%ff@h", "password of host 1 is not UTF-8", 11..14),
        ("rabbit://%ff:p@h", "user of host 1 is not UTF-8", 9..12),
        ("rabbit://h/%ff", "virtual host is not UTF-8", 11..14),
        ("rabbit://h/?a=%ff", "value of option 1 is not UTF-8", 14..17),
        ("rabbit://u:12/3@h/v", "%2F", 15..16),
        ("rabbit://u:12?3@h/v", "%3F", 15..16),
        ("rabbit://h/a@b", "%40", 12..13),
    ];
    for (text, part, at) in cases {
        let error = text.parse::<TransportUrl>().expect_err(text);
        assert!(error.to_string().contains(part), "{text}: {error}");
        assert_eq!(error.at(), at, "{text}: {error}");
    }
}

#[test]
fn a_broken_url_never_shows_its_password() {
    for password in
        ["s3cr/et", "s3cr?et", "s3cr#et", "s3cr,et", "s3cr et", "s3cr\\et", "s3cr%ffet", "s3[cr]et", "s3/c,r@et"]
    {
        for url in [
            format!("rabbit://user:{password}@host:5672/vhost"),
            format!("rabbit://user:{password}@host:port/vhost?a=b"),
            format!("rabbit:/user:{password}@host"),
            format!("user:{password}@host"),
            format!("rabbit://ok:ok@h1,user:{password}@[host]"),
        ] {
            if let Err(error) = url.parse::<TransportUrl>() {
                for shown in [error.to_string(), format!("{error:?}")] {
                    assert!(!shown.contains("s3") && !shown.contains("et@") && !shown.contains("cr"), "{url}: {shown}");
                }
            }
        }
    }
}

#[test]
fn display_and_debug_hide_passwords_and_secret_options() {
    let url = parse("rabbit://nova:hunter2@h1:1,u@h2,:hunter2@h3/v?ssl_key_password=hunter2&auth_token=hunter2&ssl=1");
    assert_eq!(url.to_string(), "rabbit://nova:***@h1:1,u@h2,:***@h3/v?ssl_key_password=***&auth_token=***&ssl=1");
    assert!(!format!("{url:?} {:?} {:#?}", url.hosts(), url.hosts()).contains("hunter2"));
    assert_eq!(url.hosts_for_display(), "h1:1,h2,h3");
    assert_eq!(
        url.to_string_with_secrets(),
        "rabbit://nova:hunter2@h1:1,u@h2,:hunter2@h3/v?ssl_key_password=hunter2&auth_token=hunter2&ssl=1"
    );
}

#[test]
fn equality_and_hash_ignore_the_query_only() {
    let same: HashSet<TransportUrl> = ["rabbit://u:p@h/v", "rabbit://u:p@h/v?a=1"].map(parse).into();
    assert_eq!(same.len(), 1);
    let other: HashSet<TransportUrl> =
        ["rabbit://u:p@h/v", "rabbit://u:q@h/v", "rabbit://u@h/v", "rabbit://h/v", "rabbit://u:p@h", "kombu://u:p@h/v"]
            .map(parse)
            .into();
    assert_eq!(other.len(), 6);
}

#[test]
fn memory_urls_name_a_bus() {
    let url = parse("memory://bus-1?delay=0");
    assert_eq!((url.scheme(), url.hosts()[0].name(), url.virtual_host()), ("memory", "bus-1", None));
    assert!(parse("memory://").hosts().is_empty());
}

#[test]
fn an_option_can_be_set_beside_the_url() {
    let mut url = parse("rabbit://h/?a=1&b=2");
    url.set_option("a", "3");
    url.set_option("c", "x y&z");
    assert!(url.query().eq([("a", "3"), ("b", "2"), ("c", "x y&z")]));
    assert!(parse(&url.to_string_with_secrets()).query().eq(url.query()));
}

#[test]
fn options_are_read_with_their_types() {
    let url = parse("rabbit://h/?ssl=Yes&off=0&size=30&delay=0.5&strategy=SHUFFLE&file=%2Fetc%2Fca.pem&empty=&flag");
    let mut options = url.options();
    assert_eq!(options.bool("ssl"), Ok(Some(true)));
    assert_eq!(options.bool("off"), Ok(Some(false)));
    assert_eq!(options.bool("absent"), Ok(None));
    assert_eq!(options.integer("size", 1..=100), Ok(Some(30)));
    assert_eq!(options.seconds("delay", Duration::ZERO..=Duration::from_secs(4)), Ok(Some(Duration::from_millis(500))));
    assert_eq!(options.choice("strategy", &["round-robin", "shuffle"]), Ok(Some("shuffle")));
    assert_eq!(options.text("file"), Some("/etc/ca.pem"));
    assert_eq!(options.text("empty"), Some(""));
    assert_eq!(options.text("flag"), Some(""));
    assert_eq!(options.finish(), Ok(()));
}

#[test]
fn a_value_of_the_wrong_form_is_refused_by_name_and_not_quoted() {
    for value in ["maybe", "", "2", "-1", "1e9", "nan", "inf", "1_0", "0x1"] {
        let url = parse(&format!("rabbit://h/?x={value}"));
        let bool = url.options().bool("x").unwrap_err();
        assert!(bool.to_string().starts_with("option x of the transport URL: expected one of 1, true"), "{bool}");
        let integer = url.options().integer("x", 10..=20).unwrap_err();
        assert!(integer.to_string().ends_with("expected an integer from 10 to 20"), "{integer}");
        let seconds = url.options().seconds("x", Duration::from_secs(3)..=Duration::from_millis(4500)).unwrap_err();
        assert!(seconds.to_string().ends_with("expected a number of seconds, at least 3, at most 4.5"), "{seconds}");
        let choice = url.options().choice("x", &["a", "b"]).unwrap_err();
        assert!(choice.to_string().ends_with("expected one of a, b"), "{choice}");
    }
    let least = parse("rabbit://h/?x=0").options().integer("x", 1..=i64::MAX).unwrap_err();
    assert!(least.to_string().ends_with("an integer, at least 1"), "{least}");
}

#[test]
fn an_unknown_option_is_named_with_the_known_and_the_nearest() {
    let url = parse("rabbit://h/?heartbeat_timeout_treshold=5");
    let mut options = url.options();
    for name in ["ssl", "heartbeat_rate", "heartbeat_timeout_threshold"] {
        assert_eq!(options.text(name), None);
    }
    let error = options.finish().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the transport URL has an unknown option \"heartbeat_timeout_treshold\", did you mean \
         heartbeat_timeout_threshold?; known are: heartbeat_rate, heartbeat_timeout_threshold, ssl"
    );

    let mut far = parse("rabbit://h/?entirely_different=5").options().finish().unwrap_err();
    assert!(matches!(&mut far, OptionError::Unknown { nearest: None, .. }), "{far}");
    // With two hosts the @ passes the parser: what looks like an option may be the rest of a password.
    let odd = parse("rabbit://u:p@h/?hunter=2&x@h=1").options().finish().unwrap_err();
    assert!(!odd.to_string().contains("hunter"), "{odd}");
}

fn any_url_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "rabbit://[a-z0-9:@%,/?#\\[\\]=&+. é]{0,40}",
        "[a-z+]{0,6}(:|://)?([a-z%:]{0,6}@)?[a-z0-9:\\[\\],]{0,20}/?[a-z/%]{0,8}(\\?[a-z=&%]{0,12})?",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_read_or_refused_and_what_is_read_can_be_written(text in any_url_text()) {
        if let Ok(url) = text.parse::<TransportUrl>() {
            let again: TransportUrl = url.to_string_with_secrets().parse().expect("what was written can be read");
            prop_assert!(again.query().eq(url.query()));
            prop_assert_eq!(again, url);
        }
    }

    #[test]
    fn an_encoded_password_is_never_shown(
        user in "[a-z]{1,8}",
        odd in ".{0,20}",
        broken in prop::sample::select(vec!["", ":abc", ":0", ":99999", "]", "[", "/v#", "/a b", "/%ff", "?a=%fe"]),
    ) {
        let password = format!("QZX{odd}XZQ");
        let encoded: String = password.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let text = format!("rabbit://{user}:{encoded}@host{broken}");
        match text.parse::<TransportUrl>() {
            Ok(url) => {
                prop_assert_eq!(url.hosts()[0].credentials().unwrap().password().unwrap().expose(), &password);
                let shown = format!("{url} {url:?} {:?}", url.hosts());
                prop_assert!(!shown.contains("QZX"), "{}", shown);
            }
            Err(error) => {
                let shown = format!("{error} {error:?}");
                prop_assert!(!shown.contains("QZX") && !shown.contains(&encoded), "{}", shown);
            }
        }
    }
}
