//! Each override and its reset, which change nothing else.

use std::time::Duration;

use oxlo_client::RPCClient;
use oxlo_transport::{Retry, Settings, Target};
use serde_json::Value;

use crate::fake::{Fake, Handed, Options, ctxt};

/// All overrides as the transport received them.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    target: Target,
    namespace: Option<String>,
    version: Option<String>,
    timeout: Duration,
    monitor: Option<Duration>,
    retry: Retry,
    mandatory: bool,
}

impl From<Handed> for Seen {
    fn from(handed: Handed) -> Self {
        let (monitor, retry) = match &handed.options {
            Options::Call(options) => (options.monitor_timeout, options.retry),
            Options::Cast(options) => (None, options.retry),
        };
        Self {
            timeout: handed.timeout(),
            mandatory: handed.mandatory(),
            target: handed.to,
            namespace: handed.request.namespace.as_deref().map(str::to_owned),
            version: handed.request.version.as_deref().map(str::to_owned),
            monitor,
            retry,
        }
    }
}

type Change = fn(RPCClient) -> RPCClient;

/// Name, override, reset, and the expected state after each.
struct Case {
    name: &'static str,
    set: Change,
    seen_set: fn(&mut Seen),
    unset: Change,
    seen_unset: fn(&mut Seen),
}

fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "exchange",
            set: |c| c.exchange("other"),
            seen_set: |s| s.target.exchange = Some("other".into()),
            unset: RPCClient::without_exchange,
            seen_unset: |s| s.target.exchange = None,
        },
        Case {
            name: "topic",
            set: |c| c.topic("other"),
            seen_set: |s| s.target.topic = Some("other".into()),
            unset: |c| c.topic("calculator"),
            seen_unset: |s| s.target.topic = Some("calculator".into()),
        },
        Case {
            name: "namespace",
            set: |c| c.namespace(""),
            seen_set: |s| (s.target.namespace, s.namespace) = (Some("".into()), Some(String::new())),
            unset: RPCClient::without_namespace,
            seen_unset: |s| (s.target.namespace, s.namespace) = (None, None),
        },
        Case {
            name: "version",
            set: |c| c.version("1.1"),
            seen_set: |s| (s.target.version, s.version) = (Some("1.1".into()), Some("1.1".into())),
            unset: |c| c.without_version().without_version_cap(),
            seen_unset: |s| (s.target.version, s.version) = (None, None),
        },
        Case {
            name: "server",
            set: |c| c.server("other"),
            seen_set: |s| s.target.server = Some("other".into()),
            unset: RPCClient::without_server,
            seen_unset: |s| s.target.server = None,
        },
        Case {
            name: "timeout",
            set: |c| c.timeout(Duration::from_millis(1500)),
            seen_set: |s| s.timeout = Duration::from_millis(1500),
            unset: RPCClient::without_timeout,
            seen_unset: |s| s.timeout = Duration::from_secs(7),
        },
        Case {
            name: "retry",
            set: |c| c.retry(Retry::Times(0)),
            seen_set: |s| s.retry = Retry::Times(0),
            unset: |c| c.retry(Retry::Forever),
            seen_unset: |s| s.retry = Retry::Forever,
        },
        Case {
            name: "call_monitor_timeout",
            set: |c| c.call_monitor_timeout(Duration::from_secs(2)),
            seen_set: |s| s.monitor = Some(Duration::from_secs(2)),
            unset: RPCClient::without_call_monitor_timeout,
            seen_unset: |s| s.monitor = None,
        },
        Case {
            name: "mandatory",
            set: |c| c.mandatory(false),
            seen_set: |s| s.mandatory = false,
            unset: RPCClient::without_mandatory,
            seen_unset: |s| s.mandatory = true,
        },
    ]
}

fn full(fake: &std::sync::Arc<Fake>) -> RPCClient {
    RPCClient::new(
        fake.clone(),
        Target::topic("calculator").exchange("ex").namespace("math").version("1.2").server("node-7"),
    )
    .timeout(Duration::from_secs(5))
    .version_cap("1.4")
    .retry(Retry::Times(3))
    .call_monitor_timeout(Duration::from_secs(4))
    .mandatory(true)
}

async fn seen(client: &RPCClient, fake: &Fake) -> Seen {
    client.call::<Value>(&ctxt(), "add", ()).await.unwrap();
    fake.only().into()
}

#[tokio::test]
async fn each_override_changes_one_thing_and_the_original_nothing() {
    let mut settings = Settings::default();
    settings.response_timeout = Duration::from_secs(7);
    let fake = Fake::with(settings);
    let client = full(&fake);
    let original = seen(&client, &fake).await;
    assert_eq!(original.timeout, Duration::from_secs(5));
    assert_eq!(original.monitor, Some(Duration::from_secs(4)));
    assert_eq!(original.retry, Retry::Times(3));

    for case in cases() {
        let mut after_set = original.clone();
        (case.seen_set)(&mut after_set);
        let set = (case.set)(client.prepare());
        assert_eq!(seen(&set, &fake).await, after_set, "{} set", case.name);
        assert_ne!(after_set, original, "{} must differ for this test to mean anything", case.name);

        let mut after_unset = original.clone();
        (case.seen_unset)(&mut after_unset);
        let unset = (case.unset)(client.prepare());
        assert_eq!(seen(&unset, &fake).await, after_unset, "{} unset", case.name);

        // The later of two overrides applies.
        let unset_after_set = (case.unset)(set.prepare());
        assert_eq!(seen(&unset_after_set, &fake).await, after_unset, "{} unset after set", case.name);
        let set_after_unset = (case.set)(unset.prepare());
        let mut both = after_unset.clone();
        (case.seen_set)(&mut both);
        assert_eq!(seen(&set_after_unset, &fake).await, both, "{} set after unset", case.name);

        assert_eq!(seen(&set, &fake).await, after_set, "{}: a prepared client is kept", case.name);
        assert_eq!(seen(&client, &fake).await, original, "{}: the original is never changed", case.name);
    }
}

#[tokio::test]
async fn prepare_can_be_repeated() {
    let fake = Fake::new();
    let client = full(&fake);
    let prepared = client.prepare().server("node-9").prepare().timeout(Duration::from_secs(1)).clone();
    let seen = seen(&prepared, &fake).await;
    assert_eq!(seen.target.server.as_deref(), Some("node-9"));
    assert_eq!(seen.timeout, Duration::from_secs(1));
    assert_eq!(seen.target.namespace.as_deref(), Some("math"), "the rest is kept");
}

#[tokio::test]
async fn a_version_cap_is_set_and_reset() {
    let fake = Fake::new();
    let client = full(&fake);
    assert!(client.prepare().version_cap("1.1").cast(&ctxt(), "add", ()).await.is_err());
    assert!(client.prepare().version("1.5").cast(&ctxt(), "add", ()).await.is_err());
    assert!(client.prepare().version("1.5").version_cap("1.5").cast(&ctxt(), "add", ()).await.is_ok());
    assert!(client.prepare().version("9.9").without_version_cap().cast(&ctxt(), "add", ()).await.is_ok());
    assert_eq!(client.capped_at(), Some("1.4"));
    assert_eq!(client.prepare().without_version_cap().capped_at(), None);
}

#[tokio::test]
async fn fanout_is_set_and_reset() {
    let fake = Fake::new();
    let fanout = full(&fake).fanout(true);
    fanout.cast(&ctxt(), "reload", ()).await.unwrap();
    assert!(fake.only().to.fanout);
    fanout.prepare().fanout(false).call::<Value>(&ctxt(), "add", ()).await.unwrap();
    assert!(!fake.only().to.fanout);
}

#[tokio::test]
async fn casts_use_the_options_too() {
    let fake = Fake::new();
    let client = full(&fake).retry(Retry::Times(1));
    client.cast(&ctxt(), "reload", ()).await.unwrap();
    let seen: Seen = fake.only().into();
    assert_eq!((seen.timeout, seen.retry, seen.mandatory), (Duration::from_secs(5), Retry::Times(1), true));
    client.prepare().without_mandatory().cast(&ctxt(), "reload", ()).await.unwrap();
    assert!(!fake.only().mandatory());
}
